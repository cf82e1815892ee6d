// SPDX-License-Identifier: Apache-2.0
// Comparing everything that can be seen of a pool with the model; see unit_pair.h.
#include "module/core/state/pool_state.h"
#include "unit_pair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_valid(struct unit_pair *p, const struct kvr_pool *pool) {
    const char *broken = kvr_pool_validate(pool);
    if (broken) unit_pair_differs(p, "invalid: %s", broken);
}

void unit_pair_check(struct unit_pair *p) {
    check_valid(p, p->pool);
    struct kvr_stats got, want;
    kvr_pool_stats(p->pool, p->now, &got);
    unit_model_counts(&p->model, p->now, &want);
    unit_pair_same(p, "version", kvr_pool_version(p->pool), want.version);
    // What was dropped and isn't swept yet may still be among the blocks.
    if (got.blocks >= want.blocks && got.blocks <= want.blocks + got.unswept)
        got.blocks = want.blocks;
    for (const struct unit_stat *at = unit_model_stats; at < unit_model_stats + UNIT_MODEL_STATS;
         at++)
        unit_pair_same(p, at->name, *stat_of(&got, at), *stat_of(&want, at));
    unit_pair_same(p, "memory_bytes", got.memory_bytes, p->mem.bytes);
}

// ---- Workers and requests ------------------------------------------------------------------------

static int by_name(const void *a, const void *b) {
    const struct unit_model_worker *const *x = a, *const *y = b;
    return unit_bytes_compare(model_name(*x), model_name(*y));
}

static uint64_t time_left(int64_t end, int64_t now) {
    return end == INT64_MAX ? UINT64_MAX : end > now ? (uint64_t)(end - now) : 0;
}

static void check_rank(struct unit_pair *p, size_t worker, uint32_t rank,
                       const struct unit_model_rank *r) {
    struct kvr_rank_info got, want = {.epoch = r->epoch, .seq = r->seq};
    kvr_worker_rank(p->pool, worker, rank, &got);
    for (size_t i = 0; i < p->model.held.cap; i++) {
        const struct unit_row *h = &p->model.held.rows[i];
        if (h->used && h->tag / KVR_TIERS == r->id) want.blocks[h->tag % KVR_TIERS]++;
    }
    unit_model_load(&p->model, r->id, &want);
    unit_pair_same(p, "epoch", got.epoch, want.epoch);
    unit_pair_same(p, "seq", got.seq, want.seq);
    for (int t = 0; t < KVR_TIERS; t++)
        unit_pair_same(p, kvr_tier_names[t], got.blocks[t], want.blocks[t]);
    unit_pair_same(p, "requests", got.requests, want.requests);
    unit_pair_same(p, "prefill_tokens", got.prefill_tokens, want.prefill_tokens);
    unit_pair_same(p, "decode_blocks", got.decode_blocks, want.decode_blocks);
    want.ttft = core_ratio_mean(r->learnt.first, -1);
    want.tpot = core_ratio_mean(r->learnt.decode, -1);
    if (got.ttft != want.ttft || got.tpot != want.tpot)
        unit_pair_differs(p, "ttft %g, tpot %g of late instead of %g, %g", got.ttft, got.tpot,
                          want.ttft, want.tpot);
}

static int by_label(const void *a, const void *b) {
    const struct unit_model_label *x = a, *y = b;
    return unit_bytes_compare((struct kvr_bytes){x->bytes, x->n},
                              (struct kvr_bytes){y->bytes, y->n});
}

static void check_labels(struct unit_pair *p, size_t i, size_t n,
                         const struct unit_model_worker *w) {
    static struct unit_model_label sorted[KVR_MAX_LABELS];
    size_t kept = 0;
    memcpy(sorted, w->label, w->n_labels * sizeof *sorted);
    qsort(sorted, w->n_labels, sizeof *sorted, by_label);
    for (size_t k = 0; k < w->n_labels; k++)
        if (!k || by_label(&sorted[k - 1], &sorted[k]) != 0) {
            struct kvr_bytes want = {sorted[k].bytes, sorted[k].n};
            if (kept < n && unit_bytes_compare(kvr_worker_label(p->pool, i, kept), want) != 0)
                unit_pair_differs(p, "label %zu of worker %zu", kept, i);
            kept++;
        }
    unit_pair_same(p, "labels", n, kept);
}

