// SPDX-License-Identifier: Apache-2.0
// The process that a router of several processes begins with. It holds the sockets that all of them accept from, and
// serves nobody itself: so what waits in a socket when a process ends, however it ends, is for the others. It starts
// the processes by forking, and another one for each that dies; passes on what it is told by signals; and is what a
// service manager knows. Its program and its settings may be other ones after an upgrade (router_upgrade.h), where
// the new parent gets the sockets.
//
// It forks and doesn't execute: a process that takes a dead one's place is of the same program, whatever is at its
// path by then, and shares the same memory (client/router/router_slots.h).
//
// Rejected: a socket for each process at the same port (SO_REUSEPORT): who waits in that of a dead one is lost or
// has to wait for the next, and Unix sockets and those of a service manager can't be shared so. A parent that accepts
// and passes connections on: one more process on the way of each.
#ifndef ROUTER_PARENT_H
#define ROUTER_PARENT_H

#include "client/router/router_config.h"
#include "router_child.h"
#include "router_inherit.h"

struct router_parent_options {
    struct router_config *config; // the parent's; a child's is a copy of what it is by then
    int argc;
    char **argv;
    struct router_inherited *inherited;
};

// Returns more than once. True: this is a child, in `child` is what it has, and nothing of the parent's is left here.
// False: this is the parent, and all is over; *code is what the program ends with.
bool router_parent_run(const struct router_parent_options *o, struct router_child *child,
                       int *code);

#endif
