// SPDX-License-Identifier: Apache-2.0
// Writing a pool; the form is in snapshot_format.h.
#include <stdlib.h>

#include "module/core/rule/policy.h"
#include "module/core/state/flow.h"
#include "module/core/state/instance.h"
#include "module/core/state/leg.h"
#include "module/core/state/service_class.h"
#include "module/core/state/session.h"
#include "snapshot_write.h"

static void save_pool(struct snapshot_writer *w) {
    const struct kvr_pool *p = w->pool;
    const struct kvr_options *o = &p->options;
    const char *policy = kvr_policies[o->rule.policy].name;
    begin(w, CORE_RECORD_POOL);
    put_u32(w, CORE_FORMAT_VERSION);
    put_u64(w, p->version);
    put_u64(w, p->bookings);
    put_u32(w, o->block_size);
    put_bytes(w, policy, strlen(policy));
    put_f64(w, o->rule.overlap);
    put_f64(w, o->rule.prefill);
    put_f64(w, o->rule.requests);
    put_f64(w, o->rule.temperature);
    put_f64(w, o->host);
    put_f64(w, o->disk);
    put_i64(w, o->lease);
    put_i64(w, o->worker_ttl);
    put_i64(w, o->worker_grace);
    put_i64(w, o->predict);
    put_u64(w, o->failures);
    put_i64(w, o->open_time);
    put_i64(w, o->session_ttl);
    put_i64(w, o->slo_ttft);
    put_i64(w, o->slo_tbt);
    put_f64(w, o->stick);
    put_u64(w, o->max_requests);
    put_u64(w, o->max_prefill);
    put_u64(w, o->max_blocks);
    put_u64(w, o->max_waiting);
    put_i64(w, o->accept);
    put_f64(w, o->transfer);
    put_u64(w, o->local_prefill);
    put_u64(w, p->queue.arrivals);
    const struct kvr_stats *s = &p->stats;
    const uint64_t counters[] = {
        s->selects,  s->repeats,          s->select_blocks,   s->overlap_blocks,
        s->events,   s->stored_blocks,    s->removed_blocks,  s->gaps,
        s->stale,    s->expired_requests, s->expired_workers, s->expected_blocks,
        s->admitted, s->refused,          s->limited};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        put_u64(w, counters[i]);
}

static void save_learnt(struct snapshot_writer *w) {
    double all[CORE_LEARNT_NUMBERS];
    core_learnt_numbers(&w->pool->learnt, all);
    begin(w, CORE_RECORD_LEARNT);
    for (size_t i = 0; i < CORE_LEARNT_NUMBERS; i++)
        put_f64(w, all[i]);
    put_f64(w, w->pool->room.num);
    put_f64(w, w->pool->room.den);
}

static void save_worker(struct snapshot_writer *w, const struct core_worker *worker) {
    begin(w, CORE_RECORD_WORKER);
    put_bytes(w, worker->name, worker->name_len);
    put_bytes(w, worker->addr, worker->addr_len);
    put_u64(w, worker->capacity);
    put_u8(w, worker->state);
    put_i64(w, worker->ttl);
    put_i64(w, worker->seen);
    put_u64(w, worker->failures);
    put_i64(w, worker->open_until);
    put_f64(w, worker->speed);
    put_u32(w, worker->n_labels);
    for (uint32_t i = 0; i < worker->n_labels; i++)
        put_bytes(w, worker->labels[i].bytes, worker->labels[i].n);
    put_u64(w, worker->max_requests);
    put_u8(w, worker->role);
    put_i64(w, worker->drain_until);
    put_u32(w, worker->ranks);
    for (uint32_t r = 0; r < worker->ranks; r++) {
        const struct core_instance *in = &w->pool->instances[worker->instances[r]];
        put_u64(w, in->epoch);
        put_u64(w, in->seq);
        put_u64(w, in->booked);
        double learnt[CORE_LEARNT_INSTANCE_NUMBERS];
        core_learnt_instance_numbers(&in->learnt, learnt);
        for (size_t i = 0; i < CORE_LEARNT_INSTANCE_NUMBERS; i++)
            put_f64(w, learnt[i]);
        put_i64(w, in->busy_since);
    }
}

// ---- The tree ------------------------------------------------------------------------------------
// What was dropped isn't saved, whether it has been swept or not, so a save needn't wait for that: only what live
// slots hold, and what is above it.

enum { RUN_IS_HELD = 1, RUN_IS_ABOVE = 2 }; // by live slots; of such a run

static bool is_live(const struct core_tree *t, uint32_t entry) {
    return t->instance_of[core_entry_slot(entry)] != CORE_NO_INSTANCE;
}

// How many blocks live slots hold of the run, by that many of them.
static uint32_t live_depth(const struct core_tree *t, const struct core_run *r, uint32_t *holders) {
    const uint32_t *e = core_run_entries(r);
    uint32_t deepest = 0;
    *holders = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        if (!is_live(t, e[i])) continue;
        if (core_entry_depth(e[i]) > deepest) deepest = core_entry_depth(e[i]);
        ++*holders;
    }
    return deepest;
}

