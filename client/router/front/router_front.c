// SPDX-License-Identifier: Apache-2.0
#include "router_front.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/common/clock.h"
#include "client/common/hex.h"
#include "client/common/random.h"
#include "client/router/api/router_admit.h"
#include "client/router/api/router_advice.h"
#include "client/router/api/router_advice_body.h"
#include "client/router/api/router_queue_list.h"
#include "client/router/api/router_register.h"
#include "client/router/api/router_workers.h"
#include "client/router/pools/router_pools.h"
#include "client/router/proxy/router_models.h"
#include "client/router/proxy/router_proxy.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "client/router/router_metrics.h"
#include "client/router/router_slots.h"
#include "client/router/trace/router_trace.h"
#include "router_access.h"
#include "router_bearer.h"
#include "router_cors.h"
#include "router_metrics_page.h"
#include "router_origin.h"
#include "router_pass.h"
#include "router_score.h"
#include "router_status.h"

struct router_front {
    struct router *router;
    struct router_bearer *bearer;
    bool for_operators; // there is an admin_listen, or a socket for it was given
    uint64_t random[2]; // for ids
};

// ---- Routes --------------------------------------------------------------------------------------

#define EITHER (ROUTER_FRONTEND | ROUTER_OPERATOR)
#define ANYTIME (ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING)
const struct router_route router_routes[] = {
    {"/kvroute/select", H1_POST, router_advice, ROUTER_ADVICE_SELECT, "select", ROUTER_FRONTEND, 0},
    {"/kvroute/update", H1_POST, router_advice, ROUTER_ADVICE_UPDATE, "update", ROUTER_FRONTEND, 0},
    {"/kvroute/release", H1_POST, router_advice, ROUTER_ADVICE_RELEASE, "release", ROUTER_FRONTEND,
     0},
    {"/kvroute/score", H1_POST, router_advice, ROUTER_ADVICE_SCORE, "score", ROUTER_FRONTEND, 0},
    {"/kvroute/report", H1_POST, router_advice, ROUTER_ADVICE_REPORT, "report", ROUTER_OPERATOR,
     ROUTER_ROUTE_ADMIN},
    {"/kvroute/workers", H1_GET, router_workers_list, 0, "workers", EITHER, ROUTER_ROUTE_BOTH},
    {"/kvroute/workers", H1_POST, router_register, 0, "register", ROUTER_OPERATOR,
     ROUTER_ROUTE_ADMIN},
    {"/kvroute/workers/{name}", H1_DELETE, router_remove, 0, "remove", ROUTER_OPERATOR,
     ROUTER_ROUTE_ADMIN},
    {"/kvroute/status", H1_GET, router_status, 0, "status", ROUTER_OPERATOR,
     ROUTER_ROUTE_DRAINING | ROUTER_ROUTE_ADMIN},
    {"/v1/select", H1_POST, router_advice, ROUTER_ADVICE_SELECT, "select", ROUTER_FRONTEND, 0},
    {"/v1/update", H1_POST, router_advice, ROUTER_ADVICE_UPDATE, "update", ROUTER_FRONTEND, 0},
    {"/v1/release", H1_POST, router_advice, ROUTER_ADVICE_RELEASE, "release", ROUTER_FRONTEND, 0},
    {"/v1/report", H1_POST, router_advice, ROUTER_ADVICE_REPORT, "report", ROUTER_OPERATOR,
     ROUTER_ROUTE_ADMIN},
    {"/v1/workers", H1_GET, router_workers_list, 0, "workers", EITHER, ROUTER_ROUTE_BOTH},
    {"/v1/status", H1_GET, router_status, 0, "status", ROUTER_OPERATOR,
     ROUTER_ROUTE_DRAINING | ROUTER_ROUTE_ADMIN},
    {"/kvroute/admit", H1_POST, router_admit, 0, "admit", ROUTER_USER | ROUTER_FRONTEND, 0},
    {"/kvroute/queue", H1_GET, router_queue_list, 0, "queue", EITHER, ROUTER_ROUTE_BOTH},
    {"/", H1_GET, router_page, 0, "page", 0, ANYTIME | ROUTER_ROUTE_ADMIN},
    {"/healthz", H1_GET, router_healthz, 0, "healthz", 0, ANYTIME | ROUTER_ROUTE_BOTH},
    {"/health", H1_GET, router_healthz, 0, "healthz", 0, ANYTIME | ROUTER_ROUTE_BOTH},
    {"/readyz", H1_GET, router_readyz, 0, "readyz", 0, ANYTIME | ROUTER_ROUTE_BOTH},
    {"/metrics", H1_GET, router_metrics_page, 0, "metrics", ROUTER_OPERATOR,
     ROUTER_ROUTE_DRAINING | ROUTER_ROUTE_ADMIN},
    {"/v1/models", H1_GET, router_models_list, 0, "models", ROUTER_USER, 0},
    {"/v1/models/{name}", H1_GET, router_models_list, 0, "models", ROUTER_USER, 0},
    {"/v1/chat/completions", H1_POST, router_proxy_handle, ROUTER_PROMPT_CHAT, "chat", ROUTER_USER,
     0},
    {"/v1/completions", H1_POST, router_proxy_handle, ROUTER_PROMPT_COMPLETION, "completions",
     ROUTER_USER, 0},
    {"/v1/embeddings", H1_POST, router_proxy_handle, ROUTER_PROMPT_EMBEDDING, "embeddings",
     ROUTER_USER, 0},
    {"/v1/chat/completions/batch", H1_POST, router_proxy_handle, ROUTER_PROMPT_BATCH, "batch",
     ROUTER_USER, 0},
    {"/v1/responses", H1_POST, router_proxy_handle, ROUTER_PROMPT_RESPONSES, "responses",
     ROUTER_USER, 0},
    {"/v1/responses/{id}", H1_GET | H1_DELETE, router_proxy_handle, ROUTER_PROMPT_STORED,
     "response", ROUTER_USER, 0},
    {"/v1/responses/{id}/cancel", H1_POST, router_proxy_handle, ROUTER_PROMPT_STORED, "response",
     ROUTER_USER, 0},
    {"/v1/messages", H1_POST, router_proxy_handle, ROUTER_PROMPT_MESSAGES, "messages", ROUTER_USER,
     0},
    {"/v1/messages/count_tokens", H1_POST, router_proxy_handle, ROUTER_PROMPT_QUESTION,
     "count_tokens", ROUTER_USER, 0},
    {"/generate", H1_POST, router_proxy_handle, ROUTER_PROMPT_GENERATE, "generate", ROUTER_USER, 0},
    {"/v1/rerank", H1_POST, router_proxy_handle, ROUTER_PROMPT_RERANK, "rerank", ROUTER_USER, 0},
    {"/v2/rerank", H1_POST, router_proxy_handle, ROUTER_PROMPT_RERANK, "rerank", ROUTER_USER, 0},
    {"/rerank", H1_POST, router_proxy_handle, ROUTER_PROMPT_RERANK, "rerank", ROUTER_USER, 0},
    {"/score", H1_POST, router_proxy_handle, ROUTER_PROMPT_SCORE, "score", ROUTER_USER, 0},
    {"/v1/classify", H1_POST, router_proxy_handle, ROUTER_PROMPT_POOLING, "classify", ROUTER_USER,
     0},
    {"/classify", H1_POST, router_proxy_handle, ROUTER_PROMPT_POOLING, "classify", ROUTER_USER, 0},
    {"/pooling", H1_POST, router_proxy_handle, ROUTER_PROMPT_POOLING, "pooling", ROUTER_USER, 0},
    {"/v2/embed", H1_POST, router_proxy_handle, ROUTER_PROMPT_POOLING, "embed", ROUTER_USER, 0},
    {"/tokenize", H1_POST, router_proxy_handle, ROUTER_PROMPT_QUESTION, "tokenize", ROUTER_USER, 0},
    {"/detokenize", H1_POST, router_proxy_handle, ROUTER_PROMPT_QUESTION, "detokenize", ROUTER_USER,
     0},
    {"/v1/audio/transcriptions", H1_POST, router_proxy_handle, ROUTER_PROMPT_FORM, "transcriptions",
     ROUTER_USER, ROUTER_ROUTE_ANY_TYPE},
    {"/v1/audio/translations", H1_POST, router_proxy_handle, ROUTER_PROMPT_FORM, "translations",
     ROUTER_USER, ROUTER_ROUTE_ANY_TYPE},
    {"/ping", H1_GET, router_proxy_handle, ROUTER_PROMPT_QUESTION, "ping", ROUTER_USER, 0},
    {"/version", H1_GET, router_proxy_handle, ROUTER_PROMPT_QUESTION, "version", ROUTER_USER, 0},
    {"/v1/score", H1_POST, router_score, ROUTER_PROMPT_SCORE, "score",
     ROUTER_USER | ROUTER_FRONTEND, 0},
    {NULL, 0, NULL, 0, NULL, 0, 0},
};
#undef EITHER
#undef ANYTIME

