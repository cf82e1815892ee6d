// SPDX-License-Identifier: Apache-2.0
#include "router_circuit.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/http1/h1_client.h"
#include "client/router/router.h"
#include "router_pools.h"

enum { CIRCUIT_MAX_SUSPECTS = 1024, CIRCUIT_PROBE_MS = 2000, CIRCUIT_FORGET_S = 600 };

struct circuit_suspect {
    struct router_circuits *circuits;
    struct circuit_suspect *next;
    char pool[sizeof((struct router_pool_config *)0)->name];
    char worker[KVR_MAX_NAME], address[KVR_MAX_ADDR + 1];
    size_t worker_size;
    unsigned failures; // in a row
    bool reached;
    bool doubted;     // not only checked
    int64_t since_us; // the last failure of a request
    struct h1_call *probe;
    int status; // of the probe's answer
};

struct router_circuits {
    struct router *router;
    struct circuit_suspect *first;
    size_t n;
    struct event *tick;
};

static struct kvr_bytes name_of(const struct circuit_suspect *s) {
    return (struct kvr_bytes){s->worker, s->worker_size};
}

static bool is_of(const struct circuit_suspect *s, const struct router_pool *p,
                  struct kvr_bytes worker) {
    return s->worker_size == worker.n && !memcmp(s->worker, worker.p, worker.n) &&
           !strcmp(s->pool, p->options.name);
}

static struct circuit_suspect **find(struct router_circuits *c, const struct router_pool *p,
                                     struct kvr_bytes worker) {
    struct circuit_suspect **at = &c->first;
    while (*at && !is_of(*at, p, worker))
        at = &(*at)->next;
    return at;
}

static void forget(struct router_circuits *c, struct circuit_suspect **at) {
    struct circuit_suspect *s = *at;
    h1_call_cancel(s->probe);
    *at = s->next;
    c->n--;
    free(s);
}

// Whether another router has reported failures of it.
static bool fails_elsewhere(struct router_pool *p, struct kvr_bytes worker) {
    if (!p->failing) return false;
    const struct router_worker *w = router_pool_worker(p, worker);
    return w && (w->failures || w->circuit != KVR_CLOSED);
}

static void report(struct router_pool *p, struct kvr_bytes worker, bool good) {
    router_pool_count(p, kvr_client_report_async(p->client, worker, good, NULL, NULL));
}

static void wait_for_tick(struct router_circuits *c) {
    struct timeval t = kvr_timeval(c->router->config.probe);
    if (c->first && !event_pending(c->tick, EV_TIMEOUT, NULL)) event_add(c->tick, &t);
}

static bool is_failing(const struct circuit_suspect *s) {
    return s->failures >= s->circuits->router->config.failures;
}

static void failed_again(struct circuit_suspect *s, const char *why) {
    s->doubted = true;
    if (++s->failures == s->circuits->router->config.failures)
        kvr_log_line(KVR_LOG_WARNING, "pool %s: the engine at %s fails: %s", s->pool, s->address,
                     why);
}

