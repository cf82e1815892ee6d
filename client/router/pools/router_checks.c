// SPDX-License-Identifier: Apache-2.0
#include "router_checks.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/list.h"
#include "client/common/log.h"
#include "client/http1/h1_buffer.h"
#include "client/http1/h1_client.h"
#include "client/router/router.h"
#include "client/router/router_offload.h"
#include "router_circuit.h"
#include "router_found.h"
#include "router_labels.h"
#include "router_model_list.h"
#include "router_pools.h"
#include "router_served.h"

enum {
    CHECKS_TICK_MS = 100,
    CHECKS_HURRY_MS = 1000,   // two hurries aren't nearer
    CHECKS_ANSWER_MS = 2000,  // a question waits so long
    CHECKS_RENDER_MS = 60000, // between two questions whether it renders
    CHECKS_MAX_QUESTIONS = 32,
};

enum checks_subject { CHECKS_MODELS, CHECKS_RENDERS };

struct checks_question {
    struct kvr_list_item link; // of all that are open
    struct router_checks *checks;
    enum checks_subject subject;
    char pool[sizeof((struct router_pool_config *)0)->name];
    char worker[KVR_MAX_NAME + 1], address[KVR_MAX_ADDR + 1];
    struct h1_call *call;
    struct evbuffer *bytes;
    struct router_model_list *reading; // what came
    int status;                        // 0: no answer
};

struct router_checks {
    struct router *router;
    struct router_circuits *circuits;
    struct event *tick;
    struct kvr_list_item questions;
    size_t n_questions;
    size_t turn;    // which of all workers is the first to be looked after
    bool cut_short; // the last turn: there were as many questions as there may be
    int64_t hurried_us;
};

// ---- Answers -------------------------------------------------------------------------------------

// Where more are to be asked than may be at a time, the next ones are when half of these have ended.
static void drop(struct checks_question *q) {
    struct router_checks *k = q->checks;
    h1_call_cancel(q->call);
    router_model_list_cancel(q->reading);
    kvr_list_remove(&q->link);
    k->n_questions--;
    if (k->cut_short && k->n_questions == CHECKS_MAX_QUESTIONS / 2)
        event_active(k->tick, EV_TIMEOUT, 0);
    evbuffer_free(q->bytes);
    free(q);
}

// It answers, but not this.
static bool wont_say(int status) {
    return status == 401 || status == 403 || status == 404 || status == 405 || status == 501;
}

// The worker that the question is about; NULL: it is another engine now, or none.
static struct router_worker *worker_of(const struct checks_question *q, struct router_pool **p) {
    *p = router_pools_named(q->checks->router->pools, q->pool);
    struct router_worker *w = *p ? router_pool_worker(*p, kvr_text(q->worker)) : NULL;
    return w && !strcmp(w->addr, q->address) ? w : NULL;
}

static void take_models(struct checks_question *q, json_t *models) {
    struct router_pool *p;
    struct router_worker *w = worker_of(q, &p);
    if (!w) {
        json_decref(models);
        return;
    }
    w->here.asked = true;
    json_t *before = json_incref(w->here.serves);
    if (!router_served_take(p, w, models) && wont_say(q->status)) {
        json_decref(w->here.serves);
        w->here.serves = NULL;
    }
    if (w->here.serves != before && w->here.serves)
        kvr_log_line(KVR_LOG_INFO, "pool %s: the engine at %s serves %zu model%s", q->pool,
                     q->address, json_object_size(w->here.serves),
                     json_object_size(w->here.serves) == 1 ? "" : "s");
    json_decref(before);
}

static void on_models(void *ctx, json_t *models) {
    struct checks_question *q = ctx;
    q->reading = NULL;
    take_models(q, models);
    drop(q);
}

// It renders if it finds fault with an empty request, not with the path.
static void take_renders(const struct checks_question *q) {
    struct router_pool *p;
    struct router_worker *w = worker_of(q, &p);
    bool renders = q->status == 400 || q->status == 422;
    if (w && q->status && w->here.renders != renders) {
        w->here.renders = renders;
        kvr_log_line(KVR_LOG_INFO, "pool %s: the engine at %s %s requests", q->pool, q->address,
                     renders ? "renders" : "doesn't render");
    }
}

