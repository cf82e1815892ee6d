// SPDX-License-Identifier: Apache-2.0
// Connections: bytes become requests, one after the other. See server.h.
#define _GNU_SOURCE // POLLRDHUP
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "bytes.h"
#include "router.h"
#include "routes.h"
#include "server_impl.h"

// ---- Life of a connection ------------------------------------------------------------------------

static const struct options *options(const struct conn *c) {
    return &c->server->router->options;
}

static void expect_within(struct conn *c, int64_t ms) {
    c->deadline = now_us() + ms * 1000;
}

void conn_free(struct conn *c) {
    if (c->working) {
        c->dead = true;
        return;
    }
    if (c->x) exchange_free(c->x);
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    c->server->stats.connections--;
    bufferevent_free(c->bev);
    free(c);
}

// The client has left, or takes nothing any more.
static void lose(struct conn *c) {
    struct exchange *x = c->x;
    if (x && c->state == CONN_ANSWER) {
        x->record.gone = true;
        x->record.cut = x->started;
        if (x->gone) x->gone(x);
    }
    conn_free(c);
}

static void begin_closing(struct conn *c) {
    c->state = CONN_CLOSING;
    expect_within(c, c->linger ? LINGER_MS : options(c)->stall_timeout);
    evbuffer_drain(bufferevent_get_input(c->bev),
                   evbuffer_get_length(bufferevent_get_input(c->bev)));
}

// Sent all: closes, or waits for the client to do so, since closing with something unread would reset
// the connection, and the client might lose the answer.
static void close_if_sent(struct conn *c) {
    if (c->state != CONN_CLOSING || evbuffer_get_length(bufferevent_get_output(c->bev))) return;
    if (!c->linger) {
        conn_free(c);
    } else if (!c->shut) {
        c->shut = true;
        expect_within(c, LINGER_MS);
        if (!c->tls) shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    }
}

void conn_answered(struct conn *c, bool keep) {
    struct exchange *x = c->x;
    // An answer given before the body was there: the rest of it isn't the next request.
    if (c->state == CONN_BODY) {
        keep = false;
        c->linger = true;
    }
    if (evbuffer_get_length(bufferevent_get_input(c->bev))) c->linger = true;
    c->x = NULL;
    exchange_free(x);
    if (keep && !c->server->router->draining) {
        c->state = CONN_HEAD;
        c->begun = false;
        c->seen = 0;
        expect_within(c, options(c)->idle_timeout);
    } else {
        begin_closing(c);
    }
    if (!c->working) conn_work(c);
}

// ---- Requests ------------------------------------------------------------------------------------

static void refuse(struct conn *c, int status, const char *code, const char *message) {
    c->server->stats.refused++;
    // Where the next request would begin isn't known, or only after a body that nobody wants.
    if (c->state == CONN_BODY || c->x->head.length || c->x->head.chunked) {
        c->state = CONN_BODY;
        c->x->head.keep = false;
    }
    exchange_error(c->x, status, code, message);
}

static const struct route *find_route(struct exchange *x, bool *other_method) {
    *other_method = false;
    for (const struct route *t = routes; t->path; t++) {
        if (strcmp(t->path, x->head.path) != 0) continue;
        if (t->methods & x->head.method || (x->head.method == HTTP_HEAD && t->methods & HTTP_GET))
            return t;
        *other_method = true;
    }
    return NULL;
}

// Whether the request may come in; else it has been answered. All that can be refused without the
// body is refused before it.
static bool admit(struct conn *c) {
    struct exchange *x = c->x;
    struct server *s = c->server;
    const struct options *o = options(c);
    bool other_method;
    x->route = find_route(x, &other_method);
    if (!x->route && other_method) {
        exchange_header_set(x, "Allow", x->head.method == HTTP_POST ? "GET, HEAD" : "POST");
        refuse(c, 405, "METHOD", "not with this method");
    } else if (s->closed_to_most && !(x->route && x->route->flags & ROUTE_OPEN) &&
               !server_admits(s, &x->head)) {
        exchange_header_set(x, "WWW-Authenticate", "Bearer");
        refuse(c, 401, "UNAUTHORIZED", "a bearer token is needed");
    } else if (!x->route) {
        refuse(c, 404, "NOTFOUND", "nothing is here");
    } else if (x->head.length > o->max_body) {
        refuse(c, 413, "TOOLARGE", "the body is larger than max_body");
    } else if (x->route->flags & ROUTE_DRAINING) {
        return true;
    } else if (s->router->draining) {
        refuse(c, 503, "DRAINING", "this router is leaving");
    } else if (s->stats.requests > o->max_requests) {
        refuse(c, 503, "OVERLOAD", "too many requests at a time");
    } else if (s->stats.queued + (uint64_t)x->head.length > (uint64_t)o->max_queued) {
        refuse(c, 503, "OVERLOAD", "too many bytes are waiting");
    } else {
        return true;
    }
    return false;
}

