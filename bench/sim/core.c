// SPDX-License-Identifier: Apache-2.0
// The module's core in a router's own process; see core.h.
#include "core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"

static void *resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    if (size) return realloc(p, size);
    free(p);
    return NULL;
}

// When a run begins, ms since the epoch. As large as in life, so that sums of times are rounded alike.
#define START INT64_C(1700000000000)

static void refuse(const char *what, enum kvr_err err) {
    fprintf(stderr, "kvroute-sim: %s is refused by the core (%d)\n", what, (int)err);
    exit(1);
}

struct kvr_bytes core_name(uint32_t worker, char room[CORE_NAME]) {
    return (struct kvr_bytes){room, (size_t)snprintf(room, CORE_NAME, "w%03u", worker % 1000)};
}

uint32_t core_number(const char *name, size_t n) {
    if (n != 4 || name[0] != 'w') return NOBODY;
    uint32_t v = 0;
    for (size_t i = 1; i < n; i++) {
        if (name[i] < '0' || name[i] > '9') return NOBODY;
        v = v * 10 + (uint32_t)(name[i] - '0');
    }
    return v;
}

struct kvr_bytes core_id(const uint32_t *request) {
    return (struct kvr_bytes){(const char *)request, sizeof *request};
}

struct kvr_bytes core_session(const struct world *w, uint32_t request, char room[CORE_SESSION]) {
    if (!w->named) return (struct kvr_bytes){"", 0};
    int n = snprintf(room, CORE_SESSION, "%u", w->load->requests[request].session);
    return (struct kvr_bytes){room, (size_t)n};
}

int64_t core_ms(double seconds) {
    return START + (int64_t)(seconds * 1000);
}

void core_worker(struct core *c, const struct world *w, uint32_t worker, bool there) {
    char room[CORE_NAME];
    int created;
    struct kvr_worker_settings set = {.set = KVR_SET_CAPACITY, .capacity = w->capacity[worker]};
    enum kvr_err err =
        there ? kvr_worker_set(c->pool, core_ms(*w->now), core_name(worker, room), &set, &created)
              : kvr_worker_del(c->pool, core_name(worker, room));
    if (err) refuse("a worker", err);
    c->seq[worker] = 0;
}

void core_open(struct core *c, const struct world *w, int64_t predict) {
    struct kvr_alloc a = {resize, NULL};
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = w->load->block_size;
    o.rule = w->rule;
    o.lease = 0;
    o.predict = predict;
    *c = (struct core){.pool = kvr_pool_new(&a, &o, w->seed + 1)};
    if (!c->pool) refuse("a pool", KVR_NOMEM);
    for (uint32_t i = 0; i < w->workers; i++)
        if (w->there[i]) core_worker(c, w, i, true);
}

void core_close(struct core *c) {
    kvr_pool_free(c->pool);
    *c = (struct core){0};
}

static void event(struct core *c, uint32_t worker, const struct kvr_pool_op *op) {
    char room[CORE_NAME];
    struct kvr_event_result r;
    enum kvr_err err =
        kvr_event(c->pool, core_name(worker, room), 0, 1, c->seq[worker] + 1, op, 1, false, &r);
    if (!err)
        c->seq[worker]++;
    else if (err != KVR_NOPARENT)
        refuse("an event", err);
}

static void host_changed(struct core *c, const struct change *x) {
    uint64_t *hashes = memory_take(x->n_moved, sizeof *hashes);
    for (size_t i = 0, n; i < x->n_moved; i += n) {
        n = host_run(x->moved + i, x->n_moved - i, hashes);
        const struct moved *last = &x->moved[i + n - 1];
        if (last->stored)
            event(c, x->worker,
                  &(struct kvr_pool_op){KVR_STORED, KVR_HOST, last->depth > 0, last->parent, hashes,
                                        n});
        else
            event(c, x->worker, &(struct kvr_pool_op){KVR_REMOVED, KVR_HOST, false, 0, hashes, n});
    }
    free(hashes);
}

void core_changed(struct core *c, const struct world *w, const struct change *x) {
    if (x->n_moved) host_changed(c, x);
    if (x->n_removed)
        event(c, x->worker,
              &(struct kvr_pool_op){KVR_REMOVED, KVR_DEVICE, false, 0, x->removed, x->n_removed});
    for (size_t i = 0; i < x->n_stored; i++) {
        const struct stored *s = &x->stored[i];
        const uint64_t *hashes = request_hashes(w->load, s->request);
        event(c, x->worker,
              &(struct kvr_pool_op){KVR_STORED, KVR_DEVICE, s->from > 0,
                                    s->from ? hashes[s->from - 1] : 0, hashes + s->from,
                                    s->to - s->from});
    }
}
