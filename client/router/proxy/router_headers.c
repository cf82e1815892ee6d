// SPDX-License-Identifier: Apache-2.0
#include "router_headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/router/router.h"

enum { RANK_ROOM = 40 };

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
                                            "host",
                                            "content-length",
                                            "expect",
                                            "accept-encoding",
                                            "x-request-id",
                                            "x-data-parallel-rank",
                                            "x-kvroute-osl",
                                            NULL};
static const char *const not_to_client[] = {
    "connection",        "keep-alive",       "proxy-connection",  "proxy-authenticate", "trailer",
    "transfer-encoding", "upgrade",          "content-length",    "content-type",       "date",
    "x-request-id",      "x-kvroute-worker", "x-kvroute-overlap", "x-kvroute-expected", NULL};

static bool is_in(const char *const *names, const char *name) {
    for (; *names; names++)
        if (!strcasecmp(*names, name)) return true;
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

char *router_headers_for_engine(const struct router_exchange *x, size_t *n) {
    const struct h1_head *h = &x->h1.head;
    // A token that is for this router isn't the engines' business.
    bool ours = *x->router->config.token_file;
    struct evbuffer *lines = evbuffer_new();
    if (!lines) return NULL;
    for (unsigned i = 0; i < h->n_headers; i++) {
        const char *name = h->headers[i].name;
        if (is_in(not_to_engine, name) || is_hop(h, name)) continue;
        if (ours && !strcasecmp(name, "authorization")) continue;
        evbuffer_add_printf(lines, "%s: %s\r\n", name, h->headers[i].value);
    }
    evbuffer_add_printf(lines, "X-Request-Id: %s\r\n", x->record.id);
    *n = evbuffer_get_length(lines);
    char *headers = malloc(*n + RANK_ROOM);
    if (headers) evbuffer_remove(lines, headers, *n);
    evbuffer_free(lines);
    return headers;
}

void router_headers_set_rank(char *headers, size_t n, uint32_t rank) {
    snprintf(headers + n, RANK_ROOM, "X-data-parallel-rank: %u\r\n", rank);
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
    snprintf(text, sizeof text, "%lld", (long long)n);
    h1_exchange_header(&x->h1, name, text);
}

void router_headers_to_client(struct router_exchange *x, const struct h1_head *reply) {
    const char *connection = h1_find_header(reply, "Connection");
    for (size_t i = 0; i < reply->n_headers; i++) {
        const char *name = reply->headers[i].name;
        if (!is_in(not_to_client, name) && !names(connection, name))
            h1_exchange_header(&x->h1, name, reply->headers[i].value);
    }
    h1_exchange_header(&x->h1, "X-Kvroute-Worker", x->record.worker);
    set_number(x, "X-Kvroute-Overlap", x->record.overlap);
    set_number(x, "X-Kvroute-Expected", x->record.expected);
}
