// SPDX-License-Identifier: Apache-2.0
// Answers. See server.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access.h"
#include "bytes.h"
#include "client/common/random.h"
#include "metrics.h"
#include "pools.h"
#include "router.h"
#include "server_impl.h"

enum { HEAD_MOST = 1024, MORE_MOST = 4096 };

int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct exchange *exchange_new(struct conn *c) {
    struct exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->router = c->server->router;
    x->conn = c;
    x->record.blocks = x->record.overlap = x->record.expected = -1;
    x->record.input = x->record.output = -1;
    x->record.first_us = x->record.booked_us = x->record.predicted_us = -1;
    x->record.began_us = now_us();
    x->to_send = -1;
    x->body = evbuffer_new();
    if (!x->body) {
        free(x);
        return NULL;
    }
    c->server->stats.requests++;
    return x;
}

void exchange_free(struct exchange *x) {
    struct server *s = x->conn->server;
    metrics_done(x->router, x);
    access_done(x->router, x);
    pools_give_back(x);
    s->stats.requests--;
    s->stats.queued -= x->body_size;
    evbuffer_free(x->body);
    free(x->text);
    free(x->more);
    free(x);
}

void exchange_drop_body(struct exchange *x) {
    evbuffer_drain(x->body, evbuffer_get_length(x->body));
    x->conn->server->stats.queued -= x->body_size;
    x->body_size = 0;
}

// ---- Ids -----------------------------------------------------------------------------------------

static bool fit_for_id(const char *s) {
    size_t n = 0;
    while (s[n] > ' ' && s[n] < 127 && n <= REQUEST_ID_MOST)
        n++;
    return n && n <= REQUEST_ID_MOST && !s[n];
}

static void hex16(char *out, uint64_t x) {
    for (int i = 15; i >= 0; i--, x >>= 4)
        out[i] = "0123456789abcdef"[x & 15];
}

void exchange_name(struct exchange *x) {
    const char *given = http_header(&x->head, "x-request-id");
    struct server *s = x->conn->server;
    if (given && fit_for_id(given)) {
        memcpy(x->record.id, given, strlen(given) + 1);
        return;
    }
    hex16(x->record.id, kvr_random(&s->dice[0]));
    hex16(x->record.id + 16, kvr_random(&s->dice[1]));
    x->record.id[32] = 0;
}

// ---- Heads of answers ----------------------------------------------------------------------------

void exchange_header_set(struct exchange *x, const char *name, const char *value) {
    size_t n = strlen(name), m = strlen(value);
    if (x->started || x->more_size + n + m + 4 > MORE_MOST) return;
    char *more = realloc(x->more, x->more_size + n + m + 5);
    if (!more) return; // it is an extra
    char *at = more + x->more_size;
    x->more = more;
    memcpy(at, name, n);
    at += n;
    *at++ = ':';
    *at++ = ' ';
    for (size_t i = 0; i < m; i++)
        if ((unsigned char)value[i] >= ' ' && value[i] != 127) *at++ = value[i];
    *at++ = '\r';
    *at++ = '\n';
    *at = 0;
    x->more_size = (size_t)(at - more);
}

static const char *date(struct server *s) {
    time_t now = time(NULL);
    struct tm tm;
    if (now != s->date_at) {
        gmtime_r(&now, &tm);
        strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_at = now;
    }
    return s->date;
}

static void count_out(struct exchange *x, size_t n) {
    x->record.out_bytes += n;
}

