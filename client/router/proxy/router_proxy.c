// SPDX-License-Identifier: Apache-2.0
// The proxy's handlers, with the states READ, ABANDONED and DONE, and its timer. See router_proxy.h.
#include "router_proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/router/prompt/router_hints.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router_metrics.h"
#include "router_attempt.h"
#include "router_booking.h"
#include "router_choice.h"
#include "router_engine_failure.h"
#include "router_headers.h"
#include "router_request.h"
#include "router_tokenize.h"

enum {
    PROXY_TICK_MS = 250,
    PROXY_KEEP_MS = 4000, // less than the 5 s after which engines end an unused connection
    PROXY_KEEP_CONNECTIONS = 256,
};

// ---- ABANDONED and DONE: all that a request has is freed here, and nowhere else ------------------

// All but the request itself: the pool's answer is still to come.
static void enter_abandoned(struct router_request *r) {
    h1_call_cancel(r->call);
    r->call = NULL;
    router_booking_release(r);
    router_request_forget_body(r);
    router_prompt_free(&r->prompt);
    router_stream_free(&r->stream);
    free(r->session);
    free(r->headers);
    r->session = r->headers = NULL;
    r->x = NULL;
}

static void enter_done(struct router_request *r) {
    enter_abandoned(r);
    kvr_list_remove(&r->link);
    free(r);
}

// What is done on entering a state.
static void (*const enter[ROUTER_STATES])(struct router_request *r) = {
    [ROUTER_TOKENIZE] = router_tokenize_enter, [ROUTER_CHOOSE] = router_choice_enter,
    [ROUTER_SEND] = router_attempt_enter,      [ROUTER_RELAY] = router_attempt_relay,
    [ROUTER_ABANDONED] = enter_abandoned,      [ROUTER_DONE] = enter_done,
};

// ---- READ ----------------------------------------------------------------------------------------

static void on_gone(struct h1_exchange *x) {
    struct router_request *r = x->arg;
    if (r->call && r->worker.n) router_attempt_count(r, ROUTER_ENGINE_CANCELLED);
    router_request_move(r, r->state == ROUTER_CHOOSE ? ROUTER_ABANDONED : ROUTER_DONE);
}

// What the request says of itself besides its prompt. False: no memory.
static bool read_hints(struct router_request *r) {
    const struct h1_head *h = &r->x->h1.head;
    char session[KVR_MAX_ID];
    int64_t osl = router_hints_osl(h);
    if (osl) r->prompt.osl = osl;
    r->session_size = router_hints_session(
        &r->proxy->router->config, h, r->kind == ROUTER_PROMPT_EMBEDDING ? NULL : r->json, session);
    if (!r->session_size) return true;
    if (!(r->session = malloc(r->session_size))) return false;
    memcpy(r->session, session, r->session_size);
    return true;
}

// Takes json.
static void begin(struct router_exchange *x, struct router_pool *pool, enum router_prompt_kind kind,
                  json_t *json) {
    struct router_proxy *p = x->router->proxy;
    const struct router_config *o = &p->router->config;
    struct router_request *r = router_request_new(p, x, pool, kind);
    if (!r) {
        json_decref(json);
        router_error(x, 503, "NOMEM", "no memory");
        return;
    }
    struct router_prompt_config config = router_pool_prompt_config(pool);
    router_pools_take(x, pool);
    x->h1.arg = r;
    x->h1.on_gone = on_gone;
    r->json = json;
    p->budget = router_retry_budget(p->budget, o->retry_percent, o->retry_burst);
    if (!router_prompt_read(&r->prompt, kind, json, &config) || !read_hints(r) ||
        !(r->headers = router_headers_for_engine(x, &r->headers_size))) {
        router_request_refuse(r, 503, "NOMEM", "no memory");
        return;
    }
    x->record.stream = r->prompt.stream;
    if (r->prompt.tokenize && router_tokenize_can(r))
        router_request_move(r, ROUTER_TOKENIZE);
    else
        router_request_blocks_known(r);
}

void router_proxy_handle(struct router_exchange *x) {
    char why[100] = "";
    if (strlen(x->h1.head.path) + (x->h1.head.query ? strlen(x->h1.head.query) : 0) >
        ROUTER_MAX_TARGET) {
        router_error(x, 414, "TOOLARGE", "the target is too long");
        return;
    }
    json_t *json = router_json_parse(x->h1.body, why, sizeof why);
    if (!json) {
        router_error(x, 400, "BADREQUEST", why);
        return;
    }
    const char *model = json_string_value(json_object_get(json, "model"));
    struct router_pool *pool = router_pools_for(x->router->pools, model);
    snprintf(x->record.model, sizeof x->record.model, "%s", model ? model : "");
    if (pool) {
        begin(x, pool, (enum router_prompt_kind)x->route->kind, json);
        return;
    }
    bool named = model != NULL;
    json_decref(json);
    if (named)
        router_error(x, 404, "NOPOOL", "no pool serves this model");
    else
        router_error(x, 400, "BADREQUEST", "there are several pools: name a model");
}

// ---- All of it -----------------------------------------------------------------------------------

// Leases are renewed and outputs told from here, not with every token.
static void on_tick(evutil_socket_t fd, short what, void *ctx) {
    struct router_proxy *p = ctx;
    struct kvr_list_item *all = &p->requests;
    int64_t now = kvr_clock_us();
    (void)fd;
    (void)what;
    for (struct kvr_list_item *i = all->next, *next; i != all; i = next) {
        struct router_request *r = (struct router_request *)i;
        next = i->next;
        if (r->state == ROUTER_RELAY) router_failure_heard(r, r->piece_us);
        if (r->state == ROUTER_SEND || r->state == ROUTER_HEAD) router_attempt_watch(r, now);
    }
    for (struct kvr_list_item *i = all->next; i != all; i = i->next)
        router_booking_renew((struct router_request *)i, now);
}

static struct h1_client_options client_options_of(const struct router_config *o) {
    return (struct h1_client_options){.connect_ms = o->connect_timeout,
                                      .head_ms = o->answer_timeout,
                                      .idle_ms = o->silence_timeout,
                                      .keep_ms = PROXY_KEEP_MS,
                                      .keep_most = PROXY_KEEP_CONNECTIONS};
}

struct router_proxy *router_proxy_new(struct router *r) {
    static const struct timeval every = {PROXY_TICK_MS / 1000, PROXY_TICK_MS % 1000 * 1000};
    struct h1_client_options o = client_options_of(&r->config);
    struct router_proxy *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->router = r;
    p->enter = enter;
    p->budget = r->config.retry_burst;
    kvr_list_init(&p->requests);
    evutil_secure_rng_get_bytes(&p->random, sizeof p->random);
    p->upstream = h1_client_new(r->base, &o);
    p->circuits = p->upstream ? router_circuits_new(r, p->upstream) : NULL;
    p->tick = event_new(r->base, -1, EV_PERSIST, on_tick, p);
    p->out = evbuffer_new();
    if (p->circuits && p->tick && p->out && !event_add(p->tick, &every)) return p;
    router_proxy_free(p);
    return NULL;
}

void router_proxy_reload(struct router_proxy *p) {
    struct h1_client_options o = client_options_of(&p->router->config);
    h1_client_configure(p->upstream, &o);
}

void router_proxy_free(struct router_proxy *p) {
    if (!p) return;
    router_circuits_free(p->circuits);
    h1_client_free(p->upstream);
    if (p->tick) event_free(p->tick);
    if (p->out) evbuffer_free(p->out);
    free(p);
}
