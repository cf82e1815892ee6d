// SPDX-License-Identifier: Apache-2.0
// Small loads by hand, and runs of the whole.
#ifndef STEST_H
#define STEST_H

#include "bench/sim/compare/sim_options.h"
#include "bench/sim/fleet/fleet_run.h"
#include "bench/sim/routers/pool_server.h"
#include "bench/sim/routers/routers.h"

// A load of up to 256 requests, without sharing unless hashes are made equal. Each is a session.
enum { STEST_REQUESTS = 256, STEST_HASHES = 256 * 64 };
struct stest_load {
    struct bench_workload load;
    struct bench_request requests[STEST_REQUESTS];
    uint64_t hashes[STEST_HASHES];
};
void stest_load_open(struct stest_load *s, unsigned block_size);
// Adds a request whose blocks are numbered from `first` on; the output's blocks follow on those.
void stest_load_add(struct stest_load *s, double at, uint32_t isl, uint32_t osl, uint64_t first);
// The same, but its first blocks are those of another request.
void stest_load_fork(struct stest_load *s, double at, uint32_t isl, uint32_t osl, uint64_t first,
                     uint32_t other, uint32_t blocks);

// A generated load and a plan for it: 8 engines of the middle model, defaults for the rest.
struct stest_fleet {
    struct sim_options o;
    struct bench_workload load;
    struct sim_plan plan;
    struct sim_server server;
};
void stest_open(struct stest_fleet *s, const char *load, size_t requests, double rate);
void stest_router(struct stest_fleet *s, const char *kind, unsigned routers);
void stest_close(struct stest_fleet *s);
// Runs it and gives the figures.
struct sim_figures stest_run(struct stest_fleet *s);

// An engine whose steps can be computed by hand; one step of it, which must take so long.
extern const struct sim_model stest_model;
struct sim_step stest_step(struct sim_engine *e, double seconds);
// Runs a load through an engine, a few requests at a time, with all that must hold after each step; returns how
// many tokens of prompts it computed. hits (may be NULL): blocks that it found in its cache.
uint64_t stest_engine_run(const struct bench_workload *load, const struct sim_model *m,
                          size_t blocks, size_t host, size_t *preempted, uint64_t *hits);

// Parses up to four words of a command line; NULL after the last.
int stest_parse(struct sim_options *o, const char *a, const char *b, const char *c, const char *d);

#endif
