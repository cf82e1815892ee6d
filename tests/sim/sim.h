// SPDX-License-Identifier: Apache-2.0
// Small loads by hand, and runs of the whole.
#ifndef TEST_SIM_H
#define TEST_SIM_H

#include "fleet.h"
#include "options.h"
#include "shared.h"

// A load of up to 16 requests of up to 64 blocks, without sharing unless hashes are made equal.
struct small {
    struct workload load;
    struct request requests[16];
    uint64_t hashes[16 * 64];
};
void small_open(struct small *s, unsigned block_size);
// Adds a request whose blocks are numbered from `first` on; the output's blocks follow on those.
void small_add(struct small *s, double at, uint32_t isl, uint32_t osl, uint64_t first);

// A generated load and a plan for it: 8 engines of the middle model, defaults for the rest.
struct setting {
    struct options o;
    struct workload load;
    struct run_plan plan;
    struct shared shared;
};
void setting_open(struct setting *s, const char *load, size_t requests, double rate);
void setting_router(struct setting *s, const char *kind, unsigned routers);
void setting_close(struct setting *s);
// Runs it and gives the figures.
struct figures setting_run(struct setting *s);

#endif
