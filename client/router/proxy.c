// SPDX-License-Identifier: Apache-2.0
// The proxy, from a request to the choice of an engine. See proxy.h.
#include "proxy_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "hints.h"
#include "owed.h"
#include "router_metrics.h"
#include "spare.h"
#include "tokens.h"

enum {
    TICK_MS = 250,
    TELL_TOKENS_MS = 5000, // the pool is told of the output as often
    TELL_ALIVE_MS = 20000, // and that a request still is one, when nothing else is said
    MOST_SUSPECTED = 32,
    MOST_SENT = 2, // a request may be what kills its engines
};

// ---- A request's life ----------------------------------------------------------------------------

static struct forwarded *forwarded_new(struct proxy *p, struct router_exchange *x,
                                       struct pool *pool, enum prompt_kind kind) {
    struct forwarded *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->proxy = p;
    f->x = x;
    f->pool = pool;
    f->kind = kind;
    f->next = p->all;
    if (f->next) f->next->prev = f;
    p->all = f;
    return f;
}

static void unlink_and_free(struct forwarded *f) {
    *(f->prev ? &f->prev->next : &f->proxy->all) = f->next;
    if (f->next) f->next->prev = f->prev;
    free(f);
}

// What was only for knowing the blocks.
static void drop_question(struct forwarded *f) {
    json_decref(f->json);
    f->json = NULL;
    if (f->question) evbuffer_free(f->question);
    if (f->told) evbuffer_free(f->told);
    f->question = f->told = NULL;
}

// What was asked of the pool is answered later, and what it then booked is released.
void forwarded_free(struct forwarded *f) {
    h1_call_cancel(f->call);
    f->call = NULL;
    proxy_release(f);
    drop_question(f);
    prompt_free(&f->prompt);
    stream_free(&f->stream);
    free(f->session);
    free(f->headers);
    f->session = f->headers = NULL;
    f->x = NULL;
    if (!f->selecting) unlink_and_free(f);
}

static void on_gone(struct h1_exchange *h1) {
    struct forwarded *f = h1->arg;
    if (f->call && f->placed && !f->counted)
        router_metrics_engine(f->x->router->metrics, f->pool, f->x->record.worker,
                              ROUTER_ENGINE_CANCELLED);
    forwarded_free(f);
}

static void answer_error(struct forwarded *f, int status, const char *code, const char *message) {
    struct router_exchange *x = f->x;
    forwarded_free(f);
    router_error(x, status, code, message);
}

// ---- The pool ------------------------------------------------------------------------------------

static void tell(struct forwarded *f, bool prefilled, int64_t tokens) {
    struct kvr_update_call call = {
        .request = {f->id, f->id_size}, .prefilled = prefilled, .output = tokens > 0 ? tokens : 0};
    f->told_us = kvr_clock_us();
    f->told_tokens = tokens;
    owed_count(f->pool, kvr_client_update_async(f->pool->client, &call, NULL, NULL));
}

void proxy_update(struct forwarded *f, bool prefilled) {
    tell(f, prefilled, stream_tokens(&f->stream));
}

// What the output came to goes before the release, on the same way: pools learn from it how long
// answers are and how fast they come. Of a whole answer nobody saw the first token, so PREFILLED would
// teach them something wrong; that there is an output tells that the prompt was computed.
static void tell_output(struct forwarded *f) {
    int64_t tokens = stream_tokens(&f->stream);
    if (tokens < 0 && f->kind != PROMPT_EMBEDDING)
        tokens = (int64_t)f->x->h1.out_bytes / TOKEN_BYTES; // a guess, where no usage is said
    if (tokens < 1) tokens = 1;
    if (tokens > f->told_tokens) tell(f, false, tokens);
}

// How many requests each worker has from here is counted for choices without the pool.
static void place(struct forwarded *f) {
    struct pool_worker *w = pool_worker(f->pool, forwarded_worker(f));
    if (w) w->here.live++;
    f->placed = true;
}

static void unplace(struct forwarded *f) {
    struct pool_worker *w = f->placed ? pool_worker(f->pool, forwarded_worker(f)) : NULL;
    if (w && w->here.live) w->here.live--;
    f->placed = false;
}

void proxy_release(struct forwarded *f) {
    struct kvr_bytes id = {f->id, f->id_size};
    unplace(f);
    if (!f->booked) return;
    if (f->good) tell_output(f);
    owed_release(f->pool, id);
    f->booked = false;
}

// Each try has an id of its own: what was released doesn't come back.
static void new_id(struct forwarded *f) {
    f->id_size = (size_t)snprintf(f->id, sizeof f->id, "%s/%016" PRIx64, f->x->record.id,
                                  kvr_random(&f->proxy->dice));
}

