// SPDX-License-Identifier: Apache-2.0
// A connection to the server that comes back: what a router and a publisher share.
#ifndef DEMO_LINK_H
#define DEMO_LINK_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#define POOL_KEY "demo"

struct link {
    redisContext *c; // NULL: not connected
    int port;        // on 127.0.0.1
    uint64_t rng;    // of the back-off
    unsigned lives;  // how many connections there have been
};

// Connects if need be, waiting between attempts for a time that doubles up to 200 ms, each a random
// part of it so that many don't come back at the same moment. False: not in half a minute.
bool link_up(struct link *l);
// Forgets a connection that failed, with whatever was under way on it.
void link_drop(struct link *l);
// Sends what was appended and reads n replies into replies. False: the connection is gone, none kept.
bool link_exchange(struct link *l, redisReply **replies, size_t n);
// An error that goes away by itself: the server is still loading.
bool link_passing(const redisReply *r);

#endif
