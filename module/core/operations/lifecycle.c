// SPDX-License-Identifier: Apache-2.0
// A pool as a whole: made, altered, swept, counted, freed.
#include "module/core/state/fair_order.h"
#include "module/core/state/flow.h"
#include "module/core/state/instance.h"
#include "module/core/state/ledger.h"
#include "module/core/state/prediction.h"
#include "module/core/state/queue_round.h"
#include "module/core/state/session.h"
#include "module/core/state/waiting.h"
#include "module/core/state/worker.h"
#include "module/core/state/worker_circuit.h"

struct kvr_pool *kvr_pool_new(const struct kvr_alloc *a, const struct kvr_options *o,
                              uint64_t seed) {
    if (kvr_options_check(o)) return NULL;
    struct core_mem mem = {.alloc = *a};
    struct kvr_pool *p = core_mem_calloc(&mem, sizeof *p);
    if (!p) return NULL;
    p->mem = mem;
    p->seed = seed;
    p->options = *o;
    p->version = 1;
    core_live_init(&p->live, &p->mem, seed);
    core_live_init(&p->predicted, &p->mem, seed);
    core_live_init(&p->legs, &p->mem, seed);
    core_hash_map_init(&p->requests, &p->mem);
    core_hash_map_init(&p->sessions, &p->mem);
    core_learn_start(&p->learnt);
    p->leases.mem = p->predictions.mem = p->session_ends.mem = &p->mem;
    if (core_queue_start(p) || core_tree_init(&p->tree, &p->mem, seed)) {
        kvr_pool_free(p);
        return NULL;
    }
    return p;
}

void kvr_pool_free(struct kvr_pool *p) {
    if (!p) return;
    for (size_t b = 0; b < p->requests.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->requests, b), *next; i;
             i = next) {
            next = i->next;
            core_request_free(p, (struct core_request *)i);
        }
    core_queue_free(p);
    core_sessions_free(p);
    core_predictions_free(p);
    for (size_t i = 0; i < p->n_workers; i++)
        core_worker_free(p, p->workers[i]);
    core_mem_free(&p->mem, p->workers, p->cap_workers * sizeof *p->workers);
    core_columns_free(p);
    core_mem_free(&p->mem, p->instances, p->cap_instances * sizeof *p->instances);
    core_mem_free(&p->mem, p->scores, p->cap_scores * sizeof *p->scores);
    core_mem_free(&p->mem, p->pair_links, p->cap_pair_links * sizeof *p->pair_links);
    core_tree_free(&p->tree);
    core_live_free(&p->live);
    core_live_free(&p->legs);
    core_hash_map_free(&p->requests);
    core_deadlines_free(&p->leases);
    struct core_mem mem = p->mem;
    core_mem_free(&mem, p, sizeof *p);
}

const struct kvr_options *kvr_pool_options(const struct kvr_pool *p) {
    return &p->options;
}

enum kvr_err kvr_pool_alter(struct kvr_pool *p, const struct kvr_options *o) {
    if (kvr_options_check(o) || o->block_size != p->options.block_size) return KVR_RANGE;
    p->options = *o;
    for (size_t i = 0; i < p->n_workers; i++) {
        core_worker_refresh(p, p->workers[i]);
        if (!o->failures) core_circuit_set(p, p->workers[i], 0, 0);
    }
    for (uint32_t i = 0; i < p->n_instances; i++)
        p->instances[i].busy_since = 0; // by limits that hold no longer
    core_queue_gained_all(p);
    p->version++;
    return KVR_OK;
}

uint64_t kvr_pool_version(const struct kvr_pool *p) {
    return p->version;
}

bool kvr_pool_sweep(struct kvr_pool *p, size_t max) {
    bool more = core_requests_sweep(p, max);
    more |= core_predictions_sweep(p, max);
    more |= core_sessions_sweep(p, max);
    return core_tree_sweep(&p->tree, max) || more;
}

bool kvr_pool_defrag(struct kvr_pool *p, uint64_t *cursor, void *(*move)(void *ctx, void *),
                     bool (*stop)(void *ctx), void *ctx) {
    return core_tree_defrag(&p->tree, cursor, move, stop, ctx);
}

// ---- Statistics ----------------------------------------------------------------------------------

void kvr_pool_stats(const struct kvr_pool *p, int64_t now, struct kvr_stats *out) {
    *out = p->stats;
    out->version = p->version;
    out->workers = p->n_workers;
    out->instances = p->live_instances;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct core_worker *w = p->workers[i];
        bool open = core_circuit_of(w, now) == KVR_OPEN;
        out->open_circuits += open;
        if (w->state == KVR_READY && !core_worker_expired(p, w, now) && !open)
            out->eligible += w->ranks;
    }
    out->blocks = p->tree.blocks;
    out->holdings = p->tree.holdings;
    out->predicted = p->predicted.blocks - p->dropped_predicted;
    out->requests = p->requests.count - p->dropped_requests;
    out->sessions = p->n_sessions;
    out->waiting = p->queue.ids.count;
    out->waiting_tokens = p->queue.tokens;
    out->flows = p->queue.flows.count;
    out->memory_bytes = p->mem.used;
    out->unswept = p->tree.unswept + p->dropped_requests + p->dropped_predicted;
}

// What lies behind `now` is by a clock that has gone back, or by that of a machine that was ahead: it mustn't
// keep alive what nobody renews. Everything else is raised to it where it is asked for.
void kvr_renew_all(struct kvr_pool *p, int64_t now) {
    if (p->latest > now) {
        core_requests_cap_time(p, now);
        core_sessions_cap_time(p, now);
        core_waiting_cap_time(p, now);
        core_flows_cap_time(p, now);
    }
    for (size_t i = 0; i < p->n_workers; i++) {
        struct core_worker *w = p->workers[i];
        int64_t open_until = now + p->options.open_time;
        if (w->open_until > open_until) w->open_until = open_until;
        if (w->seen <= now) continue;
        w->seen = now;
        core_worker_refresh(p, w);
    }
    p->renewed = p->latest = now;
    p->workers_due = 0; // it may have gone back
    p->renewed_bookings = p->bookings;
    p->queue.told_until = 0;
    core_parked_ready(p, INT64_MAX); // they were to wait by another clock
    core_queue_gained_all(p);
}

void kvr_renew_like(struct kvr_pool *p, const struct kvr_pool *other) {
    p->renewed = other->renewed;
    p->workers_due = 0;
    p->renewed_bookings = other->renewed_bookings;
    if (p->latest < p->renewed) p->latest = p->renewed;
}

void kvr_count_expired(struct kvr_pool *p, uint64_t requests, uint64_t workers) {
    p->stats.expired_requests += requests;
    p->stats.expired_workers += workers;
}
