// SPDX-License-Identifier: Apache-2.0
// What tests of waiting have in common.
#ifndef FLOW_QUEUE_H
#define FLOW_QUEUE_H

#include "flow_harness.h"

// A server with a pool "p" of BLOCKSIZE 1 with these options, and one worker "w"; the server's connection.
struct flow_conn *flow_queue_start(const char *options);
// The reply of a SELECT that was booked, or that waits; fails the test with any other.
const struct flow_reply *flow_expect_booked(struct flow_conn *c, const char *format, ...);
const struct flow_reply *flow_expect_waiting(struct flow_conn *c, const char *format, ...);
// The milliseconds of a refusal: code, a number, a text.
int64_t flow_expect_refusal(struct flow_conn *c, const char *code, const char *format, ...);
int64_t flow_retry_of(const struct flow_reply *r, const char *code);
// How many wait in pool p; and until so many do.
int64_t flow_waiting(struct flow_conn *c);
void flow_wait_waiting(struct flow_conn *c, int64_t n);
// Whether this request of pool p is live.
bool flow_is_live(struct flow_conn *c, const char *id);
void flow_wait_live(struct flow_conn *c, const char *id);
// The i-th of those who wait, by name.
const char *flow_queue_id(struct flow_conn *c, size_t i);
// Runs these commands in one transaction, so that no timer comes between; the array of replies.
const struct flow_reply *flow_transaction(struct flow_conn *c, const char *const *commands,
                                          size_t n);

#endif