static void not_chosen(struct forwarded *f, enum kvr_code code, const char *message) {
    struct router_exchange *x = f->x;
    bool tried = f->n_tried > 0, turned = f->turned;
    forwarded_free(f);
    if (turned)
        router_error(x, 503, "OVERLOAD", "the engine has too much to do, and there is no other");
    else if (tried)
        router_error(x, 502, "ENGINE", "the engine failed, and there is no other");
    else
        answer_code(x, code, message);
}

bool proxy_is_dead(const struct forwarded *f) {
    const struct pool *p = f->pool;
    const struct pool_worker *w = pool_worker(p, forwarded_worker(f));
    bool left = !w && p->seen_us > f->booked_us;
    return left || (w && w->circuit == KVR_OPEN) ||
           circuit_is_open(f->proxy->circuits, p, forwarded_worker(f));
}

void proxy_heard(const struct forwarded *f, int64_t now) {
    struct pool_worker *w = pool_worker(f->pool, forwarded_worker(f));
    if (w && w->here.heard_us < now) w->here.heard_us = now;
}

static void take_choice(struct forwarded *f, const struct kvr_result *r) {
    struct router_record *record = &f->x->record;
    const struct kvr_choice *c = &r->choice;
    size_t n = c->addr.n < sizeof f->address - 1 ? c->addr.n : sizeof f->address - 1;
    memcpy(f->address, c->addr.p, n);
    f->address[n] = 0;
    f->worker_size = c->worker.n < sizeof f->worker ? c->worker.n : sizeof f->worker;
    memcpy(f->worker, c->worker.p, f->worker_size);
    f->rank = c->rank;
    place(f);
    f->fresh = f->counted = f->good = false;
    f->booked_us = f->told_us = kvr_clock_us();
    f->told_tokens = 0;
    snprintf(record->worker, sizeof record->worker, "%.*s", (int)c->worker.n, c->worker.p);
    record->rank = c->rank;
    record->blocks = (int64_t)f->prompt.n;
    record->overlap = c->overlap;
    record->expected = c->expected;
    record->predicted_us = c->ttft >= 0 && c->ttft < 1e9 ? (int64_t)(c->ttft * 1000) : -1;
    record->degraded = r->degraded;
    record->tries++;
    f->given_up = proxy_is_dead(f);
}

static size_t list_tried(const struct forwarded *f, struct kvr_bytes out[MOST_TRIES]) {
    for (size_t i = 0; i < f->n_tried; i++)
        out[i] = (struct kvr_bytes){f->tried[i], f->tried_size[i]};
    return f->n_tried;
}

static bool choose_spare(struct forwarded *f, enum kvr_code code, struct kvr_result *out) {
    struct kvr_bytes tried[MOST_TRIES];
    if (!spare_is_for(f->pool, code)) return false;
    return spare_choose(f->pool, f->proxy->circuits, tried, list_tried(f, tried), out);
}

static void on_selected(void *ctx, const struct kvr_result *r) {
    struct forwarded *f = ctx;
    f->selecting = false;
    if (!f->x) {
        f->booked = r->code == KVR_CODE_OK;
        forwarded_free(f);
        return;
    }
    struct kvr_result spare;
    bool booked = r->code == KVR_CODE_OK;
    if (!r->degraded) pool_answered(f->pool, POOL_BOOKS, r);
    if (choose_spare(f, r->code, &spare)) r = &spare;
    router_metrics_select(f->proxy->router->metrics, kvr_clock_us() - f->asked_us, r);
    if (r->code == KVR_CODE_NOWORKER && !f->any) {
        // Only suspects are left, perhaps: trying one is better than refusing.
        f->any = true;
        proxy_select(f);
    } else if (r->code != KVR_CODE_OK) {
        not_chosen(f, r->code, r->message);
    } else {
        f->booked = booked;
        take_choice(f, r);
        forward(f);
    }
}

// Those that aren't to be chosen if another can be; at most n, returns how many.
static size_t left_alone(const struct forwarded *f, struct kvr_bytes *out, size_t n) {
    size_t found = circuit_suspects(f->proxy->circuits, f->pool, out, n);
    int64_t now = kvr_clock_us();
    for (size_t i = 0; i < f->pool->n_workers && found < n; i++)
        if (f->pool->workers[i].here.full_us > now)
            out[found++] = kvr_text(f->pool->workers[i].name);
    return found;
}

