// SPDX-License-Identifier: Apache-2.0
#include "remembered.h"

#include <string.h>

int kvr_remembered_init(struct kvr_remembered *m, const struct kvr_alloc *a, void *owner,
                        const struct kvr_client_options *o, uint64_t secret) {
    *m = (struct kvr_remembered){
        .alloc = a,
        .owner = owner,
        .max_live = o->max_live ? o->max_live : 65536,
        .max_live_bytes = o->max_live_bytes ? o->max_live_bytes : (size_t)256 << 20,
        .max_released = o->max_released ? o->max_released : 16384,
    };
    kvr_confirmation_init(&m->live);
    kvr_confirmation_init(&m->released);
    int failed = kvr_table_init(&m->live_table, a, secret);
    failed |= kvr_table_init(&m->released_table, a, secret + 1);
    failed |= kvr_registrations_init(&m->workers, a, secret + 2);
    failed |= kvr_instances_init(&m->instances, a, m->max_live, secret + 3);
    m->workers.owner = owner;
    return failed;
}

static struct kvr_live *live_of(struct kvr_table_item *i) {
    return i ? (struct kvr_live *)(void *)((char *)i - offsetof(struct kvr_live, item)) : NULL;
}

static struct kvr_released *released_of(struct kvr_table_item *i) {
    return i ? (struct kvr_released *)(void *)((char *)i - offsetof(struct kvr_released, item))
             : NULL;
}

static void free_live(struct kvr_live *l) {
    kvr_command_release(l->memory->alloc, &l->command);
    kvr_alloc_free(l->memory->alloc, l);
}

void kvr_remembered_free(struct kvr_remembered *m) {
    for (struct kvr_list_item *i; (i = kvr_confirmation_first(&m->live));) {
        kvr_list_remove(i);
        free_live((struct kvr_live *)(void *)i);
    }
    for (struct kvr_list_item *i; (i = kvr_confirmation_first(&m->released));) {
        kvr_list_remove(i);
        kvr_alloc_free(m->alloc, i);
    }
    kvr_registrations_free(&m->workers);
    kvr_instances_free(&m->instances);
    kvr_table_free(&m->live_table);
    kvr_table_free(&m->released_table);
}

void kvr_remembered_unconfirm(struct kvr_remembered *m) {
    kvr_confirmation_withdraw(&m->live);
    kvr_confirmation_withdraw(&m->released);
    kvr_registrations_doubt(&m->workers);
}

bool kvr_remembered_settled(const struct kvr_remembered *m) {
    return kvr_confirmation_settled(&m->live) && kvr_confirmation_settled(&m->released) &&
           kvr_confirmation_settled(&m->workers.lists);
}

// ---- Live requests -------------------------------------------------------------------------------

struct kvr_live *kvr_live_find(const struct kvr_remembered *m, struct kvr_bytes id) {
    return live_of(kvr_table_find(&m->live_table, id));
}

bool kvr_live_keep(struct kvr_remembered *m, void **reserved, const struct kvr_command *command,
                   struct kvr_bytes id, const struct kvr_booked_request *booking,
                   struct kvr_bytes worker, uint32_t rank, struct kvr_bytes addr, bool confirmed,
                   int64_t now) {
    size_t size = sizeof(struct kvr_live) + command->n;
    if (!*reserved || m->live_table.count >= m->max_live ||
        size > m->max_live_bytes - m->live_bytes)
        return false;
    struct kvr_instance *at = kvr_instance_get(&m->instances, worker, rank), *prefill = NULL;
    if (!at) return false;
    at->requests++;
    if (booking->prefill_worker.n) {
        prefill = kvr_instance_get(&m->instances, booking->prefill_worker, booking->prefill_rank);
        if (!prefill) {
            at->requests--;
            return false;
        }
        prefill->requests++;
    }
    kvr_instance_set_addr(&m->instances, at, addr);
    struct kvr_live *l = *reserved;
    *reserved = NULL;
    *l = (struct kvr_live){.memory = m,
                           .command = *command,
                           .booking = *booking,
                           .size = size,
                           .at = at,
                           .prefill = prefill,
                           .chosen_here = !confirmed,
                           .said_at = now};
    if (prefill) l->booking.prefill_worker = prefill->worker;
    kvr_command_hold(command);
    m->live_bytes += size;
    kvr_table_add(&m->live_table, &l->item, id);
    kvr_list_push(confirmed ? &m->live.confirmed : &m->live.waiting, &l->in);
    return true;
}

void kvr_live_forget(struct kvr_live *l) {
    struct kvr_remembered *m = l->memory;
    kvr_table_remove(&m->live_table, &l->item);
    m->live_bytes -= l->size;
    l->at->requests--;
    kvr_live_unpair(l);
    l->gone = true;
    kvr_list_remove(&l->in);
    if (!l->looks) free_live(l);
}

