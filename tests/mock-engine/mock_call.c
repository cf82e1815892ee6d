// SPDX-License-Identifier: Apache-2.0
// A request whose answer takes time; see call.h.
#include "mock_call.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <sys/socket.h>

#include "mock_memory.h"

static struct bufferevent *stream_of(const struct mock_call *c) {
    return evhttp_connection_get_bufferevent(evhttp_request_get_connection(c->request));
}

static void unlink_call(struct mock_call *c) {
    *(c->prev ? &c->prev->next : &c->mock->calls) = c->next;
    if (c->next) c->next->prev = c->prev;
    event_free(c->closed);
    event_free(c->kill);
}

// libevent is about to free the connection. A request that has none any more is ours to free; else
// it goes with the connection.
static void on_connection_freed(struct evhttp_connection *connection, void *ctx) {
    struct mock_call *c = ctx;
    (void)connection;
    if (!evhttp_request_get_connection(c->request)) evhttp_request_free(c->request);
    unlink_call(c);
    c->gone(c);
    free(c);
}

static void on_closed(evutil_socket_t fd, short what, void *ctx) {
    struct mock_call *c = ctx;
    (void)fd;
    (void)what;
    evhttp_connection_free(evhttp_request_get_connection(c->request));
}

// Dissolving a connection's association resets it at once, where closing would end it in good order.
static void end_now(struct mock_call *c, bool gently) {
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    if (!gently) connect(bufferevent_getfd(stream_of(c)), &nowhere, sizeof nowhere);
    evhttp_connection_free(evhttp_request_get_connection(c->request));
}

static void on_kill(evutil_socket_t fd, short what, void *ctx) {
    struct mock_call *c = ctx;
    (void)fd;
    (void)what;
    if (!evbuffer_get_length(bufferevent_get_output(stream_of(c)))) {
        end_now(c, c->gently);
        return;
    }
    static const struct timeval soon = {.tv_usec = 1000};
    event_add(c->kill, &soon);
}

struct mock_call *mock_call_open(struct mock_engine *m, struct evhttp_request *request,
                                 void (*gone)(struct mock_call *), void *work) {
    struct mock_call *c = mock_take(1, sizeof *c);
    *c = (struct mock_call){
        .mock = m, .request = request, .gone = gone, .work = work, .next = m->calls};
    if (m->calls) m->calls->prev = c;
    m->calls = c;
    struct bufferevent *stream = stream_of(c);
    bufferevent_disable(stream, EV_READ);
    c->closed = event_new(m->base, bufferevent_getfd(stream), EV_CLOSED, on_closed, c);
    c->kill = evtimer_new(m->base, on_kill, c);
    event_add(c->closed, NULL);
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_connection_freed, c);
    return c;
}

struct evhttp_request *mock_call_close(struct mock_call *c) {
    struct evhttp_request *request = c->request;
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
    unlink_call(c);
    free(c);
    return request;
}

void mock_call_kill(struct mock_call *c, bool gently) {
    c->gently = gently;
    event_active(c->kill, EV_TIMEOUT, 0);
}

void mock_calls_end(struct mock_engine *m) {
    while (m->calls)
        end_now(m->calls, false);
}
