// SPDX-License-Identifier: Apache-2.0
// Tells the pool what the workers' caches store and evict, as KVROUTE.EVENT, so that in the end it
// knows exactly what they hold, whatever is lost on the way.
//
// Each worker has an epoch and counts its events. The last ones are kept, as sent. An answer is the
// last seq that the pool has: what follows it is sent (again). What is no longer kept, or can't be
// applied, makes the worker publish everything that it holds under a new epoch.
#ifndef DEMO_PUBLISHER_H
#define DEMO_PUBLISHER_H

#include "board.h"
#include "cache.h"
#include "link.h"

struct publisher;

struct publisher *publisher_new(int port, unsigned workers, struct cache *const *caches,
                                struct board *b);
void publisher_free(struct publisher *p);
// The worker has evicted these and stored those after parent (NULL: the start of a sequence). Not
// sent before publisher_flush.
void publisher_change(struct publisher *p, unsigned worker, const uint64_t *evicted,
                      size_t n_evicted, const uint64_t *parent, const uint64_t *stored,
                      size_t n_stored);
// Returns when the pool has all of it. The caches must be as the changes left them. False, with a
// message, when it can't be done.
bool publisher_flush(struct publisher *p);

#endif
