// SPDX-License-Identifier: Apache-2.0
#include "router_models.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/config.h"
#include "client/common/hex.h"
#include "client/http1/h1_buffer.h"
#include "client/router/pools/router_model_list.h"
#include "client/router/router_offload.h"
#include "router_headers.h"
#include "router_request.h"

enum { MODELS_TIMEOUT_MS = 2000 };

struct models_source {
    struct models_query *query;
    struct router_pool_config pool;
    struct h1_call *call;
    struct evbuffer *bytes;
    struct router_model_list *reading; // what came
    size_t turn, asked;                // which worker was the first, and how many were looked at
    int status;                        // 0: the last one gave no answer
};

struct models_query {
    struct router_exchange *x;
    json_t *models; // array
    json_t *ids;    // an object with a field for each of them
    char *headers;  // for the engines
    char *only;     // the one that is asked for; NULL: all
    size_t open, n;
    bool closed; // an engine wanted another key
    struct models_source *sources;
};

static void query_free(struct models_query *g) {
    for (size_t i = 0; i < g->n; i++) {
        h1_call_cancel(g->sources[i].call);
        router_model_list_cancel(g->sources[i].reading);
        if (g->sources[i].bytes) evbuffer_free(g->sources[i].bytes);
    }
    json_decref(g->models);
    json_decref(g->ids);
    free(g->headers);
    free(g->only);
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

// Adds those that aren't there yet.
static void add_models(struct models_query *g, json_t *models) {
    const char *id;
    json_t *model;
    json_object_foreach(models, id, model) if (is_new(g, id)) json_array_append(g->models, model);
}

static void add_settings(struct models_query *g, const struct router_pool_config *o) {
    size_t n;
    for (const char *at = o->models; (n = kvr_config_word(&at)); at += n) {
        char *id = strndup(at, n);
        if (id && strcmp(id, "*") != 0 && is_new(g, id))
            json_array_append_new(g->models, json_pack("{s:s,s:s,s:s}", "id", id, "object", "model",
                                                       "owned_by", "kvroute"));
        free(id);
    }
}

// Those that say the same share one list (router_served.h).
static bool is_first_with_list(const struct router_pool *p, size_t i) {
    for (size_t j = 0; j < i; j++)
        if (p->workers[j].state == KVR_READY &&
            p->workers[j].here.serves == p->workers[i].here.serves)
            return false;
    return true;
}

// What the others of the pool have said before; they may serve something else.
static void add_learnt(struct models_query *g, const struct router_pool *p) {
    for (size_t i = 0; p && i < p->n_workers; i++)
        if (p->workers[i].state == KVR_READY && is_first_with_list(p, i))
            add_models(g, p->workers[i].here.serves);
}

static json_t *model_of(const json_t *models, const char *id) {
    size_t i;
    json_t *model;
    json_array_foreach(models, i, model) {
        const char *is = json_string_value(json_object_get(model, "id"));
        if (is && !strcmp(is, id)) return json_incref(model);
    }
    return NULL;
}

static void answer(struct models_query *g) {
    struct router_exchange *x = g->x;
    bool all = !g->only, closed = g->closed, some = json_array_size(g->models);
    json_t *said = all ? json_pack("{s:s,s:O}", "object", "list", "data", g->models)
                       : model_of(g->models, g->only);
    query_free(g);
    if (some && said) {
        router_json(x, 200, said);
        return;
    }
    json_decref(said);
    if (some) {
        router_error(x, 404, "NOTFOUND", "no engine serves this model");
        return;
    }
    if (closed)
        router_error(x, 401, "UNAUTHORIZED", "the engines want another key");
    else
        router_error(x, 503, "NOWORKER", "no engine answers");
}

static bool ask_next(struct models_source *q);

// The pool has said what it says, or nobody of it has.
static void settled(struct models_source *q, bool good) {
    struct models_query *g = q->query;
    if (good)
        add_learnt(g, router_pools_named(g->x->router->pools, q->pool.name));
    else if (q->status != 401)
        add_settings(g, &q->pool);
    if (!--g->open) answer(g);
}

static void answered(struct models_source *q, bool good) {
    if (q->status == 401) q->query->closed = true;
    if (good || q->status == 401 || !ask_next(q)) settled(q, good);
}

static void on_models(void *ctx, json_t *models) {
    struct models_source *q = ctx;
    q->reading = NULL;
    add_models(q->query, models);
    bool good = models != NULL;
    json_decref(models);
    answered(q, good);
}

static void on_head(void *ctx, const struct h1_head *r) {
    ((struct models_source *)ctx)->status = r->status;
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct models_source *q = ctx;
    h1_buffer_move(bytes, q->bytes, evbuffer_get_length(bytes));
    if (evbuffer_get_length(q->bytes) <= ROUTER_MODEL_LIST_MAX_BYTES) return;
    h1_call_cancel(q->call);
    q->call = NULL;
    answered(q, false);
}

static void on_end(void *ctx) {
    struct models_source *q = ctx;
    struct router_offload *o = q->query->x->router->offload;
    q->call = NULL;
    if (q->status == 200) q->reading = router_model_list_start(o, q->bytes, on_models, q);
    if (!q->reading) answered(q, false);
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct models_source *q = ctx;
    (void)why;
    q->call = NULL;
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
                                 .head_ms = MODELS_TIMEOUT_MS,
                                 .all_ms = MODELS_TIMEOUT_MS};
    q->status = 0;
    if (!q->bytes) return false;
    evbuffer_drain(q->bytes, evbuffer_get_length(q->bytes));
    while (pool && !q->call && q->asked < 2 * pool->n_workers) {
        const struct router_worker *w = candidate(p, pool, q, q->asked++);
        request.address = w ? w->addr : NULL;
        if (w) q->call = h1_call_start(p->router->upstream, &request, &port, q, NULL);
    }
    return q->call != NULL;
}

// %2F and the like in it: names of models have slashes. NULL: no memory.
static char *decode_path(const char *path) {
    size_t left = strlen(path);
    char *name = malloc(left + 1), *to = name;
    if (!name) return NULL;
    while (left) {
        int byte = kvr_percent_value(path, left);
        size_t n = byte < 0 ? 1 : 3;
        *to++ = byte < 0 ? *path : (char)byte;
        path += n;
        left -= n;
    }
    *to = 0;
    return name;
}

void router_models_list(struct router_exchange *x) {
    const char *after = x->h1.head.path + strlen("/v1/models");
    struct router_proxy *p = x->router->proxy;
    struct models_query *g = calloc(1, sizeof *g);
    size_t n = 0;
    for (const struct router_pool *pool = router_pools_first(x->router->pools); pool;
         pool = pool->next)
        n++;
    if (g) g->sources = calloc(n, sizeof *g->sources);
    if (g) g->models = json_array();
    if (g) g->ids = json_object();
    if (g && *after) g->only = decode_path(after + 1);
    if (!g || !g->sources || !g->models || !g->ids || (*after && !g->only)) {
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
