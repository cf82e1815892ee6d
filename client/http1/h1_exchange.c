// SPDX-License-Identifier: Apache-2.0
// Answers. See h1_server.h.
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "client/common/clock.h"
#include "h1_buffer.h"
#include "h1_server_impl.h"

enum { H1_PIECE_SIZE = 4096, H1_CHUNK_ROOM = 24 };
enum { H1_HEAD_SIZE = 256, H1_HEADERS_FIRST = 256, H1_HEADERS_MAX = 64 << 10 };

struct h1_exchange *h1_exchange_new(struct h1_connection *c) {
    const struct h1_server_options *o = &c->server->options;
    struct h1_exchange *x = calloc(1, o->exchange_size ? o->exchange_size : sizeof *x);
    if (!x) return NULL;
    x->connection = c;
    x->admin = c->admin;
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

bool h1_exchange_is_loopback(const struct h1_exchange *x) {
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof a;
    if (getsockname(x->connection->stream->fd, (struct sockaddr *)&a, &n) != 0) return false;
    const struct in6_addr *six = &((struct sockaddr_in6 *)&a)->sin6_addr;
    if (a.ss_family == AF_INET)
        return ntohl(((struct sockaddr_in *)&a)->sin_addr.s_addr) >> 24 == 127;
    return a.ss_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127));
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

// With the lines that were set before. What there is no memory for is missing, and the client sees that.
static void put_head(struct h1_exchange *x, struct evbuffer *out, int status, int64_t length) {
    struct evbuffer_iovec v;
    if (evbuffer_reserve_space(out, (ev_ssize_t)(H1_HEAD_SIZE + x->more_size), &v, 1) < 1) return;
    char *at = h1_put_text(v.iov_base, "HTTP/1.1 ");
    at = h1_put_number(at, (uint64_t)status);
    *at++ = ' ';
    at = h1_put_text(h1_put_text(at, h1_reason(status)), "\r\nDate: ");
    at = h1_put_text(at, date(x->connection->server));
    if (length >= 0)
        at = h1_put_number(h1_put_text(at, "\r\nContent-Length: "), (uint64_t)length);
    else if (x->chunked)
        at = h1_put_text(at, "\r\nTransfer-Encoding: chunked");
    if (!x->head.keep)
        at = h1_put_text(at, "\r\nConnection: close");
    else if (x->head.old)
        at = h1_put_text(at, "\r\nConnection: keep-alive");
    at = h1_put_bytes(at, "\r\n", 2);
    if (x->more_size) at = h1_put_bytes(at, x->more, x->more_size);
    at = h1_put_bytes(at, "\r\n", 2);
    v.iov_len = (size_t)(at - (char *)v.iov_base);
    evbuffer_commit_space(out, &v, 1);
}

void h1_exchange_start(struct h1_exchange *x, int status, const char *type, int64_t length) {
    struct evbuffer *out = x->connection->stream->out;
    const struct h1_server *s = x->connection->server;
    if (x->started) return;
    if (type) h1_exchange_header(x, "Content-Type", type);
    x->started = true;
    x->status = status;
    x->silent = x->head.method == H1_HEAD;
    x->to_send = length;
    x->chunked = length < 0 && !x->head.old;
    if (length < 0 && x->head.old) x->head.keep = false;
    if (s->draining) x->head.keep = false;
    put_head(x, out, status, length);
    h1_stream_send_later(x->connection->stream); // with what follows at once
    free(x->more);
    x->more = NULL;
    x->more_size = x->more_room = 0;
}

// ---- Bodies of answers ---------------------------------------------------------------------------

static char *put_chunk_size(char *at, size_t n) {
    char text[2 * sizeof n], *from = text + sizeof text;
    do
        *--from = "0123456789abcdef"[n & 15];
    while (n >>= 4);
    return h1_put_bytes(h1_put_bytes(at, from, (size_t)(text + sizeof text - from)), "\r\n", 2);
}

// A piece of a stream is put together and sent in one go; what is large is moved.
static void send_data(struct h1_exchange *x, struct evbuffer *data, size_t n) {
    struct h1_stream *stream = x->connection->stream;
    char text[H1_PIECE_SIZE + H1_CHUNK_ROOM], *at = text;
    if (x->chunked) at = put_chunk_size(at, n);
    if (n <= H1_PIECE_SIZE) {
        evbuffer_remove(data, at, n);
        at += n;
        if (x->chunked) at = h1_put_bytes(at, "\r\n", 2);
        h1_stream_put(stream, text, (size_t)(at - text));
        return;
    }
    evbuffer_add(stream->out, text, (size_t)(at - text));
    h1_buffer_move(data, stream->out, n);
    if (x->chunked) evbuffer_add(stream->out, "\r\n", 2);
    h1_stream_send(stream);
}

bool h1_exchange_data(struct h1_exchange *x, struct evbuffer *data) {
    const struct evbuffer *out = x->connection->stream->out;
    size_t n = evbuffer_get_length(data);
    if (n && !x->silent && x->started) {
        // More than was announced would be taken for the next answer.
        if (x->to_send >= 0 && (int64_t)n > x->to_send) {
            evbuffer_drain(data, n);
            x->cut = true;
            return true;
        }
        send_data(x, data, n);
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
    if (x->chunked && !x->silent) evbuffer_add(c->stream->out, "0\r\n\r\n", 5);
    c->server->answered(c, x->head.keep);
}

void h1_exchange_abort(struct h1_exchange *x) {
    struct h1_connection *c = x->connection;
    x->cut = true;
    c->server->answered(c, false);
}

void h1_exchange_reset(struct h1_exchange *x) {
    struct linger now = {.l_onoff = 1};
    setsockopt(x->connection->stream->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    h1_exchange_abort(x);
}

void h1_exchange_send(struct h1_exchange *x, int status, const char *type, const void *body,
                      size_t n) {
    struct evbuffer *out = x->connection->stream->out;
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