static void check_workers(struct unit_pair *p) {
    size_t n = p->model.n_workers;
    const struct unit_model_worker **order = unit_must_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = &p->model.workers[i];
    qsort(order, n, sizeof *order, by_name);
    unit_pair_same(p, "workers", kvr_worker_count(p->pool), n);
    for (size_t i = 0; i < n; i++) {
        const struct unit_model_worker *w = order[i];
        struct kvr_worker_info got;
        kvr_worker_at(p->pool, p->now, i, &got);
        if (unit_bytes_compare(got.name, model_name(w)) != 0)
            unit_pair_differs(p, "worker %zu's name", i);
        if (unit_bytes_compare(got.addr, (struct kvr_bytes){w->addr, w->addr_len}) != 0)
            unit_pair_differs(p, "worker %zu's address", i);
        unit_pair_same(p, "index", (uint64_t)kvr_worker_find(p->pool, got.name), i);
        int64_t expires = unit_model_expires_at(&p->model, w);
        unit_pair_same(p, "state", got.state, p->now >= expires ? KVR_EXPIRED : w->state);
        unit_pair_same(p, "capacity", got.capacity, w->capacity);
        unit_pair_same(p, "ttl_left", (uint64_t)got.ttl_left, time_left(expires, p->now));
        unit_pair_same(p, "ranks", got.ranks, w->ranks);
        unit_pair_same(p, "circuit", got.circuit, unit_model_circuit(w, p->now));
        unit_pair_same(p, "failures", got.failures, w->failures);
        if (got.speed != w->speed)
            unit_pair_differs(p, "speed %g instead of %g", got.speed, w->speed);
        check_labels(p, i, got.n_labels, w);
        unit_pair_same(p, "max_requests", got.max_requests, w->max_requests);
        unit_pair_same(p, "role", got.role, w->role);
        unit_pair_same(p, "drain_left", (uint64_t)got.drain_left,
                       time_left(w->drain_until ? w->drain_until : INT64_MAX, p->now));
        for (uint32_t k = 0; k < w->ranks; k++)
            check_rank(p, i, k, &w->rank[k]);
    }
    free(order);
    if (kvr_worker_find(p->pool, (struct kvr_bytes){"no such worker", 14}) != -1)
        unit_pair_differs(p, "found a worker that isn't there");
}

static void check_request(struct unit_pair *p, const struct unit_model_request *r) {
    struct kvr_request_info got;
    struct kvr_bytes id = {r->id, r->id_len};
    if (!kvr_request_get(p->pool, p->now, id, &got))
        unit_pair_differs(p, "request %.*s is gone", (int)id.n, id.p);
    uint32_t rank;
    const struct unit_model_worker *w = unit_model_owner(&p->model, r->instance, &rank);
    if (unit_bytes_compare(got.id, id) != 0) unit_pair_differs(p, "another request's id");
    if (unit_bytes_compare(got.worker, model_name(w)) != 0)
        unit_pair_differs(p, "another worker's request");
    unit_pair_same(p, "rank", got.rank, rank);
    unit_pair_same(p, "isl", (uint64_t)got.isl, (uint64_t)r->isl);
    unit_pair_same(p, "osl", (uint64_t)got.osl, (uint64_t)r->osl);
    unit_pair_same(p, "cached", (uint64_t)got.cached, (uint64_t)r->cached);
    unit_pair_same(p, "output", (uint64_t)got.output, (uint64_t)r->output);
    unit_pair_same(p, "blocks", got.blocks, r->n);
    unit_pair_same(p, "prefilled", got.prefilled, r->prefilled);
    unit_pair_same(p, "age", (uint64_t)got.age,
                   (uint64_t)(p->now > r->created ? p->now - r->created : 0));
    unit_pair_same(p, "lease_left", (uint64_t)got.lease_left,
                   time_left(unit_model_deadline(&p->model, r), p->now));
    if (unit_bytes_compare(got.session, (struct kvr_bytes){r->session, r->session_len}) != 0)
        unit_pair_differs(p, "another session's request");
    unit_pair_same_bytes(p, "class", got.service_class, model_bytes(&r->service_class));
    unit_pair_same_bytes(p, "flow", got.flow, model_bytes(&r->flow));
    unit_pair_same_bytes(p, "prefilling worker", got.prefill_worker,
                         model_bytes(&r->prefill_worker));
    unit_pair_same(p, "prefilling rank", got.prefill_rank, r->prefill_rank);
}

