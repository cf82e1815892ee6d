// SPDX-License-Identifier: Apache-2.0
// Which function serves which path; see mock_routes.h.
#include "mock_routes.h"

#include <string.h>

#include "mock_connector.h"
#include "mock_faults.h"
#include "mock_generate.h"
#include "mock_inspect.h"
#include "mock_kept.h"
#include "mock_life.h"
#include "mock_messages.h"
#include "mock_pooling.h"
#include "mock_prompt.h"
#include "mock_render.h"
#include "mock_reply.h"

enum mock_route_owner {
    MOCK_ROUTE_ALL,
    MOCK_ROUTE_VLLM,
    MOCK_ROUTE_VLLM_DEV,
    MOCK_ROUTE_SGLANG,
    MOCK_ROUTE_TRTLLM,
    MOCK_ROUTE_MOONCAKE
};

struct mock_route {
    const char *path; // with a * at its end: and whatever follows
    enum h1_method method;
    void (*serve)(struct mock_engine *, struct h1_exchange *);
    bool generates; // answers of the model: what HTTP faults are about
    enum mock_route_owner owner;
};

static const struct mock_route routes[] = {
    {"/v1/completions", H1_POST, mock_serve_completion, true, MOCK_ROUTE_ALL},
    {"/v1/chat/completions", H1_POST, mock_serve_chat, true, MOCK_ROUTE_ALL},
    {"/v1/completions/render", H1_POST, mock_serve_render_completion, false, MOCK_ROUTE_VLLM},
    {"/v1/chat/completions/render", H1_POST, mock_serve_render_chat, false, MOCK_ROUTE_VLLM},
    {"/v1/responses", H1_POST, mock_serve_responses, true, MOCK_ROUTE_ALL},
    {"/v1/responses/render", H1_POST, mock_serve_render_responses, false, MOCK_ROUTE_VLLM},
    {"/v1/responses/*", H1_GET, mock_serve_kept, false, MOCK_ROUTE_ALL},
    {"/v1/responses/*", H1_POST, mock_serve_cancel, false, MOCK_ROUTE_ALL},
    {"/v1/messages", H1_POST, mock_serve_messages, true, MOCK_ROUTE_ALL},
    {"/v1/messages/count_tokens", H1_POST, mock_serve_count, false, MOCK_ROUTE_ALL},
    {"/v1/messages/render", H1_POST, mock_serve_render_messages, false, MOCK_ROUTE_VLLM},
    {"/generate", H1_POST, mock_serve_native, true, MOCK_ROUTE_SGLANG},
    {"/v1/audio/transcriptions", H1_POST, mock_serve_transcription, true, MOCK_ROUTE_ALL},
    {"/v1/audio/translations", H1_POST, mock_serve_translation, true, MOCK_ROUTE_VLLM},
    {"/v1/embeddings", H1_POST, mock_serve_embeddings, true, MOCK_ROUTE_ALL},
    {"/v2/embed", H1_POST, mock_serve_cohere_embed, true, MOCK_ROUTE_VLLM},
    {"/pooling", H1_POST, mock_serve_pooling, true, MOCK_ROUTE_VLLM},
    {"/classify", H1_POST, mock_serve_classify, true, MOCK_ROUTE_ALL},
    {"/v1/score", H1_POST, mock_serve_score, true, MOCK_ROUTE_ALL},
    {"/score", H1_POST, mock_serve_score, true, MOCK_ROUTE_VLLM},
    {"/v1/rerank", H1_POST, mock_serve_rerank, true, MOCK_ROUTE_ALL},
    {"/rerank", H1_POST, mock_serve_rerank, true, MOCK_ROUTE_VLLM},
    {"/v2/rerank", H1_POST, mock_serve_rerank, true, MOCK_ROUTE_VLLM},
    {"/ping", H1_GET, mock_serve_ping, false, MOCK_ROUTE_ALL},
    {"/ping", H1_POST, mock_serve_ping, false, MOCK_ROUTE_ALL},
    {"/version", H1_GET, mock_serve_version, false, MOCK_ROUTE_VLLM},
    {"/v1/models", H1_GET, mock_serve_models, false, MOCK_ROUTE_ALL},
    {"/health", H1_GET, mock_serve_health, false, MOCK_ROUTE_ALL},
    {"/ready", H1_GET, mock_serve_ready, false, MOCK_ROUTE_SGLANG},
    {"/is_paused", H1_GET, mock_serve_paused, false, MOCK_ROUTE_VLLM_DEV},
    {"/is_sleeping", H1_GET, mock_serve_sleeping, false, MOCK_ROUTE_VLLM_DEV},
    {"/tokenize", H1_POST, mock_serve_tokenize, false, MOCK_ROUTE_ALL},
    {"/detokenize", H1_POST, mock_serve_detokenize, false, MOCK_ROUTE_ALL},
    {"/metrics", H1_GET, mock_serve_metrics, false, MOCK_ROUTE_ALL},
    {"/kv_event_sources", H1_GET, mock_serve_sources, false, MOCK_ROUTE_VLLM},
    {"/server_info", H1_GET, mock_serve_info, false, MOCK_ROUTE_SGLANG},
    {"/server_info", H1_GET, mock_serve_info, false, MOCK_ROUTE_VLLM_DEV},
    {"/server_info", H1_GET, mock_serve_info, false, MOCK_ROUTE_TRTLLM},
    {"/get_server_info", H1_GET, mock_serve_info, false, MOCK_ROUTE_SGLANG},
    {"/reset_prefix_cache", H1_POST, mock_serve_reset, false, MOCK_ROUTE_ALL},
    {"/mock/cache", H1_GET, mock_serve_cache, false, MOCK_ROUTE_ALL},
    {"/mock/transfers", H1_GET, mock_serve_transfers, false, MOCK_ROUTE_ALL},
    {"/mock/fault", H1_POST, mock_serve_fault, false, MOCK_ROUTE_ALL},
    {"/mock/batch", H1_POST, mock_serve_batch, false, MOCK_ROUTE_ALL},
};
enum { N_MOCK_ROUTES = sizeof routes / sizeof *routes };