static void answered(struct checks_question *q) {
    struct router_offload *o = q->checks->router->offload;
    q->call = NULL;
    if (q->subject == CHECKS_MODELS && q->status == 200 &&
        (q->reading = router_model_list_start(o, q->bytes, on_models, q)))
        return;
    if (q->subject == CHECKS_MODELS)
        take_models(q, NULL);
    else
        take_renders(q);
    drop(q);
}

static void on_head(void *ctx, const struct h1_head *reply) {
    ((struct checks_question *)ctx)->status = reply->status;
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct checks_question *q = ctx;
    h1_buffer_move(bytes, q->bytes, evbuffer_get_length(bytes));
    if (evbuffer_get_length(q->bytes) <= ROUTER_MODEL_LIST_MAX_BYTES) return;
    h1_call_cancel(q->call);
    evbuffer_drain(q->bytes, evbuffer_get_length(q->bytes));
    answered(q);
}

static void on_end(void *ctx) {
    answered(ctx);
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct checks_question *q = ctx;
    (void)why;
    q->status = 0;
    answered(q);
}

// ---- Questions -----------------------------------------------------------------------------------

static void copy_name(char *out, size_t size, const char *name) {
    size_t n = strlen(name);
    if (n >= size) n = size - 1;
    memcpy(out, name, n);
    out[n] = 0;
}

static struct evbuffer *empty_object(void) {
    struct evbuffer *body = evbuffer_new();
    if (body) evbuffer_add(body, "{}", 2);
    return body;
}

static void ask(struct router_checks *k, const struct router_pool *p, const struct router_worker *w,
                enum checks_subject subject) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    struct checks_question *q = calloc(1, sizeof *q);
    if (!q) return;
    q->checks = k;
    q->subject = subject;
    copy_name(q->pool, sizeof q->pool, p->options.name);
    copy_name(q->worker, sizeof q->worker, w->name);
    copy_name(q->address, sizeof q->address, w->addr);
    bool renders = subject == CHECKS_RENDERS;
    struct evbuffer *body = renders ? empty_object() : NULL;
    struct h1_request request = {.address = q->address,
                                 .method = renders ? "POST" : "GET",
                                 .path = renders ? "/v1/chat/completions/render" : "/v1/models",
                                 .headers = renders ? "Content-Type: application/json\r\n" : NULL,
                                 .body = body,
                                 .fresh = true,
                                 .head_ms = CHECKS_ANSWER_MS,
                                 .all_ms = CHECKS_ANSWER_MS};
    q->bytes = evbuffer_new();
    if (q->bytes && (body || !renders))
        q->call = h1_call_start(k->router->upstream, &request, &port, q, NULL);
    if (body) evbuffer_free(body);
    if (!q->call) {
        if (q->bytes) evbuffer_free(q->bytes);
        free(q);
        return;
    }
    kvr_list_unshift(&k->questions, &q->link);
    k->n_questions++;
}

// One that is slow to answer isn't asked again meanwhile: it would take the questions of all others.
static bool is_asking(const struct router_checks *k, const struct router_pool *p,
                      const struct router_worker *w, enum checks_subject subject) {
    const struct kvr_list_item *all = &k->questions;
    for (const struct kvr_list_item *i = all->next; i != all; i = i->next) {
        const struct checks_question *q = (const struct checks_question *)i;
        if (q->subject == subject && !strcmp(q->worker, w->name) &&
            !strcmp(q->pool, p->options.name))
            return true;
    }
    return false;
}

// A probe, unless it has said something lately.
static void check(struct router_checks *k, struct router_pool *p, struct router_worker *w,
                  int64_t now) {
    int64_t every = k->router->config.check * 1000, heard = w->here.heard_us + every;
    if (heard > w->here.check_again_us) w->here.check_again_us = heard;
    if (w->here.check_again_us > now) return;
    w->here.check_again_us = now + every;
    router_circuit_check(k->circuits, p, kvr_text(w->name), w->addr);
}

