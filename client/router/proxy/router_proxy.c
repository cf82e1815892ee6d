// SPDX-License-Identifier: Apache-2.0
// The proxy's handlers, with the states READ, ABANDONED and DONE, and its timer. See router_proxy.h.
#include "router_proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/http1/h1_client.h"
#include "client/router/pools/router_checks.h"
#include "client/router/pools/router_served.h"
#include "client/router/prompt/router_form.h"
#include "client/router/prompt/router_hints.h"
#include "client/router/prompt/router_loose_json.h"
#include "client/router/prompt/router_service.h"
#include "client/router/router_metrics.h"
#include "client/router/router_reading.h"
#include "connectors/router_connector.h"
#include "router_attempt.h"
#include "router_booking.h"
#include "router_choice.h"
#include "router_engine_failure.h"
#include "router_headers.h"
#include "router_migration.h"
#include "router_outgoing.h"
#include "router_prefill.h"
#include "router_request.h"
#include "router_request_spans.h"
#include "router_stored.h"
#include "router_tokenize.h"

enum {
    PROXY_TICK_MS = 250,
    PROXY_MAX_MODEL = 1024, // bytes, as in the advice
};

// ---- ABANDONED and DONE: all that a request has is freed here, and nowhere else ------------------

// All but the request itself: the pool's answer is still to come.
static void enter_abandoned(struct router_request *r) {
    h1_call_cancel(r->call);
    r->call = NULL;
    router_waiter_leave(&r->waiter);
    if (r->x) router_prefill_end(r);
    router_booking_release(r);
    router_tokenize_leave(r);
    router_request_forget_body(r);
    router_stream_free(&r->stream);
    router_kept_free(r->kept);
    r->kept = NULL;
    router_outgoing_drop(r);
    router_request_forget_choice(r);
    router_spans_free(r);
    r->x = NULL;
}

static void enter_done(struct router_request *r) {
    enter_abandoned(r);
    kvr_list_remove(&r->link);
    free(r);
}

// What is done on entering a state.
static void (*const enter[ROUTER_STATES])(struct router_request *r) = {
    [ROUTER_TOKENIZE] = router_tokenize_enter, [ROUTER_FIND] = router_stored_enter,
    [ROUTER_CHOOSE] = router_choice_enter,     [ROUTER_PREFILL] = router_prefill_enter,
    [ROUTER_SEND] = router_attempt_enter,      [ROUTER_RELAY] = router_attempt_relay,
    [ROUTER_ABANDONED] = enter_abandoned,      [ROUTER_DONE] = enter_done,
};

// ---- READ ----------------------------------------------------------------------------------------

static void on_gone(struct h1_exchange *x) {
    struct router_request *r = x->arg;
    if (r->call && r->worker.n) router_attempt_count(r, ROUTER_ENGINE_CANCELLED);
    router_choice_left(r);
    bool asking = (r->state == ROUTER_CHOOSE && !r->rest_us) || r->state == ROUTER_FIND;
    router_request_move(r, asking ? ROUTER_ABANDONED : ROUTER_DONE);
}

// The body, on its way to what the choice needs of it.
struct proxy_reading {
    struct router_reading reading; // first
    enum router_prompt_kind kind;
    json_t *json;  // the body; at last what an answer to /tokenize is read with
    char why[100]; // it is none
    struct router_pool *pool;
    char *model;                                 // NULL: none is named
    struct router_prompt_config config;          // a copy
    bool askable;                                // for tokens
    bool good;                                   // there was memory
    bool plain;                                  // turns of nothing but text
    bool stores;                                 // an engine may keep the answer
    char boundary[ROUTER_FORM_MAX_BOUNDARY + 1]; // of the form's parts
    char *refers;                                // the response that it names; NULL: none
    bool splits;                                 // two engines may share it
    bool editable;                               // something of the body may have to be changed
    struct router_members members;               // then, where it can be
    struct router_prompt prompt;
    struct router_protection protection;
    struct evbuffer *question; // to /tokenize
    char session[KVR_MAX_ID];
    size_t session_size;
};

static void drop_reading(struct router_reading *reading) {
    struct proxy_reading *q = (struct proxy_reading *)reading;
    json_decref(q->json);
    free(q->model);
    free(q->refers);
    router_prompt_free(&q->prompt);
    router_members_free(&q->members);
    router_protection_free(&q->protection);
    if (q->question) evbuffer_free(q->question);
    router_prompt_config_free(&q->config);
}

// What the reading has found is the request's. False: no memory.
static bool take_reading(struct router_request *r, struct proxy_reading *q) {
    int64_t osl = router_hints_osl(&r->x->h1.head);
    r->prompt = q->prompt;
    q->prompt = (struct router_prompt){0};
    r->json = q->json;
    q->json = NULL;
    r->members = q->members;
    q->members = (struct router_members){.all = NULL};
    r->question = q->question;
    q->question = NULL;
    r->plain = q->plain;
    r->stores = q->stores;
    r->refers = q->refers;
    q->refers = NULL;
    r->splits = q->splits && r->members.close;
    r->model = q->model;
    q->model = NULL;
    if (r->model) r->lora = router_served_adapter(r->pool, r->model);
    if (osl) r->prompt.osl = osl;
    if (!router_migration_begin(r, &q->protection)) return false;
    if (!(r->headers = router_headers_for_engine(r->x, &r->headers_size))) return false;
    r->session_size = q->session_size;
    if (!q->session_size) return true;
    if (!(r->session = malloc(q->session_size))) return false;
    memcpy(r->session, q->session, q->session_size);
    return true;
}

