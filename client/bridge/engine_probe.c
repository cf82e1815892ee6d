// SPDX-License-Identifier: Apache-2.0
// See health.h.
#define _GNU_SOURCE // memmem
#include "engine_probe.h"

#include <ctype.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PATIENCE_S = 2, MOST_BODY = 4 << 20 };

struct inquiry {
    struct bridge_probe *health;
    struct evhttp_connection *connection; // NULL: none under way
    struct evhttp_connection *spent;      // to be freed
    unsigned failures;                    // to connect, in a row
};

struct bridge_probe {
    struct event_base *base;
    struct evhttp_uri *uri;
    struct bridge_probe_port port;
    char path[600], host[256];
    char *name;      // of the host, or its address without brackets
    bool fixed;      // it is an address
    unsigned family; // of `families`, the one that did last
    struct inquiry check, learn;
    struct event *sweep;
    unsigned asking; // which of the info paths
    bool cache;      // its size is asked, too
    struct bridge_probe_facts facts;
};

enum { METRICS = 2 };
static const char *const info_paths[] = {"/server_info", "/get_server_info", "/metrics"};

// libevent tries one address of a name, but an engine may listen on another kind only: `localhost` is
// ::1 for one and 127.0.0.1 for the other. So after what the system prefers each kind has its turn.
static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};
enum { FAMILIES = sizeof families / sizeof *families };

// ---- Reading -------------------------------------------------------------------------------------

