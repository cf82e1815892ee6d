// SPDX-License-Identifier: Apache-2.0
// Connections: bytes become requests, one after the other. See h1_server.h.
#define _GNU_SOURCE // POLLRDHUP
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client/common/clock.h"
#include "h1_buffer.h"
#include "h1_server_impl.h"

static void work(struct h1_connection *c);

// ---- Life of a connection ------------------------------------------------------------------------

static const struct h1_server_options *options(const struct h1_connection *c) {
    return &c->server->options;
}

static void expect_within(struct h1_connection *c, int64_t ms) {
    c->deadline = kvr_clock_us() + ms * 1000;
}

static void connection_free(struct h1_connection *c) {
    if (c->working) {
        c->dead = true;
        return;
    }
    if (c->x) h1_exchange_free(c->x);
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    c->server->stats.connections--;
    h1_listen_count(c->server);
    h1_stream_free(c->stream);
    free(c);
}

// The client has left, or takes nothing any more.
static void lose(struct h1_connection *c) {
    struct h1_exchange *x = c->x;
    if (x && c->state == H1_CONNECTION_ANSWER) {
        x->gone = true;
        x->cut = x->started;
        if (x->on_gone) x->on_gone(x);
    }
    connection_free(c);
}

static void begin_closing(struct h1_connection *c) {
    c->state = H1_CONNECTION_CLOSING;
    expect_within(c, c->linger ? H1_LINGER_MS : options(c)->stall_ms);
    evbuffer_drain(c->stream->in, evbuffer_get_length(c->stream->in));
}

// That our side ends: clients that hear nothing of it over TLS can't tell an end from a cut.
static void end_our_side(struct h1_connection *c) {
    if (!c->tls) {
        shutdown(c->stream->fd, SHUT_WR);
        return;
    }
    SSL_shutdown(bufferevent_openssl_get_ssl(c->stream->tls));
    ERR_clear_error();
}

// Sent all: closes, or waits for the client to do so, since closing with something unread would reset
// the connection, and the client might lose the answer.
static void close_if_sent(struct h1_connection *c) {
    if (c->state != H1_CONNECTION_CLOSING || evbuffer_get_length(c->stream->out)) return;
    if (!c->linger) {
        if (c->tls) end_our_side(c);
        connection_free(c);
    } else if (!c->shut) {
        c->shut = true;
        expect_within(c, H1_LINGER_MS);
        end_our_side(c);
    }
}

static void answered(struct h1_connection *c, bool keep) {
    struct h1_exchange *x = c->x;
    h1_stream_send(c->stream);
    // An answer given before the body was there: the rest of it isn't the next request.
    if (c->state == H1_CONNECTION_BODY) {
        keep = false;
        c->linger = true;
    }
    if (evbuffer_get_length(c->stream->in)) c->linger = true;
    c->x = NULL;
    h1_exchange_free(x);
    const struct h1_server *s = c->server;
    // A client that was told before the draining that it may ask again is heard once more.
    if (keep && (!s->draining || s->last_idle_ms)) {
        c->state = H1_CONNECTION_HEAD;
        c->begun = false;
        c->seen = 0;
        expect_within(c, s->draining && s->last_idle_ms < options(c)->idle_ms
                             ? s->last_idle_ms
                             : options(c)->idle_ms);
    } else {
        begin_closing(c);
    }
    if (!c->working) work(c);
}

// ---- Requests ------------------------------------------------------------------------------------

static void refuse(struct h1_connection *c, int status, const char *code, const char *message) {
    c->server->stats.refused++;
    // Where the next request would begin isn't known, or only after a body that nobody wants.
    if (c->state == H1_CONNECTION_BODY || c->x->head.length || c->x->head.chunked) {
        c->state = H1_CONNECTION_BODY;
        c->x->head.keep = false;
    }
    h1_exchange_error(c->x, status, code, message);
}

void h1_exchange_refuse(struct h1_exchange *x, int status, const char *code, const char *message) {
    refuse(x->connection, status, code, message);
}

