// SPDX-License-Identifier: Apache-2.0
// libkvroute on a libevent loop:
//
//     struct kvr_loop loop = kvr_libevent(base);
//     struct kvr_client_options options = {.loop = &loop};
//
// Header only; needs libevent 2 and hiredis. The base must outlive the handle.
#ifndef KVROUTE_ADAPTERS_LIBEVENT_H
#define KVROUTE_ADAPTERS_LIBEVENT_H

#include <event2/event.h>
#include <hiredis/async.h>
#include <stdlib.h>

#include <kvroute/client.h>

struct kvr_libevent_timer {
    struct event *event;
    void (*fire)(void *arg);
    void *arg;
};

static inline void kvr_libevent_fire(evutil_socket_t fd, short what, void *arg) {
    struct kvr_libevent_timer *t = (struct kvr_libevent_timer *)arg;
    (void)fd;
    (void)what;
    t->fire(t->arg);
}

// A connection. What is to be written goes out when the loop has run all that was due: that of one turn at once, and
// epoll hears of it only if something is left. hiredis's own adapter tells epoll twice for each write and each read.
struct kvr_libevent_socket {
    struct redisAsyncContext *context;
    struct event *readable, *writable;
    bool reads;
    bool waits; // for room, or to be connected
    bool due;   // to be written by the loop
    bool tries; // what hiredis can't write from here on waits for room
};

static inline void kvr_libevent_on_readable(evutil_socket_t fd, short what, void *arg) {
    struct kvr_libevent_socket *s = (struct kvr_libevent_socket *)arg;
    (void)fd;
    (void)what;
    redisAsyncHandleRead(s->context);
}

static inline void kvr_libevent_on_writable(evutil_socket_t fd, short what, void *arg) {
    struct kvr_libevent_socket *s = (struct kvr_libevent_socket *)arg;
    (void)fd;
    (void)what;
    s->due = false;
    s->tries = true;
    redisAsyncHandleWrite(s->context); // which may be its end
}

static inline void kvr_libevent_add_read(void *arg) {
    struct kvr_libevent_socket *s = (struct kvr_libevent_socket *)arg;
    if (!s->reads) event_add(s->readable, NULL);
    s->reads = true;
}

static inline void kvr_libevent_del_read(void *arg) {
    struct kvr_libevent_socket *s = (struct kvr_libevent_socket *)arg;
    event_del(s->readable);
    s->reads = false;
}

static inline void kvr_libevent_add_write(void *arg) {
    struct kvr_libevent_socket *s = (struct kvr_libevent_socket *)arg;
    if (s->waits || s->due) return;
    if (s->tries || !(s->context->c.flags & REDIS_CONNECTED)) {
        s->waits = true;
        event_add(s->writable, NULL);
    } else {
        s->due = true;
        event_active(s->writable, EV_WRITE, 0);
    }
}

static inline void kvr_libevent_del_write(void *arg) {
    struct kvr_libevent_socket *s = (struct kvr_libevent_socket *)arg;
    event_del(s->writable);
    s->waits = s->due = s->tries = false;
}

static inline void kvr_libevent_cleanup(void *arg) {
    struct kvr_libevent_socket *s = (struct kvr_libevent_socket *)arg;
    if (s->readable) event_free(s->readable);
    if (s->writable) event_free(s->writable);
    free(s);
}

static inline int kvr_libevent_attach(void *base, struct redisAsyncContext *ac) {
    struct event_base *b = (struct event_base *)base;
    struct kvr_libevent_socket *s;
    if (ac->ev.data) return -1;
    s = (struct kvr_libevent_socket *)calloc(1, sizeof *s);
    if (!s) return -1;
    s->context = ac;
    s->readable = event_new(b, ac->c.fd, EV_READ | EV_PERSIST, kvr_libevent_on_readable, s);
    s->writable = event_new(b, ac->c.fd, EV_WRITE | EV_PERSIST, kvr_libevent_on_writable, s);
    if (!s->readable || !s->writable) {
        kvr_libevent_cleanup(s);
        return -1;
    }
    ac->ev.addRead = kvr_libevent_add_read;
    ac->ev.delRead = kvr_libevent_del_read;
    ac->ev.addWrite = kvr_libevent_add_write;
    ac->ev.delWrite = kvr_libevent_del_write;
    ac->ev.cleanup = kvr_libevent_cleanup;
    ac->ev.data = s;
    kvr_libevent_add_read(s);
    kvr_libevent_add_write(s); // connected: it is told so
    return 0;
}

static inline void *kvr_libevent_timer_new(void *base, void (*fire)(void *), void *arg) {
    struct kvr_libevent_timer *t = (struct kvr_libevent_timer *)calloc(1, sizeof *t);
    if (!t) return NULL;
    t->fire = fire;
    t->arg = arg;
    t->event = event_new((struct event_base *)base, -1, 0, kvr_libevent_fire, t);
    if (t->event) return t;
    free(t);
    return NULL;
}

static inline void kvr_libevent_timer_set(void *timer, int64_t ms) {
    struct kvr_libevent_timer *t = (struct kvr_libevent_timer *)timer;
    struct timeval after;
    event_del(t->event);
    if (ms < 0) return;
    after.tv_sec = (time_t)(ms / 1000);
    after.tv_usec = (suseconds_t)(ms % 1000 * 1000);
    event_add(t->event, &after);
}

static inline void kvr_libevent_timer_free(void *timer) {
    struct kvr_libevent_timer *t = (struct kvr_libevent_timer *)timer;
    event_free(t->event);
    free(t);
}

static inline struct kvr_loop kvr_libevent(struct event_base *base) {
    struct kvr_loop loop = {base, kvr_libevent_attach, kvr_libevent_timer_new,
                            kvr_libevent_timer_set, kvr_libevent_timer_free};
    return loop;
}

#endif
