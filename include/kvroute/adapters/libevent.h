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
#include <hiredis/adapters/libevent.h>
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

static inline int kvr_libevent_attach(void *base, struct redisAsyncContext *ac) {
    return redisLibeventAttach(ac, (struct event_base *)base) == REDIS_OK ? 0 : -1;
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
