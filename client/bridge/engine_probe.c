// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memmem
#include "engine_probe.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE_MS = 2000, MAX_PROBE_BODY = 4 << 20 };

// No connection is kept: between two checks an engine would close it.
const struct h1_client_options bridge_probe_client = {
    .connect_ms = PROBE_MS, .head_ms = PROBE_MS, .idle_ms = PROBE_MS};

// One call at a time of each of the two kinds.
struct probe_call {
    struct bridge_probe *probe;
    struct h1_call *call; // NULL: none under way
    int status;           // 0: there was no answer
    struct evbuffer *body;
    void (*done)(struct bridge_probe *p, int status, const char *body, size_t n);
};

struct bridge_probe {
    struct h1_client *client;
    struct bridge_probe_port port;
    char *url, *path; // path: of health, below the URL
    struct probe_call check, learn;
    unsigned asking; // which of the info paths
    bool cache;      // its size is asked, too
    struct bridge_probe_facts facts;
};

static const char *const info_paths[] = {"/server_info", "/get_server_info", "/metrics"};
enum { METRICS_PATH = 2 };

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

// ---- Calling -------------------------------------------------------------------------------------

static void finish(struct probe_call *c, int status) {
    struct evbuffer *body = c->body;
    c->call = NULL;
    c->body = NULL;
    size_t n = evbuffer_get_length(body);
    c->done(c->probe, status, n ? (const char *)evbuffer_pullup(body, -1) : "", n);
    evbuffer_free(body);
}

static void on_head(void *ctx, const struct h1_head *response) {
    ((struct probe_call *)ctx)->status = response->status;
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct probe_call *c = ctx;
    if (evbuffer_get_length(c->body) + evbuffer_get_length(bytes) <= MAX_PROBE_BODY) {
        evbuffer_add_buffer(c->body, bytes);
        return;
    }
    h1_call_cancel(c->call);
    finish(c, 0);
}

static void on_end(void *ctx) {
    struct probe_call *c = ctx;
    finish(c, c->status);
}

static void on_failed(void *ctx, enum h1_failure why) {
    (void)why;
    finish(ctx, 0);
}

static bool get(struct probe_call *c, const char *path) {
    static const struct h1_callbacks callbacks = {on_head, on_data, on_end, on_failed};
    struct h1_request request = {.address = c->probe->url,
                                 .method = "GET",
                                 .path = path,
                                 .headers = "Connection: close\r\n",
                                 .fresh = true,
                                 .head_ms = PROBE_MS};
    c->status = 0;
    c->body = evbuffer_new();
    if (c->body) c->call = h1_call_start(c->probe->client, &request, &callbacks, c, NULL);
    if (c->call) return true;
    if (c->body) evbuffer_free(c->body);
    c->body = NULL;
    return false;
}

// ---- Health --------------------------------------------------------------------------------------

static void on_checked(struct bridge_probe *p, int status, const char *body, size_t n) {
    (void)body;
    (void)n;
    p->port.answer(p->port.ctx, status == 200);
}

void bridge_probe_check(struct bridge_probe *p) {
    if (!p->check.call && !get(&p->check, p->path)) p->port.answer(p->port.ctx, false);
}

// ---- What it is ----------------------------------------------------------------------------------

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

static void on_learned(struct bridge_probe *p, int status, const char *body, size_t n) {
    bool last = p->asking == METRICS_PATH;
    if (status == 200 && n) (last ? read_metrics : read_info)(&p->facts, body, n);
    if (!status && !last) return; // nobody there: it is asked again
    if (!last) {
        bool next = status != 200 && p->asking + 1 < METRICS_PATH;
        p->asking = next ? p->asking + 1 : METRICS_PATH;
        if ((next || (p->cache && !p->facts.cache_tokens)) && get(&p->learn, info_paths[p->asking]))
            return;
    }
    p->port.learned(p->port.ctx, &p->facts);
}

void bridge_probe_learn(struct bridge_probe *p, bool cache) {
    if (p->learn.call) return;
    p->asking = 0;
    p->cache = cache;
    p->facts = (struct bridge_probe_facts){0};
    get(&p->learn, info_paths[0]);
}

// ---- Beginning and end ---------------------------------------------------------------------------

struct bridge_probe *bridge_probe_new(struct h1_client *client, const char *url, const char *path,
                                      const struct bridge_probe_port *port, char *error,
                                      size_t error_size) {
    struct bridge_probe *p = h1_is_url(url) ? calloc(1, sizeof *p) : NULL;
    if (p) {
        p->url = strdup(url);
        p->path = strdup(path);
    }
    if (!p || !p->url || !p->path) {
        snprintf(error, error_size, "%.100s is no URL of a server", url);
        bridge_probe_free(p);
        return NULL;
    }
    p->client = client;
    p->port = *port;
    p->check = (struct probe_call){.probe = p, .done = on_checked};
    p->learn = (struct probe_call){.probe = p, .done = on_learned};
    return p;
}

void bridge_probe_free(struct bridge_probe *p) {
    if (!p) return;
    struct probe_call *both[] = {&p->check, &p->learn};
    for (unsigned i = 0; i < 2; i++) {
        h1_call_cancel(both[i]->call);
        if (both[i]->body) evbuffer_free(both[i]->body);
    }
    free(p->url);
    free(p->path);
    free(p);
}
