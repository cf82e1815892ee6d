// SPDX-License-Identifier: Apache-2.0
// Short words for tests of the queue; each does what it says to pool and model.
#ifndef UNIT_WAITING_H
#define UNIT_WAITING_H

#include "unit_pair.h"

// A pool of `workers` workers "a", "b", …, with a copy, whose instances take so many requests each (0: any number).
void unit_waiting_start(struct unit_pair *p, unsigned workers, uint64_t max_requests);
// Options that differ.
void unit_waiting_alter(struct unit_pair *p, const struct kvr_options *o);
// A query without blocks that may wait for a minute. service_class and flow: NULL for none.
struct kvr_query unit_waiting_query(const struct unit_pair *p, int64_t isl,
                                    const char *service_class, const char *flow);
// SELECT; whether it was booked. It must be booked or wait.
bool unit_waiting_ask(struct unit_pair *p, const char *id, const struct kvr_query *q);
enum kvr_err unit_waiting_refused(struct unit_pair *p, const char *id, const struct kvr_query *q,
                                  int64_t *retry); // SELECT without WAIT, and what it says
// One of whom nothing is asked but that it is live, on this worker.
void unit_waiting_claim(struct unit_pair *p, const char *id, const char *worker, int64_t isl);
// Admits one; its id, or "" for none.
const char *unit_waiting_admitted(struct unit_pair *p);
bool unit_waiting_is(const struct unit_pair *p, const char *id); // whether it waits
void unit_waiting_class(struct unit_pair *p, const char *name, int priority, double weight);
void unit_waiting_flow(struct unit_pair *p, const char *name, uint64_t max_requests, int64_t rate,
                       int64_t burst);
void unit_waiting_end(struct unit_pair *p); // compares everything, and frees it

#endif
