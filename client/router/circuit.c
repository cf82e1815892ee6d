// SPDX-License-Identifier: Apache-2.0
// See circuit.h.
#include "circuit.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/http1/h1_client.h"
#include "owed.h"
#include "pools.h"
#include "router.h"
#include "router_exchange.h"

enum { MOST_SUSPECTS = 1024, PROBE_PATIENCE_MS = 2000, FORGET_S = 600 };

struct suspect {
    struct circuits *circuits;
    struct suspect *next;
    char pool[sizeof((struct router_pool_config *)0)->name];
    char worker[KVR_MAX_NAME], address[KVR_MAX_ADDR + 1];
    size_t worker_size;
    unsigned failures; // in a row
    bool reached;
    int64_t since_us; // the last failure of a request
    struct h1_call *probe;
    int status; // of the probe's answer
};

struct circuits {
    struct router *router;
    struct h1_client *upstream;
    struct suspect *first;
    size_t n;
    struct event *tick;
};

static struct kvr_bytes name_of(const struct suspect *s) {
    return (struct kvr_bytes){s->worker, s->worker_size};
}

static bool is_of(const struct suspect *s, const struct pool *p, struct kvr_bytes worker) {
    return s->worker_size == worker.n && !memcmp(s->worker, worker.p, worker.n) &&
           !strcmp(s->pool, p->options.name);
}

static struct suspect **find(struct circuits *c, const struct pool *p, struct kvr_bytes worker) {
    struct suspect **at = &c->first;
    while (*at && !is_of(*at, p, worker))
        at = &(*at)->next;
    return at;
}

static void forget(struct circuits *c, struct suspect **at) {
    struct suspect *s = *at;
    h1_call_cancel(s->probe);
    *at = s->next;
    c->n--;
    free(s);
}

// Whether another router has reported failures of it.
static bool fails_elsewhere(struct pool *p, struct kvr_bytes worker) {
    if (!p->failing) return false;
    const struct pool_worker *w = pool_worker(p, worker);
    return w && (w->failures || w->circuit != KVR_CLOSED);
}

static void report(struct pool *p, struct kvr_bytes worker, bool good) {
    owed_count(p, kvr_client_report_async(p->client, worker, good, NULL, NULL));
}

static void wait_for_tick(struct circuits *c) {
    int64_t ms = c->router->config.probe;
    struct timeval t = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    if (c->first && !event_pending(c->tick, EV_TIMEOUT, NULL)) event_add(c->tick, &t);
}

static void failed_again(struct suspect *s) {
    if (++s->failures == FAILURES_HERE)
        kvr_log_line(KVR_LOG_WARNING, "pool %s: the engine at %s fails", s->pool, s->address);
}

// NULL: there are too many, or no memory.
static struct suspect *suspect_new(struct circuits *c, const struct pool *p,
                                   struct kvr_bytes worker, const char *address) {
    size_t n = strlen(address);
    struct suspect *s =
        c->n < MOST_SUSPECTS && n < sizeof s->address && worker.n <= sizeof s->worker
            ? calloc(1, sizeof *s)
            : NULL;
    if (!s) return NULL;
    s->circuits = c;
    memcpy(s->pool, p->options.name, sizeof s->pool);
    memcpy(s->worker, worker.p, worker.n);
    memcpy(s->address, address, n);
    s->worker_size = worker.n;
    s->since_us = kvr_clock_us();
    s->next = c->first;
    c->first = s;
    c->n++;
    return s;
}

void circuit_failed(struct circuits *c, struct pool *p, struct kvr_bytes worker,
                    const char *address, bool reached) {
    struct suspect *s = *find(c, p, worker);
    report(p, worker, false);
    if (!s && !(s = suspect_new(c, p, worker, address))) return;
    failed_again(s);
    s->reached = reached;
    s->since_us = kvr_clock_us();
    wait_for_tick(c);
}

void circuit_good(struct circuits *c, struct pool *p, struct kvr_bytes worker) {
    struct suspect **at = c->first ? find(c, p, worker) : NULL;
    bool here = at && *at;
    if ((here && (*at)->failures) || fails_elsewhere(p, worker)) report(p, worker, true);
    if (!here) return;
    struct pool_worker *w = pool_worker(p, worker);
    if (w) w->here.heard_us = kvr_clock_us();
    if ((*at)->failures >= FAILURES_HERE)
        kvr_log_line(KVR_LOG_INFO, "pool %s: the engine at %s answers again", (*at)->pool,
                     (*at)->address);
    forget(c, at);
}

