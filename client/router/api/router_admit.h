// SPDX-License-Identifier: Apache-2.0
// POST /kvroute/admit: whether a request of so many tokens would be placed now, for gateways that want to know it
// before they have a body to send. Nothing is booked by it, so it is advice: what is true now may not be so when
// the request comes.
//
// It is what SELECT without WAIT would answer, as far as it can be told from outside: some instance has room for
// it (SCORE, and the class's ROOM), nobody waits who goes first (QUEUE), and its flow has something left (FLOW).
#ifndef ROUTER_ADMIT_H
#define ROUTER_ADMIT_H

#include <kvroute/client.h>
#include <stdbool.h>
#include <stdint.h>

struct router_exchange;

void router_admit(struct router_exchange *x);

// What is known of a request's chances.
struct router_admit_facts {
    bool eligible;         // some instance is
    bool room;             // some instance has room for it
    int64_t ahead;         // requests that wait and go first
    int64_t estimate;      // ms, QUEUE's; −1: not known
    int64_t tokens;        // ISL + OSL
    bool limited;          // it is of a flow that is registered, which is:
    struct kvr_flow limit; // its name isn't looked at
};

// OK, NOWORKER, LIMITED or NOROOM, in SELECT's order. *ms: of the last two, when it may come again.
enum kvr_code router_admit_decide(const struct router_admit_facts *f, int64_t *ms);
// Whether an instance that has room for a default request has it for a class that may use so many percent.
bool router_admit_fits(const struct kvr_score *s, int64_t percent, int64_t max_requests,
                       int64_t max_prefill);

#endif
