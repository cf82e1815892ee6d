// SPDX-License-Identifier: Apache-2.0
// What the pool is told of a request: that it is still there, how long its output is, and its end. Each
// try has a booking of its own, because an id is used once.
#ifndef ROUTER_BOOKING_H
#define ROUTER_BOOKING_H

#include <stdbool.h>
#include <stdint.h>

struct router_request;

void router_booking_new_id(struct router_request *r);
// Ends the choice, while its booking stays until the next one's is there, or for a second: so the pool always knows
// of a stream that goes on.
void router_booking_leave(struct router_request *r);
// A worker was chosen: what was left is released, and how many requests it has from here counts for choices without the pool.
void router_booking_place(struct router_request *r);
void router_booking_update(struct router_request *r, bool prefilled);
// Its prompt was computed where it doesn't decode: who did that is free.
void router_booking_prefilled(struct router_request *r);
void router_booking_renew(struct router_request *r, int64_t now); // if it is time to
// Ends the choice, and the booking if there is one.
void router_booking_release(struct router_request *r);

#endif