bool circuit_is_open(const struct circuits *c, const struct pool *p, struct kvr_bytes worker) {
    for (const struct suspect *s = c->first; s; s = s->next)
        if (is_of(s, p, worker)) return s->failures >= FAILURES_HERE;
    return false;
}

size_t circuit_suspects(const struct circuits *c, const struct pool *p, struct kvr_bytes *out,
                        size_t n) {
    size_t found = 0;
    for (const struct suspect *s = c->first; s && found < n; s = s->next)
        if (s->failures >= FAILURES_HERE && !strcmp(s->pool, p->options.name))
            out[found++] = name_of(s);
    return found;
}

// ---- Probes --------------------------------------------------------------------------------------

static void probe(struct suspect *s);

static void on_head(void *ctx, const struct h1_head *reply) {
    struct suspect *s = ctx;
    s->status = reply->status;
}

static void on_end(void *ctx);

// The head has said all; a body that goes on and on isn't waited for.
static void on_data(void *ctx, struct evbuffer *bytes) {
    struct suspect *s = ctx;
    (void)bytes;
    h1_call_cancel(s->probe);
    on_end(ctx);
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct suspect *s = ctx;
    struct pool *p = pools_named(s->circuits->router->pools, s->pool);
    s->probe = NULL;
    if (s->failures < FAILURES_HERE) failed_again(s);
    if (p) report(p, name_of(s), false);
    // Requests may be waiting for it: until it is known, there is no pause.
    if (s->failures < FAILURES_HERE && why == H1_TIMEOUT) probe(s);
}

// Whoever doesn't know the path lives: not every engine has one for its health.
static bool is_alive(int status) {
    return status / 100 == 2 || status == 404 || status == 405 || status == 501;
}

static void on_end(void *ctx) {
    struct suspect *s = ctx;
    struct circuits *c = s->circuits;
    struct pool *p = pools_named(c->router->pools, s->pool);
    if (!is_alive(s->status) || !p) {
        on_failed(ctx, H1_RESET);
        return;
    }
    s->probe = NULL;
    circuit_good(c, p, name_of(s));
}

static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};

static void probe(struct suspect *s) {
    struct h1_request request = {.address = s->address,
                                 .method = "GET",
                                 .path = s->circuits->router->config.health,
                                 .fresh = true,
                                 .head_ms = PROBE_PATIENCE_MS};
    s->status = 0;
    s->probe = h1_call_start(s->circuits->upstream, &request, &port, s, NULL);
}

// A worker that has gone from the pool, and one whose last failure is long ago, isn't of interest.
static bool is_over(struct circuits *c, const struct suspect *s, int64_t now) {
    const struct pool *p = pools_named(c->router->pools, s->pool);
    if (!p || now - s->since_us > (int64_t)FORGET_S * 1000000) return true;
    return p->seen_us > s->since_us && !pool_worker(p, name_of(s));
}

static void on_tick(evutil_socket_t fd, short what, void *ctx) {
    struct circuits *c = ctx;
    int64_t now = kvr_clock_us();
    (void)fd;
    (void)what;
    for (struct suspect **at = &c->first; *at;) {
        struct suspect *s = *at;
        if (is_over(c, s, now)) {
            forget(c, at);
            continue;
        }
        // Where only a request can tell, one is let through now and then.
        if (s->reached && s->failures >= FAILURES_HERE) s->failures = FAILURES_HERE - 1;
        if (!s->reached && !s->probe) probe(s);
        at = &s->next;
    }
    wait_for_tick(c);
}

void circuit_doubt(struct circuits *c, struct pool *p, struct kvr_bytes worker,
                   const char *address) {
    if (*find(c, p, worker)) return;
    struct suspect *s = suspect_new(c, p, worker, address);
    if (s) probe(s);
    wait_for_tick(c);
}

struct circuits *circuits_new(struct router *r, struct h1_client *u) {
    struct circuits *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->router = r;
    c->upstream = u;
    c->tick = event_new(r->base, -1, 0, on_tick, c);
    if (c->tick) return c;
    free(c);
    return NULL;
}

void circuits_free(struct circuits *c) {
    if (!c) return;
    while (c->first)
        forget(c, &c->first);
    event_free(c->tick);
    free(c);
}
