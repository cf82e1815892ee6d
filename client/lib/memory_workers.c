// SPDX-License-Identifier: Apache-2.0
// What was said of workers, and which instances there are; see memory.h.
#include <string.h>

#include "memory.h"

// ---- What was said -------------------------------------------------------------------------------

struct registered *registered_find(const struct memory *m, struct kvr_bytes worker) {
    struct kvr_table_item *i = kvr_table_find(&m->registered_table, worker);
    return i ? (struct registered *)(void *)((char *)i - offsetof(struct registered, item)) : NULL;
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

static void set_addr(struct registered *r, char *addr, size_t n) {
    kvr_alloc_free(r->memory->alloc, (char *)(void *)r->said.addr.p);
    r->said.addr = (struct kvr_bytes){addr, n};
}

static void set_labels(struct registered *r, struct kvr_bytes *labels, size_t n) {
    kvr_alloc_free(r->memory->alloc, (void *)r->said.labels);
    r->said.labels = labels;
    r->said.n_labels = n;
}

void registered_free(struct registered *r) {
    set_addr(r, NULL, 0);
    set_labels(r, NULL, 0);
    kvr_alloc_free(r->memory->alloc, r);
}

static void forget(struct registered *r) {
    struct memory *m = r->memory;
    if (r->departed) m->n_departed--;
    kvr_table_remove(&m->registered_table, &r->item);
    kvr_list_remove(&r->in);
    registered_free(r);
}

// The first of the list that nobody is looking at. NULL: none.
static struct registered *oldest(const struct kvr_list_item *list) {
    for (struct kvr_list_item *i = list->next; i != list; i = i->next)
        if (!((struct registered *)(void *)i)->looks) return (struct registered *)(void *)i;
    return NULL;
}

static bool make_room(struct memory *m) {
    if (m->registered_table.count < MAX_REGISTERED) return true;
    struct registered *r = oldest(&m->departed);
    if (!r) r = oldest(&m->registered.confirmed);
    if (r) forget(r);
    return r != NULL;
}

struct registered *registered_say(struct memory *m, const struct kvr_worker_call *call,
                                  bool deleted) {
    struct registered *r = registered_find(m, call->worker);
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
        r->memory = m;
        memcpy(r->name, call->worker.p, call->worker.n);
        r->said.worker = (struct kvr_bytes){r->name, call->worker.n};
        kvr_list_push(&m->registered.waiting, &r->in);
        kvr_table_add(&m->registered_table, &r->item, r->said.worker);
    }
    if (deleted || r->deleted) { // a worker that comes anew has what is said now, and no more
        set_addr(r, NULL, 0);
        set_labels(r, NULL, 0);
        r->said = (struct kvr_worker_call){.worker = r->said.worker};
    }
    r->deleted = deleted;
    r->said.set |= call->set;
    if (has_addr) set_addr(r, addr, call->addr.n);
    if (has_labels) set_labels(r, labels, call->n_labels);
    if (call->set & KVR_WORKER_SPEED) r->said.speed = call->speed;
    if (call->set & KVR_WORKER_RANKS) r->said.ranks = call->ranks;
    if (call->set & KVR_WORKER_CAPACITY) r->said.capacity = call->capacity;
    if (call->set & KVR_WORKER_STATE) r->said.state = call->state;
    if (call->set & KVR_WORKER_TTL) r->said.ttl = call->ttl;
    return r;
}

void registered_move(struct registered *r, struct kvr_list_item *list) {
    struct memory *m = r->memory;
    if (r->departed) m->n_departed--;
    r->departed = r->deleted && list == &m->registered.confirmed;
    kvr_list_remove(&r->in);
    kvr_list_push(r->departed ? &m->departed : list, &r->in);
    if (!r->departed || ++m->n_departed <= MAX_DEPARTED) return;
    struct registered *first = oldest(&m->departed);
    if (first) forget(first);
}

void registered_forget_silent(struct memory *m, int64_t now) {
    for (struct kvr_list_item *i = m->registered.confirmed.next, *next;
         i != &m->registered.confirmed; i = next) {
        struct registered *r = (struct registered *)(void *)i;
        next = i->next;
        if (r->said.ttl > 0 && !r->looks && now - r->word_at - SILENCE > 2 * r->said.ttl) forget(r);
    }
}

// ---- Instances -----------------------------------------------------------------------------------

static struct instance *instance_of(struct kvr_list_item *i) {
    return (struct instance *)(void *)((char *)i - offsetof(struct instance, in));
}

enum { INSTANCE_KEY = KVR_MAX_NAME + sizeof(uint32_t) };

static size_t instance_key(char key[INSTANCE_KEY], struct kvr_bytes worker, uint32_t rank) {
    memcpy(key, worker.p, worker.n);
    memcpy(key + worker.n, &rank, sizeof rank);
    return worker.n + sizeof rank;
}

struct instance *instance_find(const struct memory *m, struct kvr_bytes worker, uint32_t rank) {
    char key[INSTANCE_KEY];
    if (worker.n > KVR_MAX_NAME) return NULL;
    size_t n = instance_key(key, worker, rank);
    return (struct instance *)(void *)kvr_table_find(&m->instance_table,
                                                     (struct kvr_bytes){key, n});
}

