// SPDX-License-Identifier: Apache-2.0
#include "router_models.h"

#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_buffer.h"
#include "client/router/prompt/router_json.h"
#include "router_headers.h"
#include "router_request.h"

enum { MODELS_TIMEOUT_MS = 2000, MODELS_MAX_BYTES = 4 << 20 };

struct models_source {
    struct models_query *query;
    struct router_pool_config pool;
    struct h1_call *call;
    struct evbuffer *bytes;
    size_t turn, asked; // which worker was the first, and how many were looked at
    int status;         // 0: the last one gave no answer
};

struct models_query {
    struct router_exchange *x;
    json_t *models; // array
    json_t *ids;    // an object with a field for each of them
    char *headers;  // for the engines
    size_t open, n;
    bool closed; // an engine wanted another key
    struct models_source *sources;
};

static void query_free(struct models_query *g) {
    for (size_t i = 0; i < g->n; i++) {
        h1_call_cancel(g->sources[i].call);
        if (g->sources[i].bytes) evbuffer_free(g->sources[i].bytes);
    }
    json_decref(g->models);
    json_decref(g->ids);
    free(g->headers);
    free(g->sources);
    free(g);
}

static void on_gone(struct h1_exchange *x) {
    query_free(x->arg);
}

// Whether it is the first of that id; then it is known from now on.
static bool is_new(struct models_query *g, const char *id) {
    return !json_object_get(g->ids, id) && !json_object_set_new(g->ids, id, json_true());
}

// Adds those that aren't there yet. False: that is no list of models.
static bool add_answer(struct models_query *g, struct evbuffer *bytes) {
    char why[100];
    size_t i;
    json_t *all = router_json_parse(bytes, why, sizeof why), *model;
    json_t *data = json_object_get(all, "data");
    json_array_foreach(data, i, model) {
        const char *id = json_string_value(json_object_get(model, "id"));
        if (id && is_new(g, id)) json_array_append(g->models, model);
    }
    bool good = json_is_array(data);
    json_decref(all);
    return good;
}

static void add_settings(struct models_query *g, const struct router_pool_config *o) {
    for (const char *at = o->models + strspn(o->models, " "); *at;) {
        size_t n = strcspn(at, " ");
        char *id = strndup(at, n);
        if (id && strcmp(id, "*") != 0 && is_new(g, id))
            json_array_append_new(g->models, json_pack("{s:s,s:s,s:s}", "id", id, "object", "model",
                                                       "owned_by", "kvroute"));
        free(id);
        at += n + strspn(at + n, " ");
    }
}

static void answer(struct models_query *g) {
    struct router_exchange *x = g->x;
    json_t *models = json_incref(g->models);
    bool closed = g->closed;
    query_free(g);
    if (json_array_size(models)) {
        router_json(x, 200, json_pack("{s:s,s:o}", "object", "list", "data", models));
        return;
    }
    json_decref(models);
    if (closed)
        router_error(x, 401, "UNAUTHORIZED", "the engines want another key");
    else
        router_error(x, 503, "NOWORKER", "no engine answers");
}

static bool ask_next(struct models_source *q);

// The pool has said what it says, or nobody of it has.
static void settled(struct models_source *q, bool good) {
    struct models_query *g = q->query;
    if (!good && q->status != 401) add_settings(g, &q->pool);
    if (!--g->open) answer(g);
}

static void answered(struct models_source *q, bool good) {
    q->call = NULL;
    good = good && add_answer(q->query, q->bytes);
    if (q->status == 401) q->query->closed = true;
    if (good || q->status == 401 || !ask_next(q)) settled(q, good);
}

static void on_head(void *ctx, const struct h1_head *r) {
    ((struct models_source *)ctx)->status = r->status;
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct models_source *q = ctx;
    h1_buffer_move(bytes, q->bytes, evbuffer_get_length(bytes));
    if (evbuffer_get_length(q->bytes) <= MODELS_MAX_BYTES) return;
    h1_call_cancel(q->call);
    answered(q, false);
}

static void on_end(void *ctx) {
    struct models_source *q = ctx;
    answered(q, q->status == 200);
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct models_source *q = ctx;
    (void)why;
    q->status = 0;
    answered(q, false);
}

// The worker that is asked as number k, from 0: all with closed circuits, then all with open ones. NULL:
// it isn't ready, or not of this round.
static const struct router_worker *candidate(const struct router_proxy *p,
                                             const struct router_pool *pool,
                                             const struct models_source *q, size_t k) {
    const struct router_worker *w = &pool->workers[(q->turn + k) % pool->n_workers];
    bool open =
        w->circuit != KVR_CLOSED || router_circuit_is_open(p->circuits, pool, kvr_text(w->name));
    return w->state == KVR_READY && *w->addr && open == (k >= pool->n_workers) ? w : NULL;
}

// False: there is nobody left.
static bool ask_next(struct models_source *q) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    struct models_query *g = q->query;
    struct router_proxy *p = g->x->router->proxy;
    const struct router_pool *pool = router_pools_named(g->x->router->pools, q->pool.name);
    struct h1_request request = {.method = "GET",
                                 .path = "/v1/models",
                                 .headers = g->headers,
                                 .fresh = true,
                                 .head_ms = MODELS_TIMEOUT_MS};
    q->status = 0;
    if (!q->bytes) return false;
    evbuffer_drain(q->bytes, evbuffer_get_length(q->bytes));
    while (pool && !q->call && q->asked < 2 * pool->n_workers) {
        const struct router_worker *w = candidate(p, pool, q, q->asked++);
        request.address = w ? w->addr : NULL;
        if (w) q->call = h1_call_start(p->upstream, &request, &port, q, NULL);
    }
    return q->call != NULL;
}

void router_models_list(struct router_exchange *x) {
    struct router_proxy *p = x->router->proxy;
    struct models_query *g = calloc(1, sizeof *g);
    size_t n = 0;
    for (const struct router_pool *pool = router_pools_first(x->router->pools); pool;
         pool = pool->next)
        n++;
    if (g) g->sources = calloc(n, sizeof *g->sources);
    if (g) g->models = json_array();
    if (g) g->ids = json_object();
    if (!g || !g->sources || !g->models || !g->ids) {
        if (g) query_free(g);
        router_error(x, 503, "NOMEM", "no memory");
        return;
    }
    g->x = x;
    x->h1.arg = g;
    x->h1.on_gone = on_gone;
    g->headers = router_headers_authorization(x);
    for (const struct router_pool *pool = router_pools_first(x->router->pools); pool;
         pool = pool->next) {
        struct models_source *q = &g->sources[g->n++];
        q->query = g;
        q->pool = pool->options;
        q->bytes = evbuffer_new();
        q->turn = p->turn++;
        ask_next(q);
    }
    // Those that couldn't be asked; the last of them may be the end of it.
    g->open = n;
    for (size_t i = 0; i < n; i++) {
        bool last = g->open == 1;
        if (g->sources[i].call) continue;
        settled(&g->sources[i], false);
        if (last) return;
    }
}
