// SPDX-License-Identifier: Apache-2.0
// Routers with a pool each; see private_pools.h.
#include "private_pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "client/common/random.h"
#include "pool_admission.h"

static void refuse(const char *what, enum kvr_err err) {
    fprintf(stderr, "kvroute-sim: %s is refused by the core (%d)\n", what, (int)err);
    exit(1);
}

static int64_t now(const struct sim_pools *p) {
    return sim_epoch_ms(*p->world.now);
}

unsigned sim_pools_count(const struct sim_pools *p) {
    return p->one ? 1 : p->world.plan->routers;
}

unsigned sim_pools_of(const struct sim_pools *p, unsigned router) {
    return p->one ? 0 : router;
}

// ---- Pools ---------------------------------------------------------------------------------------

static void set_worker(struct sim_pools *p, struct sim_router_pool *r, uint32_t worker,
                       bool there) {
    char room[SIM_WORKER_NAME], link[SIM_LINK_NAME];
    int created;
    struct kvr_bytes label = sim_link_name(p->world.plan, worker, link);
    struct kvr_worker_settings set = {.set = KVR_SET_CAPACITY | KVR_SET_ROLE | KVR_SET_LABELS,
                                      .capacity = p->world.capacity[worker],
                                      .role = p->one_by_one ? KVR_ROLE_BOTH : p->world.role[worker],
                                      .labels = &label,
                                      .n_labels = label.n > 0};
    enum kvr_err err =
        there ? kvr_worker_set(r->pool, now(p), sim_worker_name(worker, room), &set, &created)
              : kvr_worker_del(r->pool, sim_worker_name(worker, room));
    if (err) refuse("a worker", err);
    r->seq[worker] = 0;
}

static void *resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    if (size) return realloc(p, size);
    free(p);
    return NULL;
}

static void open_pool(struct sim_pools *p, struct sim_router_pool *r) {
    struct kvr_alloc a = {resize, NULL};
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = p->world.load->block_size;
    o.rule = p->rule;
    o.lease = 0;
    o.predict = p->predict;
    if (p->world.plan->pairs) {
        o.transfer = p->world.plan->transfer;
        o.local_prefill = p->world.plan->local_prefill;
    }
    sim_admission_limits(&p->world.plan->admission, sim_pools_count(p), &o);
    r->pool = kvr_pool_new(&a, &o, p->world.plan->seed + 1);
    if (!r->pool) refuse("a pool", KVR_NOMEM);
    enum kvr_err err = sim_admission_names(&p->world.plan->admission, r->pool, now(p));
    if (err) refuse("a class or flow", err);
    memset(r->seq, 0, sizeof r->seq);
    for (uint32_t w = 0; w < p->world.workers; w++)
        if (p->world.there[w]) set_worker(p, r, w, true);
}

void sim_pools_open(struct sim_pools *p, const struct sim_world *w, const struct kvr_rule *rule,
                    int64_t predict, bool shares, bool one) {
    p->world = *w;
    p->rule = *rule;
    p->predict = predict;
    p->shares = shares;
    p->one = one;
    p->cached = bench_calloc(w->load->n, sizeof *p->cached);
    p->waits = bench_calloc(w->load->n, sizeof *p->waits);
    for (unsigned r = 0; r < sim_pools_count(p); r++) {
        open_pool(p, &p->router[r]);
        p->router[r].rng = kvr_random_mix(w->plan->seed * SIM_MAX_ROUTERS + r);
    }
}

static void on_close(void *self) {
    struct sim_pools *p = self;
    for (unsigned r = 0; r < sim_pools_count(p); r++)
        kvr_pool_free(p->router[r].pool);
    free(p->cached);
    free(p->waits);
    free(p);
}

static void on_lost(void *self, unsigned router) {
    struct sim_pools *p = self;
    if (p->one) return;
    sim_pools_dismiss(p, router);
    kvr_pool_free(p->router[router].pool);
    open_pool(p, &p->router[router]);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct sim_pools *p = self;
    for (unsigned r = 0; r < sim_pools_count(p); r++) {
        set_worker(p, &p->router[r], worker, there);
        sim_pools_admit(p, r);
    }
}

// ---- Requests ------------------------------------------------------------------------------------

void sim_pools_query(const struct sim_pools *p, uint32_t request, uint32_t avoid,
                     struct sim_query *out) {
    const struct bench_request *q = &p->world.load->requests[request];
    out->not_this = sim_worker_name(avoid, out->name);
    out->query = (struct kvr_query){
        .hashes = bench_request_hashes(p->world.load, request),
        .n = q->blocks,
        .isl = q->isl,
        .rule = p->rule,
        .exclude = &out->not_this,
        .n_exclude = avoid != SIM_NOBODY,
        .session = sim_session_name(&p->world, request, out->session),
        .pair = p->world.plan->pairs,
    };
    sim_admission_query(p, request, out);
}

void sim_pools_book(struct sim_pools *p, unsigned router, uint32_t request, uint32_t worker) {
    const struct bench_request *q = &p->world.load->requests[request];
    char room[SIM_WORKER_NAME], name[SIM_SESSION_NAME];
    int done;
    // Refused when the engine has gone meanwhile: nothing is lost by that.
    kvr_claim(p->router[sim_pools_of(p, router)].pool, sim_request_id(&request),
              sim_worker_name(worker, room), 0,
              &(struct kvr_booking){.hashes = bench_request_hashes(p->world.load, request),
                                    .n = q->blocks,
                                    .isl = q->isl,
                                    .cached = p->cached[request],
                                    .created = now(p),
                                    .renewed = now(p),
                                    .session = sim_session_name(&p->world, request, name)},
              &done);
}

