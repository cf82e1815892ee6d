// SPDX-License-Identifier: Apache-2.0
// Live requests and releases; see memory.h. Workers are in memory_workers.c.
#include "memory.h"

#include <string.h>

static void lists_init(struct memory_lists *l) {
    kvr_list_init(&l->confirmed);
    kvr_list_init(&l->waiting);
    kvr_list_init(&l->checking);
}

int memory_init(struct memory *m, const struct kvr_alloc *a, const struct kvr_client_options *o,
                uint64_t secret) {
    *m = (struct memory){
        .alloc = a,
        .max_live = o->max_live ? o->max_live : 65536,
        .max_live_bytes = o->max_live_bytes ? o->max_live_bytes : (size_t)256 << 20,
        .max_released = o->max_released ? o->max_released : 16384,
    };
    lists_init(&m->live);
    lists_init(&m->released);
    lists_init(&m->registered);
    kvr_list_init(&m->departed);
    kvr_list_init(&m->instances);
    m->sweep_at = MIN_SWEEP;
    struct kvr_table *tables[] = {&m->live_table, &m->released_table, &m->registered_table,
                                  &m->instance_table};
    for (size_t i = 0; i < 4; i++)
        if (kvr_table_init(tables[i], a, secret + i)) return -1;
    return 0;
}

static struct live *live_of(struct kvr_table_item *i) {
    return i ? (struct live *)(void *)((char *)i - offsetof(struct live, item)) : NULL;
}

static struct released *released_of(struct kvr_table_item *i) {
    return i ? (struct released *)(void *)((char *)i - offsetof(struct released, item)) : NULL;
}

static void free_live(struct live *l) {
    kvr_alloc_free(l->memory->alloc, l->base);
    kvr_alloc_free(l->memory->alloc, l);
}

static struct kvr_list_item *first_of(const struct memory_lists *l) {
    const struct kvr_list_item *heads[] = {&l->confirmed, &l->waiting, &l->checking};
    for (size_t i = 0; i < 3; i++)
        if (!kvr_list_empty(heads[i])) return heads[i]->next;
    return NULL;
}

void memory_free(struct memory *m) {
    for (struct kvr_list_item *i; (i = first_of(&m->live));) {
        kvr_list_remove(i);
        free_live((struct live *)(void *)i);
    }
    for (struct kvr_list_item *i; (i = first_of(&m->released));) {
        kvr_list_remove(i);
        kvr_alloc_free(m->alloc, i);
    }
    kvr_list_splice(&m->registered.confirmed, &m->departed);
    for (struct kvr_list_item *i; (i = first_of(&m->registered));) {
        kvr_list_remove(i);
        registered_free((struct registered *)(void *)i);
    }
    instances_unlist(m);
    for (struct kvr_list_item *i = m->instances.next; i != &m->instances; i = i->next)
        ((struct instance *)(void *)((char *)i - offsetof(struct instance, in)))->requests = 0;
    instances_sweep(m);
    kvr_table_free(&m->live_table);
    kvr_table_free(&m->released_table);
    kvr_table_free(&m->registered_table);
    kvr_table_free(&m->instance_table);
}

void memory_doubt(struct memory *m) {
    kvr_list_splice(&m->live.waiting, &m->live.confirmed);
    kvr_list_splice(&m->released.waiting, &m->released.confirmed);
    kvr_list_splice(&m->registered.waiting, &m->registered.confirmed);
    for (struct kvr_list_item *i = m->departed.next; i != &m->departed; i = i->next)
        ((struct registered *)(void *)i)->departed = false;
    m->n_departed = 0;
    kvr_list_splice(&m->registered.waiting, &m->departed);
}

// ---- Live requests -------------------------------------------------------------------------------

struct live *live_new(struct memory *m) {
    struct live *l = kvr_alloc_zeroed(m->alloc, sizeof *l);
    if (!l) return NULL;
    l->memory = m;
    kvr_list_init(&l->in);
    return l;
}

void live_drop(struct live *l) {
    if (l) kvr_alloc_free(l->memory->alloc, l);
}

struct live *live_find(const struct memory *m, struct kvr_bytes id) {
    return live_of(kvr_table_find(&m->live_table, id));
}

bool live_keep(struct live *l, char *base, struct kvr_bytes id, size_t size,
               struct kvr_bytes worker, uint32_t rank, struct kvr_bytes addr, bool confirmed,
               int64_t now) {
    struct memory *m = l->memory;
    if (m->live_table.count >= m->max_live || size > m->max_live_bytes - m->live_bytes)
        return false;
    struct instance *at = instance_get(m, worker, rank);
    if (!at) return false;
    instance_addr(m, at, addr);
    at->requests++;
    l->base = base;
    l->size = size;
    l->at = at;
    l->word_at = now;
    m->live_bytes += size;
    kvr_table_add(&m->live_table, &l->item, id);
    kvr_list_push(confirmed ? &m->live.confirmed : &m->live.waiting, &l->in);
    return true;
}

void live_forget(struct live *l) {
    struct memory *m = l->memory;
    kvr_table_remove(&m->live_table, &l->item);
    m->live_bytes -= l->size;
    l->at->requests--;
    l->gone = true;
    kvr_list_remove(&l->in);
    if (!l->looks) free_live(l);
}

void live_move(struct live *l, struct kvr_list_item *list) {
    if (l->gone) return;
    kvr_list_remove(&l->in);
    kvr_list_push(list, &l->in);
}

void live_look_ended(struct live *l) {
    if (--l->looks == 0 && l->gone) free_live(l);
}

// ---- Releases ------------------------------------------------------------------------------------

struct released *released_find(const struct memory *m, struct kvr_bytes id) {
    return released_of(kvr_table_find(&m->released_table, id));
}

void released_forget(struct released *r) {
    kvr_table_remove(&r->memory->released_table, &r->item);
    kvr_list_remove(&r->in);
    r->gone = true;
    if (!r->looks) kvr_alloc_free(r->memory->alloc, r);
}

// What a primary has already acknowledged goes first when there is no room.
static bool make_room(struct memory *m) {
    while (m->released_table.count >= m->max_released) {
        struct kvr_list_item *oldest = first_of(&m->released);
        if (!oldest) return false;
        released_forget((struct released *)(void *)oldest);
    }
    return true;
}

struct released *released_add(struct memory *m, struct kvr_bytes id, bool *was_live) {
    struct released *r = released_find(m, id);
    *was_live = false;
    if (r) return r;
    if (make_room(m)) r = kvr_alloc_zeroed(m->alloc, sizeof *r + id.n);
    if (r) {
        r->memory = m;
        memcpy(r->id, id.p, id.n);
        kvr_table_add(&m->released_table, &r->item, (struct kvr_bytes){r->id, id.n});
        kvr_list_push(&m->released.waiting, &r->in);
    }
    struct live *l = live_find(m, id);
    *was_live = l != NULL;
    if (l) live_forget(l);
    return r;
}

void released_hold(struct released *r) {
    kvr_list_remove(&r->in);
}

void released_move(struct released *r, struct kvr_list_item *list) {
    if (r->gone) return;
    kvr_list_remove(&r->in);
    kvr_list_push(list, &r->in);
}

void released_look_ended(struct released *r) {
    if (--r->looks == 0 && r->gone) kvr_alloc_free(r->memory->alloc, r);
}