struct instance *instance_get(struct memory *m, struct kvr_bytes worker, uint32_t rank) {
    struct instance *i = instance_find(m, worker, rank);
    if (i || worker.n > KVR_MAX_NAME) return i;
    if (m->instance_table.count >= m->sweep_at) {
        instances_sweep(m);
        m->sweep_at = 2 * m->instance_table.count;
        if (m->sweep_at < MIN_SWEEP) m->sweep_at = MIN_SWEEP;
    }
    if (m->instance_table.count > (size_t)KVR_MAX_INSTANCES + m->max_live) return NULL;
    i = kvr_alloc_zeroed(m->alloc, sizeof *i + INSTANCE_KEY);
    if (!i) return NULL;
    char *own = (char *)(i + 1);
    size_t n = instance_key(own, worker, rank);
    i->worker = (struct kvr_bytes){own, worker.n};
    i->rank = rank;
    kvr_table_add(&m->instance_table, &i->item, (struct kvr_bytes){own, n});
    kvr_list_push(&m->instances, &i->in);
    return i;
}

void instance_addr(struct memory *m, struct instance *i, struct kvr_bytes addr) {
    if (addr.n == i->addr.n && (!addr.n || !memcmp(addr.p, i->addr.p, addr.n))) return;
    if (addr.n > i->addr_size) {
        char *grown = kvr_alloc_zeroed(m->alloc, addr.n);
        if (!grown) return; // the old one serves until there is memory
        kvr_alloc_free(m->alloc, (char *)(void *)i->addr.p);
        i->addr.p = grown;
        i->addr_size = addr.n;
    }
    if (addr.n) memcpy((char *)(void *)i->addr.p, addr.p, addr.n);
    i->addr.n = addr.n;
}

void instance_labels(struct memory *m, struct instance *i, const struct kvr_bytes *labels,
                     size_t n) {
    size_t size = 0;
    for (size_t k = 0; k < n; k++)
        size += 1 + labels[k].n;
    if (size > i->labels_size) {
        char *grown = kvr_alloc_zeroed(m->alloc, size);
        if (!grown) return; // the old ones serve until there is memory
        kvr_alloc_free(m->alloc, i->labels);
        i->labels = grown;
        i->labels_size = size;
    }
    i->labels_n = 0;
    for (size_t k = 0; k < n; k++) {
        if (labels[k].n > KVR_MAX_LABEL) continue; // none of ours, and longer than a byte says
        i->labels[i->labels_n++] = (char)labels[k].n;
        memcpy(i->labels + i->labels_n, labels[k].p, labels[k].n);
        i->labels_n += labels[k].n;
    }
}

bool instance_has_label(const struct instance *i, struct kvr_bytes label) {
    for (size_t at = 0; at < i->labels_n;) {
        size_t n = (unsigned char)i->labels[at++];
        if (n == label.n && !memcmp(i->labels + at, label.p, n)) return true;
        at += n;
    }
    return false;
}

void instances_unlist(struct memory *m) {
    for (struct kvr_list_item *i = m->instances.next; i != &m->instances; i = i->next)
        instance_of(i)->listed = false;
}

void instances_sweep(struct memory *m) {
    for (struct kvr_list_item *i = m->instances.next, *next; i != &m->instances; i = next) {
        struct instance *at = instance_of(i);
        next = i->next;
        if (at->listed || at->requests) continue;
        kvr_table_remove(&m->instance_table, &at->item);
        kvr_list_remove(i);
        kvr_alloc_free(m->alloc, (char *)(void *)at->addr.p);
        kvr_alloc_free(m->alloc, at->labels);
        kvr_alloc_free(m->alloc, at);
    }
}

// ---- Invariants ----------------------------------------------------------------------------------

const char *memory_validate(const struct memory *m) {
    const struct kvr_list_item *heads[] = {&m->live.confirmed, &m->live.waiting, &m->live.checking};
    size_t count = 0, bytes = 0, requests = 0;
    for (size_t k = 0; k < 3; k++) {
        for (const struct kvr_list_item *i = heads[k]->next; i != heads[k]; i = i->next) {
            const struct live *l = (const struct live *)(const void *)i;
            if (l->gone) return "a request that is gone is in a list";
            if (kvr_table_find(&m->live_table, l->item.key) != &l->item)
                return "a live request isn't found by its id";
            if (kvr_table_find(&m->released_table, l->item.key))
                return "a request is live and released";
            count++;
            bytes += l->size;
        }
    }
    if (count != m->live_table.count) return "the live lists and their table differ";
    if (bytes != m->live_bytes) return "live_bytes is off";
    if (count > m->max_live || bytes > m->max_live_bytes) return "more than there is room for";
    for (const struct kvr_list_item *i = m->instances.next; i != &m->instances; i = i->next)
        requests += instance_of((struct kvr_list_item *)(void *)i)->requests;
    if (requests != count) return "the instances' requests are off";
    if (m->released_table.count > m->max_released) return "more releases than there is room for";
    return NULL;
}
