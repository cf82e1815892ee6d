// SPDX-License-Identifier: Apache-2.0
// A publisher on a port that the test drives, and a model beside it: random calls, failures and failovers, and the
// check that the pool ends up with what the rank holds.
#ifndef CTEST_PUBLISHER_H
#define CTEST_PUBLISHER_H

#include "ctest_port.h"

// How often things happen, per 1,000 steps, unless it says otherwise.
struct ctest_profile {
    size_t blocks;
    unsigned straight;      // percent, see ctest_universe_make
    size_t steps;           //
    size_t max_blocks;      // 0: enough for all
    size_t batch_blocks;    // at most; drawn
    size_t ring_bytes;      // 0: the default
    unsigned nonsense;      // percent of the calls
    unsigned clears;        //
    unsigned republishes;   //
    unsigned failovers;     //
    unsigned restarts;      //
    unsigned outages;       // for some hundred steps nothing is carried out
    unsigned others;        // somebody else's events
    unsigned foreigners;    // somebody else speaks for the rank
    unsigned postponements; //
    unsigned fails;         // percent of the events answered badly
    unsigned one_in;        // of the allocations, one fails; 0: none
    bool busy;              // whole paths are stored, so that there is much to publish
};

struct ctest_publisher {
    const struct ctest_profile *profile;
    struct ctest_universe universe;
    struct ctest_truth model;
    struct ctest_port port;
    uint64_t random; // the state
    struct kvr_publisher *publisher;
    unsigned down; // steps until the outage is over
};

struct ctest_publisher *ctest_publisher_new(const struct ctest_profile *f, uint64_t seed);
void ctest_publisher_free(struct ctest_publisher *s); // also in the middle of things
void ctest_publisher_step(
    struct ctest_publisher *s); // one call or event, and a check of all invariants
// Everything works from now on: waits until all is published, then compares the pool with the truth.
void ctest_publisher_settle(struct ctest_publisher *s);
void ctest_publisher_run(void *ctx, uint64_t seed); // all of a profile; for ctest_with_seeds

// Calls of the publisher, with the model beside it.
void ctest_publisher_store(struct ctest_publisher *s, int tier, int parent, const int *blocks,
                           size_t n);
void ctest_publisher_remove(struct ctest_publisher *s, int tier, const int *blocks, size_t n);
void ctest_publisher_work(
    struct ctest_publisher *s); // the handle and the pool do what there is to do
void ctest_publisher_check(struct ctest_publisher *s);

#endif
