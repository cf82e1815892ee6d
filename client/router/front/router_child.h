// SPDX-License-Identifier: Apache-2.0
// One of several processes of a router, as it is to itself: what its parent (router_parent.h) has given it, and
// the line between the two. A letter is a message. When the line ends, the other one is no more.
#ifndef ROUTER_CHILD_H
#define ROUTER_CHILD_H

#include <event2/event.h>

#include "client/http1/h1_server.h"

struct router_slots;

enum router_child_word {
    // To the child.
    ROUTER_CHILD_LEAVE = 'l', // finish what is open
    ROUTER_CHILD_NOW = 'n',   // and don't wait for it
    ROUTER_CHILD_REPLACED =
        'x', // another router has taken over: finish that, and what comes on connections that are kept
    ROUTER_CHILD_RELOAD = 'h', // the settings anew
    ROUTER_CHILD_ACCEPT = 'a', // nobody else does
    // To the parent.
    ROUTER_CHILD_READY = 'r', // it accepts
};

struct router_child {
    size_t number; // from 1 on; 0: this process is no child, but the whole router
    int line;      // to the parent; -1: it is over
    bool others;   // serve already: this one has time until it knows what there is
    struct h1_socket sockets[H1_MAX_LISTENERS];
    size_t n;
    struct router_slots *slots;

    struct event *on_word;
    void (*told)(void *ctx, enum router_child_word word);
    void *ctx;
};

// From now on `told` is called; when the parent is no more, with ROUTER_CHILD_LEAVE. False: no memory.
bool router_child_listen(struct router_child *c, struct event_base *base,
                         void (*told)(void *ctx, enum router_child_word word), void *ctx);
void router_child_say_ready(struct router_child *c);
void router_child_close(struct router_child *c);

#endif
