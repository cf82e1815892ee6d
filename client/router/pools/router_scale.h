// SPDX-License-Identifier: Apache-2.0
// How many more instances a pool should have: as many as would empty its queue within a set time, if they were as
// fast as those there are today.
//
// The pool's own estimate says when a request of the default class would be admitted that came now, so how
// long the queue takes to empty: D for all that wait, with n instances. With k more it takes D·n/(n+k), and that
// is to be the target: k = n·(D/target − 1). An estimate of 0 says that there is room: whoever waits then
// waits for something else, its flow's limits or one worker, and more instances wouldn't help. Without
// instances nothing is fast or slow: then the speed is the last that was known, and at least one is wanted if
// anybody waits.
#ifndef ROUTER_SCALE_H
#define ROUTER_SCALE_H

#include <stdint.h>

struct router_scale {
    double cost; // ms of one instance that each of those who wait takes; 0: not known
};

struct router_scale_seen {
    int64_t waiting;   // requests
    int64_t ahead;     // of these, the ones that go before a request of the default class
    int64_t estimate;  // ms, of such a request; −1: not known
    int64_t oldest;    // ms that somebody has waited
    int64_t instances; // that may be chosen
    int64_t target;    // ms, above 0
};

// Never more than requests wait. Notes the speed.
int64_t router_scale_wanted(struct router_scale *s, const struct router_scale_seen *now);

#endif