// NULL: there are too many, or no memory.
static struct circuit_suspect *suspect_new(struct router_circuits *c, const struct router_pool *p,
                                           struct kvr_bytes worker, const char *address) {
    size_t n = strlen(address);
    struct circuit_suspect *s =
        c->n < CIRCUIT_MAX_SUSPECTS && n < sizeof s->address && worker.n <= sizeof s->worker
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

void router_circuit_failed(struct router_circuits *c, struct router_pool *p,
                           struct kvr_bytes worker, const char *address, bool reached) {
    struct circuit_suspect *s = *find(c, p, worker);
    report(p, worker, false);
    if (!s && !(s = suspect_new(c, p, worker, address))) return;
    failed_again(s, reached ? "requests fail there" : "it can't be reached");
    s->reached = reached;
    s->since_us = kvr_clock_us();
    wait_for_tick(c);
}

void router_circuit_succeeded(struct router_circuits *c, struct router_pool *p,
                              struct kvr_bytes worker) {
    struct circuit_suspect **at = c->first ? find(c, p, worker) : NULL;
    bool here = at && *at;
    if ((here && (*at)->failures) || fails_elsewhere(p, worker)) report(p, worker, true);
    if (!here) return;
    struct router_worker *w = router_pool_worker(p, worker);
    if (w) w->here.heard_us = kvr_clock_us();
    if (is_failing(*at))
        kvr_log_line(KVR_LOG_INFO, "pool %s: the engine at %s answers again", (*at)->pool,
                     (*at)->address);
    forget(c, at);
}

bool router_circuit_is_open(const struct router_circuits *c, const struct router_pool *p,
                            struct kvr_bytes worker) {
    for (const struct circuit_suspect *s = c->first; s; s = s->next)
        if (is_of(s, p, worker)) return is_failing(s);
    return false;
}

bool router_circuit_is_suspect(const struct router_circuits *c, const struct router_pool *p,
                               struct kvr_bytes worker) {
    for (const struct circuit_suspect *s = c->first; s; s = s->next)
        if (is_of(s, p, worker)) return s->failures > 0;
    return false;
}

size_t router_circuit_suspects(const struct router_circuits *c, const struct router_pool *p,
                               struct kvr_bytes *out, size_t n) {
    size_t found = 0;
    for (const struct circuit_suspect *s = c->first; s && found < n; s = s->next)
        if (is_failing(s) && !strcmp(s->pool, p->options.name)) out[found++] = name_of(s);
    return found;
}

// ---- Probes --------------------------------------------------------------------------------------

static void probe(struct circuit_suspect *s);

static void on_head(void *ctx, const struct h1_head *reply) {
    struct circuit_suspect *s = ctx;
    s->status = reply->status;
}

static void on_end(void *ctx);

// The head has said all; a body that goes on and on isn't waited for.
static void on_data(void *ctx, struct evbuffer *bytes) {
    struct circuit_suspect *s = ctx;
    (void)bytes;
    h1_call_cancel(s->probe);
    on_end(ctx);
}

// For the log. With a status it was an answer, and a bad one.
static const char *probe_said(const struct circuit_suspect *s, enum h1_failure why) {
    if (s->status) return "its health is bad";
    if (why == H1_CONNECT) return "it can't be reached";
    if (why == H1_TIMEOUT) return "it doesn't answer";
    return why == H1_MALFORMED ? "what answers speaks no HTTP" : "connections to it break";
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct circuit_suspect *s = ctx;
    struct router_pool *p = router_pools_named(s->circuits->router->pools, s->pool);
    s->probe = NULL;
    if (why == H1_LOCAL) return; // it wasn't asked; the next tick tries again
    if (!is_failing(s)) failed_again(s, probe_said(s, why));
    if (p) report(p, name_of(s), false);
    // Requests may be waiting for it: until it is known, there is no pause.
    if (!is_failing(s) && why == H1_TIMEOUT) probe(s);
}

// An engine that doesn't know the path, or wants a key for it, is alive: not every one has a path for its
// health.
static bool is_alive(int status) {
    return status / 100 == 2 || status / 100 == 4 || status == 501;
}

static void on_end(void *ctx) {
    struct circuit_suspect *s = ctx;
    struct router_circuits *c = s->circuits;
    struct router_pool *p = router_pools_named(c->router->pools, s->pool);
    if (!is_alive(s->status) || !p) {
        on_failed(ctx, H1_RESET);
        return;
    }
    s->probe = NULL;
    if (s->doubted)
        router_circuit_succeeded(c, p, name_of(s));
    else
        forget(c, find(c, p, name_of(s)));
}

static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};

static void probe(struct circuit_suspect *s) {
    struct h1_request request = {.address = s->address,
                                 .method = "GET",
                                 .path = s->circuits->router->config.health,
                                 .fresh = true,
                                 .head_ms = CIRCUIT_PROBE_MS};
    s->status = 0;
    s->probe = h1_call_start(s->circuits->router->upstream, &request, &port, s, NULL);
}

// A worker that has gone from the pool, and one whose last failure is long ago, isn't of interest.
static bool is_over(struct router_circuits *c, const struct circuit_suspect *s, int64_t now) {
    const struct router_pool *p = router_pools_named(c->router->pools, s->pool);
    if (!p || now - s->since_us > (int64_t)CIRCUIT_FORGET_S * 1000000) return true;
    return p->seen_us > s->since_us && !router_pool_worker(p, name_of(s));
}

static void on_tick(evutil_socket_t fd, short what, void *ctx) {
    struct router_circuits *c = ctx;
    int64_t now = kvr_clock_us();
    (void)fd;
    (void)what;
    for (struct circuit_suspect **at = &c->first; *at;) {
        struct circuit_suspect *s = *at;
        if (is_over(c, s, now)) {
            forget(c, at);
            continue;
        }
        // Where only a request can tell, one is let through now and then.
        if (s->reached && is_failing(s)) s->failures = c->router->config.failures - 1;
        if (!s->reached && !s->probe) probe(s);
        at = &s->next;
    }
    wait_for_tick(c);
}

void router_circuit_check(struct router_circuits *c, struct router_pool *p, struct kvr_bytes worker,
                          const char *address) {
    if (*find(c, p, worker)) return;
    struct circuit_suspect *s = suspect_new(c, p, worker, address);
    if (s) probe(s);
    wait_for_tick(c);
}

void router_circuit_probe(struct router_circuits *c, struct router_pool *p, struct kvr_bytes worker,
                          const char *address) {
    router_circuit_check(c, p, worker, address);
    struct circuit_suspect *s = *find(c, p, worker);
    if (s) s->doubted = true;
}

struct router_circuits *router_circuits_new(struct router *r) {
    struct router_circuits *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->router = r;
    c->tick = event_new(r->base, -1, 0, on_tick, c);
    if (c->tick) return c;
    free(c);
    return NULL;
}

void router_circuits_free(struct router_circuits *c) {
    if (!c) return;
    while (c->first)
        forget(c, &c->first);
    event_free(c->tick);
    free(c);
}