// Whether the request may come in; else it has been answered. All that can be refused without the
// body is refused before it.
static bool admit(struct h1_connection *c) {
    struct h1_exchange *x = c->x;
    const struct h1_server *s = c->server;
    const struct h1_server_options *o = options(c);
    h1_handler *handle = o->route(x);
    if (!handle) return false; // and x is no more
    x->handle = handle;
    if (x->head.length > o->max_body)
        refuse(c, 413, "TOOLARGE", "the body is larger than max_body");
    else if (x->exempt)
        return true;
    else if (s->stats.requests > o->max_requests)
        refuse(c, 503, "OVERLOAD", "too many requests at a time");
    else if (s->stats.queued + (uint64_t)x->head.length > (uint64_t)o->max_queued)
        refuse(c, 503, "OVERLOAD", "too many bytes are waiting");
    else
        return true;
    return false;
}

static void begin(struct h1_exchange *x) {
    const struct h1_server_options *o = options(x->connection);
    if (o->begin) o->begin(x);
}

// Takes a head from the input. False: there is none, or it was refused.
static bool take_head(struct h1_connection *c) {
    struct evbuffer *in = c->stream->in;
    size_t there = evbuffer_get_length(in);
    const char *reason;
    struct h1_head head;
    if (!there) return false;
    if (!c->begun) {
        c->begun = true;
        expect_within(c, options(c)->header_ms);
    }
    int status =
        h1_head_take(&head, H1_REQUEST, in, (size_t)options(c)->max_header, &c->seen, &reason);
    if (status == H1_INCOMPLETE) return false;
    if (!(c->x = h1_exchange_new(c))) {
        h1_head_free(&head);
        c->dead = true;
        return false;
    }
    c->used = true;
    c->x->head = head;
    c->x->in_bytes = there - evbuffer_get_length(in);
    begin(c->x);
    if (!status) return true;
    c->state = H1_CONNECTION_BODY;
    refuse(c, status, status == 431 ? "TOOLARGE" : "BADREQUEST", reason);
    return false;
}

// Whether the body is complete; else more is to come, or it was refused.
static bool take_body(struct h1_connection *c) {
    struct h1_exchange *x = c->x;
    size_t before = evbuffer_get_length(x->body);
    enum h1_step step = h1_body_read(&x->reading, c->stream->in, x->body);
    size_t more = evbuffer_get_length(x->body) - before;
    x->body_size += more;
    x->in_bytes += more;
    c->server->stats.queued += more;
    if (step == H1_NO_MEMORY)
        c->dead = true;
    else if (step == H1_BAD)
        refuse(c, 400, "BADREQUEST", "malformed chunks");
    else if ((int64_t)x->body_size > options(c)->max_body)
        refuse(c, 413, "TOOLARGE", "the body is larger than max_body");
    else if (c->server->stats.queued > (uint64_t)options(c)->max_queued)
        refuse(c, 503, "OVERLOAD", "too many bytes are waiting");
    else
        return step == H1_DONE;
    return false;
}

static void say_continue(struct h1_connection *c) {
    evbuffer_add(c->stream->out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    h1_stream_send(c->stream);
}

static bool step(struct h1_connection *c) { // false: nothing more can be done now
    struct evbuffer *out = c->stream->out;
    switch (c->state) {
    case H1_CONNECTION_HEAD:
        // A client that sends on without taking its answers waits.
        if (evbuffer_get_length(out) > H1_OUT_HIGH) return false;
        if (!take_head(c)) return c->state != H1_CONNECTION_HEAD;
        if (!admit(c)) return true;
        h1_body_begin(&c->x->reading, &c->x->head, false);
        c->state = H1_CONNECTION_BODY;
        expect_within(c, options(c)->body_ms);
        if (c->x->head.expects && !c->x->head.old && c->x->reading.state != H1_END) say_continue(c);
        return true;
    case H1_CONNECTION_BODY:
        if (!take_body(c)) return c->state != H1_CONNECTION_BODY;
        c->state = H1_CONNECTION_ANSWER;
        c->x->handle(c->x);
        return true;
    case H1_CONNECTION_ANSWER:
        return false;
    default:
        evbuffer_drain(c->stream->in, evbuffer_get_length(c->stream->in));
        return false;
    }
}

static void work(struct h1_connection *c) {
    if (c->working) return;
    c->working = true;
    while (!c->dead && step(c))
        ;
    c->working = false;
    if (c->dead)
        connection_free(c);
    else
        close_if_sent(c);
}

// ---- Events --------------------------------------------------------------------------------------

static void on_read(void *arg) {
    work(arg);
}

static void on_write(void *arg) {
    struct h1_connection *c = arg;
    struct h1_exchange *x = c->x;
    if (c->state == H1_CONNECTION_ANSWER) {
        if (!x->full) return;
        x->full = false;
        if (x->on_room) x->on_room(x);
    } else {
        work(c);
    }
}

static void on_event(void *arg, short what) {
    struct h1_connection *c = arg;
    if (what & BEV_EVENT_EOF && what & BEV_EVENT_READING && !c->x &&
        evbuffer_get_length(c->stream->out)) {
        // Sends nothing more, but may still be reading its answers.
        c->linger = false;
        begin_closing(c);
    } else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) {
        lose(c);
    }
}

