// SPDX-License-Identifier: Apache-2.0
// See tokens.h.
#include "tokens.h"

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/http1/h1_buffer.h"
#include "proxy_impl.h"
#include "router_metrics.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_ASKED = 2,
    MUTE_MS = 2000, // after no answer
    NONE_S = 60,    // after one that says that there is no such path
    MOST_TOLD = 64 << 20,
};

// ---- Whom ----------------------------------------------------------------------------------------

static bool is_askable(const struct forwarded *f, const struct pool_worker *w, int64_t now) {
    struct kvr_bytes name = kvr_text(w->name);
    return w->state == KVR_READY && *w->addr && w->circuit == KVR_CLOSED &&
           !circuit_is_open(f->proxy->circuits, f->pool, name) && w->here.mute_us <= now &&
           strcmp(w->name, f->asked) != 0;
}

static struct pool_worker *next_askable(const struct forwarded *f) {
    const struct pool *pool = f->pool;
    int64_t now = kvr_clock_us();
    for (size_t i = 0; i < pool->n_workers; i++) {
        struct pool_worker *w = &pool->workers[f->proxy->turn++ % pool->n_workers];
        if (is_askable(f, w, now)) return w;
    }
    return NULL;
}

bool tokens_can(const struct forwarded *f) {
    int64_t now = kvr_clock_us();
    for (size_t i = 0; i < f->pool->n_workers; i++)
        if (is_askable(f, &f->pool->workers[i], now)) return true;
    return false;
}

static void leave_alone(const struct forwarded *f, int64_t ms) {
    struct pool_worker *w = pool_worker(f->pool, kvr_text(f->asked));
    if (w) w->here.mute_us = kvr_clock_us() + ms * 1000;
}

// ---- What comes ----------------------------------------------------------------------------------

static void ask(struct forwarded *f, bool again);

static void count(const struct forwarded *f, enum router_tokens_outcome how) {
    router_metrics_tokens(f->proxy->router->metrics, how);
}

// This one didn't say; another may.
static void ask_another(struct forwarded *f) {
    f->reply = NULL;
    f->fresh = false;
    evbuffer_drain(f->told, evbuffer_get_length(f->told));
    if (f->n_asked < MOST_ASKED)
        ask(f, false);
    else
        proxy_blocks_known(f);
}

static void told_head(void *ctx, const struct h1_head *reply) {
    ((struct forwarded *)ctx)->reply = reply;
}

static void told_data(void *ctx, struct evbuffer *bytes) {
    struct forwarded *f = ctx;
    h1_buffer_move(bytes, f->told, evbuffer_get_length(bytes));
    if (evbuffer_get_length(f->told) <= MOST_TOLD) return;
    h1_call_cancel(f->call);
    f->call = NULL;
    f->reply = NULL;
    count(f, ROUTER_TOKENS_REFUSED);
    proxy_blocks_known(f);
}

// Engines say "The model `x` does not exist." with the status that others have for the whole path.
static bool is_about_model(struct evbuffer *body) {
    char why[100];
    json_t *all = prompt_parse(body, why, sizeof why), *error = json_object_get(all, "error");
    json_t *message = json_object_get(json_is_object(error) ? error : all, "message");
    const char *text = json_string_value(message);
    bool is = text && (strstr(text, "model") || strstr(text, "Model"));
    json_decref(all);
    return is;
}

static bool has_no_path(const struct forwarded *f, int status) {
    return status == 405 || status == 501 || (status == 404 && !is_about_model(f->told));
}

static void told_end(void *ctx) {
    struct forwarded *f = ctx;
    struct prompt_how how = proxy_how(f->pool);
    int status = f->reply->status;
    f->call = NULL;
    f->reply = NULL;
    if (has_no_path(f, status)) {
        kvr_log_line(KVR_LOG_WARNING, "pool %s: the engine %s has no /tokenize",
                     f->pool->options.name, f->asked);
        leave_alone(f, (int64_t)NONE_S * 1000);
        count(f, ROUTER_TOKENS_NONE);
        ask_another(f);
    } else if (status >= 500) {
        leave_alone(f, MUTE_MS);
        count(f, ROUTER_TOKENS_FAILED);
        ask_another(f);
    } else {
        bool good = status == 200 && prompt_told(&f->prompt, f->told, f->json, &how);
        count(f, good ? ROUTER_TOKENS_OK : ROUTER_TOKENS_REFUSED);
        proxy_blocks_known(f);
    }
}

static void told_failed(void *ctx, enum h1_failure why) {
    struct forwarded *f = ctx;
    f->call = NULL;
    f->reply = NULL;
    if (why == H1_STALE && !f->fresh) {
        f->fresh = true;
        ask(f, true);
        return;
    }
    leave_alone(f, MUTE_MS);
    count(f, ROUTER_TOKENS_FAILED);
    ask_another(f);
}

// ---- Asking --------------------------------------------------------------------------------------

// Parsed, a body is many times as large as it came: while an engine is asked, only the question and
// what matters for the answer are kept.
static void make_question(struct forwarded *f) {
    json_t *rest = prompt_rest(f->json);
    f->question = prompt_question(f->kind, f->json);
    f->told = evbuffer_new();
    json_decref(f->json);
    f->json = rest;
}

// again: the same engine, on a new connection.
static void ask(struct forwarded *f, bool again) {
    static const struct h1_callbacks port = {told_head, told_data, told_end, told_failed};
    struct pool_worker *w = again ? pool_worker(f->pool, kvr_text(f->asked)) : next_askable(f);
    char *key = forward_key(f->x), *lines = NULL;
    static const char type[] = "Content-Type: application/json\r\n";
    if (key && (lines = malloc(sizeof type + strlen(key)))) {
        memcpy(lines, type, sizeof type);
        strcat(lines, key);
    }
    struct h1_request request = {.address = w ? w->addr : NULL,
                                 .method = "POST",
                                 .path = "/tokenize",
                                 .headers = lines ? lines : type,
                                 .body = f->question,
                                 .fresh = f->fresh,
                                 .head_ms = TOKENS_MS};
    if (w && !again) {
        snprintf(f->asked, sizeof f->asked, "%s", w->name);
        f->n_asked++;
    }
    if (w && f->question && f->told)
        f->call = h1_call_start(f->proxy->upstream, &request, &port, f, NULL);
    free(lines);
    free(key);
    if (!f->call) proxy_blocks_known(f);
}

void tokens_ask(struct forwarded *f) {
    make_question(f);
    ask(f, false);
}