struct unit_scan {
    struct unit_pair *pair;
    size_t seen;
};

static void scan(struct unit_pair *p,
                 uint64_t (*some)(const struct kvr_pool *p, uint64_t cursor, size_t count,
                                  void (*f)(void *ctx, struct kvr_bytes name), void *ctx),
                 void (*scanned)(void *ctx, struct kvr_bytes name), size_t want) {
    struct unit_scan s = {p, 0};
    uint64_t cursor = 0;
    size_t steps = 0;
    do {
        cursor = some(p->pool, cursor, 1 + steps % 7, scanned, &s);
        if (++steps > 1000000) unit_pair_differs(p, "the scan doesn't end");
    } while (cursor);
    unit_pair_same(p, "scanned", s.seen, want);
}

static void scanned_request(void *ctx, struct kvr_bytes id) {
    struct unit_scan *s = ctx;
    if (!unit_model_find_request(&s->pair->model, id))
        unit_pair_differs(s->pair, "scan gave '%.*s', which isn't live", (int)id.n, id.p);
    s->seen++;
}

static void check_requests(struct unit_pair *p) {
    for (size_t i = 0; i < p->model.n_requests; i++)
        check_request(p, &p->model.requests[i]);
    struct kvr_request_info none;
    if (kvr_request_get(p->pool, p->now, (struct kvr_bytes){"no such request", 15}, &none))
        unit_pair_differs(p, "got a request that isn't live");
    scan(p, kvr_request_scan, scanned_request, p->model.n_requests);
}

static void scanned_session(void *ctx, struct kvr_bytes name) {
    struct unit_scan *s = ctx;
    if (!unit_model_find_session(&s->pair->model, name))
        unit_pair_differs(s->pair, "scan gave session '%.*s'", (int)name.n, name.p);
    s->seen++;
}

static void check_sessions(struct unit_pair *p) {
    struct kvr_session_info got;
    for (size_t i = 0; i < p->model.n_sessions; i++) {
        const struct unit_model_session *s = &p->model.sessions[i];
        struct kvr_bytes name = {s->name, s->name_len};
        uint64_t live = unit_model_session_live(&p->model, name);
        int64_t end = unit_model_session_end(&p->model, s);
        bool there = kvr_session_get(p->pool, p->now, name, &got);
        unit_pair_same(p, "a session is there", there, live || p->now < end);
        if (!there) continue;
        uint32_t rank;
        const struct unit_model_worker *w = unit_model_owner(&p->model, s->instance, &rank);
        if (unit_bytes_compare(got.name, name) != 0) unit_pair_differs(p, "another session's name");
        if (unit_bytes_compare(got.worker, model_name(w)) != 0)
            unit_pair_differs(p, "a session elsewhere");
        unit_pair_same(p, "rank", got.rank, rank);
        unit_pair_same(p, "requests of a session", got.requests, live);
        unit_pair_same(p, "ttl_left", (uint64_t)got.ttl_left, time_left(end, p->now));
    }
    if (kvr_session_get(p->pool, p->now, (struct kvr_bytes){"no such session", 15}, &got))
        unit_pair_differs(p, "got a session that isn't remembered");
    scan(p, kvr_session_scan, scanned_session, p->model.n_sessions);
}

static void check_learnt(struct unit_pair *p) {
    double got[CORE_LEARNT_NUMBERS], want[CORE_LEARNT_NUMBERS];
    core_learnt_numbers(&p->pool->learnt, got);
    core_learnt_numbers(&p->model.learnt, want);
    if (memcmp(got, want, sizeof got) != 0) unit_pair_differs(p, "something else was learnt");
    for (size_t i = 0; i < p->pool->n_workers; i++) {
        const struct core_worker *w = p->pool->workers[i];
        for (uint32_t k = 0; k < w->ranks; k++) {
            const struct unit_model_rank *r =
                unit_model_find_rank(&p->model, (struct kvr_bytes){w->name, w->name_len}, k);
            double mine[CORE_LEARNT_INSTANCE_NUMBERS], model[CORE_LEARNT_INSTANCE_NUMBERS];
            core_learnt_instance_numbers(&p->pool->instances[w->instances[k]].learnt, mine);
            core_learnt_instance_numbers(&r->learnt, model);
            if (memcmp(mine, model, sizeof mine) != 0)
                unit_pair_differs(p, "something else was learnt of %.*s/%u", (int)w->name_len,
                                  w->name, k);
        }
    }
}