static void begin(struct router_reading *reading) {
    struct proxy_reading *q = (struct proxy_reading *)reading;
    struct router_exchange *x = reading->x;
    struct router_proxy *p = x->router->proxy;
    const struct router_config *o = &p->router->config;
    struct router_request *r = q->good ? router_request_new(p, x, q->pool, q->kind) : NULL;
    bool good = r && take_reading(r, q);
    router_reading_drop(reading);
    if (!r) {
        router_error(x, 503, "NOMEM", "no memory");
        return;
    }
    x->h1.arg = r;
    x->h1.on_gone = on_gone;
    router_spans_begin(r);
    p->budget = router_retry_budget(p->budget, o->retry_percent, o->retry_burst);
    if (!good) {
        router_request_refuse(r, 503, "NOMEM", "no memory");
        return;
    }
    x->record.stream = r->prompt.stream;
    if (r->refers)
        router_request_find(r);
    else if (r->question && router_tokenize_can(p, r->pool, r->model))
        router_request_move(r, ROUTER_TOKENIZE);
    else
        router_request_blocks_known(r);
}

static void refuse_model(struct router_reading *reading) {
    struct router_exchange *x = reading->x;
    char models[1000], message[ROUTER_READING_MESSAGE];
    router_checks_hurry(x->router->proxy->checks);
    router_pools_models(x->router->pools, models, sizeof models);
    snprintf(message, sizeof message, "no pool serves this model%s%s",
             *models ? "; there are: " : "", models);
    router_reading_refuse(reading, 404, "NOPOOL", message);
}

// Parsed, a body is many times as large as it came: what is kept while an engine is asked for its tokens is
// the question and what matters for the answer.
static void read_blocks(struct router_reading *reading) {
    struct proxy_reading *q = (struct proxy_reading *)reading;
    q->good = router_prompt_read(&q->prompt, q->kind, q->json, &q->config);
    json_t *rest = NULL;
    q->splits = q->splits && router_connector_fits(q->kind, q->json);
    if (q->good && q->prompt.tokenize && q->askable) {
        q->question = router_prompt_tokenize_request(q->kind, q->json);
        rest = router_prompt_tokenize_rest(q->json);
        q->plain = router_prompt_is_plain(q->kind, q->json);
        q->good = q->question && rest;
    }
    if (q->editable) router_protection_read(&q->protection, q->kind, q->json, &q->config);
    json_decref(q->json);
    q->json = rest;
    const char *text = q->editable ? (const char *)evbuffer_pullup(reading->body, -1) : NULL;
    if (text) router_members_read(&q->members, text, evbuffer_get_length(reading->body));
}

// The adapter's own path stands for it where no model is named.
static const json_t *model_of(const struct proxy_reading *q) {
    const json_t *named = json_object_get(q->json, "model");
    return named || q->kind != ROUTER_PROMPT_GENERATE ? named
                                                      : json_object_get(q->json, "lora_path");
}

// What isn't meant for one model's engines goes to those of any.
static struct router_pool *pool_for(const struct proxy_reading *q, const char *model) {
    const struct router_pools *all = q->reading.x->router->pools;
    struct router_pool *p = router_pools_for(all, model);
    bool any = router_prompt_traits[q->kind].body == ROUTER_BODY_ANY && !model;
    return p || !any ? p : router_pools_first(all);
}

static bool find_pool(struct proxy_reading *q, const char *model) {
    if ((q->pool = pool_for(q, model))) return true;
    if (model)
        refuse_model(&q->reading);
    else
        router_reading_refuse(&q->reading, 400, "BADREQUEST",
                              "there are several pools: name a model");
    return false;
}

static bool find_service(struct proxy_reading *q) {
    struct router_exchange *x = q->reading.x;
    const struct router_config *o = &x->router->config;
    struct router_service_said said = router_service_read(o, &x->h1.head, q->json);
    return router_service_find(o, x->tenant, &said, &x->service);
}

// Of the body, with what the pool and the settings say. False: no memory.
static bool take_parsed(struct proxy_reading *q, const char *model) {
    struct router_exchange *x = q->reading.x;
    const struct router_config *o = &x->router->config;
    const struct router_prompt_traits *traits = &router_prompt_traits[q->kind];
    struct router_prompt_config config = router_pool_prompt_config(q->pool);
    q->refers = router_stored_id(q->kind, x->h1.head.path, q->json);
    q->stores =
        q->kind == ROUTER_PROMPT_RESPONSES && !json_is_false(json_object_get(q->json, "store"));
    q->askable = router_tokenize_can(x->router->proxy, q->pool, model);
    q->session_size =
        router_hints_session(o, &x->h1.head, traits->has_turns ? q->json : NULL, q->session);
    q->splits = traits->goes_on && q->pool->options.connector != ROUTER_CONNECTOR_NONE;
    q->editable = q->splits || (traits->goes_on && o->migrate &&
                                json_is_true(json_object_get(q->json, "stream")));
    if (model) config.lora = router_served_adapter(q->pool, model);
    return router_prompt_config_copy(&q->config, &config) && (!model || (q->model = strdup(model)));
}

