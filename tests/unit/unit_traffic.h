// SPDX-License-Identifier: Apache-2.0
// Random traffic for a pool: a tree of prefixes that is consistent, and operations drawn from it.
//
// Decisions come from a source (unit_source.h). Prefix hashes name all that precedes them, so traffic
// keeps one parent a hash for as long as anybody remembers it; once all have forgotten it, it may come
// back elsewhere. Attempts to break that are part of the traffic, and the model says what has to come
// of them.
#ifndef UNIT_TRAFFIC_H
#define UNIT_TRAFFIC_H

#include "unit_pair.h"
#include "unit_source.h"

// How one test's traffic looks.
struct unit_profile {
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
    unsigned queue;       // weight of classes, flows and what waits; 0: there are no limits
    unsigned pairs;       // percent of requests that are; 0: nor are there roles
    bool registered;      // all workers with all ranks are there from the start
    bool odd_weights;     // weights that aren't powers of two: costs are compared loosely
    unsigned check_every; // steps between comparisons of everything
};

struct unit_node {
    uint64_t hash;
    int parent; // -1: the start of a sequence
    unsigned depth;
};

struct unit_traffic {
    const struct unit_profile *profile;
    struct unit_source source;
    struct unit_pair *pair;
    struct unit_node *nodes;
    uint64_t *path; // room for the longest
    uint64_t *spare;
    size_t room;
};

void unit_traffic_init(struct unit_traffic *t, const struct unit_profile *profile,
                       struct unit_source source, struct unit_pair *pair, const char *label);
void unit_traffic_free(struct unit_traffic *t);
void unit_traffic_step(struct unit_traffic *t);  // one operation, and the cheap comparison
void unit_traffic_check(struct unit_traffic *t); // the whole comparison, and the state built anew

// Shared between the files of traffic.
void unit_traffic_plant(struct unit_traffic *t); // draws the tree
// Writes the path of a node to `to`, returns its length.
size_t unit_traffic_path(const struct unit_traffic *t, int node, uint64_t *to);
struct kvr_bytes unit_traffic_name(unsigned k,
                                   char *room); // of the k-th worker; room for KVR_MAX_NAME
struct kvr_bytes unit_traffic_worker(struct unit_traffic *t, char *room); // of a random one
void unit_traffic_event(struct unit_traffic *t);
struct kvr_bytes unit_traffic_id(struct unit_traffic *t, char *room); // room for KVR_MAX_ID
void unit_traffic_queue_op(struct unit_traffic *t);
void unit_traffic_admit(struct unit_traffic *t); // as a command does, sometimes not to the end
void unit_traffic_draw_limits(struct unit_traffic *t, struct kvr_options *o);
void unit_traffic_draw_wait(struct unit_traffic *t, struct kvr_query *q);
void unit_traffic_draw_owner(struct unit_traffic *t, struct kvr_bytes *service_class,
                             struct kvr_bytes *flow);

#endif