void proxy_select(struct forwarded *f) {
    struct kvr_bytes out[MOST_TRIES + MOST_SUSPECTED];
    size_t n = list_tried(f, out);
    if (!f->any) {
        size_t suspects = left_alone(f, out + n, MOST_SUSPECTED);
        f->any = !suspects; // then asking again would change nothing
        n += suspects;
    }
    new_id(f);
    struct kvr_select_call call = {.request = {f->id, f->id_size},
                                   .blocks = {.hashes = f->prompt.hashes, .n = f->prompt.n},
                                   .isl = f->prompt.isl,
                                   .osl = f->prompt.osl,
                                   .exclude = out,
                                   .n_exclude = n};
    if (f->pool->has_sessions) call.session = (struct kvr_bytes){f->session, f->session_size};
    f->asked_us = kvr_clock_us();
    f->selecting = true;
    enum kvr_code code = kvr_client_select_async(f->pool->client, &call, on_selected, f);
    if (code == KVR_CODE_OK) return;
    f->selecting = false;
    not_chosen(f, code, NULL);
}

// ---- Again ---------------------------------------------------------------------------------------

static bool was_tried(const struct forwarded *f, const struct pool_worker *w) {
    for (unsigned i = 0; i < f->n_tried; i++)
        if (strlen(w->name) == f->tried_size[i] && !memcmp(w->name, f->tried[i], f->tried_size[i]))
            return true;
    return strlen(w->name) == f->worker_size && !memcmp(w->name, f->worker, f->worker_size);
}

// Whether there may be a worker that this request hasn't been to.
static bool has_another(const struct forwarded *f) {
    const struct pool *pool = f->pool;
    for (size_t i = 0; i < pool->n_workers; i++)
        if (pool->workers[i].state == KVR_READY && !was_tried(f, &pool->workers[i])) return true;
    return !pool->seen_us;
}

bool proxy_has_try(const struct forwarded *f) {
    unsigned most = f->proxy->router->config.tries;
    return f->n_sent < MOST_SENT && f->n_tried < MOST_TRIES && f->x->record.tries < most &&
           has_another(f);
}

bool proxy_may_retry(struct forwarded *f) {
    struct proxy *p = f->proxy;
    if (!proxy_has_try(f)) return false;
    bool allowed = p->budget >= 1;
    if (allowed) p->budget -= 1;
    router_metrics_retry(p->router->metrics, allowed);
    return allowed;
}

void proxy_retry(struct forwarded *f) {
    proxy_release(f);
    memcpy(f->tried[f->n_tried], f->worker, f->worker_size);
    f->tried_size[f->n_tried++] = f->worker_size;
    f->any = false;
    f->reply = NULL;
    proxy_select(f);
}

static void fill_budget(struct proxy *p) {
    const struct router_config *o = &p->router->config;
    p->budget += o->retry_percent / 100.0;
    if (p->budget > o->retry_burst) p->budget = o->retry_burst;
}

// ---- From the body to blocks ---------------------------------------------------------------------

// Where what was sent counts as cached, any blocks will do; else they must be those that engines report.
static enum prompt_way way_of(const struct pool *pool) {
    switch (pool->options.blocks) {
    case ROUTER_BLOCKS_TEXT:
        return PROMPT_TEXT;
    case ROUTER_BLOCKS_TOKENS:
        return PROMPT_IDS;
    case ROUTER_BLOCKS_AUTO:
        if (pool->predict) return PROMPT_TEXT;
        break;
    default:
        break;
    }
    return PROMPT_TOKENIZE;
}

struct prompt_how proxy_how(const struct pool *pool) {
    return (struct prompt_how){.way = way_of(pool),
                               .block_size = pool->block_size,
                               .chunk = pool->options.chunk,
                               .space = kvr_text(pool->options.salt)};
}

// What was only for the blocks goes.
void proxy_blocks_known(struct forwarded *f) {
    drop_question(f);
    f->x->record.input = f->prompt.isl;
    proxy_select(f);
}

// What the request says of itself besides its prompt. False: no memory.
static bool read_hints(struct forwarded *f) {
    const struct h1_head *h = &f->x->h1.head;
    char session[KVR_MAX_ID];
    int64_t osl = hints_osl(h);
    if (osl) f->prompt.osl = osl;
    f->session_size = hints_session(&f->proxy->router->config, h,
                                    f->kind == PROMPT_EMBEDDING ? NULL : f->json, session);
    if (!f->session_size) return true;
    if (!(f->session = malloc(f->session_size))) return false;
    memcpy(f->session, session, f->session_size);
    return true;
}