// Takes a head from the input. False: there is none, or it was refused.
static bool take_head(struct conn *c) {
    struct evbuffer *in = bufferevent_get_input(c->bev);
    size_t there = evbuffer_get_length(in), most = (size_t)options(c)->max_header;
    const char *reason = NULL;
    if (!there) return false;
    if (!c->begun) {
        c->begun = true;
        expect_within(c, options(c)->header_timeout);
    }
    size_t look = there < most ? there : most;
    const char *bytes = (const char *)evbuffer_pullup(in, (ev_ssize_t)look);
    int64_t n = bytes ? http_head_end(bytes, look, &c->seen) : -1;
    if (n == 0 && there < most) return false;
    if (!(c->x = exchange_new(c)) || !(c->x->text = malloc(look + 1))) {
        c->dead = true;
        return false;
    }
    struct exchange *x = c->x;
    if (n > 0) {
        evbuffer_remove(in, x->text, (size_t)n);
        x->text[n] = 0;
        x->record.in_bytes = (uint64_t)n;
    }
    int status = n > 0 ? http_head_read(&x->head, x->text, (size_t)n, &reason) : n < 0 ? 400 : 431;
    exchange_name(x);
    if (!status) return true;
    if (!reason) reason = status == 431 ? "the head is larger than max_header" : "a bare line feed";
    c->state = CONN_BODY;
    refuse(c, status, status == 431 ? "TOOLARGE" : "BADREQUEST", reason);
    return false;
}

// 1: the body is complete, 0: more is to come, −1: it was refused.
static int take_body(struct conn *c) {
    struct exchange *x = c->x;
    struct evbuffer *in = bufferevent_get_input(c->bev);
    size_t before = evbuffer_get_length(x->body);
    int done;
    if (x->head.chunked) {
        done = http_chunks_read(&x->chunks, in, x->body);
    } else {
        size_t there = evbuffer_get_length(in);
        size_t n = (int64_t)there < c->left ? there : (size_t)c->left;
        if (!bytes_move(in, x->body, n)) {
            c->dead = true;
            return -1;
        }
        c->left -= (int64_t)n;
        done = c->left == 0;
    }
    size_t more = evbuffer_get_length(x->body) - before;
    x->body_size += more;
    x->record.in_bytes += more;
    c->server->stats.queued += more;
    if (done < 0)
        refuse(c, 400, "BADREQUEST", "malformed chunks");
    else if ((int64_t)x->body_size > options(c)->max_body)
        refuse(c, 413, "TOOLARGE", "the body is larger than max_body");
    else if (c->server->stats.queued > (uint64_t)options(c)->max_queued)
        refuse(c, 503, "OVERLOAD", "too many bytes are waiting");
    else
        return done;
    return -1;
}

