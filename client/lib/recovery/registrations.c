// SPDX-License-Identifier: Apache-2.0
#include "registrations.h"

#include <string.h>

int kvr_registrations_init(struct kvr_registrations *m, const struct kvr_alloc *a,
                           uint64_t secret) {
    *m = (struct kvr_registrations){.alloc = a, .history = 1};
    kvr_confirmation_init(&m->lists);
    kvr_list_init(&m->departed);
    return kvr_table_init(&m->table, a, secret);
}

void kvr_registrations_doubt(struct kvr_registrations *m) {
    m->history++;
    kvr_confirmation_withdraw(&m->lists);
    for (struct kvr_list_item *i = m->departed.next; i != &m->departed; i = i->next)
        ((struct kvr_registration *)(void *)i)->departed = false;
    m->n_departed = 0;
    kvr_list_splice(&m->lists.waiting, &m->departed);
}

struct kvr_registration *kvr_registration_find(const struct kvr_registrations *m,
                                               struct kvr_bytes worker) {
    struct kvr_table_item *i = kvr_table_find(&m->table, worker);
    return i ? (struct kvr_registration *)(void *)((char *)i -
                                                   offsetof(struct kvr_registration, item))
             : NULL;
}

// A copy in one allocation: the array, and the bytes behind it. NULL: no memory.
static struct kvr_bytes *copy_labels(const struct kvr_alloc *a, const struct kvr_bytes *labels,
                                     size_t n) {
    size_t size = n * sizeof *labels + 1; // none is a list, too
    for (size_t i = 0; i < n; i++)
        size += labels[i].n;
    struct kvr_bytes *copy = kvr_alloc_zeroed(a, size);
    char *at = copy ? (char *)(copy + n) : NULL;
    for (size_t i = 0; copy && i < n; i++) {
        memcpy(at, labels[i].p, labels[i].n);
        copy[i] = (struct kvr_bytes){at, labels[i].n};
        at += labels[i].n;
    }
    return copy;
}

static void set_addr(struct kvr_registration *r, char *addr, size_t n) {
    kvr_alloc_free(r->set->alloc, (char *)(void *)r->said.addr.p);
    r->said.addr = (struct kvr_bytes){addr, n};
}

static void set_labels(struct kvr_registration *r, struct kvr_bytes *labels, size_t n) {
    kvr_alloc_free(r->set->alloc, (void *)r->said.labels);
    r->said.labels = labels;
    r->said.n_labels = n;
}

static void free_registration(struct kvr_registration *r) {
    set_addr(r, NULL, 0);
    set_labels(r, NULL, 0);
    kvr_alloc_free(r->set->alloc, r);
}

static void forget(struct kvr_registration *r) {
    struct kvr_registrations *m = r->set;
    if (r->departed) m->n_departed--;
    kvr_table_remove(&m->table, &r->item);
    kvr_list_remove(&r->in);
    free_registration(r);
}

bool kvr_registration_forget(struct kvr_registrations *m, struct kvr_bytes worker) {
    struct kvr_registration *r = kvr_registration_find(m, worker);
    if (r && r->looks) return false;
    if (r) forget(r);
    return true;
}

// The first of the list that nobody is looking at. NULL: none.
static struct kvr_registration *oldest(const struct kvr_list_item *list) {
    for (struct kvr_list_item *i = list->next; i != list; i = i->next)
        if (!((struct kvr_registration *)(void *)i)->looks)
            return (struct kvr_registration *)(void *)i;
    return NULL;
}

static bool make_room(struct kvr_registrations *m) {
    if (m->table.count < KVR_MAX_REGISTRATIONS) return true;
    struct kvr_registration *r = oldest(&m->departed);
    if (!r) r = oldest(&m->lists.confirmed);
    if (r) forget(r);
    return r != NULL;
}