// An idle client may have asked just now: then it is answered. The loop reads it before the next sweep.
static bool has_asked(const struct h1_connection *c) {
    struct pollfd p = {.fd = c->stream->fd, .events = POLLIN | POLLRDHUP};
    return c->state == H1_CONNECTION_HEAD && !c->begun &&
           kvr_clock_us() < c->deadline + (int64_t)H1_LATE_MS * 1000 && poll(&p, 1, 0) > 0 &&
           p.revents == POLLIN;
}

static void on_deadline(struct h1_connection *c) {
    if (c->state == H1_CONNECTION_BODY) {
        refuse(c, 408, "TIMEOUT", "the body took too long");
    } else if (c->state == H1_CONNECTION_HEAD && c->begun && (c->x = h1_exchange_new(c))) {
        c->state = H1_CONNECTION_BODY;
        begin(c->x);
        refuse(c, 408, "TIMEOUT", "the head took too long");
    } else if (!has_asked(c)) {
        connection_free(c);
    }
}

// While a request is answered, what its client pipelines stays where it is, and once that is as much as
// may wait nothing is read any more: then only the socket itself tells that the client has left, as long as
// its buffer has room for the end to come in.
static bool has_left(const struct h1_connection *c) {
    struct pollfd p = {.fd = c->stream->fd, .events = POLLRDHUP};
    size_t most = (size_t)options(c)->max_header;
    return c->state == H1_CONNECTION_ANSWER && evbuffer_get_length(c->stream->in) > most &&
           poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

// The rest of a last answer is on its way: whether it comes on is watched besides.
static bool is_sending(const struct h1_connection *c) {
    return c->state == H1_CONNECTION_CLOSING && !c->shut && evbuffer_get_length(c->stream->out);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg) {
    struct h1_server *s = arg;
    int64_t now = kvr_clock_us();
    (void)fd;
    (void)what;
    for (struct h1_connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (c->state != H1_CONNECTION_ANSWER && now >= c->deadline && !is_sending(c))
            on_deadline(c);
        else if (h1_stream_is_stuck(c->stream, now - s->options.stall_ms * 1000) || has_left(c))
            lose(c);
    }
    if (!s->resting) return;
    s->resting = false;
    h1_listen_again(s);
}

// ---- Coming and going ----------------------------------------------------------------------------

// Tokens go out as they come, and who vanished without a word is noticed while nothing is sent.
static void tune(evutil_socket_t fd) {
    static const struct {
        int level, name, value;
    } settings[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                    {SOL_SOCKET, SO_KEEPALIVE, 1},
                    {IPPROTO_TCP, TCP_KEEPIDLE, 30},
                    {IPPROTO_TCP, TCP_KEEPINTVL, 10},
                    {IPPROTO_TCP, TCP_KEEPCNT, 3}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value, sizeof(int));
}

// For a connection that can't be kept. What has come of its request is read first: closing with something
// unread resets the connection, and the client might lose the answer.
static void turn_away(const struct h1_server *s, evutil_socket_t fd) {
    const struct h1_server_options *o = &s->options;
    const char *body = o->full ? o->full : "";
    char answer[600], unread[4096];
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                     "Retry-After: %lld\r\n%sContent-Length: %zu\r\n\r\n%s",
                     (long long)o->retry_after, *body ? "Content-Type: application/json\r\n" : "",
                     strlen(body), body);
    for (int i = 0; i < 16 && recv(fd, unread, sizeof unread, MSG_DONTWAIT) > 0; i++)
        ;
    (void)!send(fd, answer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const struct h1_stream_callbacks stream_port = {on_read, on_write, on_event};

static void accept_connection(struct h1_server *s, evutil_socket_t fd, enum h1_place place) {
    const struct h1_server_options *o = &s->options;
    bool tls = place == H1_PLACE_TLS, admin = place == H1_PLACE_ADMIN;
    size_t max = o->max_connections + (admin ? H1_ADMIN_CONNECTIONS : 0);
    struct h1_connection *c = s->stats.connections < max ? calloc(1, sizeof *c) : NULL;
    SSL *ssl = c && tls ? SSL_new(s->tls) : NULL;
    s->stats.accepted++;
    if (ssl)
        c->stream = h1_stream_new_tls(s->options.base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, false);
    else if (c && !tls)
        c->stream = h1_stream_new(s->options.base, fd);
    if (!c || !c->stream) {
        if (!tls) turn_away(s, fd);
        s->stats.refused++;
        evutil_closesocket(fd);
        free(c);
        return;
    }
    if (tls) bufferevent_openssl_set_allow_dirty_shutdown(c->stream->tls, 1);
    tune(fd);
    c->server = s;
    c->tls = tls;
    c->admin = admin;
    c->next = s->connections;
    c->link = &s->connections;
    if (c->next) c->next->link = &c->next;
    s->connections = c;
    s->stats.connections++;
    expect_within(c, o->header_ms < o->idle_ms ? o->header_ms : o->idle_ms);
    c->stream->max_in = (size_t)o->max_header + H1_OUT_HIGH;
    c->stream->low_out = H1_OUT_LOW;
    h1_stream_call(c->stream, &stream_port, c);
    h1_stream_limit_tls(c->stream, o->stall_ms);
    h1_stream_read(c->stream, true);
}

void h1_server_drain(struct h1_server *s, int64_t idle_ms) {
    int64_t last = kvr_clock_us() + idle_ms * 1000;
    s->draining = true;
    s->last_idle_ms = idle_ms;
    h1_server_unlisten(s);
    for (struct h1_connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (c->state != H1_CONNECTION_HEAD || c->begun || evbuffer_get_length(c->stream->in))
            continue;
        if (!idle_ms) {
            begin_closing(c);
            close_if_sent(c);
        } else if (c->used && c->deadline > last) {
            c->deadline = last;
        }
    }
}

const struct h1_server_options h1_server_defaults = {
    .max_connections = 20000,
    .max_requests = 10000,
    .retry_after = 1,
    .max_header = 16 << 10,
    .max_body = 16 << 20,
    .max_queued = 256 << 20,
    .header_ms = 10000,
    .body_ms = 60000,
    .idle_ms = 75000,
    .stall_ms = 60000,
};

bool h1_server_configure(struct h1_server *s, const struct h1_server_options *o, char *error,
                         size_t error_size) {
    if (!h1_read_certificate(s, o, error, error_size)) return false;
    s->options = *o;
    s->options.listen = s->options.tls_listen = s->options.admin_listen = NULL;
    s->options.tls_cert = s->options.tls_key = NULL;
    s->options.sockets = NULL;
    return true;
}

struct h1_server *h1_server_new(const struct h1_server_options *o, char *error, size_t error_size) {
    struct h1_server *s = calloc(1, sizeof *s);
    struct timeval every = {0, H1_SWEEP_MS * 1000};
    if (!s) return NULL;
    s->options = *o;
    s->held = o->hold;
    s->accept = accept_connection;
    s->answered = answered;
    s->sweep = event_new(o->base, -1, EV_PERSIST, on_sweep, s);
    s->pause = o->yields ? event_new(o->base, -1, 0, h1_listen_pause, s) : NULL;
    if (s->sweep && (s->pause || !o->yields) && !event_add(s->sweep, &every) &&
        h1_listen(s, error, error_size) && h1_server_configure(s, o, error, error_size))
        return s;
    h1_server_free(s);
    return NULL;
}

void h1_server_free(struct h1_server *s) {
    if (!s) return;
    h1_server_unlisten(s);
    while (s->connections)
        lose(s->connections);
    if (s->sweep) event_free(s->sweep);
    if (s->pause) event_free(s->pause);
    SSL_CTX_free(s->tls);
    free(s);
}

void h1_server_stats(const struct h1_server *s, struct h1_server_stats *out) {
    *out = s->stats;
}