static void begin(struct router_exchange *x, enum prompt_kind kind) {
    struct proxy *p = x->router->proxy;
    char why[100] = "";
    if (strlen(x->h1.head.path) + (x->h1.head.query ? strlen(x->h1.head.query) : 0) > MOST_TARGET) {
        router_error(x, 414, "TOOLARGE", "the target is too long");
        return;
    }
    json_t *json = prompt_parse(x->h1.body, why, sizeof why);
    if (!json) {
        router_error(x, 400, "BADREQUEST", why);
        return;
    }
    const char *model = json_string_value(json_object_get(json, "model"));
    struct pool *pool = pools_for(x->router->pools, model);
    snprintf(x->record.model, sizeof x->record.model, "%s", model ? model : "");
    if (!pool) {
        json_decref(json);
        if (model)
            router_error(x, 404, "NOPOOL", "no pool serves this model");
        else
            router_error(x, 400, "BADREQUEST", "there are several pools: name a model");
        return;
    }
    struct forwarded *f = forwarded_new(p, x, pool, kind);
    if (!f) {
        json_decref(json);
        router_error(x, 503, "NOMEM", "no memory");
        return;
    }
    struct prompt_how how = proxy_how(pool);
    pools_take(x, pool);
    x->h1.arg = f;
    x->h1.on_gone = on_gone;
    f->json = json;
    fill_budget(p);
    if (!prompt_read(&f->prompt, kind, json, &how) || !read_hints(f) || !forward_prepare(f)) {
        answer_error(f, 503, "NOMEM", "no memory");
        return;
    }
    x->record.stream = f->prompt.stream;
    if (f->prompt.untold && tokens_can(f))
        tokens_ask(f);
    else
        proxy_blocks_known(f);
}

void proxy_chat(struct router_exchange *x) {
    begin(x, PROMPT_CHAT);
}

void proxy_completion(struct router_exchange *x) {
    begin(x, PROMPT_COMPLETION);
}

void proxy_embedding(struct router_exchange *x) {
    begin(x, PROMPT_EMBEDDING);
}

// ---- All of it -----------------------------------------------------------------------------------

// Leases are renewed and outputs told from here, not with every token.
static void on_tick(evutil_socket_t fd, short what, void *ctx) {
    struct proxy *p = ctx;
    int64_t now = kvr_clock_us();
    (void)fd;
    (void)what;
    for (struct forwarded *f = p->all, *next; f; f = next) {
        next = f->next;
        if (f->answering) proxy_heard(f, f->piece_us);
        if (f->placed && f->call && !f->answering) forward_watch(f, now);
    }
    for (struct forwarded *f = p->all; f; f = f->next) {
        if (!f->booked) continue;
        int64_t quiet = (now - f->told_us) / 1000, third = f->pool->lease / 3;
        bool more = f->answering && stream_tokens(&f->stream) > f->told_tokens;
        int64_t wait = more ? TELL_TOKENS_MS : TELL_ALIVE_MS;
        if (quiet >= (third && third < wait ? third : wait))
            proxy_update(f, f->answering && f->stream.events);
    }
}

static struct h1_client_options client_options_of(const struct router_config *o) {
    return (struct h1_client_options){.connect_ms = o->connect_timeout,
                                      .head_ms = o->answer_timeout,
                                      .idle_ms = o->silence_timeout,
                                      .keep_ms =
                                          4000, // less than the 5 s after which engines end it
                                      .keep_most = 256};
}

struct proxy *proxy_new(struct router *r) {
    static const struct timeval every = {TICK_MS / 1000, TICK_MS % 1000 * 1000};
    struct h1_client_options o = client_options_of(&r->config);
    struct proxy *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->router = r;
    p->budget = r->config.retry_burst;
    evutil_secure_rng_get_bytes(&p->dice, sizeof p->dice);
    p->upstream = h1_client_new(r->base, &o);
    p->circuits = p->upstream ? circuits_new(r, p->upstream) : NULL;
    p->tick = event_new(r->base, -1, EV_PERSIST, on_tick, p);
    p->out = evbuffer_new();
    if (p->circuits && p->tick && p->out && !event_add(p->tick, &every)) return p;
    proxy_free(p);
    return NULL;
}

void proxy_reload(struct proxy *p) {
    struct h1_client_options o = client_options_of(&p->router->config);
    h1_client_configure(p->upstream, &o);
}

void proxy_free(struct proxy *p) {
    if (!p) return;
    circuits_free(p->circuits);
    h1_client_free(p->upstream);
    if (p->tick) event_free(p->tick);
    if (p->out) evbuffer_free(p->out);
    free(p);
}
