// SPDX-License-Identifier: Apache-2.0
#include "poll_loop.h"

#include <hiredis/async.h>
#include <poll.h>
#include <string.h>

#include "client/common/clock.h"

enum { MAX_SOCKETS = 8 }; // a handle has three

struct poll_socket {
    struct kvr_poll_loop *loop;
    redisAsyncContext *ac; // NULL: free
    short events;
};

struct kvr_poll_loop {
    const struct kvr_alloc *alloc;
    struct poll_socket sockets[MAX_SOCKETS];
    void (*fire)(void *arg);
    void *arg;
    int64_t fire_at; // < 0: never
};

struct kvr_poll_loop *kvr_poll_loop_new(const struct kvr_alloc *a) {
    struct kvr_poll_loop *l = kvr_alloc_zeroed(a, sizeof *l);
    if (!l) return NULL;
    l->alloc = a;
    l->fire_at = -1;
    return l;
}

void kvr_poll_loop_free(struct kvr_poll_loop *l) {
    if (l) kvr_alloc_free(l->alloc, l);
}

// ---- What hiredis calls --------------------------------------------------------------------------

static void add_read(void *s) {
    ((struct poll_socket *)s)->events |= POLLIN;
}
static void del_read(void *s) {
    ((struct poll_socket *)s)->events &= ~POLLIN;
}
static void add_write(void *s) {
    ((struct poll_socket *)s)->events |= POLLOUT;
}
static void del_write(void *s) {
    ((struct poll_socket *)s)->events &= ~POLLOUT;
}
static void cleanup(void *s) {
    ((struct poll_socket *)s)->ac = NULL;
}

static int attach(void *base, redisAsyncContext *ac) {
    struct kvr_poll_loop *l = base;
    for (size_t i = 0; i < MAX_SOCKETS; i++) {
        struct poll_socket *s = &l->sockets[i];
        if (s->ac) continue;
        *s = (struct poll_socket){l, ac, 0};
        ac->ev.data = s;
        ac->ev.addRead = add_read;
        ac->ev.delRead = del_read;
        ac->ev.addWrite = add_write;
        ac->ev.delWrite = del_write;
        ac->ev.cleanup = cleanup;
        return 0;
    }
    return -1;
}

static void *timer_new(void *base, void (*fire)(void *arg), void *arg) {
    struct kvr_poll_loop *l = base;
    l->fire = fire;
    l->arg = arg;
    return l;
}

static void timer_set(void *timer, int64_t ms) {
    struct kvr_poll_loop *l = timer;
    l->fire_at = ms < 0 ? -1 : kvr_clock_ms() + ms;
}

static void timer_free(void *timer) {
    ((struct kvr_poll_loop *)timer)->fire_at = -1;
}

struct kvr_loop kvr_poll_loop_interface(struct kvr_poll_loop *l) {
    return (struct kvr_loop){l, attach, timer_new, timer_set, timer_free};
}

// ---- A turn --------------------------------------------------------------------------------------

void kvr_poll_loop_turn(struct kvr_poll_loop *l, int64_t ms) {
    struct pollfd fds[MAX_SOCKETS];
    struct poll_socket *of[MAX_SOCKETS];
    nfds_t n = 0;
    for (size_t i = 0; i < MAX_SOCKETS; i++) {
        struct poll_socket *s = &l->sockets[i];
        if (!s->ac || !s->events) continue;
        fds[n] = (struct pollfd){s->ac->c.fd, s->events, 0};
        of[n++] = s;
    }
    if (l->fire_at >= 0) {
        int64_t left = l->fire_at - kvr_clock_ms();
        if (left < ms) ms = left < 0 ? 0 : left;
    }
    int ready = poll(fds, n, ms > INT32_MAX ? INT32_MAX : (int)ms);
    for (nfds_t i = 0; ready > 0 && i < n; i++) {
        // Serving one socket may close another, or make it a new one's: these wait a turn.
        redisAsyncContext *ac = of[i]->ac;
        short got = fds[i].revents;
        if (!got || !ac || ac->c.fd != fds[i].fd) continue;
        if (got & POLLOUT && of[i]->events & POLLOUT) redisAsyncHandleWrite(ac);
        if (of[i]->ac != ac) continue;
        // A connect that failed is told by HUP or ERR alone, and hiredis learns it by writing.
        if (got & (POLLIN | POLLHUP | POLLERR)) {
            if (of[i]->events & POLLIN)
                redisAsyncHandleRead(ac);
            else if (!(got & POLLOUT))
                redisAsyncHandleWrite(ac);
        }
    }
    if (l->fire_at >= 0 && kvr_clock_ms() >= l->fire_at) {
        l->fire_at = -1;
        l->fire(l->arg);
    }
}
