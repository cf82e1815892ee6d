// SPDX-License-Identifier: Apache-2.0
#include "router_tokenize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/http1/h1_buffer.h"
#include "client/router/pools/router_served.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router_metrics.h"
#include "client/router/router_reading.h"
#include "router_headers.h"
#include "router_request.h"

enum {
    TOKENIZE_MAX_ASKED = 2,
    TOKENIZE_ALL_MS = 2000,  // for all of an answer that has begun in time
    TOKENIZE_MUTE_MS = 2000, // after no answer
    TOKENIZE_NONE_S = 60,    // after one that says that there is no such path
    TOKENIZE_MAX_RESPONSE = 64 << 20,
};

// ---- Whom ----------------------------------------------------------------------------------------

static bool is_askable(const struct router_proxy *p, const struct router_pool *pool,
                       const struct router_worker *w, int64_t now) {
    return w->state == KVR_READY && *w->addr && w->circuit == KVR_CLOSED &&
           !router_circuit_is_open(p->circuits, pool, kvr_text(w->name)) &&
           w->here.tokenize_again_us <= now;
}

static struct router_worker *next_askable(const struct router_request *r) {
    const struct router_pool *pool = r->pool;
    struct router_served_levels levels = router_served_levels(pool, r->model);
    int64_t now = kvr_clock_us();
    for (size_t i = 0; i < pool->n_workers; i++) {
        struct router_worker *w = &pool->workers[r->proxy->turn++ % pool->n_workers];
        if (is_askable(r->proxy, pool, w, now) && router_served_fits(w, r->model, levels) &&
            strcmp(w->name, r->asked) != 0)
            return w;
    }
    return NULL;
}

bool router_tokenize_can(const struct router_proxy *p, const struct router_pool *pool,
                         const char *model) {
    struct router_served_levels levels = router_served_levels(pool, model);
    int64_t now = kvr_clock_us();
    for (size_t i = 0; i < pool->n_workers; i++)
        if (is_askable(p, pool, &pool->workers[i], now) &&
            router_served_fits(&pool->workers[i], model, levels))
            return true;
    return false;
}

static void leave_alone(const struct router_request *r, int64_t ms) {
    struct router_worker *w = router_pool_worker(r->pool, kvr_text(r->asked));
    if (w) w->here.tokenize_again_us = kvr_clock_us() + ms * 1000;
}

// ---- What comes ----------------------------------------------------------------------------------

static void ask(struct router_request *r, bool again);

static void count(const struct router_request *r, enum router_tokens_outcome how) {
    r->proxy->router->metrics->tokens[how]++;
}

// This engine gave no tokens; another may.
static void ask_another(struct router_request *r) {
    r->reply = NULL;
    r->fresh = false;
    evbuffer_drain(r->response, evbuffer_get_length(r->response));
    if (r->n_asked < TOKENIZE_MAX_ASKED)
        ask(r, false);
    else
        router_request_blocks_known(r);
}

static void on_head(void *ctx, const struct h1_head *reply) {
    ((struct router_request *)ctx)->reply = reply;
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct router_request *r = ctx;
    h1_buffer_move(bytes, r->response, evbuffer_get_length(bytes));
    if (evbuffer_get_length(r->response) <= TOKENIZE_MAX_RESPONSE) return;
    h1_call_cancel(r->call);
    r->call = NULL;
    r->reply = NULL;
    count(r, ROUTER_TOKENS_REFUSED);
    router_request_blocks_known(r);
}

// ---- An answer with tokens -----------------------------------------------------------------------

// A million ids are read beside the loop.
struct tokens_answer {
    struct router_job job;    // first
    struct router_request *r; // NULL: it is over. Not for the thread
    struct evbuffer *response;
    json_t *rest;                       // of the request's body
    struct router_prompt_config config; // a copy
    struct router_prompt prompt;
    bool good;
};

static void run_read(struct router_job *j) {
    struct tokens_answer *a = (struct tokens_answer *)j;
    a->good = router_prompt_tokenize_response(&a->prompt, a->response, a->rest, &a->config);
}

static void answer_free(struct tokens_answer *a) {
    router_prompt_free(&a->prompt);
    router_prompt_config_free(&a->config);
    if (a->response) evbuffer_free(a->response);
    json_decref(a->rest);
    free(a);
}

static void have_tokens(struct router_request *r, bool good) {
    count(r, good ? ROUTER_TOKENS_OK : ROUTER_TOKENS_REFUSED);
    router_request_blocks_known(r);
}

static void on_read(struct router_job *j) {
    struct tokens_answer *a = (struct tokens_answer *)j;
    struct router_request *r = a->r;
    bool good = a->good;
    if (r) {
        r->answer = NULL;
        router_prompt_free(&r->prompt);
        r->prompt = a->prompt;
        a->prompt.hashes = NULL;
    }
    answer_free(a);
    if (r) have_tokens(r, good);
}

void router_tokenize_leave(struct router_request *r) {
    struct tokens_answer *a = r->answer;
    if (!a) return;
    r->answer = NULL;
    a->r = NULL;
    if (router_offload_cancel(r->proxy->router->offload, &a->job)) answer_free(a);
}

