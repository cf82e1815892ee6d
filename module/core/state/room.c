// SPDX-License-Identifier: Apache-2.0
#include "room.h"

#include <math.h>

#include "worker.h"

enum {
    ROOM_WINDOW = 256, // how often an instance got room, of all that is remembered
    ROOM_CLIP = 64,    // times the mean that one counts as, at most: an outage isn't a long wait
};

bool core_room_limited(const struct kvr_pool *p) {
    const struct kvr_options *o = &p->options;
    return o->max_requests || o->max_prefill || o->max_blocks || p->n_limited;
}

double core_room_requests(const struct kvr_pool *p, const struct core_worker *w) {
    uint64_t max = w->max_requests ? w->max_requests : p->options.max_requests;
    return max ? (double)max : INFINITY;
}

double core_room_blocks(const struct kvr_pool *p, const struct core_worker *w) {
    return p->options.max_blocks && w->capacity
               ? (double)p->options.max_blocks * (double)w->capacity
               : INFINITY;
}

static double max_prefill(const struct kvr_pool *p) {
    return p->options.max_prefill ? (double)p->options.max_prefill : INFINITY;
}

// Percentages multiply what is used as well as what may be, as a hundredth isn't a double. None of no limit is none.
static double percent_of(double limit, double percent) {
    return limit < INFINITY ? limit * percent : INFINITY;
}

bool core_room_counted(const struct kvr_pool *p, uint32_t i, double percent) {
    const struct core_columns *c = &p->columns;
    return c->requests[i] == 0 ||
           (c->requests[i] * 100 < percent_of(c->max_requests[i], percent) &&
            c->prefill_tokens[i] * 100 < percent_of(max_prefill(p), percent));
}

bool core_room_for(const struct kvr_pool *p, uint32_t i, double percent, uint64_t n,
                   uint64_t live) {
    const struct core_columns *c = &p->columns;
    return core_room_counted(p, i, percent) &&
           (c->requests[i] == 0 || (c->decode_blocks[i] + (double)n - (double)live) * 100 * 100 <=
                                       percent_of(c->max_blocks[i], percent));
}

bool core_room_anywhere(const struct kvr_pool *p, int64_t now, double percent) {
    for (uint32_t i = 0; i < p->n_instances; i++) {
        const struct core_worker *w = p->instances[i].worker;
        if (w && core_room_counted(p, i, percent) && w->state == KVR_READY &&
            !core_worker_expired(p, w,
                                 now)) // an open circuit counts for nothing for who has no other
            return true;
    }
    return false;
}

void core_room_mask(struct kvr_pool *p, double percent, uint64_t n, bool blocks) {
    struct core_columns *c = &p->columns;
    for (uint32_t i = 0; i < p->n_instances; i++) {
        uint64_t live = (uint64_t)c->live_prefix[i];
        bool room =
            blocks ? core_room_for(p, i, percent, n, live) : core_room_counted(p, i, percent);
        if (!room) c->cost[i] = INFINITY;
    }
}

void core_room_came(struct kvr_pool *p, uint32_t i, int64_t at, bool ended, bool computed) {
    struct core_instance *in = &p->instances[i];
    if (!in->worker || !in->busy_since || !core_room_limited(p)) return;
    const struct core_columns *c = &p->columns;
    bool by_requests = c->max_requests[i] < INFINITY || c->max_blocks[i] < INFINITY;
    if (!(by_requests ? ended : computed)) return;
    if (at >= in->busy_since) {
        double ms = (double)(at - in->busy_since);
        double most = p->room.den > 1 ? ROOM_CLIP * p->room.num / p->room.den : ms;
        p->room.num += (ms < most || most <= 0 ? ms : most) - p->room.num / ROOM_WINDOW;
        p->room.den += 1 - p->room.den / ROOM_WINDOW;
    }
    in->busy_since = at;
}

static bool is_busy(const struct kvr_pool *p, uint32_t i) {
    const struct core_columns *c = &p->columns;
    return c->requests[i] > 0 && (c->requests[i] * 2 >= c->max_requests[i] ||
                                  c->prefill_tokens[i] * 2 >= max_prefill(p) ||
                                  c->decode_blocks[i] * 200 >= c->max_blocks[i]);
}

void core_room_track(struct kvr_pool *p, uint32_t i, int64_t at) {
    struct core_instance *in = &p->instances[i];
    if (!in->worker || !core_room_limited(p)) return;
    if (!is_busy(p, i))
        in->busy_since = 0;
    else if (!in->busy_since)
        in->busy_since = at;
}

bool core_room_good(struct core_ratio r) {
    return r.num >= 0 && r.num <= 1e300 && r.den >= 0 && r.den <= ROOM_WINDOW;
}

// How many instances have no room, of those that would give it.
static uint64_t count_full(const struct kvr_pool *p) {
    const struct core_columns *c = &p->columns;
    uint64_t full = 0;
    for (uint32_t i = 0; i < p->n_instances; i++)
        full += p->instances[i].worker &&
                (!core_room_counted(p, i, 100) ||
                 (c->requests[i] > 0 && c->decode_blocks[i] * 100 >= c->max_blocks[i]));
    return full;
}

double core_room_time(const struct kvr_pool *p, uint64_t n) {
    if (!(p->room.den > 0)) return -1;
    uint64_t full = count_full(p);
    return (double)n * (p->room.num / p->room.den) / (double)(full ? full : 1);
}
