// SPDX-License-Identifier: Apache-2.0
#include "router_front.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "client/common/clock.h"
#include "client/common/hex.h"
#include "client/common/random.h"
#include "client/router/api/router_advice.h"
#include "client/router/api/router_advice_body.h"
#include "client/router/api/router_workers.h"
#include "client/router/pools/router_pools.h"
#include "client/router/proxy/router_models.h"
#include "client/router/proxy/router_proxy.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "client/router/router_metrics.h"
#include "router_access.h"
#include "router_bearer.h"
#include "router_metrics_page.h"
#include "router_status.h"

struct router_front {
    struct router *router;
    struct router_bearer *bearer;
    uint64_t random[2]; // for ids
};

// ---- Routes ------------------------------------------------------------------------------------

const struct router_route router_routes[] = {
    {"/v1/select", H1_POST, router_advice, ROUTER_ADVICE_SELECT, "select", 0},
    {"/v1/update", H1_POST, router_advice, ROUTER_ADVICE_UPDATE, "update", 0},
    {"/v1/release", H1_POST, router_advice, ROUTER_ADVICE_RELEASE, "release", 0},
    {"/v1/score", H1_POST, router_advice, ROUTER_ADVICE_SCORE, "score", 0},
    {"/v1/report", H1_POST, router_advice, ROUTER_ADVICE_REPORT, "report", 0},
    {"/v1/workers", H1_GET, router_workers_list, 0, "workers", 0},
    {"/v1/status", H1_GET, router_status, 0, "status", ROUTER_ROUTE_DRAINING},
    {"/", H1_GET, router_page, 0, "page", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/healthz", H1_GET, router_healthz, 0, "healthz", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/health", H1_GET, router_healthz, 0, "healthz", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/readyz", H1_GET, router_readyz, 0, "readyz", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/metrics", H1_GET, router_metrics_page, 0, "metrics", ROUTER_ROUTE_DRAINING},
    {"/v1/chat/completions", H1_POST, router_proxy_handle, ROUTER_PROMPT_CHAT, "chat", 0},
    {"/v1/completions", H1_POST, router_proxy_handle, ROUTER_PROMPT_COMPLETION, "completions", 0},
    {"/v1/embeddings", H1_POST, router_proxy_handle, ROUTER_PROMPT_EMBEDDING, "embeddings", 0},
    {"/v1/models", H1_GET, router_models_list, 0, "models", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

// ---- Ids -----------------------------------------------------------------------------------------

static bool is_fit_for_id(const char *s) {
    size_t n = 0;
    while (s[n] > ' ' && s[n] < 127 && n <= ROUTER_MAX_REQUEST_ID)
        n++;
    return n && n <= ROUTER_MAX_REQUEST_ID && !s[n];
}

static void set_id(struct router_front *f, struct router_exchange *x) {
    const char *given = h1_find_header(&x->h1.head, "x-request-id");
    char *id = x->record.id;
    if (given && is_fit_for_id(given)) {
        memcpy(id, given, strlen(given) + 1);
    } else {
        kvr_hex(id, kvr_random(&f->random[0]));
        kvr_hex(id + KVR_HEX_DIGITS, kvr_random(&f->random[1]));
        id[2 * KVR_HEX_DIGITS] = 0;
    }
    h1_exchange_header(&x->h1, "X-Request-Id", id);
}

// ---- An exchange's way ---------------------------------------------------------------------------

static void on_begin(struct h1_exchange *h1) {
    struct router_exchange *x = router_exchange(h1);
    struct router_front *f = h1->ctx;
    struct router_record *c = &x->record;
    x->router = f->router;
    c->blocks = c->overlap = c->expected = c->input = c->output = -1;
    c->first_us = c->booked_us = c->predicted_us = -1;
    set_id(f, x);
}

static const struct router_route *find_route(const struct h1_head *h, bool *other_method) {
    *other_method = false;
    for (const struct router_route *t = router_routes; t->path; t++) {
        if (strcmp(t->path, h->path) != 0) continue;
        if (t->methods & h->method || (h->method == H1_HEAD && t->methods & H1_GET)) return t;
        *other_method = true;
    }
    return NULL;
}

static void call_handler(struct h1_exchange *h1) {
    struct router_exchange *x = router_exchange(h1);
    x->route->handle(x);
}

static h1_handler *on_route(struct h1_exchange *h1) {
    struct router_exchange *x = router_exchange(h1);
    const struct router_front *f = h1->ctx;
    bool other_method;
    x->route = find_route(&h1->head, &other_method);
    h1->exempt = x->route && x->route->flags & ROUTER_ROUTE_DRAINING;
    if (!x->route && other_method) {
        h1_exchange_header(h1, "Allow", h1->head.method == H1_POST ? "GET, HEAD" : "POST");
        h1_exchange_refuse(h1, 405, "METHOD", "not with this method");
    } else if (!(x->route && x->route->flags & ROUTER_ROUTE_OPEN) &&
               !router_bearer_admits(f->bearer, h1_find_header(&h1->head, "authorization"))) {
        h1_exchange_header(h1, "WWW-Authenticate", "Bearer");
        h1_exchange_refuse(h1, 401, "UNAUTHORIZED", "a bearer token is needed");
    } else if (!x->route) {
        h1_exchange_refuse(h1, 404, "NOTFOUND", "nothing is here");
    } else if (!h1->exempt && f->router->draining) {
        h1_exchange_refuse(h1, 503, "DRAINING", "this router is leaving");
    } else {
        return call_handler;
    }
    return NULL;
}

static void on_error(struct h1_exchange *h1, int status, const char *code, const char *message) {
    router_error(router_exchange(h1), status, code, message);
}

static void on_done(struct h1_exchange *h1) {
    struct router_exchange *x = router_exchange(h1);
    router_metrics_exchange(x->router->metrics, x, x->route ? x->route->name : NULL);
    router_access_done(x->router, x);
    router_pools_give_back(x);
}

// ---- Coming and going ----------------------------------------------------------------------------

static struct h1_server_options options_of(struct router_front *f) {
    const struct router_config *c = &f->router->config;
    return (struct h1_server_options){
        .base = f->router->base,
        .listen = c->listen,
        .tls_listen = c->tls_listen,
        .tls_cert = c->tls_cert,
        .tls_key = c->tls_key,
        .reuse_port = c->reuse_port,
        .max_connections = c->max_connections,
        .max_requests = c->max_requests,
        .max_header = c->max_header,
        .max_body = c->max_body,
        .max_queued = c->max_queued,
        .header_ms = c->header_timeout,
        .body_ms = c->body_timeout,
        .idle_ms = c->idle_timeout,
        .stall_ms = c->stall_timeout,
        .ctx = f,
        .exchange_size = sizeof(struct router_exchange),
        .begin = on_begin,
        .route = on_route,
        .error = on_error,
        .done = on_done,
    };
}

// Each connection needs a descriptor, and one to an engine: whoever may have more of them gets them.
static void raise_descriptors(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

struct router_front *router_front_new(struct router *r, char *error, size_t error_size) {
    struct router_front *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->router = r;
    raise_descriptors();
    if (getrandom(f->random, sizeof f->random, 0) != sizeof f->random)
        f->random[0] = (uint64_t)kvr_clock_us() ^ (uint64_t)(uintptr_t)f;
    struct h1_server_options o = options_of(f);
    f->bearer = router_bearer_read(r->config.token_file, error, error_size);
    r->server = f->bearer ? h1_server_new(&o, error, error_size) : NULL;
    if (r->server) return f;
    router_front_free(f);
    return NULL;
}

bool router_front_reload(struct router_front *f, char *error, size_t error_size) {
    const struct router *r = f->router;
    struct h1_server_options o = options_of(f);
    struct router_bearer *fresh = router_bearer_read(r->config.token_file, error, error_size);
    if (!fresh || !h1_server_configure(r->server, &o, error, error_size)) {
        router_bearer_free(fresh);
        return false;
    }
    router_bearer_free(f->bearer);
    f->bearer = fresh;
    return true;
}

void router_front_free(struct router_front *f) {
    if (!f) return;
    h1_server_free(f->router->server);
    f->router->server = NULL;
    router_bearer_free(f->bearer);
    free(f);
}