static bool step(struct conn *c) { // false: nothing more can be done now
    struct evbuffer *out = bufferevent_get_output(c->bev);
    switch (c->state) {
    case CONN_HEAD:
        // A client that sends on without taking its answers waits.
        if (evbuffer_get_length(out) > OUT_HIGH) return false;
        if (!take_head(c)) return c->state != CONN_HEAD;
        if (!admit(c)) return true;
        c->left = c->x->head.length;
        c->state = CONN_BODY;
        expect_within(c, options(c)->body_timeout);
        if (c->x->head.expects && !c->x->head.old && (c->left || c->x->head.chunked))
            evbuffer_add(out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        return true;
    case CONN_BODY:
        if (take_body(c) <= 0) return c->state != CONN_BODY;
        c->state = CONN_ANSWER;
        c->x->route->handle(c->x);
        return true;
    case CONN_ANSWER:
        return false;
    default:
        evbuffer_drain(bufferevent_get_input(c->bev),
                       evbuffer_get_length(bufferevent_get_input(c->bev)));
        return false;
    }
}

void conn_work(struct conn *c) {
    if (c->working) return;
    c->working = true;
    while (!c->dead && step(c))
        ;
    c->working = false;
    if (c->dead)
        conn_free(c);
    else
        close_if_sent(c);
}

// ---- Events --------------------------------------------------------------------------------------

static void on_read(struct bufferevent *bev, void *arg) {
    (void)bev;
    conn_work(arg);
}

static void on_write(struct bufferevent *bev, void *arg) {
    struct conn *c = arg;
    struct exchange *x = c->x;
    (void)bev;
    if (c->state == CONN_ANSWER) {
        if (!x->full) return;
        x->full = false;
        if (x->room) x->room(x);
    } else {
        conn_work(c);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
    struct conn *c = arg;
    if (what & BEV_EVENT_EOF && what & BEV_EVENT_READING && !c->x &&
        evbuffer_get_length(bufferevent_get_output(bev))) {
        // Sends nothing more, but may still be reading its answers.
        c->linger = false;
        begin_closing(c);
    } else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) {
        lose(c);
    }
}

static void on_deadline(struct conn *c) {
    if (c->state == CONN_BODY) {
        refuse(c, 408, "TIMEOUT", "the body took too long");
    } else if (c->state == CONN_HEAD && c->begun && (c->x = exchange_new(c))) {
        c->state = CONN_BODY;
        exchange_name(c->x);
        refuse(c, 408, "TIMEOUT", "the head took too long");
    } else {
        conn_free(c);
    }
}

// While a request is answered, what its client pipelines stays where it is, and once that is as much as
// may wait nothing is read any more: then only the socket itself tells that the client has left, as long as
// its buffer has room for the end to come in.
static bool has_left(const struct conn *c) {
    struct pollfd p = {.fd = bufferevent_getfd(c->bev), .events = POLLRDHUP};
    size_t most = (size_t)options(c)->max_header;
    return c->state == CONN_ANSWER && evbuffer_get_length(bufferevent_get_input(c->bev)) > most &&
           poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

// The rest of a last answer is on its way: that it comes on is watched by the write time-out.
static bool is_sending(const struct conn *c) {
    return c->state == CONN_CLOSING && !c->shut &&
           evbuffer_get_length(bufferevent_get_output(c->bev));
}

static void on_sweep(evutil_socket_t fd, short what, void *arg) {
    struct server *s = arg;
    int64_t now = now_us();
    (void)fd;
    (void)what;
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state != CONN_ANSWER && now >= c->deadline && !is_sending(c))
            on_deadline(c);
        else if (has_left(c))
            lose(c);
    }
    if (!s->resting) return;
    s->resting = false;
    for (size_t i = 0; i < s->n_listeners; i++)
        evconnlistener_enable(s->listeners[i]);
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

void conn_accept(struct server *s, evutil_socket_t fd, bool tls) {
    static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                               "Content-Length: 0\r\nRetry-After: 1\r\n\r\n";
    const struct options *o = &s->router->options;
    struct conn *c = s->stats.connections < o->max_connections ? calloc(1, sizeof *c) : NULL;
    SSL *ssl = c && tls ? SSL_new(s->tls) : NULL;
    s->stats.accepted++;
    if (c && ssl)
        c->bev = bufferevent_openssl_socket_new(s->router->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                BEV_OPT_CLOSE_ON_FREE);
    else if (c && !tls)
        c->bev = bufferevent_socket_new(s->router->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!c || !c->bev) {
        if (!tls) (void)!send(fd, full, sizeof full - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        s->stats.refused++;
        SSL_free(ssl);
        evutil_closesocket(fd);
        free(c);
        return;
    }
    if (tls) bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    tune(fd);
    c->server = s;
    c->tls = tls;
    c->next = s->conns;
    c->link = &s->conns;
    if (c->next) c->next->link = &c->next;
    s->conns = c;
    s->stats.connections++;
    expect_within(c, o->header_timeout < o->idle_timeout ? o->header_timeout : o->idle_timeout);
    struct timeval stall = {(time_t)(o->stall_timeout / 1000),
                            (suseconds_t)(o->stall_timeout % 1000 * 1000)};
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, (size_t)o->max_header + OUT_HIGH);
    bufferevent_setwatermark(c->bev, EV_WRITE, OUT_LOW, 0);
    bufferevent_set_timeouts(c->bev, NULL, &stall);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

void server_drain(struct server *s) {
    server_unlisten(s);
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_HEAD && !c->begun &&
            !evbuffer_get_length(bufferevent_get_input(c->bev))) {
            begin_closing(c);
            close_if_sent(c);
        }
    }
}

struct server *server_new(struct router *r, char *error, size_t error_size) {
    struct server *s = calloc(1, sizeof *s);
    struct timeval every = {0, SWEEP_MS * 1000};
    struct rlimit files;
    if (!s) return NULL;
    s->router = r;
    // Whoever may have more descriptors gets them: each connection needs one, and one to an engine.
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (getrandom(s->dice, sizeof s->dice, 0) != sizeof s->dice)
        s->dice[0] = (uint64_t)now_us() ^ (uint64_t)(uintptr_t)s;
    s->sweep = event_new(r->base, -1, EV_PERSIST, on_sweep, s);
    if (!s->sweep || event_add(s->sweep, &every) || !server_reload(s, error, error_size) ||
        !server_listen(s, error, error_size)) {
        server_free(s);
        return NULL;
    }
    return s;
}

void server_free(struct server *s) {
    if (!s) return;
    server_unlisten(s);
    while (s->conns)
        lose(s->conns);
    if (s->sweep) event_free(s->sweep);
    SSL_CTX_free(s->tls);
    free(s);
}

void server_stats(const struct server *s, struct server_stats *out) {
    *out = s->stats;
}