static const struct router_route pass_route = {
    "*", ~0U, router_proxy_handle, ROUTER_PROMPT_PASS, "pass", ROUTER_USER, ROUTER_ROUTE_ANY_TYPE};
// What machines ask for all the time, and what is for operators.
enum { UNTRACED = ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING | ROUTER_ROUTE_ADMIN };

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
    c->blocks = c->overlap = c->expected = c->input = c->output = c->cached = -1;
    c->first_us = c->booked_us = c->predicted_us = c->waited = -1;
    set_id(f, x);
}

// "{id}" in a route's path stands for anything that isn't empty and has no slash, "{name}" at its end for
// anything that isn't empty.
static bool is_path(const char *route, const char *path) {
    size_t same = 0;
    while (route[same] && route[same] != '{' && route[same] == path[same])
        same++;
    const char *rest = route + same;
    if (!*rest) return !path[same];
    if (*rest != '{') return false; // so of almost all
    if (!strcmp(rest, "{name}")) return path[same];
    size_t n = strcspn(path + same, "/");
    // It goes to an engine as it is.
    return n && !strncmp(rest, "{id}", 4) && !strcmp(rest + 4, path + same + n) &&
           !router_pass_is_ambiguous(path);
}

// *allowed: of enum h1_method, where there is one for other methods only.
static const struct router_route *find_route(const struct router_front *f, const struct h1_head *h,
                                             unsigned *allowed) {
    *allowed = 0;
    for (const struct router_route *t = router_routes; t->path; t++) {
        if (!is_path(t->path, h->path)) continue;
        if (t->methods & h->method || (h->method == H1_HEAD && t->methods & H1_GET)) return t;
        *allowed |= t->methods;
    }
    bool passes = !*allowed && router_pass_admits(f->router->config.pass, h->path);
    return passes ? &pass_route : NULL;
}

