// SPDX-License-Identifier: Apache-2.0
// Which function serves which path; see routes.h.
#include "mock_routes.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "mock_call.h"

struct mock_route {
    const char *path;
    enum evhttp_cmd_type method;
    void (*serve)(struct mock_engine *, struct evhttp_request *);
    bool generates; // answers of the model: what HTTP faults are about
};

static const struct mock_route routes[] = {
    {"/v1/completions", EVHTTP_REQ_POST, mock_serve_completion, true},
    {"/v1/chat/completions", EVHTTP_REQ_POST, mock_serve_chat, true},
    {"/v1/embeddings", EVHTTP_REQ_POST, mock_serve_embeddings, true},
    {"/v1/models", EVHTTP_REQ_GET, mock_serve_models, false},
    {"/health", EVHTTP_REQ_GET, mock_serve_health, false},
    {"/tokenize", EVHTTP_REQ_POST, mock_serve_tokenize, false},
    {"/metrics", EVHTTP_REQ_GET, mock_serve_metrics, false},
    {"/server_info", EVHTTP_REQ_GET, mock_serve_info, false},
    {"/get_server_info", EVHTTP_REQ_GET, mock_serve_info, false},
    {"/reset_prefix_cache", EVHTTP_REQ_POST, mock_serve_reset, false},
    {"/mock/cache", EVHTTP_REQ_GET, mock_serve_cache, false},
    {"/mock/fault", EVHTTP_REQ_POST, mock_serve_fault, false},
    {"/mock/batch", EVHTTP_REQ_POST, mock_serve_batch, false},
};
enum { N_ROUTES = sizeof routes / sizeof *routes };

// ---- Answers -------------------------------------------------------------------------------------

void mock_reply_text(struct evhttp_request *request, int status, const char *type,
                     const char *text) {
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
    evbuffer_add(evhttp_request_get_output_buffer(request), text, strlen(text));
    evhttp_send_reply(request, status, NULL, NULL);
}

void mock_reply_json(struct evhttp_request *request, int status, json_t *body) {
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    mock_reply_text(request, status, "application/json", text ? text : "null");
    free(text);
}

void mock_reply_error(struct evhttp_request *request, int status, const char *format, ...) {
    char message[500];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    const char *type = status == 404   ? "NotFoundError"
                       : status >= 500 ? "InternalServerError"
                                       : "BadRequestError";
    // What a client sent may be cut inside a character, and then isn't text any more.
    json_t *text = json_string(message);
    mock_reply_json(request, status,
                    json_pack("{s:{s:o,s:s,s:n,s:i}}", "error", "message",
                              text ? text : json_string("not UTF-8"), "type", type, "param", "code",
                              status));
}

json_t *mock_body_object(struct evhttp_request *request) {
    struct evbuffer *in = evhttp_request_get_input_buffer(request);
    size_t len = evbuffer_get_length(in);
    json_error_t error;
    json_t *body =
        json_loadb(len ? (const char *)evbuffer_pullup(in, -1) : "", len, JSON_ALLOW_NUL, &error);
    if (json_is_object(body)) return body;
    mock_reply_error(request, 400, "the body is no JSON object: %s",
                     body ? "another value" : error.text);
    json_decref(body);
    return NULL;
}

// ---- Routes --------------------------------------------------------------------------------------

static const struct mock_route *route_of(struct evhttp_request *request, bool *known) {
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    if (method == EVHTTP_REQ_HEAD) method = EVHTTP_REQ_GET;
    *known = false;
    for (size_t i = 0; path && i < N_ROUTES; i++) {
        if (strcmp(routes[i].path, path) != 0) continue;
        *known = true;
        if (routes[i].method == method) return &routes[i];
    }
    return NULL;
}

static void forget(struct mock_call *c) {
    (void)c;
}

// The same, and the mark of a call that is parked.
static void forget_parked(struct mock_call *c) {
    forget(c);
}

// True: the request has been dealt with, as a fault that is due wants it.
static bool serve_badly(struct mock_engine *m, struct evhttp_request *request) {
    if (m->faults.fail) {
        m->faults.fail--;
        mock_reply_error(request, m->faults.status, "a fault on request");
        return true;
    }
    if (m->faults.reset) {
        m->faults.reset--;
        mock_call_kill(mock_call_open(m, request, forget, NULL), m->faults.gently);
        return true;
    }
    return false;
}

// A token leaves when it is there, not when the client has confirmed the one before.
static void send_at_once(struct evhttp_request *request) {
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    int yes = 1;
    setsockopt(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)), IPPROTO_TCP,
               TCP_NODELAY, &yes, sizeof yes);
}

void mock_routes_serve(struct evhttp_request *request, void *mock) {
    struct mock_engine *m = mock;
    bool known;
    send_at_once(request);
    const struct mock_route *r = route_of(request, &known);
    if (!r) {
        mock_reply_error(request, known ? 405 : 404,
                         known ? "not with this method" : "no such path");
        return;
    }
    // A hanging engine still listens to those that made it hang.
    if (m->lasting[MOCK_HANG_HTTP].on && strncmp(r->path, "/mock/", 6) != 0) {
        mock_call_open(m, request, forget_parked, NULL);
        return;
    }
    if (r->generates && serve_badly(m, request)) return;
    r->serve(m, request);
}

// The newest is first in the list: served last.
void mock_routes_resume(struct mock_engine *m) {
    for (bool found = true; found;) {
        struct mock_call *oldest = NULL;
        for (struct mock_call *c = m->calls; c; c = c->next)
            if (c->gone == forget_parked) oldest = c;
        found = oldest != NULL;
        if (found) mock_routes_serve(mock_call_close(oldest), m);
    }
}