static void look_after(struct router_checks *k, struct router_pool *p, struct router_worker *w,
                       int64_t now) {
    const struct router_config *o = &k->router->config;
    if (o->check && router_label_is(w, router_label_http)) check(k, p, w, now);
    bool tokens = router_pool_prompt_config(p).way == ROUTER_PROMPT_TOKENIZE;
    if (!o->learn || !*w->addr) return;
    if (w->here.learn_again_us <= now && !is_asking(k, p, w, CHECKS_MODELS)) {
        w->here.learn_again_us = now + o->learn * 1000;
        ask(k, p, w, CHECKS_MODELS);
    }
    if (tokens && p->seen_us && w->here.render_again_us <= now &&
        !is_asking(k, p, w, CHECKS_RENDERS)) {
        w->here.render_again_us = now + (int64_t)CHECKS_RENDER_MS * 1000;
        ask(k, p, w, CHECKS_RENDERS);
    }
}

// Of all workers, numbered through all pools, those from `from` on and before `to`. False: there are as many
// questions as there may be, and the next turn begins where this one ended.
static bool look_after_some(struct router_checks *k, size_t from, size_t to, int64_t now) {
    size_t number = 0;
    for (struct router_pool *p = router_pools_first(k->router->pools); p; p = p->next)
        for (size_t i = 0; i < p->n_workers; i++, number++) {
            if (number < from || number >= to) continue;
            if (k->n_questions >= CHECKS_MAX_QUESTIONS) {
                k->turn = number;
                return false;
            }
            look_after(k, p, &p->workers[i], now);
        }
    return true;
}

static void check_engine(struct router_checks *k, const char *pool, const char *name, int64_t now) {
    struct router_pool *p = router_pools_named(k->router->pools, pool);
    struct router_worker *w = p ? router_pool_worker(p, kvr_text(name)) : NULL;
    if (w) check(k, p, w, now);
}

static void check_engines(struct router_checks *k, int64_t now) {
    const struct router_config *o = &k->router->config;
    if (!o->check) return;
    for (size_t i = 0; i < o->n_engines; i++)
        check_engine(k, o->engines[i].pool, o->engines[i].name, now);
    const struct router_registration *g = NULL;
    while (k->router->found && (g = router_found_next(k->router->found, g)))
        check_engine(k, g->pool, g->name, now);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx) {
    struct router_checks *k = ctx;
    int64_t now = kvr_clock_us();
    (void)fd;
    (void)what;
    size_t turn = k->turn;
    k->cut_short = !look_after_some(k, turn, SIZE_MAX, now) || !look_after_some(k, 0, turn, now);
    check_engines(k, now);
}

void router_checks_hurry(struct router_checks *k) {
    int64_t now = kvr_clock_us();
    if (now - k->hurried_us < (int64_t)CHECKS_HURRY_MS * 1000) return;
    k->hurried_us = now;
    for (struct router_pool *p = router_pools_first(k->router->pools); p; p = p->next)
        for (size_t i = 0; i < p->n_workers; i++)
            p->workers[i].here.learn_again_us = now;
    event_active(k->tick, EV_TIMEOUT, 0);
}

// ---- Coming and going ----------------------------------------------------------------------------

struct router_checks *router_checks_new(struct router *r, struct router_circuits *c) {
    static const struct timeval every = {CHECKS_TICK_MS / 1000, CHECKS_TICK_MS % 1000 * 1000};
    struct router_checks *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    k->router = r;
    k->circuits = c;
    kvr_list_init(&k->questions);
    k->tick = event_new(r->base, -1, EV_PERSIST, on_tick, k);
    if (k->tick && !event_add(k->tick, &every)) {
        event_active(k->tick, EV_TIMEOUT, 0);
        return k;
    }
    if (k->tick) event_free(k->tick);
    free(k);
    return NULL;
}

void router_checks_free(struct router_checks *k) {
    if (!k) return;
    while (!kvr_list_empty(&k->questions))
        drop((struct checks_question *)k->questions.next);
    event_free(k->tick);
    free(k);
}