// A digest that is taken bit by bit, a bit each time, while everything goes on.
static void check_digest(struct unit_pair *p) {
    enum { SOME = 60 };
    uint8_t slices[KVR_DIGEST_BYTES], whole[KVR_DIGEST_BYTES];
    if (!p->digesting) kvr_digest_begin(p->pool);
    p->digesting = !kvr_digest_step(p->pool, SOME, slices);
    if (p->digesting) return;
    p->digests++;
    kvr_pool_digest(p->pool, whole);
    if (memcmp(slices, whole, sizeof whole) != 0) unit_pair_differs(p, "another digest in slices");
}

void unit_pair_check_all(struct unit_pair *p) {
    unit_pair_check(p);
    check_digest(p);
    check_workers(p);
    check_requests(p);
    check_sessions(p);
    check_learnt(p);
    unit_pair_check_queue(p);
}

void unit_pair_check_due(struct unit_pair *p) {
    int64_t earliest = INT64_MAX;
    for (size_t i = 0; i < p->model.n_requests; i++) {
        int64_t d = unit_model_deadline(&p->model, &p->model.requests[i]);
        if (d < earliest) earliest = d;
    }
    struct kvr_bytes id, name;
    bool due = kvr_due_request(p->pool, p->now, &id);
    unit_pair_same(p, "a request is due", due, earliest <= p->now);
    if (due) {
        const struct unit_model_request *r = unit_model_find_request(&p->model, id);
        if (!r) unit_pair_differs(p, "due is a request that isn't live");
        unit_pair_same(p, "deadline", (uint64_t)unit_model_deadline(&p->model, r),
                       (uint64_t)earliest);
    }
    bool late = false;
    for (size_t i = 0; i < p->model.queue.n_waiting; i++)
        late |= unit_model_waiting_end(&p->model, &p->model.queue.waiting[i]) <= p->now;
    unit_pair_same(p, "somebody waited long enough", kvr_due_waiting(p->pool, p->now), late);
    bool over = false; // a session
    for (size_t i = 0; i < p->model.n_sessions; i++) {
        const struct unit_model_session *s = &p->model.sessions[i];
        over |= unit_model_session_end(&p->model, s) <= p->now &&
                !unit_model_session_live(&p->model, (struct kvr_bytes){s->name, s->name_len});
    }
    due = kvr_due_session(p->pool, p->now, &name);
    struct kvr_stats stats;
    kvr_pool_stats(p->pool, p->now, &stats);
    if (!due && stats.unswept) over = false; // a dropped request may still be in its way
    unit_pair_same(p, "a session is due", due, over);
    if (due) {
        const struct unit_model_session *s = unit_model_find_session(&p->model, name);
        if (!s || unit_model_session_end(&p->model, s) > p->now ||
            unit_model_session_live(&p->model, name))
            unit_pair_differs(p, "the wrong session is due");
    }
    bool doomed = false;
    for (size_t i = 0; i < p->model.n_workers; i++)
        if (unit_model_deleted_at(&p->model, &p->model.workers[i]) <= p->now) doomed = true;
    due = kvr_due_worker(p->pool, p->now, &name);
    unit_pair_same(p, "a worker is due", due, doomed);
    if (due) {
        const struct unit_model_worker *w = unit_model_find_worker(&p->model, name);
        if (!w || unit_model_deleted_at(&p->model, w) > p->now)
            unit_pair_differs(p, "the wrong worker is due");
    }
    const struct unit_model_prediction *oldest = p->model.predictions;
    bool guess = p->model.n_predictions && unit_model_prediction_end(&p->model, oldest) <= p->now;
    unit_pair_same(p, "a prediction is due", kvr_due_prediction(p->pool, p->now), guess);
}

// ---- The tree ------------------------------------------------------------------------------------

// What the tree shows, in the model's own form.
struct unit_shown {
    struct unit_table held, known;
};