// At the side port.
static const struct mock_route side_routes[] = {
    {"/mock/kv/pull", H1_POST, mock_serve_pull, false, MOCK_ROUTE_ALL},
    {"/mock/kv/renew", H1_POST, mock_serve_renew, false, MOCK_ROUTE_ALL},
    {"/query", H1_GET, mock_serve_query, false, MOCK_ROUTE_MOONCAKE},
    {"/route", H1_GET, mock_serve_route, false, MOCK_ROUTE_SGLANG},
    {"/health", H1_GET, mock_serve_health, false, MOCK_ROUTE_SGLANG},
};
enum { N_MOCK_SIDE_ROUTES = sizeof side_routes / sizeof *side_routes };

static bool has_route(const struct mock_engine *m, const struct mock_route *r) {
    bool sglang = mock_is_sglang(m);
    switch (r->owner) {
    case MOCK_ROUTE_VLLM:
        return !sglang;
    case MOCK_ROUTE_VLLM_DEV:
        return !sglang && !m->options->no_dev_mode;
    case MOCK_ROUTE_SGLANG:
        return sglang;
    case MOCK_ROUTE_TRTLLM:
        return m->options->kv == MOCK_KV_TRTLLM;
    case MOCK_ROUTE_MOONCAKE:
        return m->options->kv == MOCK_KV_MOONCAKE;
    default:
        return true;
    }
}

static bool is_path(const char *route, const char *path) {
    size_t n = strlen(route);
    if (route[n - 1] == '*') return strncmp(route, path, n - 1) == 0;
    return strcmp(route, path) == 0;
}

static const struct mock_route *route_of(const struct mock_engine *m,
                                         const struct mock_route *table, size_t n,
                                         const struct h1_head *head, bool *known) {
    enum h1_method method = head->method == H1_HEAD ? H1_GET : head->method;
    *known = false;
    for (size_t i = 0; i < n; i++) {
        if (!is_path(table[i].path, head->path) || !has_route(m, &table[i])) continue;
        *known = true;
        if (table[i].method == method) return &table[i];
    }
    return NULL;
}

static void refuse(struct h1_exchange *x, bool known) {
    mock_reply_error(x, known ? 405 : 404, known ? "not with this method" : "no such path");
}

// True: the request has been dealt with, as a fault that is due wants it.
static bool serve_badly(struct mock_engine *m, struct h1_exchange *x) {
    if (m->faults.fail) {
        m->faults.fail--;
        if (strcmp(x->head.path, "/v1/messages") == 0)
            mock_messages_refuse(x, m->faults.status, "a fault on request");
        else
            mock_reply_error(x, m->faults.status, "a fault on request");
        return true;
    }
    if (m->faults.reset) {
        m->faults.reset--;
        (m->faults.gently ? h1_exchange_abort : h1_exchange_reset)(x);
        return true;
    }
    return false;
}

void mock_routes_serve(struct h1_exchange *x) {
    struct mock_engine *m = x->ctx;
    bool known;
    const struct mock_route *r = route_of(m, routes, N_MOCK_ROUTES, &x->head, &known);
    if (!r) {
        refuse(x, known);
        return;
    }
    // A hanging engine still listens to those that made it hang.
    bool hangs = m->lasting[MOCK_HANG_HTTP].on && strncmp(r->path, "/mock/", 6) != 0;
    hangs = hangs || (m->lasting[MOCK_PAUSED].on && r->generates);
    if (hangs || m->in_step)
        mock_engine_park(m, x);
    else if (!r->generates || !serve_badly(m, x))
        r->serve(m, x);
}

void mock_routes_serve_side(struct h1_exchange *x) {
    struct mock_engine *m = x->ctx;
    bool known;
    const struct mock_route *r = route_of(m, side_routes, N_MOCK_SIDE_ROUTES, &x->head, &known);
    if (r)
        r->serve(m, x);
    else
        refuse(x, known);
}
