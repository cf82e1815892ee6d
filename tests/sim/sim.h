// SPDX-License-Identifier: Apache-2.0
// Small loads by hand, and runs of the whole.
#ifndef TEST_SIM_H
#define TEST_SIM_H

#include "bench/sim/fleet.h"
#include "bench/sim/options.h"
#include "bench/sim/shared.h"

// A load of up to 256 requests, without sharing unless hashes are made equal. Each is a session.
enum { SMALL_REQUESTS = 256, SMALL_HASHES = 256 * 64 };
struct small {
    struct workload load;
    struct request requests[SMALL_REQUESTS];
    uint64_t hashes[SMALL_HASHES];
};
void small_open(struct small *s, unsigned block_size);
// Adds a request whose blocks are numbered from `first` on; the output's blocks follow on those.
void small_add(struct small *s, double at, uint32_t isl, uint32_t osl, uint64_t first);
// The same, but its first blocks are those of another request.
void small_fork(struct small *s, double at, uint32_t isl, uint32_t osl, uint64_t first,
                uint32_t other, uint32_t blocks);

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
