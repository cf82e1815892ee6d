// SPDX-License-Identifier: Apache-2.0
// A publisher on a mock, and a naive truth beside it: random calls, failures and failovers, and the
// check that the pool ends up with what the rank holds.
#ifndef CLIENT_SCENE_H
#define CLIENT_SCENE_H

#include "mock.h"

// How often things happen, per 1,000 steps, unless it says otherwise.
struct profile {
    size_t blocks;
    unsigned straight;      // percent, see universe_make
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

struct scene {
    const struct profile *profile;
    struct universe universe;
    struct naive_truth naive;
    struct mock mock;
    struct dice dice;
    struct kvr_publisher *publisher;
    unsigned down; // steps until the outage is over
};

struct scene *scene_new(const struct profile *f, uint64_t seed);
void scene_free(struct scene *s); // also in the middle of things
void scene_step(struct scene *s); // one call or event, and a check of all invariants
// Everything works from now on: waits until all is published, then compares the pool with the truth.
void scene_settle(struct scene *s);
void scene_run(void *ctx, uint64_t seed); // all of a profile; for with_seeds

// Calls of the publisher, with the naive truth beside it.
void scene_store(struct scene *s, int tier, int parent, const int *blocks, size_t n);
void scene_remove(struct scene *s, int tier, const int *blocks, size_t n);
void scene_clear(struct scene *s, int tier);
void scene_work(struct scene *s); // the handle and the pool do what there is to do
void scene_check(struct scene *s);

#endif
