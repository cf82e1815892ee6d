// SPDX-License-Identifier: Apache-2.0
// Circuits: a worker that keeps failing gets no requests for a while. See kvr_report in pool.h.
//
// A worker's circuit is two numbers, so that every state follows from them and the time, and nothing
// has to be done when time passes:
//
//   open_until == 0     closed
//   now < open_until    open, or half-open with the probe under way
//   now >= open_until   half-open: the next booking is the probe, and moves open_until on
#ifndef CORE_WORKER_CIRCUIT_H
#define CORE_WORKER_CIRCUIT_H

#include "pool_state.h"

enum kvr_circuit core_circuit_of(const struct core_worker *w, int64_t now);
void core_circuit_set(struct kvr_pool *p, struct core_worker *w, uint64_t failures,
                      int64_t open_until);
// The worker was booked: the probe, if its circuit is half-open.
void core_circuit_booked(struct kvr_pool *p, struct core_worker *w, int64_t at);

#endif
