// SPDX-License-Identifier: Apache-2.0
#include "router_child.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/common/log.h"

static void on_word(evutil_socket_t fd, short what, void *arg) {
    struct router_child *c = arg;
    char word;
    (void)what;
    ssize_t n = recv(fd, &word, 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n == 1) {
        c->told(c->ctx, (enum router_child_word)word);
        return;
    }
    kvr_log_line(KVR_LOG_WARNING, "the parent process has ended");
    event_del(c->on_word);
    c->told(c->ctx, ROUTER_CHILD_LEAVE);
}

bool router_child_listen(struct router_child *c, struct event_base *base,
                         void (*told)(void *ctx, enum router_child_word word), void *ctx) {
    c->told = told;
    c->ctx = ctx;
    c->on_word = event_new(base, c->line, EV_READ | EV_PERSIST, on_word, c);
    return c->on_word && !event_add(c->on_word, NULL);
}

void router_child_say_ready(struct router_child *c) {
    char word = ROUTER_CHILD_READY;
    (void)!send(c->line, &word, 1, MSG_NOSIGNAL);
}

void router_child_close(struct router_child *c) {
    if (!c->number) return;
    if (c->on_word) event_free(c->on_word);
    close(c->line);
}