// By run: why it is to be saved, 0 if it isn't.
static void mark_runs(const struct core_tree *t, uint32_t *mark) {
    for (uint32_t id = 1; id < t->n_runs; id++) {
        const struct core_run *r = core_tree_run(t, id);
        uint32_t holders;
        if (r->parent == CORE_RUN_FREE || !live_depth(t, r, &holders)) continue;
        mark[id] |= RUN_IS_HELD;
        for (uint32_t at = r->parent; at && !(mark[at] & RUN_IS_ABOVE);
             at = core_tree_run(t, at)->parent)
            mark[at] |= RUN_IS_ABOVE;
    }
}

// whole: also the blocks that nobody holds.
static void save_run(struct snapshot_writer *w, uint32_t id, bool whole, uint32_t parent,
                     const uint32_t *number_of) {
    const struct core_tree *t = &w->pool->tree;
    const struct core_run *r = core_tree_run(t, id);
    const uint32_t *e = core_run_entries(r);
    uint32_t holders, held = live_depth(t, r, &holders), len = whole ? r->len : held;
    begin(w, CORE_RECORD_RUN);
    put_u32(w, parent);
    put_u16(w, len);
    put(w, r->hashes, len * sizeof *r->hashes);
    put_u32(w, holders);
    for (uint32_t i = 0; i < r->n; i++) {
        if (!is_live(t, e[i])) continue;
        put_u32(w, number_of[t->instance_of[core_entry_slot(e[i])]]);
        put_u8(w, (unsigned)core_entry_tier(e[i]));
        put_u16(w, core_entry_depth(e[i]));
    }
}

// Parents first: down to the first child, else on to the next sibling of the nearest ancestor.
static void save_tree(struct snapshot_writer *w, const uint32_t *number_of) {
    const struct core_tree *t = &w->pool->tree;
    size_t bytes = t->n_runs * sizeof(uint32_t);
    // A mark until the run is saved, then its number.
    uint32_t *run_number = core_mem_calloc(&w->pool->mem, bytes), n = 0;
    if (!run_number) {
        w->err = KVR_NOMEM;
        return;
    }
    mark_runs(t, run_number);
    for (uint32_t id = t->roots; id && !w->err;) {
        const struct core_run *r = core_tree_run(t, id);
        uint32_t mark = run_number[id];
        if (mark) {
            run_number[id] = ++n;
            save_run(w, id, mark & RUN_IS_ABOVE, run_number[r->parent], number_of);
        }
        if (mark & RUN_IS_ABOVE) {
            id = r->child;
            continue;
        }
        while (id && !core_tree_run(t, id)->next)
            id = core_tree_run(t, id)->parent;
        if (id) id = core_tree_run(t, id)->next;
    }
    core_mem_free(&w->pool->mem, run_number, bytes);
}

// ---- Bookings ------------------------------------------------------------------------------------

static void put_blocks(struct snapshot_writer *w, const struct core_live_node *end, uint32_t n) {
    put_u32(w, n);
    size_t at = w->n, bytes = n * sizeof(uint64_t);
    if (w->err || !n) return;
    if (core_mem_grow(&w->pool->mem, &w->bytes, &w->cap, at + bytes, 1)) {
        w->err = KVR_NOMEM;
        return;
    }
    for (const struct core_live_node *node = end; node; node = node->parent) {
        bytes -= node->len * sizeof(uint64_t);
        memcpy(w->bytes + at + bytes, node->hashes, node->len * sizeof(uint64_t));
    }
    w->n = at + n * sizeof(uint64_t);
}

static void save_leg(struct snapshot_writer *w, const struct core_request *r) {
    const struct core_leg *g = r->leg;
    put_bytes(w, g ? g->name : "", g ? g->name_len : 0);
    if (!g) return;
    put_u8(w, core_leg_live(w->pool, r));
    put_u32(w, g->rank);
    put_u32(w, g->overlap);
    put_i64(w, g->tokens);
}

static void save_request(struct snapshot_writer *w, const struct core_request *r,
                         const uint32_t *number_of) {
    begin(w, CORE_RECORD_REQUEST);
    put_bytes(w, r->id, r->id_len);
    put_u32(w, number_of[r->instance]);
    put_u8(w, r->prefilled);
    put_i64(w, r->isl);
    put_i64(w, r->osl);
    put_i64(w, r->cached);
    put_i64(w, r->output);
    put_i64(w, r->lease);
    put_i64(w, r->created);
    put_i64(w, r->renewed);
    put_u32(w, r->overlap);
    put_f64(w, r->cost);
    put_bytes(w, r->session ? r->session->name : "", r->session ? r->session->name_len : 0);
    put_u32(w, r->expected);
    put_i64(w, r->ahead);
    put_u64(w, r->number);
    put_i64(w, r->prefilled_at);
    put_f64(w, r->ttft);
    put_f64(w, r->tpot);
    put_f64(w, r->kind.requests);
    put_f64(w, r->kind.wait);
    put_f64(w, r->kind.waiting);
    put_bytes(w, r->service_class->name, r->service_class->name_len);
    put_bytes(w, core_flow_name(r->flow).p, core_flow_name(r->flow).n);
    put_u8(w, r->uncalled);
    put_i64(w, r->own_lease);
    put_i64(w, r->waited);
    save_leg(w, r);
    put_blocks(w, r->end, r->blocks);
}

