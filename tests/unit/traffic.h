// SPDX-License-Identifier: Apache-2.0
// Random traffic for a pool: a tree of prefixes that is consistent, and operations drawn from it.
//
// Decisions come from a source, which is a seeded generator in the tests and the fuzzer's bytes in
// the fuzzer. Prefix hashes name all that precedes them, so traffic keeps one parent a hash for as
// long as anybody remembers it; once all have forgotten it, it may come back elsewhere. Attempts to
// break that are part of the traffic, and the model says what has to come of them.
#ifndef KVR_TEST_TRAFFIC_H
#define KVR_TEST_TRAFFIC_H

#include "pair.h"

struct source {
    uint64_t state;
    const uint8_t *bytes; // NULL: the generator
    size_t left;
};

uint64_t source_next(struct source *s);
uint32_t source_below(struct source *s, uint32_t n); // 0..n-1, n >= 1
bool source_chance(struct source *s, unsigned percent);
bool source_dry(const struct source *s); // a fuzzer's bytes are used up

// How one test's traffic looks.
struct profile {
    const char *name;
    unsigned nodes;          // prefixes in the tree
    unsigned straight;       // percent of nodes that simply continue the one before
    unsigned workers, ranks; // at most
    unsigned requests;       // ids in use
    unsigned events, selects, requests_ops, workers_ops, holes; // weights of what happens
    unsigned tiers;                                             // 1: device only; 3: all
    unsigned predict;                                           // percent of pools with predictions
    unsigned capacity;                                          // of workers: up to so many blocks
    unsigned reloads;                                           // per mille of steps
    bool registered;      // all workers with all ranks are there from the start
    bool odd_weights;     // weights that aren't powers of two: costs are compared loosely
    unsigned check_every; // steps between comparisons of everything
};

struct node {
    uint64_t hash;
    int parent; // -1: the start of a sequence
    unsigned depth;
};

struct traffic {
    const struct profile *profile;
    struct source source;
    struct pair *pair;
    struct node *nodes;
    uint64_t *path; // room for the longest
    uint64_t *spare;
    size_t room;
};

void traffic_init(struct traffic *t, const struct profile *profile, struct source source,
                  struct pair *pair, const char *label);
void traffic_free(struct traffic *t);
void traffic_step(struct traffic *t);  // one operation, and the cheap comparison
void traffic_check(struct traffic *t); // the whole comparison, and the state built anew

// Shared between the files of traffic: writes the path of a node to `to`, returns its length.
size_t traffic_path(const struct traffic *t, int node, uint64_t *to);
struct kvr_bytes traffic_worker(struct traffic *t, char *room); // room for KVR_MAX_NAME
void traffic_event(struct traffic *t);

#endif
