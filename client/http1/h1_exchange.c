// SPDX-License-Identifier: Apache-2.0
// Answers. See h1_server.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "client/common/clock.h"
#include "h1_buffer.h"
#include "h1_server_impl.h"

enum { H1_HEAD_SIZE = 1024, H1_HEADERS_FIRST = 256, H1_HEADERS_MAX = 4096 };

struct h1_exchange *h1_exchange_new(struct h1_connection *c) {
    const struct h1_server_options *o = &c->server->options;
    struct h1_exchange *x = calloc(1, o->exchange_size ? o->exchange_size : sizeof *x);
    if (!x) return NULL;
    x->connection = c;
    x->ctx = o->ctx;
    x->began_us = kvr_clock_us();
    x->to_send = -1;
    x->body = evbuffer_new();
    if (!x->body) {
        free(x);
        return NULL;
    }
    c->server->stats.requests++;
    return x;
}

void h1_exchange_free(struct h1_exchange *x) {
    struct h1_server *s = x->connection->server;
    if (s->options.done) s->options.done(x);
    s->stats.requests--;
    s->stats.queued -= x->body_size;
    evbuffer_free(x->body);
    h1_head_free(&x->head);
    free(x->more);
    free(x);
}

void h1_exchange_drop_body(struct h1_exchange *x) {
    evbuffer_drain(x->body, evbuffer_get_length(x->body));
    x->connection->server->stats.queued -= x->body_size;
    x->body_size = 0;
}

// ---- Heads of answers ----------------------------------------------------------------------------

void h1_exchange_header(struct h1_exchange *x, const char *name, const char *value) {
    size_t n = strlen(name), m = strlen(value), size = x->more_size + n + m + 4;
    if (x->started || size > H1_HEADERS_MAX) return;
    if (size > x->more_room) {
        size_t room = x->more_room ? x->more_room : H1_HEADERS_FIRST;
        while (room < size)
            room *= 2;
        char *more = realloc(x->more, room);
        if (!more) return; // it is an extra
        x->more = more;
        x->more_room = room;
    }
    char *at = x->more + x->more_size;
    memcpy(at, name, n);
    at += n;
    *at++ = ':';
    *at++ = ' ';
    for (size_t i = 0; i < m; i++)
        if ((unsigned char)value[i] >= ' ' && value[i] != 127) *at++ = value[i];
    *at++ = '\r';
    *at++ = '\n';
    x->more_size = (size_t)(at - x->more);
}

static const char *date(struct h1_server *s) {
    time_t now = time(NULL);
    struct tm tm;
    if (now != s->date_at) {
        gmtime_r(&now, &tm);
        strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_at = now;
    }
    return s->date;
}

static void count_out(struct h1_exchange *x, size_t n) {
    x->out_bytes += n;
}

void h1_exchange_start(struct h1_exchange *x, int status, const char *type, int64_t length) {
    struct evbuffer *out = bufferevent_get_output(x->connection->bev);
    struct h1_server *s = x->connection->server;
    char text[H1_HEAD_SIZE], form[64];
    if (x->started) return;
    x->started = true;
    x->status = status;
    x->silent = x->head.method == H1_HEAD;
    x->to_send = length;
    x->chunked = length < 0 && !x->head.old;
    if (length < 0 && x->head.old) x->head.keep = false;
    if (s->draining) x->head.keep = false;
    if (length >= 0)
        snprintf(form, sizeof form, "Content-Length: %lld\r\n", (long long)length);
    else
        snprintf(form, sizeof form, "%s", x->chunked ? "Transfer-Encoding: chunked\r\n" : "");
    int n = snprintf(text, sizeof text, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%.100s%s%s%s", status,
                     h1_reason(status), date(s), type ? "Content-Type: " : "", type ? type : "",
                     type ? "\r\n" : "", form,
                     x->head.keep ? (x->head.old ? "Connection: keep-alive\r\n" : "")
                                  : "Connection: close\r\n");
    evbuffer_add(out, text, n > 0 && (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    if (x->more_size) evbuffer_add(out, x->more, x->more_size);
    evbuffer_add(out, "\r\n", 2);
    free(x->more);
    x->more = NULL;
    x->more_size = x->more_room = 0;
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

bool h1_exchange_data(struct h1_exchange *x, struct evbuffer *data) {
    struct evbuffer *out = bufferevent_get_output(x->connection->bev);
    size_t n = evbuffer_get_length(data);
    if (n && !x->silent && x->started) {
        // More than was announced would be taken for the next answer.
        if (x->to_send >= 0 && (int64_t)n > x->to_send) {
            evbuffer_drain(data, n);
            x->cut = true;
            return true;
        }
        if (x->chunked) add_chunk_size(out, n);
        h1_buffer_move(data, out, n);
        if (x->chunked) evbuffer_add(out, "\r\n", 2);
        if (x->to_send >= 0) x->to_send -= (int64_t)n;
        count_out(x, n);
    } else {
        evbuffer_drain(data, n);
    }
    x->full = evbuffer_get_length(out) > H1_OUT_HIGH;
    return !x->full;
}

void h1_exchange_end(struct h1_exchange *x) {
    struct h1_connection *c = x->connection;
    if (!x->started) h1_exchange_start(x, 200, NULL, 0);
    // Fewer bytes than announced: only the end of the connection tells.
    if (!x->silent && (x->to_send > 0 || x->cut)) {
        h1_exchange_abort(x);
        return;
    }
    if (x->chunked && !x->silent) evbuffer_add(bufferevent_get_output(c->bev), "0\r\n\r\n", 5);
    c->server->answered(c, x->head.keep);
}

void h1_exchange_abort(struct h1_exchange *x) {
    struct h1_connection *c = x->connection;
    x->cut = true;
    c->server->answered(c, false);
}

void h1_exchange_reset(struct h1_exchange *x) {
    struct linger now = {.l_onoff = 1};
    setsockopt(bufferevent_getfd(x->connection->bev), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    h1_exchange_abort(x);
}

void h1_exchange_send(struct h1_exchange *x, int status, const char *type, const void *body,
                      size_t n) {
    struct evbuffer *out = bufferevent_get_output(x->connection->bev);
    h1_exchange_start(x, status, type, (int64_t)n);
    if (!x->silent) {
        evbuffer_add(out, body, n);
        count_out(x, n);
    }
    x->to_send = 0;
    h1_exchange_end(x);
}

void h1_exchange_error(struct h1_exchange *x, int status, const char *code, const char *message) {
    const struct h1_server_options *o = &x->connection->server->options;
    if (o->error)
        o->error(x, status, code, message);
    else
        h1_exchange_send(x, status, "text/plain", message, strlen(message));
}