void kvr_live_move(struct kvr_live *l, struct kvr_list_item *list) {
    if (l->gone) return;
    kvr_list_remove(&l->in);
    kvr_list_push(list, &l->in);
}

void kvr_live_look_ended(struct kvr_live *l) {
    if (--l->looks == 0 && l->gone) free_live(l);
}

bool kvr_live_simplify(struct kvr_live *l) {
    struct kvr_booked_request *b = &l->booking;
    struct kvr_bytes *name = b->service_class.n ? &b->service_class : &b->flow;
    bool had = name->n > 0;
    *name = (struct kvr_bytes){"", 0};
    return had || kvr_live_unpair(l);
}

bool kvr_live_unpair(struct kvr_live *l) {
    bool had = l->prefill != NULL;
    if (had) l->prefill->requests--;
    l->prefill = NULL;
    l->booking.prefill_worker = (struct kvr_bytes){"", 0};
    return had;
}

// ---- Releases ------------------------------------------------------------------------------------

struct kvr_released *kvr_released_find(const struct kvr_remembered *m, struct kvr_bytes id) {
    return released_of(kvr_table_find(&m->released_table, id));
}

void kvr_released_forget(struct kvr_released *r) {
    kvr_table_remove(&r->memory->released_table, &r->item);
    kvr_list_remove(&r->in);
    r->gone = true;
    if (!r->looks) kvr_alloc_free(r->memory->alloc, r);
}

// What a primary has already acknowledged goes first when there is no room.
static bool make_room(struct kvr_remembered *m) {
    while (m->released_table.count >= m->max_released) {
        struct kvr_list_item *oldest = kvr_confirmation_first(&m->released);
        if (!oldest) return false;
        kvr_released_forget((struct kvr_released *)(void *)oldest);
    }
    return true;
}

// The oldest release is the next to go when all places are taken, and hasn't been looked at for a long time.
static void prefetch_oldest(const struct kvr_remembered *m) {
    const struct kvr_list_item *oldest = kvr_list_first(&m->released.confirmed);
    if (!oldest || m->released_table.count < m->max_released) return;
    __builtin_prefetch(oldest->next);
    kvr_table_prefetch(&m->released_table,
                       &((const struct kvr_released *)(const void *)oldest)->item);
}

struct kvr_released *kvr_released_add(struct kvr_remembered *m, struct kvr_bytes id,
                                      bool *was_live) {
    struct kvr_released *r = kvr_released_find(m, id);
    *was_live = false;
    if (r) return r;
    if (make_room(m)) r = kvr_alloc_zeroed(m->alloc, sizeof *r + id.n);
    if (r) {
        r->memory = m;
        memcpy(r->id, id.p, id.n);
        kvr_table_add(&m->released_table, &r->item, (struct kvr_bytes){r->id, id.n});
        kvr_list_push(&m->released.waiting, &r->in);
        prefetch_oldest(m);
    }
    struct kvr_live *l = kvr_live_find(m, id);
    *was_live = l != NULL;
    if (l) kvr_live_forget(l);
    return r;
}

void kvr_released_move(struct kvr_released *r, struct kvr_list_item *list) {
    if (r->gone) return;
    kvr_list_remove(&r->in);
    kvr_list_push(list, &r->in);
}

void kvr_released_look_ended(struct kvr_released *r) {
    if (--r->looks == 0 && r->gone) kvr_alloc_free(r->memory->alloc, r);
}

// ---- Invariants ----------------------------------------------------------------------------------

const char *kvr_remembered_validate(const struct kvr_remembered *m) {
    const struct kvr_list_item *heads[] = {&m->live.confirmed, &m->live.waiting, &m->live.checking};
    size_t count = 0, bytes = 0, requests = 0, pairs = 0;
    for (size_t k = 0; k < 3; k++) {
        for (const struct kvr_list_item *i = heads[k]->next; i != heads[k]; i = i->next) {
            const struct kvr_live *l = (const struct kvr_live *)(const void *)i;
            if (l->gone) return "a request that is gone is in a list";
            if (kvr_table_find(&m->live_table, l->item.key) != &l->item)
                return "a live request isn't found by its id";
            if (kvr_table_find(&m->released_table, l->item.key))
                return "a request is live and released";
            count++;
            bytes += l->size;
            pairs += l->prefill != NULL;
        }
    }
    if (count != m->live_table.count) return "the live lists and their table differ";
    if (bytes != m->live_bytes) return "live_bytes is off";
    if (count > m->max_live || bytes > m->max_live_bytes) return "more than there is room for";
    for (const struct kvr_list_item *i = m->instances.list.next; i != &m->instances.list;
         i = i->next)
        requests += kvr_instance_of((struct kvr_list_item *)(void *)i)->requests;
    if (requests != count + pairs) return "the instances' requests are off";
    if (m->released_table.count > m->max_released) return "more releases than there is room for";
    return NULL;
}