static void say_methods(struct h1_exchange *h1, unsigned methods) {
    char text[40] = "";
    snprintf(text, sizeof text, "%s%s%s", methods & H1_GET ? ", GET, HEAD" : "",
             methods & H1_POST ? ", POST" : "", methods & H1_DELETE ? ", DELETE" : "");
    h1_exchange_header(h1, "Allow", text + 2);
}

static void call_handler(struct h1_exchange *h1) {
    struct router_exchange *x = router_exchange(h1);
    x->route->handle(x);
}

// Whether it is to be found where the request came in.
static bool is_here(const struct router_front *f, const struct router_exchange *x) {
    if (!x->route || !f->for_operators || x->route->flags & ROUTER_ROUTE_BOTH) return x->route;
    return !(x->route->flags & ROUTER_ROUTE_ADMIN) == !x->h1.admin;
}

// Who asks: by his token, or, where none is needed, by where he comes from.
static struct router_refusal check_sender(const struct router_front *f, struct router_exchange *x) {
    static const struct router_refusal none = {0, NULL, NULL};
    const struct h1_head *h = &x->h1.head;
    if (x->route && x->route->flags & ROUTER_ROUTE_OPEN) return none;
    if (router_bearer_is_open(f->bearer))
        return router_origin_check(&x->h1, f->router->config.hosts,
                                   router_cors_admits(f->router, &x->h1));
    struct router_tenant *tenant;
    const char *given = h1_find_header(h, "authorization"), *key = h1_find_header(h, "x-api-key");
    unsigned classes = given || !key ? router_bearer_classes(f->bearer, given, &tenant)
                                     : router_bearer_key_classes(f->bearer, key, &tenant);
    x->tenant = router_tenant_take(tenant);
    x->may = classes;
    if (!classes)
        return (struct router_refusal){401, "UNAUTHORIZED",
                                       !given && !key
                                           ? "a token is needed: Authorization: Bearer TOKEN, or "
                                             "X-Api-Key: TOKEN"
                                           : "this isn't a token of this router's"};
    if (!x->route || x->route->may & classes) return none;
    return (struct router_refusal){403, "FORBIDDEN", router_bearer_lacks(x->route->may)};
}