void exchange_start(struct exchange *x, int status, const char *type, int64_t length) {
    struct evbuffer *out = bufferevent_get_output(x->conn->bev);
    struct server *s = x->conn->server;
    char text[HEAD_MOST], form[64];
    if (x->started) return;
    x->started = true;
    x->record.status = status;
    x->silent = x->head.method == HTTP_HEAD;
    x->to_send = length;
    x->chunked = length < 0 && !x->head.old;
    if (length < 0 && x->head.old) x->head.keep = false;
    if (x->router->draining) x->head.keep = false;
    if (length >= 0)
        snprintf(form, sizeof form, "Content-Length: %lld\r\n", (long long)length);
    else
        snprintf(form, sizeof form, "%s", x->chunked ? "Transfer-Encoding: chunked\r\n" : "");
    int n = snprintf(
        text, sizeof text, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%.100s%s%sX-Request-Id: %s\r\n%s",
        status, http_reason(status), date(s), type ? "Content-Type: " : "", type ? type : "",
        type ? "\r\n" : "", form, x->record.id,
        x->head.keep ? (x->head.old ? "Connection: keep-alive\r\n" : "") : "Connection: close\r\n");
    evbuffer_add(out, text, n > 0 && (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    if (x->more_size) evbuffer_add(out, x->more, x->more_size);
    evbuffer_add(out, "\r\n", 2);
    free(x->more);
    x->more = NULL;
    x->more_size = 0;
}

// ---- Bodies of answers ---------------------------------------------------------------------------

static void add_chunk_size(struct evbuffer *out, size_t n) {
    char text[20], *at = text + sizeof text;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = "0123456789abcdef"[n & 15];
    while (n >>= 4);
    evbuffer_add(out, at, (size_t)(text + sizeof text - at));
}

bool exchange_data(struct exchange *x, struct evbuffer *data) {
    struct evbuffer *out = bufferevent_get_output(x->conn->bev);
    size_t n = evbuffer_get_length(data);
    if (n && !x->silent && x->started) {
        // More than was announced would be taken for the next answer.
        if (x->to_send >= 0 && (int64_t)n > x->to_send) {
            evbuffer_drain(data, n);
            x->record.cut = true;
            return true;
        }
        if (x->chunked) add_chunk_size(out, n);
        bytes_move(data, out, n);
        if (x->chunked) evbuffer_add(out, "\r\n", 2);
        if (x->to_send >= 0) x->to_send -= (int64_t)n;
        count_out(x, n);
    } else {
        evbuffer_drain(data, n);
    }
    x->full = evbuffer_get_length(out) > OUT_HIGH;
    return !x->full;
}

void exchange_end(struct exchange *x) {
    struct conn *c = x->conn;
    if (!x->started) exchange_start(x, 200, NULL, 0);
    // Fewer bytes than announced: only the end of the connection tells.
    if (!x->silent && (x->to_send > 0 || x->record.cut)) {
        exchange_abort(x);
        return;
    }
    if (x->chunked && !x->silent) evbuffer_add(bufferevent_get_output(c->bev), "0\r\n\r\n", 5);
    conn_answered(c, x->head.keep);
}

void exchange_abort(struct exchange *x) {
    struct conn *c = x->conn;
    if (!x->started) {
        exchange_error(x, 502, "BROKEN", "the engine's answer broke off");
        return;
    }
    x->record.cut = true;
    conn_answered(c, false);
}

void exchange_send(struct exchange *x, int status, const char *type, const void *body, size_t n) {
    struct evbuffer *out = bufferevent_get_output(x->conn->bev);
    exchange_start(x, status, type, (int64_t)n);
    if (!x->silent) {
        evbuffer_add(out, body, n);
        count_out(x, n);
    }
    x->to_send = 0;
    exchange_end(x);
}

void exchange_json(struct exchange *x, int status, json_t *body) {
    static const char short_of[] = "{\"error\":{\"code\":\"NOMEM\",\"message\":\"no memory\"}}";
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text)
        exchange_send(x, status, "application/json", text, strlen(text));
    else
        exchange_send(x, 500, "application/json", short_of, sizeof short_of - 1);
    free(text);
}

void exchange_error(struct exchange *x, int status, const char *code, const char *message) {
    snprintf(x->record.code, sizeof x->record.code, "%s", code);
    if (status == 503) {
        char after[24];
        snprintf(after, sizeof after, "%lld", (long long)x->router->options.retry_after);
        exchange_header_set(x, "Retry-After", after);
    }
    exchange_json(x, status, json_pack("{s:{s:s,s:s}}", "error", "code", code, "message", message));
}