// A request's end teaches what it has put out; that of one which has failed, nothing.
static void apply(struct sim_pools *p, unsigned router, uint32_t request, enum sim_news what) {
    unsigned at = sim_pools_of(p, router);
    struct kvr_pool *pool = p->router[at].pool;
    struct kvr_bytes id = sim_request_id(&request);
    int live;
    if (what == SIM_PREFILLED) {
        kvr_update(pool, now(p), id, true, -1, -1, &live);
    } else {
        if (what == SIM_DONE)
            kvr_update(pool, now(p), id, false, p->world.load->requests[request].osl, -1, &live);
        kvr_release(pool, now(p), &id, 1, what == SIM_DONE ? KVR_RELEASED : KVR_LAPSED);
    }
    sim_pools_admit(p, at);
}

// What the others hear is who it is from, the engine, and either that it was chosen or the news of it.
enum { CHOSEN = SIM_FAILED + 1 };

static void hear(void *self, uint32_t request, uint32_t packed) {
    struct sim_pools *p = self;
    uint32_t from = packed >> 16, worker = packed >> 4 & 0xfff, what = packed & 0xf;
    for (unsigned r = 0; r < p->world.plan->routers; r++) {
        if (r == from) continue;
        if (what == CHOSEN)
            sim_pools_book(p, r, request, worker);
        else
            apply(p, r, request, (enum sim_news)what);
    }
}

static void share(struct sim_pools *p, unsigned router, uint32_t request, uint32_t worker,
                  uint32_t what) {
    if (p->shares && p->world.plan->routers > 1)
        sim_fleet_later(p->world.fleet, p->world.plan->sync, hear, p, request,
                        router << 16 | worker << 4 | what);
}

void sim_pools_chosen(struct sim_pools *p, unsigned router, uint32_t request, uint32_t worker,
                      int64_t cached) {
    p->cached[request] = (uint32_t)cached;
    sim_fleet_cached(p->world.fleet, request, (uint32_t)cached);
    share(p, router, request, worker, CHOSEN);
}

uint32_t sim_pools_select(struct sim_pools *p, unsigned router, uint32_t request, uint32_t avoid) {
    unsigned pool = sim_pools_of(p, router);
    struct sim_router_pool *r = &p->router[pool];
    struct sim_query q;
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    sim_pools_query(p, request, avoid, &q);
    sim_pools_admit(p, pool);
    enum kvr_err err = kvr_select(r->pool, now(p), sim_request_id(&request), &q.query, 0,
                                  sim_pools_draw(p, r), &choice, &booked);
    if (err == KVR_NOROOM || err == KVR_LIMITED) {
        sim_fleet_refuse(p->world.fleet, request, (double)choice.retry / 1000);
        return SIM_LATER;
    }
    if (err) return SIM_NOBODY;
    if (choice.waiting) {
        r->waiting++;
        p->waits[request] = (uint8_t)(1 + pool);
        sim_pools_admit(p, pool);
        return SIM_LATER;
    }
    uint32_t worker = sim_worker_number(choice.score.worker.p, choice.score.worker.n);
    sim_fleet_predicted(p->world.fleet, request, choice.score.ttft);
    sim_pools_paired(p, request, choice.prefill_worker);
    sim_pools_chosen(p, router, request, worker, choice.score.cached);
    return worker;
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum sim_news what) {
    apply(self, router, request, what);
    share(self, router, request, worker, what);
}

// ---- What engines cache --------------------------------------------------------------------------

// What a pool can't follow, because it has lost what came before, it ignores.
static void event(struct sim_router_pool *r, uint32_t worker, const struct kvr_pool_op *op) {
    char room[SIM_WORKER_NAME];
    struct kvr_event_result result;
    enum kvr_err err = kvr_event(r->pool, sim_worker_name(worker, room), 0, 1, r->seq[worker] + 1,
                                 op, 1, false, &result);
    if (!err)
        r->seq[worker]++;
    else if (err != KVR_NOPARENT)
        refuse("an event", err);
}

static void host_changed(struct sim_router_pool *r, const struct sim_change *x) {
    uint64_t *hashes = bench_calloc(x->n_moved, sizeof *hashes);
    for (size_t i = 0, n; i < x->n_moved; i += n) {
        n = sim_host_run(x->moved + i, x->n_moved - i, hashes);
        const struct sim_moved *last = &x->moved[i + n - 1];
        event(r, x->worker,
              &(struct kvr_pool_op){last->stored ? KVR_STORED : KVR_REMOVED, KVR_HOST,
                                    last->stored && last->depth > 0,
                                    last->stored ? last->parent : 0, hashes, n});
    }
    free(hashes);
}

static void on_changed(void *self, const struct sim_change *x) {
    struct sim_pools *p = self;
    for (unsigned i = 0; i < sim_pools_count(p); i++) {
        struct sim_router_pool *r = &p->router[i];
        if (x->n_moved) host_changed(r, x);
        if (x->n_removed)
            event(
                r, x->worker,
                &(struct kvr_pool_op){KVR_REMOVED, KVR_DEVICE, false, 0, x->removed, x->n_removed});
        for (size_t k = 0; k < x->n_stored; k++) {
            const struct sim_stored *s = &x->stored[k];
            const uint64_t *hashes = bench_request_hashes(p->world.load, s->request);
            event(r, x->worker,
                  &(struct kvr_pool_op){KVR_STORED, KVR_DEVICE, s->from > 0,
                                        s->from ? hashes[s->from - 1] : 0, hashes + s->from,
                                        s->to - s->from});
        }
    }
}

const struct sim_router_events sim_pools_events = {.news = on_news,
                                                   .changed = on_changed,
                                                   .worker = on_worker,
                                                   .lost = on_lost,
                                                   .close = on_close};