static void save_prediction(struct snapshot_writer *w, const struct core_prediction *f,
                            const uint32_t *number_of) {
    begin(w, CORE_RECORD_PREDICTION);
    // A pair that went with its decoding instance may still wait for the sweep.
    const struct core_request *r =
        f->request && core_request_live(w->pool, f->request) ? f->request : NULL;
    put_bytes(w, r ? r->id : "", r ? r->id_len : 0);
    put_u8(w, f->of_leg);
    put_u32(w, number_of[w->pool->slot_instance[f->slot->number]]);
    put_i64(w, f->until);
    put_u64(w, f->number);
    put_blocks(w, f->end, f->blocks);
}

static void save_session(struct snapshot_writer *w, const struct core_session *s,
                         const uint32_t *number_of) {
    if (!core_session_valid(w->pool, s)) return;
    begin(w, CORE_RECORD_SESSION);
    put_bytes(w, s->name, s->name_len);
    put_u32(w, number_of[s->instance]);
    put_i64(w, s->booked);
    put_u64(w, s->due.number);
}

static int by_number(const void *left, const void *right) {
    const struct core_request *const *a = left, *const *b = right;
    return ((*a)->number > (*b)->number) - ((*a)->number < (*b)->number);
}

// In the order of booking, which is that of queues and of equal deadlines.
static void save_requests(struct snapshot_writer *w, const uint32_t *number_of) {
    const struct kvr_pool *p = w->pool;
    size_t n = 0, bytes = (p->requests.count + 1) * sizeof(struct core_request *);
    const struct core_request **all = core_mem_alloc(&w->pool->mem, bytes);
    if (!all) {
        w->err = KVR_NOMEM;
        return;
    }
    for (size_t b = 0; b < p->requests.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->requests, b); i; i = i->next)
            if (core_request_live(p, (const struct core_request *)i))
                all[n++] = (const struct core_request *)i;
    qsort(all, n, sizeof(struct core_request *), by_number);
    for (size_t i = 0; i < n && !w->err; i++)
        save_request(w, all[i], number_of);
    core_mem_free(&w->pool->mem, all, bytes);
}

static void save_bookings(struct snapshot_writer *w, const uint32_t *number_of) {
    const struct kvr_pool *p = w->pool;
    for (size_t b = 0; b < p->sessions.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->sessions, b); i && !w->err;
             i = i->next)
            save_session(w, (const struct core_session *)i, number_of);
    save_requests(w, number_of);
    for (uint32_t i = 0; i < p->n_instances; i++) {
        const struct core_prediction_slot *s = p->instances[i].predictions;
        for (const struct core_prediction *f = s ? s->oldest : NULL; f && !w->err; f = f->next)
            save_prediction(w, f, number_of);
    }
}

// Runs and their holders are saved; the index is made anew of them.
void kvr_pool_unsaved_memory(const struct kvr_pool *p, void (*f)(void *ctx, void *at, size_t bytes),
                             void *ctx) {
    core_index_memory(&p->tree.index, f, ctx);
}

enum kvr_err kvr_pool_save(struct kvr_pool *p, int (*sink)(void *ctx, const void *bytes, size_t n),
                           void *ctx) {
    struct snapshot_writer w = {.pool = p, .sink = sink, .ctx = ctx};
    size_t bytes = (p->n_instances + 1u) * sizeof(uint32_t);
    uint32_t *number_of = core_mem_calloc(&p->mem, bytes), n = 0;
    if (!number_of) return KVR_NOMEM;
    save_pool(&w);
    save_learnt(&w);
    core_snapshot_save_classes(&w);
    for (size_t i = 0; i < p->n_workers; i++) {
        save_worker(&w, p->workers[i]);
        for (uint32_t r = 0; r < p->workers[i]->ranks; r++)
            number_of[p->workers[i]->instances[r]] = n++;
    }
    save_tree(&w, number_of);
    save_bookings(&w, number_of);
    core_snapshot_save_waiting(&w);
    uint64_t records = w.records;
    begin(&w, CORE_RECORD_END);
    put_u64(&w, records);
    flush(&w);
    core_mem_free(&p->mem, number_of, bytes);
    core_mem_free(&p->mem, w.bytes, w.cap);
    return w.err;
}