static void show_holders(struct unit_pair *p, struct unit_shown *s, uint32_t run,
                         const struct kvr_run_view *v) {
    for (size_t i = 0; i < v->holders; i++) {
        struct kvr_holder h;
        if (!kvr_run_holder(p->pool, run, i, &h)) continue;
        const struct unit_model_rank *r = unit_model_find_rank(&p->model, h.worker, h.rank);
        if (!r) unit_pair_differs(p, "a holder that isn't registered");
        if (h.depth < 1 || h.depth > v->n) unit_pair_differs(p, "a holder's depth %zu", h.depth);
        for (size_t k = 0; k < h.depth; k++) {
            bool added;
            unit_table_put(&s->held, v->hashes[k], r->id * KVR_TIERS + (uint64_t)h.tier, &added);
            if (!added) unit_pair_differs(p, "a holder shown twice");
        }
    }
}

static void show_run(struct unit_pair *p, struct unit_shown *s, uint32_t run,
                     const struct kvr_run_view *v, const uint64_t *above) {
    if (v->id != run || v->n < 1) unit_pair_differs(p, "run %u is shown as %u", run, v->id);
    for (size_t i = 0; i < v->n; i++) {
        bool added;
        struct unit_row *r = unit_table_put(&s->known, v->hashes[i], 0, &added);
        if (!added) unit_pair_differs(p, "block %" PRIx64 " is in the tree twice", v->hashes[i]);
        r->has_parent = i > 0 || above;
        r->parent = i > 0 ? v->hashes[i - 1] : above ? *above : 0;
        uint32_t found;
        size_t offset;
        if (!kvr_tree_find(p->pool, v->hashes[i], &found, &offset) || found != run || offset != i)
            unit_pair_differs(p, "block %" PRIx64 " isn't found where it is", v->hashes[i]);
    }
    show_holders(p, s, run, v);
}

// Depth first without recursion: a chain of a thousand runs is a depth of a thousand.
static void show_tree(struct unit_pair *p, struct unit_shown *s) {
    struct kvr_run_view *path = NULL;
    size_t depth = 0, room = 0;
    uint32_t run = kvr_tree_first(p->pool, 0);
    while (run || depth) {
        if (!run) {
            run = kvr_tree_next(p->pool, path[--depth].id);
            continue;
        }
        if (depth == room) {
            room = room ? room * 2 : 16;
            path = unit_must_resize(path, room * sizeof *path);
        }
        kvr_tree_view(p->pool, run, &path[depth]);
        const struct kvr_run_view *up = depth ? &path[depth - 1] : NULL;
        show_run(p, s, run, &path[depth], up ? &up->hashes[up->n - 1] : NULL);
        uint32_t child = kvr_tree_first(p->pool, run);
        unit_pair_same(p, "has_children", path[depth].has_children, child != 0);
        depth++;
        run = child;
    }
    free(path);
}

void unit_pair_check_tree(struct unit_pair *p) {
    for (int i = 0; kvr_pool_sweep(p->pool, 1000); i++)
        if (i > 1000000) unit_pair_differs(p, "sweeping doesn't end");
    check_valid(p, p->pool);
    struct kvr_stats stats;
    kvr_pool_stats(p->pool, p->now, &stats);
    unit_pair_same(p, "unswept", stats.unswept, 0);
    struct unit_shown s = {{0}, {0}};
    show_tree(p, &s);
    const struct unit_table *known = &p->model.known, *held = &p->model.held;
    for (size_t i = 0; i < known->cap; i++) {
        const struct unit_row *want = &known->rows[i];
        if (!want->used) continue;
        const struct unit_row *got = unit_table_find(&s.known, want->key, 0);
        if (!got) unit_pair_differs(p, "block %" PRIx64 " isn't in the tree", want->key);
        if (got->has_parent != want->has_parent || got->parent != want->parent)
            unit_pair_differs(p, "block %" PRIx64 " has another parent", want->key);
    }
    unit_pair_same(p, "known blocks", s.known.n, known->n);
    for (size_t i = 0; i < held->cap; i++)
        if (held->rows[i].used && !unit_table_find(&s.held, held->rows[i].key, held->rows[i].tag))
            unit_pair_differs(p, "a holder of %" PRIx64 " isn't shown", held->rows[i].key);
    unit_pair_same(p, "shown holdings", s.held.n, held->n);
    unit_table_free(&s.held);
    unit_table_free(&s.known);
}
