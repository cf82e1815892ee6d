// SPDX-License-Identifier: Apache-2.0
// Loads made from a seed. Each is a kind of traffic in which routers are known to differ.
//
// In open ones requests arrive at times that don't depend on how fast earlier ones were answered, as in a
// recorded trace: so every router gets the same load. In the closed one each router has the same users.
#ifndef FLEET_LOAD_H
#define FLEET_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "bench/common/workload.h"
#include "model.h"

struct load_plan {
    unsigned block_size; // tokens
    size_t requests;
    double rate; // requests a second, all together
    uint64_t seed;
};

struct load {
    const char *name, *what;
    // Requests a second for each engine, for the models in their order: near the point where one router
    // after the other can't keep up any more.
    double rate[MODELS];
    // Users for each engine, likewise; not 0: the load is closed, and has no rate.
    double users[MODELS];
    void (*make)(struct workload *w, const struct load_plan *plan);
};

extern const struct load loads[];
extern const size_t load_count;

const struct load *load_find(const char *name); // NULL: none of that name
void load_make(const struct load *l, struct workload *w, const struct load_plan *plan);

// The kinds; one file each.
void load_chat(struct workload *w, const struct load_plan *plan);
void load_agents(struct workload *w, const struct load_plan *plan);
void load_alone(struct workload *w, const struct load_plan *plan);
void load_sessions(struct workload *w, const struct load_plan *plan); // closed
void load_hot(struct workload *w, const struct load_plan *plan);
void load_bursts(struct workload *w, const struct load_plan *plan);

#endif