static void parsed(struct router_reading *reading) {
    struct proxy_reading *q = (struct proxy_reading *)reading;
    struct router_exchange *x = reading->x;
    if (!q->json) {
        router_reading_refuse(reading, 400, "BADREQUEST", q->why);
        return;
    }
    const json_t *named = model_of(q);
    const char *model = json_string_value(named);
    if (json_string_length(named) > PROXY_MAX_MODEL) { // it is looked for in every engine's list
        router_reading_refuse(reading, 400, "BADREQUEST", "model is a text of at most 1024 bytes");
        return;
    }
    snprintf(x->record.model, sizeof x->record.model, "%s", model ? model : "");
    router_spans_asked(x, q->json);
    if (!find_pool(q, model)) return;
    router_pools_take(x, q->pool);
    if (find_service(q) && take_parsed(q, model))
        router_reading_again(reading, read_blocks, begin);
    else
        router_reading_refuse(reading, 503, "NOMEM", "no memory");
}

// A body that may be anything says which model it is for only if it is an object.
static json_t *parse_any(struct proxy_reading *q) {
    struct evbuffer *body = q->reading.body;
    size_t n = evbuffer_get_length(body);
    const char *text = n ? (const char *)evbuffer_pullup(body, -1) : NULL;
    json_t *json = NULL;
    if (text && *q->boundary) return router_form_read(text, n, q->boundary);
    if (text && *text == '{') json = router_loose_json_parse(body, q->why, sizeof q->why);
    return json ? json : json_object();
}

static void parse(struct router_reading *reading) {
    struct proxy_reading *q = (struct proxy_reading *)reading;
    snprintf(q->why, sizeof q->why, "no memory");
    q->json = router_prompt_traits[q->kind].body == ROUTER_BODY_JSON
                  ? router_loose_json_parse(reading->body, q->why, sizeof q->why)
                  : parse_any(q);
}

void router_proxy_handle(struct router_exchange *x) {
    const struct h1_head *h = &x->h1.head;
    if (strlen(h->path) + (h->query ? strlen(h->query) : 0) > ROUTER_MAX_TARGET) {
        router_error(x, 414, "TOOLARGE", "the target is too long");
        return;
    }
    struct proxy_reading *q = calloc(1, sizeof *q);
    if (q) q->kind = (enum router_prompt_kind)x->route->kind;
    bool form = q && router_form_boundary(h1_find_header(h, "content-type"), q->boundary);
    if (q && router_prompt_traits[q->kind].body == ROUTER_BODY_FORM && !form) {
        free(q);
        router_error(x, 400, "BADREQUEST", "the body is to be multipart/form-data with a boundary");
        return;
    }
    router_reading_start(q ? &q->reading : NULL, x, parse, parsed, drop_reading);
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
        if (r->state == ROUTER_RELAY)
            router_attempt_watch_stream(r, now);
        else if (r->state == ROUTER_PREFILL || r->state == ROUTER_SEND || r->state == ROUTER_HEAD)
            router_attempt_watch(r, now);
        else if (r->state == ROUTER_CHOOSE)
            router_choice_again(r, now);
    }
    for (struct kvr_list_item *i = all->next; i != all; i = i->next)
        router_booking_renew((struct router_request *)i, now);
}

struct router_proxy *router_proxy_new(struct router *r) {
    static const struct timeval every = {PROXY_TICK_MS / 1000, PROXY_TICK_MS % 1000 * 1000};
    struct router_proxy *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->router = r;
    p->enter = enter;
    p->prefill_failed = router_attempt_prefill_failed;
    p->budget = r->config.retry_burst;
    kvr_list_init(&p->requests);
    evutil_secure_rng_get_bytes(&p->random, sizeof p->random);
    p->circuits = router_circuits_new(r);
    p->checks = p->circuits ? router_checks_new(r, p->circuits) : NULL;
    p->tick = event_new(r->base, -1, EV_PERSIST, on_tick, p);
    p->out = evbuffer_new();
    p->taken = evbuffer_new();
    if (p->checks && p->tick && p->out && p->taken && !event_add(p->tick, &every)) return p;
    router_proxy_free(p);
    return NULL;
}

const struct router_circuits *router_proxy_circuits(const struct router_proxy *p) {
    return p->circuits;
}

const struct router_kept_total *router_proxy_kept(const struct router_proxy *p) {
    return &p->kept;
}

void router_proxy_free(struct router_proxy *p) {
    if (!p) return;
    router_checks_free(p->checks);
    router_circuits_free(p->circuits);
    if (p->tick) event_free(p->tick);
    if (p->out) evbuffer_free(p->out);
    if (p->taken) evbuffer_free(p->taken);
    free(p);
}
