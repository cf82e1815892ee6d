// SPDX-License-Identifier: Apache-2.0
#include "router_engine_failure.h"

#include <string.h>

#include "client/common/clock.h"
#include "router_prefill_leg.h"

enum { AVOID_MS = 1000, ENGINE_SILENT_MS = 1000 };

// One of the engines that a request is tried on.
struct tried_engine {
    const struct router_name *worker;
    const char *address;
};

static struct tried_engine engine_of(const struct router_request *r) {
    return (struct tried_engine){&r->worker, r->address};
}

static struct tried_engine prefill_of(const struct router_request *r) {
    return (struct tried_engine){&r->prefill->worker, r->prefill->address};
}

static struct router_worker *worker_at(const struct router_request *r, struct tried_engine at) {
    return router_pool_worker(r->pool, router_name_bytes(at.worker));
}

static struct router_worker *worker_of(const struct router_request *r) {
    return worker_at(r, engine_of(r));
}

enum router_failure router_failure_of_call(enum h1_failure why) {
    static const enum router_failure failure_of[] = {
        [H1_STALE] = ROUTER_FAILURE_STALE,      [H1_CONNECT] = ROUTER_FAILURE_CONNECT,
        [H1_RESET] = ROUTER_FAILURE_BROKEN,     [H1_TIMEOUT] = ROUTER_FAILURE_TIMEOUT,
        [H1_MALFORMED] = ROUTER_FAILURE_BROKEN, [H1_LOCAL] = ROUTER_FAILURE_LOCAL,
        [H1_TLS] = ROUTER_FAILURE_CONNECT,
    };
    return failure_of[why];
}

static void accuse(struct router_request *r, struct tried_engine at, bool reached) {
    if (*r->accused) return;
    memcpy(r->accused, at.address, sizeof r->accused);
    r->accused_name = *at.worker;
    r->accused_reached = reached;
    r->accused_prefill.n = 0;
}

static void seen(struct router_request *r, struct tried_engine at, enum router_failure what) {
    struct router_circuits *c = r->proxy->circuits;
    struct kvr_bytes worker = router_name_bytes(at.worker);
    if (what == ROUTER_FAILURE_CONNECT) {
        router_circuit_failed(c, r->pool, worker, at.address, false);
        return;
    }
    accuse(r, at, what == ROUTER_FAILURE_5XX);
    if (what != ROUTER_FAILURE_5XX) router_circuit_probe(c, r->pool, worker, at.address);
}

void router_failure_seen(struct router_request *r, enum router_failure what) {
    seen(r, engine_of(r), what);
}

void router_failure_prefill_seen(struct router_request *r, enum router_failure what) {
    seen(r, prefill_of(r), what);
}

void router_failure_not_loaded(struct router_request *r) {
    struct tried_engine prefill = prefill_of(r);
    accuse(r, engine_of(r), true);
    if (router_name_is(&r->accused_name, router_name_bytes(&r->worker)))
        r->accused_prefill = *prefill.worker;
    router_circuit_probe(r->proxy->circuits, r->pool, router_name_bytes(prefill.worker),
                         prefill.address);
}

// Who didn't get a prompt isn't to blame if the one that had it has failed since, nor if it answers now.
static bool is_excused(const struct router_request *r) {
    if (!r->accused_prefill.n) return false;
    return router_name_is(&r->accused_name, router_name_bytes(&r->worker)) ||
           router_circuit_is_suspect(r->proxy->circuits, r->pool,
                                     router_name_bytes(&r->accused_prefill));
}

void router_failure_accused(struct router_request *r) {
    if (!*r->accused) return;
    if (!is_excused(r))
        router_circuit_failed(r->proxy->circuits, r->pool, router_name_bytes(&r->accused_name),
                              r->accused, r->accused_reached);
    *r->accused = 0;
}

void router_failure_answers(struct router_request *r, bool to_the_end) {
    struct router_worker *w = worker_of(r);
    bool aborts = w && w->here.aborts;
    if (w && to_the_end) w->here.aborts = false;
    if (aborts == to_the_end)
        router_circuit_succeeded(r->proxy->circuits, r->pool, router_request_worker(r));
}

void router_failure_aborted(struct router_request *r) {
    struct router_worker *w = worker_of(r);
    if (w) w->here.aborts = true;
    router_circuit_failed(r->proxy->circuits, r->pool, router_request_worker(r), r->address, true);
}

static void avoid(struct router_worker *w) {
    if (w) w->here.avoid_until_us = kvr_clock_us() + (int64_t)AVOID_MS * 1000;
}

void router_failure_avoided(struct router_request *r) {
    avoid(worker_of(r));
}

void router_failure_prefill_avoided(const struct router_request *r) {
    avoid(worker_at(r, prefill_of(r)));
}

static bool is_dead(const struct router_request *r, struct tried_engine at) {
    const struct router_pool *p = r->pool;
    const struct router_worker *w = worker_at(r, at);
    bool left = !w && p->seen_us > r->booked_us;
    return left || (w && w->circuit == KVR_OPEN) ||
           router_circuit_is_open(r->proxy->circuits, p, router_name_bytes(at.worker));
}

bool router_failure_is_dead(const struct router_request *r) {
    return is_dead(r, engine_of(r));
}

bool router_failure_prefill_is_dead(const struct router_request *r) {
    return is_dead(r, prefill_of(r));
}

static void probe_if_silent(const struct router_request *r, struct tried_engine at, int64_t now) {
    const struct router_worker *w = worker_at(r, at);
    int64_t since = w && w->here.heard_us > r->booked_us ? w->here.heard_us : r->booked_us;
    if (now - since > (int64_t)ENGINE_SILENT_MS * 1000)
        router_circuit_probe(r->proxy->circuits, r->pool, router_name_bytes(at.worker), at.address);
}

void router_failure_silence(struct router_request *r, int64_t now) {
    probe_if_silent(r, engine_of(r), now);
}

void router_failure_prefill_silence(const struct router_request *r, int64_t now) {
    probe_if_silent(r, prefill_of(r), now);
}

void router_failure_prefill_heard(const struct router_request *r) {
    struct router_worker *w = worker_at(r, prefill_of(r));
    if (w) w->here.heard_us = kvr_clock_us();
}

void router_failure_prefill_answers(const struct router_request *r) {
    router_circuit_succeeded(r->proxy->circuits, r->pool, router_name_bytes(&r->prefill->worker));
}

void router_failure_heard(const struct router_request *r, int64_t now) {
    struct router_worker *w = worker_of(r);
    if (w && w->here.heard_us < now) w->here.heard_us = now;
}