static bool is_name(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

uint32_t bridge_probe_number(const char *text, size_t n, const char *name) {
    size_t len = strlen(name);
    for (const char *at = text, *end = text + n; (at = memmem(at, (size_t)(end - at), name, len));
         at += len) {
        const char *p = at + len;
        unsigned long x = 0;
        if (at > text && is_name(at[-1])) continue;
        while (p < end && (*p == '"' || *p == '\'' || *p == '\\' || *p == ' '))
            p++;
        if (p == end || (*p != ':' && *p != '=')) continue;
        for (p++; p < end && *p == ' ';)
            p++;
        for (; p < end && isdigit((unsigned char)*p) && x < 100000000; p++)
            x = x * 10 + (unsigned long)(*p - '0');
        if (x) return (uint32_t)x;
    }
    return 0;
}

// A label's value as a number, at `at`, behind its quotation mark; moves behind the closing one.
static uint32_t quoted_number(const char **at, const char *end) {
    unsigned long x = 0;
    bool whole = true;
    const char *p = *at;
    for (; p < end && *p != '"' && *p != '\n'; p++) {
        whole = whole && isdigit((unsigned char)*p) && x < 100000000;
        if (whole) x = x * 10 + (unsigned long)(*p - '0');
        if (*p == '\\' && p + 1 < end) p++;
    }
    *at = p < end ? p + 1 : end;
    return whole ? (uint32_t)x : 0;
}

uint32_t bridge_probe_label(const char *text, size_t n, const char *metric, const char *label) {
    size_t m = strlen(metric), len = strlen(label);
    const char *end = text + n;
    uint32_t least = 0;
    for (const char *line = text, *next; line < end; line = next) {
        const char *lf = memchr(line, '\n', (size_t)(end - line)), *at = line + m + 1;
        next = lf ? lf + 1 : end;
        if (next - line <= (ptrdiff_t)m || memcmp(line, metric, m) != 0 || line[m] != '{') continue;
        while (at < next && is_name(*at)) {
            const char *name = at;
            while (at < next && is_name(*at))
                at++;
            bool ours = (size_t)(at - name) == len && !memcmp(name, label, len);
            if (next - at < 2 || at[0] != '=' || at[1] != '"') break;
            at += 2;
            uint32_t x = quoted_number(&at, next);
            if (ours && x && (!least || x < least)) least = x;
            if (at < next && *at == ',') at++;
        }
    }
    return least;
}

// ---- Asking --------------------------------------------------------------------------------------

static void give_back(struct evhttp_connection **c) {
    struct evhttp_connection *connection = *c;
    *c = NULL;
    if (connection) evhttp_connection_free(connection);
}

static bool ask(struct inquiry *q, const char *path,
                void (*done)(struct evhttp_request *, void *)) {
    struct bridge_probe *h = q->health;
    int port = evhttp_uri_get_port(h->uri);
    q->connection =
        evhttp_connection_base_new(h->base, NULL, h->name, (uint16_t)(port > 0 ? port : 80));
    if (!q->connection) return false;
    evhttp_connection_set_family(q->connection, families[h->family]);
    evhttp_connection_set_timeout(q->connection, PATIENCE_S);
    evhttp_connection_set_max_body_size(q->connection, MOST_BODY);
    struct evhttp_request *r = evhttp_request_new(done, q);
    if (!r) {
        give_back(&q->connection);
        return false;
    }
    struct evkeyvalq *headers = evhttp_request_get_output_headers(r);
    evhttp_add_header(headers, "Host", h->host);
    evhttp_add_header(headers, "Connection", "close");
    if (evhttp_make_request(q->connection, r, EVHTTP_REQ_GET, path) == 0) return true;
    q->connection = NULL; // it has gone with the request
    return false;
}

// A connection may not be freed inside its request's callback, and libevent's own way to have it freed
// when that is over forgets those whose request has failed or was the last.
static void let_go(struct inquiry *q) {
    give_back(&q->spent); // of an earlier turn of the loop
    q->spent = q->connection;
    q->connection = NULL;
    event_active(q->health->sweep, EV_TIMEOUT, 0);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg) {
    struct bridge_probe *h = arg;
    (void)fd;
    (void)what;
    give_back(&h->check.spent);
    give_back(&h->learn.spent);
}

static int code_of(struct evhttp_request *r) {
    return r ? evhttp_request_get_response_code(r) : 0;
}

// After a question without an answer, and let_go(): whether it is asked once more, elsewhere.
static bool ask_elsewhere(struct inquiry *q, const char *path,
                          void (*done)(struct evhttp_request *, void *)) {
    struct bridge_probe *h = q->health;
    if (h->fixed || !h->port.answer || ++q->failures >= FAMILIES) {
        q->failures = 0;
        return false;
    }
    h->family = (h->family + 1) % FAMILIES;
    return ask(q, path, done);
}

static void on_check(struct evhttp_request *r, void *arg) {
    struct inquiry *q = arg;
    int code = code_of(r);
    bool up = code == 200;
    let_go(q);
    if (code)
        q->failures = 0;
    else if (ask_elsewhere(q, q->health->path, on_check))
        return;
    if (q->health->port.answer) q->health->port.answer(q->health->port.ctx, up);
}

void bridge_probe_check(struct bridge_probe *h) {
    if (h->check.connection) return;
    if (!ask(&h->check, h->path, on_check)) h->port.answer(h->port.ctx, false);
}

static void read_info(struct bridge_probe_facts *f, const char *text, size_t n) {
    f->block_size = bridge_probe_number(text, n, "block_size");
    if (!f->block_size) f->block_size = bridge_probe_number(text, n, "page_size");
    f->ranks = bridge_probe_number(text, n, "dp_size");
    if (!f->ranks) f->ranks = bridge_probe_number(text, n, "data_parallel_size");
    f->cache_tokens = bridge_probe_number(text, n, "max_total_num_tokens");
    if (!f->cache_tokens)
        f->cache_tokens = (int64_t)bridge_probe_number(text, n, "num_gpu_blocks") * f->block_size;
}

// kv_cache_size_tokens, of newer ones, is right also where a model has several kinds of layers, and a
// block of tokens takes several of the cache's.
static void read_metrics(struct bridge_probe_facts *f, const char *text, size_t n) {
    static const char metric[] = "vllm:cache_config_info";
    f->cache_tokens = bridge_probe_label(text, n, metric, "kv_cache_size_tokens");
    if (!f->cache_tokens)
        f->cache_tokens = (int64_t)bridge_probe_label(text, n, metric, "num_gpu_blocks") *
                          bridge_probe_label(text, n, metric, "block_size");
}

static void on_info(struct evhttp_request *r, void *arg) {
    struct inquiry *q = arg;
    struct bridge_probe *h = q->health;
    int code = code_of(r);
    struct evbuffer *b = code == 200 ? evhttp_request_get_input_buffer(r) : NULL;
    size_t n = b ? evbuffer_get_length(b) : 0;
    const char *text = n ? (const char *)evbuffer_pullup(b, -1) : NULL;
    if (text) (h->asking == METRICS ? read_metrics : read_info)(&h->facts, text, n);
    let_go(q);
    if (code)
        q->failures = 0;
    else if (ask_elsewhere(q, info_paths[h->asking], on_info))
        return;
    if (!code && h->asking != METRICS) return; // nobody there: it is asked again
    if (h->asking < METRICS) {
        bool next = code != 200 && h->asking + 1 < METRICS;
        h->asking = next ? h->asking + 1 : METRICS;
        if ((next || (h->cache && !h->facts.cache_tokens)) &&
            ask(q, info_paths[h->asking], on_info))
            return;
    }
    h->port.learned(h->port.ctx, &h->facts);
}

void bridge_probe_learn(struct bridge_probe *h, bool cache) {
    if (h->learn.connection) return;
    h->asking = 0;
    h->cache = cache;
    h->facts = (struct bridge_probe_facts){0};
    ask(&h->learn, info_paths[0], on_info);
}

struct bridge_probe *bridge_probe_new(struct event_base *base, const char *url, const char *path,
                                      const struct bridge_probe_port *port, char *error,
                                      size_t error_size) {
    struct bridge_probe *h = calloc(1, sizeof *h);
    if (h) h->uri = evhttp_uri_parse(url);
    const char *host = h && h->uri ? evhttp_uri_get_host(h->uri) : NULL;
    if (h) h->sweep = event_new(base, -1, 0, on_sweep, h);
    size_t len = host ? strlen(host) : 0;
    bool brackets = len > 2 && host[0] == '[' && host[len - 1] == ']';
    if (host) h->name = brackets ? strndup(host + 1, len - 2) : strdup(host);
    if (h && (!h->sweep || !h->name)) host = NULL;
    if (!host || !*host || strlen(host) > 200) {
        snprintf(error, error_size, "%.100s is no URL of a server", url);
        bridge_probe_free(h);
        return NULL;
    }
    struct in6_addr address;
    h->fixed = brackets || evutil_inet_pton(AF_INET, host, &address) == 1;
    h->base = base;
    h->port = *port;
    h->check.health = h->learn.health = h;
    const char *prefix = evhttp_uri_get_path(h->uri);
    size_t n = strlen(prefix);
    while (n && prefix[n - 1] == '/')
        n--;
    snprintf(h->path, sizeof h->path, "%.*s%s", (int)(n < 400 ? n : 400), prefix, path);
    snprintf(h->host, sizeof h->host, "%s:%d", host,
             evhttp_uri_get_port(h->uri) > 0 ? evhttp_uri_get_port(h->uri) : 80);
    return h;
}

void bridge_probe_free(struct bridge_probe *h) {
    if (!h) return;
    // Freeing a connection calls the request's callback with NULL: nobody is to hear of it.
    h->port.answer = NULL;
    struct inquiry *both[] = {&h->check, &h->learn};
    for (unsigned i = 0; i < 2; i++) {
        give_back(&both[i]->connection);
        give_back(&both[i]->spent);
    }
    if (h->sweep) event_free(h->sweep);
    if (h->uri) evhttp_uri_free(h->uri);
    free(h->name);
    free(h);
}