struct kvr_registration *kvr_registration_say(struct kvr_registrations *m,
                                              const struct kvr_worker_call *call, bool deleted) {
    struct kvr_registration *r = kvr_registration_find(m, call->worker);
    bool has_addr = call->set & KVR_WORKER_ADDR, has_labels = call->set & KVR_WORKER_LABELS;
    char *addr = has_addr ? kvr_alloc_copy(m->alloc, call->addr.p, call->addr.n) : NULL;
    struct kvr_bytes *labels =
        has_labels ? copy_labels(m->alloc, call->labels, call->n_labels) : NULL;
    bool short_of = (has_addr && !addr) || (has_labels && !labels);
    bool fresh = !r && !short_of && make_room(m);
    if (fresh) r = kvr_alloc_zeroed(m->alloc, sizeof *r + call->worker.n);
    if (!r || short_of) {
        kvr_alloc_free(m->alloc, addr);
        kvr_alloc_free(m->alloc, labels);
        return NULL;
    }
    if (fresh) {
        r->set = m;
        memcpy(r->name, call->worker.p, call->worker.n);
        r->said.worker = (struct kvr_bytes){r->name, call->worker.n};
        kvr_list_push(&m->lists.waiting, &r->in);
        kvr_table_add(&m->table, &r->item, r->said.worker);
    }
    if (fresh || deleted || r->deleted) r->whole_in = m->history;
    if (deleted || r->deleted) { // a worker that comes anew has what is said now, and no more
        set_addr(r, NULL, 0);
        set_labels(r, NULL, 0);
        r->said = (struct kvr_worker_call){.worker = r->said.worker};
    }
    r->deleted = deleted;
    if (call->set & KVR_WORKER_STATE) r->said.set &= ~(unsigned)KVR_WORKER_DRAIN;
    r->said.set |= call->set;
    if (has_addr) set_addr(r, addr, call->addr.n);
    if (has_labels) set_labels(r, labels, call->n_labels);
    if (call->set & KVR_WORKER_SPEED) r->said.speed = call->speed;
    if (call->set & KVR_WORKER_MAX_REQUESTS) r->said.max_requests = call->max_requests;
    if (call->set & KVR_WORKER_RANKS) r->said.ranks = call->ranks;
    if (call->set & KVR_WORKER_CAPACITY) r->said.capacity = call->capacity;
    if (call->set & KVR_WORKER_STATE) r->said.state = call->state;
    if (call->set & KVR_WORKER_TTL) r->said.ttl = call->ttl;
    if (call->set & KVR_WORKER_ROLE) r->said.role = call->role;
    if (call->set & KVR_WORKER_DRAIN) r->said.drain = call->drain;
    return r;
}

bool kvr_registration_is_whole(const struct kvr_registration *r) {
    return r->whole_in == r->set->history;
}

void kvr_registration_move(struct kvr_registration *r, struct kvr_list_item *list) {
    struct kvr_registrations *m = r->set;
    if (r->departed) m->n_departed--;
    r->departed = r->deleted && list == &m->lists.confirmed;
    kvr_list_remove(&r->in);
    kvr_list_push(r->departed ? &m->departed : list, &r->in);
    if (!r->departed || ++m->n_departed <= KVR_MAX_DEPARTED) return;
    struct kvr_registration *first = oldest(&m->departed);
    if (first) forget(first);
}

void kvr_registrations_forget_silent(struct kvr_registrations *m, int64_t now) {
    for (struct kvr_list_item *i = m->lists.confirmed.next, *next; i != &m->lists.confirmed;
         i = next) {
        struct kvr_registration *r = (struct kvr_registration *)(void *)i;
        next = i->next;
        if (r->said.ttl > 0 && !r->looks && now - r->said_at - KVR_LEASE_MARGIN > 2 * r->said.ttl)
            forget(r);
    }
}

void kvr_registrations_free(struct kvr_registrations *m) {
    kvr_list_splice(&m->lists.confirmed, &m->departed);
    for (struct kvr_list_item *i; (i = kvr_confirmation_first(&m->lists));) {
        kvr_list_remove(i);
        free_registration((struct kvr_registration *)(void *)i);
    }
    kvr_table_free(&m->table);
}
