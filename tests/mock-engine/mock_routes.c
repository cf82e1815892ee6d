// SPDX-License-Identifier: Apache-2.0
// Which function serves which path; see mock_routes.h.
#include "mock_routes.h"

#include <string.h>

#include "mock_faults.h"
#include "mock_generate.h"
#include "mock_inspect.h"
#include "mock_prompt.h"
#include "mock_reply.h"

struct mock_route {
    const char *path;
    enum h1_method method;
    void (*serve)(struct mock_engine *, struct h1_exchange *);
    bool generates; // answers of the model: what HTTP faults are about
};

static const struct mock_route routes[] = {
    {"/v1/completions", H1_POST, mock_serve_completion, true},
    {"/v1/chat/completions", H1_POST, mock_serve_chat, true},
    {"/v1/embeddings", H1_POST, mock_serve_embeddings, true},
    {"/v1/models", H1_GET, mock_serve_models, false},
    {"/health", H1_GET, mock_serve_health, false},
    {"/tokenize", H1_POST, mock_serve_tokenize, false},
    {"/metrics", H1_GET, mock_serve_metrics, false},
    {"/server_info", H1_GET, mock_serve_info, false},
    {"/get_server_info", H1_GET, mock_serve_info, false},
    {"/reset_prefix_cache", H1_POST, mock_serve_reset, false},
    {"/mock/cache", H1_GET, mock_serve_cache, false},
    {"/mock/fault", H1_POST, mock_serve_fault, false},
    {"/mock/batch", H1_POST, mock_serve_batch, false},
};
enum { N_MOCK_ROUTES = sizeof routes / sizeof *routes };

static const struct mock_route *route_of(const struct h1_head *head, bool *known) {
    enum h1_method method = head->method == H1_HEAD ? H1_GET : head->method;
    *known = false;
    for (size_t i = 0; i < N_MOCK_ROUTES; i++) {
        if (strcmp(routes[i].path, head->path) != 0) continue;
        *known = true;
        if (routes[i].method == method) return &routes[i];
    }
    return NULL;
}

// True: the request has been dealt with, as a fault that is due wants it.
static bool serve_badly(struct mock_engine *m, struct h1_exchange *x) {
    if (m->faults.fail) {
        m->faults.fail--;
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
    const struct mock_route *r = route_of(&x->head, &known);
    if (!r) {
        mock_reply_error(x, known ? 405 : 404, known ? "not with this method" : "no such path");
        return;
    }
    // A hanging engine still listens to those that made it hang.
    bool hangs = m->lasting[MOCK_HANG_HTTP].on && strncmp(r->path, "/mock/", 6) != 0;
    if (hangs || m->in_step)
        mock_engine_park(m, x);
    else if (!r->generates || !serve_badly(m, x))
        r->serve(m, x);
}
