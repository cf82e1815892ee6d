// SPDX-License-Identifier: Apache-2.0
// Two engines for a request, one chosen after the other, in one pool that all routers share. First who puts out the answer,
// by the pool's rule, as if that one were to compute the prompt as well; if it lacks more than plan.local_prefill
// tokens of it, then who computes the prompt, by the same rule. Both are booked. What a pair's own rule does
// better can be seen beside this.
//
// The pool knows no roles: each choice is among the engines of one. What is moved to an engine needn't be computed
// there, so it is booked as cached.
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "private_pools.h"
#include "routers.h"

struct role_names {
    char room[SIM_MAX_WORKERS][SIM_WORKER_NAME];
    struct kvr_bytes names[SIM_MAX_WORKERS];
    size_t n;
};

struct two_steps {
    struct sim_pools pools;
    struct role_names prefill, decode;
    bool *paired; // by request: a booking for its prompt is live
};

// A request's second booking.
struct prompt_id {
    uint32_t request, prompt;
};

static struct kvr_bytes id_of(const struct prompt_id *id) {
    return (struct kvr_bytes){(const char *)id, sizeof *id};
}

static void add_name(struct role_names *r, uint32_t worker) {
    r->names[r->n] = sim_worker_name(worker, r->room[r->n]);
    r->n++;
}

static void *open_two_steps(const struct sim_world *w) {
    struct two_steps *s = bench_calloc(1, sizeof *s);
    s->pools.one_by_one = true;
    sim_pools_open(&s->pools, w, &w->plan->rule, 0, false, true);
    s->paired = bench_calloc(w->load->n, sizeof *s->paired);
    for (uint32_t i = 0; i < w->workers; i++) {
        if (w->role[i] != KVR_ROLE_DECODE) add_name(&s->prefill, i);
        if (w->role[i] != KVR_ROLE_PREFILL) add_name(&s->decode, i);
    }
    return s;
}

static struct kvr_pool *pool_of(struct two_steps *s) {
    return s->pools.router[0].pool;
}

static int64_t now(const struct two_steps *s) {
    return sim_epoch_ms(*s->pools.world.now);
}

static void open_query(const struct two_steps *s, uint32_t request, uint32_t avoid,
                       const struct role_names *among, struct sim_query *out) {
    sim_pools_query(&s->pools, request, avoid, out);
    out->query.pair = false;
    out->query.has_among = true;
    out->query.among = among->names;
    out->query.n_among = among->n;
}

// The engine that computes the prompt for `decode`, booked; SIM_NOBODY: none can.
static uint32_t select_prefill(struct two_steps *s, uint32_t request, uint32_t avoid,
                               uint32_t decode) {
    struct prompt_id id = {request, 1};
    struct sim_query q;
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    char room[SIM_WORKER_NAME];
    struct kvr_bytes not_these[2];
    open_query(s, request, avoid, &s->prefill, &q);
    not_these[0] = sim_worker_name(decode, room);
    not_these[1] = q.not_this;
    q.query.exclude = not_these;
    q.query.n_exclude = avoid == SIM_NOBODY ? 1 : 2;
    if (kvr_select(pool_of(s), now(s), id_of(&id), &q.query, 0,
                   sim_pools_draw(&s->pools, &s->pools.router[0]), &choice, &booked))
        return SIM_NOBODY;
    return sim_worker_number(choice.score.worker.p, choice.score.worker.n);
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct two_steps *s = self;
    const struct sim_world *w = &s->pools.world;
    const struct kvr_pool_score *x;
    struct sim_query q;
    size_t n;
    open_query(s, request, avoid, &s->decode, &q);
    if (kvr_scores(pool_of(s), now(s), &q.query, &x, &n) || !n) return SIM_NOBODY;
    uint32_t decode = sim_worker_number(x->worker.p, x->worker.n), prefill = SIM_NOBODY;
    int64_t isl = w->load->requests[request].isl, cached = x->cached;
    if (w->plan->pairs && isl - cached > (int64_t)w->plan->local_prefill)
        prefill = select_prefill(s, request, avoid, decode);
    if (prefill != SIM_NOBODY) {
        s->paired[request] = true;
        sim_fleet_pair(w->fleet, request, prefill);
        cached = isl;
    }
    sim_pools_chosen(&s->pools, router, request, decode, cached);
    sim_pools_book(&s->pools, router, request, decode);
    return decode;
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum sim_news what) {
    struct two_steps *s = self;
    struct prompt_id id = {request, 1};
    struct kvr_bytes prompt = id_of(&id);
    int live;
    if (s->paired[request]) {
        s->paired[request] = false;
        if (what == SIM_PREFILLED) kvr_update(pool_of(s), now(s), prompt, true, -1, -1, &live);
        kvr_release(pool_of(s), now(s), &prompt, 1, what == SIM_FAILED ? KVR_LAPSED : KVR_RELEASED);
    }
    sim_pools_events.news(self, router, request, worker, what);
}

static void on_changed(void *self, const struct sim_change *c) {
    sim_pools_events.changed(self, c);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    sim_pools_events.worker(self, worker, there);
}

static void close_two_steps(void *self) {
    struct two_steps *s = self;
    free(s->paired);
    sim_pools_events.close(self);
}

static const struct sim_router_events events = {
    .news = on_news, .changed = on_changed, .worker = on_worker, .close = close_two_steps};
const struct sim_router sim_two_step_routers[] = {
    {"two-steps", "one pool for all: the answer's engine, then the prompt's", open_two_steps,
     choose, &events, .remote = true, .cached = true, .scores = true, .pairs = true},
};
