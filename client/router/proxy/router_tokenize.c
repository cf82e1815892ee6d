// SPDX-License-Identifier: Apache-2.0
#include "router_tokenize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/http1/h1_buffer.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router_metrics.h"
#include "router_headers.h"
#include "router_request.h"

enum {
    TOKENIZE_MAX_ASKED = 2,
    TOKENIZE_MUTE_MS = 2000, // after no answer
    TOKENIZE_NONE_S = 60,    // after one that says that there is no such path
    TOKENIZE_MAX_RESPONSE = 64 << 20,
};

// ---- Whom ----------------------------------------------------------------------------------------

static bool is_askable(const struct router_request *r, const struct router_worker *w, int64_t now) {
    struct kvr_bytes name = kvr_text(w->name);
    return w->state == KVR_READY && *w->addr && w->circuit == KVR_CLOSED &&
           !router_circuit_is_open(r->proxy->circuits, r->pool, name) &&
           w->here.tokenize_again_us <= now && strcmp(w->name, r->asked) != 0;
}

static struct router_worker *next_askable(const struct router_request *r) {
    const struct router_pool *pool = r->pool;
    int64_t now = kvr_clock_us();
    for (size_t i = 0; i < pool->n_workers; i++) {
        struct router_worker *w = &pool->workers[r->proxy->turn++ % pool->n_workers];
        if (is_askable(r, w, now)) return w;
    }
    return NULL;
}

bool router_tokenize_can(const struct router_request *r) {
    int64_t now = kvr_clock_us();
    for (size_t i = 0; i < r->pool->n_workers; i++)
        if (is_askable(r, &r->pool->workers[i], now)) return true;
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

// Engines say "The model `x` does not exist." with the status that others have for the whole path.
static bool is_about_model(struct evbuffer *body) {
    char why[100];
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

static void on_end(void *ctx) {
    struct router_request *r = ctx;
    struct router_prompt_config how = router_pool_prompt_config(r->pool);
    int status = r->reply->status;
    r->call = NULL;
    r->reply = NULL;
    if (has_no_path(r, status)) {
        kvr_log_line(KVR_LOG_WARNING, "pool %s: the engine %s has no /tokenize",
                     r->pool->options.name, r->asked);
        leave_alone(r, (int64_t)TOKENIZE_NONE_S * 1000);
        count(r, ROUTER_TOKENS_NONE);
        ask_another(r);
    } else if (status >= 500) {
        leave_alone(r, TOKENIZE_MUTE_MS);
        count(r, ROUTER_TOKENS_FAILED);
        ask_another(r);
    } else {
        bool good = status == 200 &&
                    router_prompt_tokenize_response(&r->prompt, r->response, r->json, &how);
        count(r, good ? ROUTER_TOKENS_OK : ROUTER_TOKENS_REFUSED);
        router_request_blocks_known(r);
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

// Parsed, a body is many times as large as it came: while an engine is asked, only the question and
// what matters for the answer are kept.
static void make_question(struct router_request *r) {
    json_t *rest = router_prompt_tokenize_rest(r->json);
    r->question = router_prompt_tokenize_request(r->kind, r->json);
    r->response = evbuffer_new();
    json_decref(r->json);
    r->json = rest;
}

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
    struct h1_request request = {.address = w ? w->addr : NULL,
                                 .method = "POST",
                                 .path = "/tokenize",
                                 .headers = lines ? lines : type,
                                 .body = r->question,
                                 .fresh = r->fresh,
                                 .head_ms = ROUTER_TOKENIZE_MS};
    if (w && !again) {
        snprintf(r->asked, sizeof r->asked, "%s", w->name);
        r->n_asked++;
    }
    if (w && r->question && r->response)
        r->call = h1_call_start(r->proxy->upstream, &request, &port, r, NULL);
    free(lines);
    free(key);
    if (!r->call) router_request_blocks_known(r);
}

void router_tokenize_enter(struct router_request *r) {
    make_question(r);
    ask(r, false);
}