static void read_tokens(struct router_request *r) {
    struct router_prompt_config how = router_request_prompt_config(r);
    if (evbuffer_get_length(r->response) <= ROUTER_READING_SMALL) {
        have_tokens(r, router_prompt_tokenize_response(&r->prompt, r->response, r->json, &how));
        return;
    }
    struct tokens_answer *a = calloc(1, sizeof *a);
    if (!a || !router_prompt_config_copy(&a->config, &how)) {
        if (a) answer_free(a);
        have_tokens(r, false);
        return;
    }
    a->job = (struct router_job){.run = run_read, .done = on_read};
    a->r = r;
    a->prompt = r->prompt;
    a->prompt.hashes = NULL; // there are none yet
    a->response = r->response;
    r->response = NULL;
    a->rest = r->json;
    r->json = NULL;
    r->answer = a;
    r->proxy->router->metrics->bodies_apart++;
    router_offload_add(r->proxy->router->offload, &a->job, true);
}

// Engines say "The model `x` does not exist." with the status that others have for the whole path.
static bool is_about_model(struct evbuffer *body) {
    char why[100];
    if (evbuffer_get_length(body) > ROUTER_READING_SMALL) return false;
    json_t *all = router_json_parse(body, why, sizeof why), *error = json_object_get(all, "error");
    json_t *message = json_object_get(json_is_object(error) ? error : all, "message");
    const char *text = json_string_value(message);
    bool is = text && (strstr(text, "model") || strstr(text, "Model"));
    json_decref(all);
    return is;
}

static bool has_no_path(const struct router_request *r, int status) {
    return status == 405 || status == 501 || (status == 404 && !is_about_model(r->response));
}

// It doesn't any more: the same engine is asked for the tokens.
static void stop_rendering(struct router_request *r) {
    struct router_worker *w = router_pool_worker(r->pool, kvr_text(r->asked));
    if (w) w->here.renders = false;
    r->fresh = false;
    evbuffer_drain(r->response, evbuffer_get_length(r->response));
    ask(r, true);
}

static void on_end(void *ctx) {
    struct router_request *r = ctx;
    int status = r->reply->status;
    r->call = NULL;
    r->reply = NULL;
    if (r->renders && (status == 403 || has_no_path(r, status))) {
        stop_rendering(r);
    } else if (has_no_path(r, status)) {
        kvr_log_line(KVR_LOG_WARNING, "pool %s: the engine %s has no /tokenize",
                     r->pool->options.name, r->asked);
        leave_alone(r, (int64_t)TOKENIZE_NONE_S * 1000);
        count(r, ROUTER_TOKENS_NONE);
        ask_another(r);
    } else if (status >= 500) {
        leave_alone(r, TOKENIZE_MUTE_MS);
        count(r, ROUTER_TOKENS_FAILED);
        ask_another(r);
    } else if (status == 200) {
        read_tokens(r);
    } else {
        have_tokens(r, false);
    }
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct router_request *r = ctx;
    r->call = NULL;
    r->reply = NULL;
    if (why == H1_STALE && !r->fresh) {
        r->fresh = true;
        ask(r, true);
        return;
    }
    leave_alone(r, TOKENIZE_MUTE_MS);
    count(r, ROUTER_TOKENS_FAILED);
    ask_another(r);
}

// ---- Asking --------------------------------------------------------------------------------------

// again: the same engine, on a new connection.
static void ask(struct router_request *r, bool again) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    struct router_worker *w =
        again ? router_pool_worker(r->pool, kvr_text(r->asked)) : next_askable(r);
    char *key = router_headers_authorization(r->x), *lines = NULL;
    static const char type[] = "Content-Type: application/json\r\n";
    if (key && (lines = malloc(sizeof type + strlen(key)))) {
        memcpy(lines, type, sizeof type);
        strcat(lines, key);
    }
    char path[ROUTER_MAX_TARGET + 8];
    r->renders = w && w->here.renders && r->plain;
    snprintf(path, sizeof path, "%s/render", r->x->h1.head.path);
    struct h1_request request = {.address = w ? w->addr : NULL,
                                 .method = "POST",
                                 .path = r->renders ? path : "/tokenize",
                                 .headers = lines ? lines : type,
                                 .body = r->renders ? r->x->h1.body : r->question,
                                 .fresh = r->fresh,
                                 .head_ms = ROUTER_TOKENIZE_MS,
                                 .all_ms = TOKENIZE_ALL_MS};
    if (w && !again) {
        snprintf(r->asked, sizeof r->asked, "%s", w->name);
        r->n_asked++;
    }
    if (w && r->question && r->response)
        r->call = h1_call_start(r->proxy->router->upstream, &request, &port, r, NULL);
    free(lines);
    free(key);
    if (!r->call) router_request_blocks_known(r);
}

void router_tokenize_enter(struct router_request *r) {
    r->response = evbuffer_new();
    ask(r, false);
}
