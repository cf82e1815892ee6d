// SPDX-License-Identifier: Apache-2.0
// See router_status.h. The page is router_page.html, put into the program by cmake/embed.cmake.
#include "router_status.h"

#include <jansson.h>

#include "client/common/clock.h"
#include "client/router/api/router_workers.h"
#include "client/router/pools/router_identity.h"
#include "client/router/pools/router_neighbours.h"
#include "client/router/pools/router_pools.h"
#include "client/router/prompt/router_json.h"
#include "client/router/prompt/router_service.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "client/router/router_totals.h"
#include "router_page.h"
#include "router_problems.h"
#include "router_settled.h"

enum { STATUS_QUEUE_FIRST = 10 };

// The last minutes, a list for each figure: the oldest step first.
static json_t *minutes_json(const struct router *r) {
    struct router_minutes_figures steps[ROUTER_MINUTES_STEPS];
    size_t n = router_totals_minutes(r, kvr_clock_us(), steps);
    json_t *lists[7];
    for (size_t i = 0; i < 7; i++)
        lists[i] = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct router_minutes_figures *f = &steps[i];
        json_array_append_new(lists[0], json_integer((json_int_t)f->requests));
        json_array_append_new(lists[1], json_integer((json_int_t)f->failed));
        json_array_append_new(lists[2], json_real(f->p50));
        json_array_append_new(lists[3], json_real(f->p95));
        json_array_append_new(lists[4], json_integer((json_int_t)f->output));
        json_array_append_new(lists[5], json_integer((json_int_t)f->prompt));
        json_array_append_new(lists[6], json_integer((json_int_t)f->cached));
    }
    return json_pack("{s:i,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "step_ms", ROUTER_MINUTES_STEP_MS,
                     "max_steps", ROUTER_MINUTES_STEPS, "requests", lists[0], "failed", lists[1],
                     "ttft_p50", lists[2], "ttft_p95", lists[3], "output_tokens", lists[4],
                     "prompt_tokens", lists[5], "cached_tokens", lists[6]);
}

static json_t *replicas_json(const struct router_neighbours *b) {
    json_t *all = json_array();
    for (size_t i = 0; b && i < b->n_replicas && i < ROUTER_MAX_REPLICAS; i++) {
        const struct router_replica *o = &b->replicas[i];
        json_array_append_new(all, json_pack("{s:s,s:b,s:I,s:I,s:b}", "address", o->address,
                                             "online", o->online, "behind_bytes",
                                             (json_int_t)o->behind, "lag_s", (json_int_t)o->lag,
                                             "in_step", !router_replica_is_behind(o)));
    }
    return all;
}

static json_t *names_json(const struct router_neighbours *b) {
    json_t *all = json_array();
    for (size_t i = 0; b && i < b->n_names; i++)
        json_array_append_new(all, router_json_text(kvr_text(b->names[i])));
    return all;
}

// Why something isn't known; "": it is.
static const char *unknown_because(int64_t answered_us, enum kvr_code code, bool crowded) {
    return crowded               ? "too many to look at"
           : code != KVR_CODE_OK ? kvr_code_name(code)
           : !answered_us        ? "not asked yet"
                                 : "";
}

static json_t *redis_json(const struct router_pool *p) {
    static const struct router_neighbours nothing;
    const struct router_neighbours *b = p->neighbours ? p->neighbours : &nothing;
    struct kvr_client_stats st;
    kvr_client_stats(p->client, &st);
    return json_pack("{s:b,s:s,s:o,s:s,s:o,s:s,s:o}", "connected", st.connected, "primary",
                     st.primary, "version", router_json_text(kvr_text(b->version)),
                     "replicas_unknown", unknown_because(b->server_us, b->server, false),
                     "replicas", replicas_json(b), "routers_unknown",
                     unknown_because(b->list_us, b->list, b->crowded), "routers", names_json(b));
}

// What others are told of a pool, and what only the page shows.
static json_t *pool_json(struct router_pool *p) {
    json_t *pool = router_workers_pool(p);
    const char *why = router_pool_trouble(p);
    router_neighbours_ask(p);
    router_pool_look_for_trouble(p);
    json_object_set_new(pool, "why", json_string(why ? why : ""));
    json_object_set_new(pool, "redis", redis_json(p));
    json_object_set_new(pool, "queue", router_queue_json(p, STATUS_QUEUE_FIRST));
    return pool;
}

void router_status(struct router_exchange *x) {
    const struct router *r = x->router;
    char name[ROUTER_IDENTITY_SIZE];
    struct router_figures f;
    json_t *pools = json_array();
    f = router_totals_figures(r); // one of the open requests is this
    for (struct router_pool *p = router_pools_first(r->pools); p; p = p->next)
        json_array_append_new(pools, pool_json(p));
    router_identity(&r->config, name);
    h1_exchange_header(&x->h1, "Cache-Control", "no-store");
    router_json(x, 200,
                json_pack("{s:s,s:I,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:s,s:o,s:o,s:o}", "version",
                          KVROUTE_VERSION, "uptime_ms",
                          (json_int_t)((kvr_clock_us() - r->since_us) / 1000), "draining",
                          r->draining, "connections", (json_int_t)f.connections, "requests",
                          (json_int_t)f.open - 1, "requests_total", (json_int_t)f.requests,
                          "selects_total", (json_int_t)f.selects, "degraded_total",
                          (json_int_t)f.degraded, "retries_total", (json_int_t)f.retries, "pools",
                          pools, "name", name, "problems", router_problems(r), "checked",
                          router_problems_checked(r), "minutes", minutes_json(r)));
}

void router_healthz(struct router_exchange *x) {
    h1_exchange_send(&x->h1, 200, "text/plain", "ok\n", 3);
}

// Not ready: a router that is draining, or knows of no worker, or hasn't asked its engines yet what they serve: the
// first to answer would get all requests. A degraded one is ready: requests go on. So is one without workers whose
// requests may wait for some: a pool that begins with no instance gets its first when somebody waits.
void router_readyz(struct router_exchange *x) {
    struct router *r = x->router;
    json_t *pools = json_array();
    bool degraded = false, blind = false, may_wait = router_service_may_wait(&r->config);
    for (const struct router_pool *p = router_pools_first(r->pools); p; p = p->next) {
        const char *why = router_pool_trouble(p);
        degraded |= why != NULL;
        blind |= !p->n_workers && !(may_wait && p->has_queue);
        json_array_append_new(pools, json_pack("{s:s,s:b,s:I,s:s*}", "pool", p->options.name,
                                               "redis", !router_pool_degraded(p), "workers",
                                               (json_int_t)p->n_workers, "why", why));
    }
    bool has_asked = router_has_asked(r);
    const char *status = r->draining  ? "draining"
                         : blind      ? "no workers"
                         : !has_asked ? "starting"
                         : degraded   ? "degraded"
                                      : "ready";
    router_json(x, r->draining || blind || !has_asked ? 503 : 200,
                json_pack("{s:s,s:o}", "status", status, "pools", pools));
}

void router_page(struct router_exchange *x) {
    h1_exchange_header(&x->h1, "Cache-Control", "no-cache");
    h1_exchange_header(&x->h1, "Content-Security-Policy",
                       "default-src 'none'; script-src 'unsafe-inline'; style-src "
                       "'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
                       "form-action 'none'; frame-ancestors 'none'");
    h1_exchange_header(&x->h1, "X-Content-Type-Options", "nosniff");
    h1_exchange_send(&x->h1, 200, "text/html; charset=utf-8", router_page_html,
                     router_page_html_size);
}