static struct router_refusal check(const struct router_front *f, struct router_exchange *x) {
    const struct h1_exchange *h1 = &x->h1;
    struct router_refusal r = check_sender(f, x);
    if (r.code) return r;
    if (!is_here(f, x))
        return (struct router_refusal){404, "NOTFOUND",
                                       "no such path: those of OpenAI's and Anthropic's APIs begin "
                                       "with /v1, once, the router's own with /kvroute"};
    if (h1->head.method == H1_POST && router_bearer_is_open(f->bearer) &&
        !(x->route->flags & ROUTER_ROUTE_ANY_TYPE))
        r = router_origin_check_type(&h1->head, x->route->may & ROUTER_USER);
    if (!r.code && !h1->exempt && f->router->draining)
        r = (struct router_refusal){503, "DRAINING", "this router is leaving"};
    return r;
}

static h1_handler *on_route(struct h1_exchange *h1) {
    struct router_exchange *x = router_exchange(h1);
    const struct router_front *f = h1->ctx;
    unsigned allowed;
    x->route = find_route(f, &h1->head, &allowed);
    h1->exempt = x->route && x->route->flags & ROUTER_ROUTE_DRAINING;
    // Who wants h2c, or TLS, is as well served without. A client that opens a WebSocket can do nothing with an answer.
    if (h1_wants_upgrade(&h1->head, "websocket")) {
        h1_exchange_refuse(h1, 501, "UPGRADE",
                           "no WebSocket is spoken here; streams are server-sent events");
        return NULL;
    }
    h1_handler *preflight = router_cors_route(f->router, h1);
    if (preflight) return preflight;
    if (x->route && !(x->route->flags & UNTRACED)) router_trace_begin(x);
    if (!x->route && allowed) {
        say_methods(h1, allowed);
        h1_exchange_refuse(h1, 405, "METHOD",
                           "not with this method: the header Allow has those of this path");
        return NULL;
    }
    struct router_refusal r = check(f, x);
    if (!r.code) return call_handler;
    if (r.status == 401) h1_exchange_header(h1, "WWW-Authenticate", "Bearer");
    h1_exchange_refuse(h1, r.status, r.code, r.message);
    return NULL;
}

static void on_error(struct h1_exchange *h1, int status, const char *code, const char *message) {
    router_error(router_exchange(h1), status, code, message);
}

static void on_done(struct h1_exchange *h1) {
    struct router_exchange *x = router_exchange(h1);
    router_metrics_exchange(x->router->metrics, x, x->route ? x->route->name : NULL);
    router_access_done(x->router, x);
    router_trace_end(x);
    router_pools_give_back(x);
    router_tenant_give_back(x->tenant);
    free(x->service);
}

// ---- Coming and going ----------------------------------------------------------------------------

// As router_error would say it to a request.
static const char full[] =
    "{\"error\":{\"message\":\"too many connections\",\"type\":\"server_error\",\"param\":null,"
    "\"code\":\"OVERLOAD\"}}";

static bool on_count(void *ctx, size_t connections) {
    const struct router *r = ((const struct router_front *)ctx)->router;
    return router_slots_yields(r->slots, r->process, connections);
}

static struct h1_server_options options_of(struct router_front *f) {
    const struct router_config *c = &f->router->config;
    bool one = !f->router->slots; // one of several has its parent's sockets, and no others
    return (struct h1_server_options){
        .base = f->router->base,
        .listen = one ? c->listen : NULL,
        .tls_listen = one ? c->tls_listen : NULL,
        .admin_listen = one ? c->admin_listen : NULL,
        .tls_cert = c->tls_cert,
        .tls_key = c->tls_key,
        .reuse_port = c->reuse_port,
        .sockets = f->router->inherited,
        .n_sockets = f->router->n_inherited,
        .hold = f->router->hold,
        .yields = one ? NULL : on_count,
        .max_connections = f->router->files.clients,
        .max_requests = c->max_requests,
        .retry_after = c->retry_after,
        .full = full,
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

struct router_front *router_front_new(struct router *r, char *error, size_t error_size) {
    struct router_front *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->router = r;
    if (getrandom(f->random, sizeof f->random, 0) != sizeof f->random)
        f->random[0] = (uint64_t)kvr_clock_us() ^ (uint64_t)(uintptr_t)f;
    struct h1_server_options o = options_of(f);
    f->bearer = router_bearer_read(r->config.token_file, error, error_size);
    r->server = f->bearer ? h1_server_new(&o, error, error_size) : NULL;
    struct h1_socket places[H1_MAX_LISTENERS];
    for (size_t n = r->server ? h1_server_sockets(r->server, places) : 0; n--;)
        f->for_operators |= places[n].place == H1_PLACE_ADMIN;
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
