// SPDX-License-Identifier: Apache-2.0
// Waiting in the core's queue; see pool_admission.h.
#include "pool_admission.h"

#include <stdio.h>
#include <string.h>

enum { LOOKS = 64 }; // of one command, as the module has it
static const double tick_every = 0.01;

// ---- A plan, as a pool takes it ------------------------------------------------------------------

// At least 1: 0 would be no limit.
static uint64_t part(uint64_t limit, unsigned pools) {
    if (!limit) return 0;
    return limit / pools ? limit / pools : 1;
}

void sim_admission_limits(const struct sim_admission *a, unsigned pools, struct kvr_options *o) {
    if (!a->on) return;
    o->max_requests = part(a->max_requests, pools);
    o->max_prefill = part(a->max_prefill, pools);
    o->max_blocks = a->max_blocks;
    o->max_waiting = KVR_MAX_WAITING;
}

static struct kvr_bytes text(const char *s) {
    return (struct kvr_bytes){s, strlen(s)};
}

struct kvr_bytes sim_class_name(const struct sim_admission *a, const struct bench_request *q) {
    return a->n_classes ? text(a->classes[q->service_class % a->n_classes].name) : text("");
}

static struct kvr_bytes flow_name(uint64_t flow, char room[SIM_FLOW_NAME]) {
    return (struct kvr_bytes){room, (size_t)snprintf(room, SIM_FLOW_NAME, "f%u", (unsigned)flow)};
}

struct kvr_bytes sim_flow_name(const struct sim_admission *a, const struct bench_request *q,
                               char room[SIM_FLOW_NAME]) {
    return a->by_flow && q->flow ? flow_name(q->flow, room) : text("");
}

enum kvr_err sim_admission_names(const struct sim_admission *a, struct kvr_pool *pool,
                                 int64_t now) {
    enum kvr_err err = KVR_OK;
    char room[SIM_FLOW_NAME];
    int created;
    if (!a->on) return KVR_OK;
    for (size_t i = 0; i < a->n_classes && !err; i++) {
        const struct sim_class *c = &a->classes[i];
        err = kvr_class_set(
            pool, text(c->name), KVR_CLASS_PRIORITY | KVR_CLASS_WEIGHT | KVR_CLASS_ROOM,
            &(struct kvr_class_info){.priority = c->priority, .weight = c->weight, .room = c->room},
            &created);
    }
    for (size_t i = 0; i < a->n_flows && !err; i++) {
        const struct sim_flow *f = &a->flows[i];
        int64_t left;
        unsigned set = KVR_FLOW_WEIGHT | KVR_FLOW_REQUESTS | KVR_FLOW_RATE;
        err = kvr_flow_set(pool, now, flow_name(i + 1, room), set | (f->burst ? KVR_FLOW_BURST : 0),
                           &(struct kvr_flow_info){.weight = f->weight > 0 ? f->weight : 1,
                                                   .max_requests = f->requests,
                                                   .rate = (int64_t)f->rate,
                                                   .burst = (int64_t)f->burst},
                           false, &left, &created);
    }
    return err;
}

void sim_admission_query(const struct sim_pools *p, uint32_t request, struct sim_query *out) {
    const struct sim_admission *a = &p->world.plan->admission;
    const struct bench_request *q = &p->world.load->requests[request];
    if (!a->on) return;
    out->query.service_class = sim_class_name(a, q);
    out->query.flow = sim_flow_name(a, q, out->flow);
    if (a->outputs) out->query.osl = q->osl;
    out->query.wait = (int64_t)(a->wait * 1000);
}

// ---- Who is admitted when ------------------------------------------------------------------------

static int64_t now(const struct sim_pools *p) {
    return sim_epoch_ms(*p->world.now);
}

static uint32_t request_of(struct kvr_bytes id) {
    uint32_t request;
    memcpy(&request, id.p, sizeof request);
    return request;
}

// Every router waits for its answers, so each has come for its booking.
static bool is_called(void *ctx, struct kvr_bytes id) {
    (void)ctx, (void)id;
    return true;
}

static void forget(void *ctx, struct kvr_bytes id) {
    struct sim_pools *p = ctx;
    uint32_t request = request_of(id);
    p->router[p->waits[request] - 1].waiting--;
    p->waits[request] = 0;
    sim_fleet_refuse(p->world.fleet, request, 0);
}

static void admit(struct sim_pools *p, struct sim_router_pool *r) {
    struct kvr_admission a;
    size_t looks = LOOKS;
    while (r->waiting &&
           kvr_admit(r->pool, now(p), &looks, sim_pools_draw(p, r), is_called, NULL, &a)) {
        uint32_t request = request_of(a.id), worker = sim_worker_number(a.worker.p, a.worker.n);
        r->waiting--;
        p->waits[request] = 0;
        p->cached[request] = (uint32_t)a.booked.cached;
        sim_fleet_cached(p->world.fleet, request, p->cached[request]);
        sim_pools_paired(p, request, a.booked.prefill_worker);
        sim_fleet_give(p->world.fleet, request, worker);
    }
}

static void tick(void *self, uint32_t pool, uint32_t unused) {
    struct sim_pools *p = self;
    struct sim_router_pool *r = &p->router[pool];
    (void)unused;
    r->ticking = false;
    if (kvr_due_waiting(r->pool, now(p))) kvr_end_waiting(r->pool, now(p), SIZE_MAX, forget, p);
    sim_pools_admit(p, pool);
}

void sim_pools_admit(struct sim_pools *p, unsigned pool) {
    struct sim_router_pool *r = &p->router[pool];
    if (!r->waiting) return;
    admit(p, r);
    if (!r->waiting || r->ticking) return;
    r->ticking = true;
    sim_fleet_later(p->world.fleet, tick_every, tick, p, pool, 0);
}

void sim_pools_dismiss(struct sim_pools *p, unsigned pool) {
    for (uint32_t i = 0; p->router[pool].waiting && i < p->world.load->n; i++) {
        if (p->waits[i] != 1 + pool) continue;
        p->waits[i] = 0;
        p->router[pool].waiting--;
        sim_fleet_refuse(p->world.fleet, i, 0);
    }
}
