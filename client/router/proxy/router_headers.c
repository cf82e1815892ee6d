// SPDX-License-Identifier: Apache-2.0
#include "router_headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/http1/h1_buffer.h"
#include "client/router/router.h"
#include "client/router/trace/router_trace.h"

enum { RANK_ROOM = 40 + ROUTER_TRACEPARENT_LINE };

// What is between two neighbours only, or said anew. The engine is asked for plain text, because the
// lines of a stream are looked at.
static const char *const not_to_engine[] = {"connection",
                                            "keep-alive",
                                            "proxy-connection",
                                            "proxy-authenticate",
                                            "proxy-authorization",
                                            "te",
                                            "trailer",
                                            "transfer-encoding",
                                            "upgrade",
                                            "http2-settings",
                                            "host",
                                            "content-length",
                                            "expect",
                                            "accept-encoding",
                                            "x-request-id",
                                            "x-data-parallel-rank",
                                            "x-kvroute-osl",
                                            "x-kvroute-class",
                                            "x-kvroute-flow",
                                            NULL};
static const char *const not_to_client[] = {"connection",
                                            "keep-alive",
                                            "proxy-connection",
                                            "proxy-authenticate",
                                            "trailer",
                                            "transfer-encoding",
                                            "upgrade",
                                            "content-length",
                                            "date",
                                            "x-request-id",
                                            "x-kvroute-worker",
                                            "x-kvroute-prefill-worker",
                                            "x-kvroute-overlap",
                                            "x-kvroute-expected",
                                            "x-kvroute-waited",
                                            "x-kvroute-protected",
                                            NULL};

// What may be a token of the router's own.
static const char *const keys[] = {"authorization", "x-api-key", NULL};

// Few have the same first letter: only those are compared.
static bool is_in(const char *const *names, const char *name) {
    for (; *names; names++)
        if (!((**names ^ *name) & ~0x20) && !strcasecmp(*names, name)) return true;
    return false;
}

// Whether a Connection header says that a header of this name is for the next neighbour only.
static bool names(const char *connection, const char *name) {
    size_t n = strlen(name);
    for (const char *at = connection; at && *at;) {
        at += strspn(at, " \t,");
        size_t len = strcspn(at, " \t,");
        if (len == n && !strncasecmp(at, name, n)) return true;
        at += len;
    }
    return false;
}

static bool is_hop(const struct h1_head *h, const char *name) {
    for (unsigned i = 0; i < h->n_headers; i++)
        if (!strcasecmp(h->headers[i].name, "connection") && names(h->headers[i].value, name))
            return true;
    return false;
}

static char *put_line(char *at, const char *name, const char *value) {
    at = h1_put_bytes(h1_put_text(at, name), ": ", 2);
    return h1_put_bytes(h1_put_text(at, value), "\r\n", 2);
}

char *router_headers_for_engine(const struct router_exchange *x, size_t *n) {
    const struct h1_head *h = &x->h1.head;
    // A token that is for this router isn't the engines' business.
    bool ours = *x->router->config.token_file;
    char parent[ROUTER_TRACEPARENT_LINE];
    bool state, renewed = router_trace_renews(x, parent, &state);
    static const char id[] = "X-Request-Id";
    bool hops = h1_find_header(h, "connection");
    size_t room = strlen(parent) + sizeof id + strlen(x->record.id) + 4 + RANK_ROOM;
    for (size_t i = 0; i < h->n_headers; i++)
        room += strlen(h->headers[i].name) + strlen(h->headers[i].value) + 4;
    char *headers = malloc(room), *at = headers;
    if (!headers) return NULL;
    for (size_t i = 0; i < h->n_headers; i++) {
        const char *name = h->headers[i].name;
        if (is_in(not_to_engine, name) || (hops && is_hop(h, name))) continue;
        if (ours && is_in(keys, name)) continue;
        if (renewed && !strcasecmp(name, "traceparent")) continue;
        if (renewed && !state && !strcasecmp(name, "tracestate")) continue;
        at = put_line(at, name, h->headers[i].value);
    }
    at = put_line(h1_put_text(at, parent), id, x->record.id);
    *n = (size_t)(at - headers);
    return headers;
}

void router_headers_set_rank(char *headers, size_t n, uint32_t rank, const char *more) {
    char *at = h1_put_number(h1_put_text(headers + n, "X-data-parallel-rank: "), rank);
    *h1_put_text(h1_put_bytes(at, "\r\n", 2), more) = 0;
}

char *router_headers_authorization(const struct router_exchange *x) {
    const char *key = h1_find_header(&x->h1.head, "authorization");
    if (!key || *x->router->config.token_file) return NULL;
    size_t n = strlen(key) + 20;
    char *line = malloc(n);
    if (line) snprintf(line, n, "Authorization: %s\r\n", key);
    return line;
}

static void set_number(struct router_exchange *x, const char *name, int64_t n) {
    char text[24];
    char *end = text;
    if (n < 0) *end++ = '-';
    *h1_put_number(end, n < 0 ? -(uint64_t)n : (uint64_t)n) = 0;
    h1_exchange_header(&x->h1, name, text);
}

void router_headers_waited(struct router_exchange *x) {
    if (x->record.waited >= 0) set_number(x, "X-Kvroute-Waited", x->record.waited);
}

// Which pages may read the answer is for one to say: the router, if it has such a setting.
static bool is_of_cors(const char *name) {
    static const char prefix[] = "access-control-";
    return !strncasecmp(name, prefix, sizeof prefix - 1);
}

void router_headers_to_client(struct router_exchange *x, const struct h1_head *reply) {
    const char *connection = h1_find_header(reply, "Connection");
    bool cors = *x->router->config.cors;
    for (size_t i = 0; i < reply->n_headers; i++) {
        const char *name = reply->headers[i].name;
        if (cors && is_of_cors(name)) continue;
        if (!is_in(not_to_client, name) && !(connection && names(connection, name)))
            h1_exchange_header(&x->h1, name, reply->headers[i].value);
    }
    h1_exchange_header(&x->h1, "X-Kvroute-Worker", x->record.worker);
    if (*x->record.prefill_worker)
        h1_exchange_header(&x->h1, "X-Kvroute-Prefill-Worker", x->record.prefill_worker);
    set_number(x, "X-Kvroute-Overlap", x->record.overlap);
    set_number(x, "X-Kvroute-Expected", x->record.expected);
    router_headers_waited(x);
}
