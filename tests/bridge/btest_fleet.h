// SPDX-License-Identifier: Apache-2.0
// A real Redis, mock engines and bridges, all of them processes; traffic for the engines; and the
// question that everything here ends with: does the pool hold what the engines hold, block by block?
//
// What can't be set up ends the program with a message; so this serves tests and kvroute-bridge-chaos.
#ifndef BTEST_FLEET_H
#define BTEST_FLEET_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench/common/bench_compare.h"
#include "bench/common/bench_http.h"
#include "btest_bridge.h"

enum { BTEST_MAX_BRIDGES = 4, BTEST_MAX_THREADS = 4 };

struct btest_fleet {
    struct support_redis redis;
    struct bench_engine engines[BENCH_MAX_ENGINES];
    size_t n_engines, n_bridges;
    struct bench_bridge bridges[BTEST_MAX_BRIDGES]; // each has a stretch of the engines
    char url[64], log[256];
};

void btest_fleet_open(struct btest_fleet *w, bool aof); // Redis alone
// More engines, each with its options and its bridge's; started at once.
struct bench_engine *btest_fleet_engine(struct btest_fleet *w, const char *options,
                                        const char *bridge, unsigned ranks, bool connects);
void btest_fleet_bridges(struct btest_fleet *w, size_t n,
                         const char *more); // bridges for all engines there are
void btest_fleet_settles(
    const struct btest_fleet *w); // waits until every bridge says that all is well
void btest_fleet_restart_bridge(struct btest_fleet *w, size_t i);
void btest_fleet_restart_engine(struct btest_fleet *w, size_t i);
void btest_fleet_close(struct btest_fleet *w);
_Noreturn void btest_fleet_fail(const struct btest_fleet *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void btest_fleet_fault(const struct btest_fleet *w, size_t engine, const char *query);
// Asks until it is answered 200; body may be NULL. The answer's body is to be freed.
struct bench_answer btest_fleet_call(const struct btest_fleet *w, size_t engine, const char *method,
                                     const char *path, const char *body);
void btest_fleet_reset(const struct btest_fleet *w,
                       size_t engine); // its prefix cache, once nothing uses it
// Waits until there is no difference. Fails after so long.
struct bench_difference btest_fleet_becomes_true(struct btest_fleet *w, int ms, const char *after);
// The same, with blocks missing but none in surplus.
struct bench_difference btest_fleet_never_wrong(struct btest_fleet *w, int ms, const char *after);

// Clients: threads that ask engines and ranks by chance, with prompts that share beginnings. What
// fails is left.
struct btest_load {
    const struct btest_fleet *fleet;
    uint64_t seed;
    size_t requests;                               // in all; 0: until stopped
    unsigned families;                             // of prompts
    unsigned longest;                              // blocks of a prompt
    atomic_size_t begun, answered, failed, tokens; // tokens: of prompts and answers
    atomic_bool stop;
    unsigned n_threads;
    pthread_t threads[BTEST_MAX_THREADS];
    atomic_uint ready;
};

void btest_load_begin(struct btest_load *l, unsigned threads);
void btest_load_end(struct btest_load *l);  // stops
void btest_load_wait(struct btest_load *l); // until all requests have been made
// The prefix hashes of a family's first n blocks.
void btest_load_hashes(uint64_t seed, unsigned family, uint64_t *hashes, size_t n);
void btest_load_run(struct btest_fleet *w, uint64_t seed, size_t requests); // begins and waits

#endif
