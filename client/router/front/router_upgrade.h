// SPDX-License-Identifier: Apache-2.0
// Another process in this one's place: the program at this one's path is started with the same arguments and the
// sockets that this one listens at (router_inherit.h). When it says that it is ready, `replaced` is called, and
// this one may leave: no moment was without somebody who accepts. If it ends before, or isn't ready in time, it is
// ended, the log says why, and this one goes on.
#ifndef ROUTER_UPGRADE_H
#define ROUTER_UPGRADE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct h1_server;
struct router_upgrade;

struct router_upgrade_options {
    struct event_base *base;
    char **argv; // kept. argv[0] is looked for now: later there may be another program at its path
    void *ctx;
    void (*replaced)(void *ctx, pid_t by);
    void (*failed)(void *ctx); // this one goes on
    void (*ended)(void *ctx, pid_t pid,
                  int status); // another child; NULL: there are none to tell of
};

// NULL: no memory.
struct router_upgrade *router_upgrade_new(const struct router_upgrade_options *o);
// Starts the other one, which has `ms` to be ready. False, and logged: it can't be started, or one is being started
// already.
bool router_upgrade_start(struct router_upgrade *u, const struct h1_server *s, int64_t ms);
// This process is to end: the other one, too, if it isn't ready yet.
void router_upgrade_cancel(struct router_upgrade *u);
void router_upgrade_free(struct router_upgrade *u);
// The same in a process that was forked: the other one isn't its own to end.
void router_upgrade_abandon(struct router_upgrade *u);

#endif
