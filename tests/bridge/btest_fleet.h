// SPDX-License-Identifier: Apache-2.0
// A real Redis, mock engines and bridges, all of them processes; traffic for the engines; and the
// question that everything here ends with: does the pool hold what the engines hold, block by block?
//
// What can't be set up ends the program with a message; so this serves tests and kvroute-bridge-storm.
#ifndef BTEST_FLEET_H
#define BTEST_FLEET_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench/common/engines.h"
#include "bench/common/http.h"
#include "bench/common/server.h"

#define WORLD_CREATE "BLOCKSIZE 4"
enum { WORLD_BLOCK = 4, WORLD_BRIDGES = 4, WORLD_THREADS = 4 };

struct world {
    struct server server;
    struct engine_process engines[ENGINES_MOST];
    size_t n_engines, n_bridges;
    struct bridge_process bridges[WORLD_BRIDGES]; // each has a stretch of the engines
    char url[64], log[256];
};

void world_open(struct world *w, bool aof); // Redis alone
// More engines, each with its options and its bridge's; started at once.
struct engine_process *world_engine(struct world *w, const char *options, const char *bridge,
                                    unsigned ranks, bool connects);
void world_bridges(struct world *w, size_t n,
                   const char *more);      // bridges for all engines there are
void world_settles(const struct world *w); // waits until every bridge says that all is well
void world_bridge_again(struct world *w, size_t i);
void world_engine_again(struct world *w, size_t i);
void world_close(struct world *w);
_Noreturn void world_fail(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void world_fault(const struct world *w, size_t engine, const char *query);
// Asks until it is answered 200; body may be NULL. The answer's body is to be freed.
struct http_answer world_call(const struct world *w, size_t engine, const char *method,
                              const char *path, const char *body);
void world_reset(const struct world *w, size_t engine); // its prefix cache, once nothing uses it
// Waits until there is no difference. Fails after so long.
struct engines_difference world_becomes_true(struct world *w, int ms, const char *after);
// The same, with blocks missing but none in vain.
struct engines_difference world_is_never_wrong(struct world *w, int ms, const char *after);

// Clients: threads that ask engines and ranks by chance, with prompts that share beginnings. What
// fails is left.
struct load {
    const struct world *world;
    uint64_t seed;
    size_t requests;                               // in all; 0: until stopped
    unsigned families;                             // of prompts
    unsigned longest;                              // blocks of a prompt
    atomic_size_t begun, answered, failed, tokens; // tokens: of prompts and answers
    atomic_bool stop;
    unsigned n_threads;
    pthread_t threads[WORLD_THREADS];
    atomic_uint ready;
};

void load_begin(struct load *l, unsigned threads);
void load_end(struct load *l);  // stops
void load_wait(struct load *l); // until all requests have been made
// The prefix hashes of a family's first n blocks.
void load_hashes(uint64_t seed, unsigned family, uint64_t *hashes, size_t n);
void load_run(struct world *w, uint64_t seed, size_t requests); // begins and waits

#endif
