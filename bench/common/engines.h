// SPDX-License-Identifier: Apache-2.0
// Mock engines and bridges as processes, and whether a pool holds what the engines hold.
#ifndef COMMON_ENGINES_H
#define COMMON_ENGINES_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ENGINES_MOST = 32, ENGINE_WORDS = 40 };

struct engine_process {
    char name[24];     // the worker's
    char options[200]; // words for kvroute-mock-engine
    char bridge[160];  // words for its bridge
    unsigned ranks;
    bool connects; // its event sockets connect, the bridge binds
    pid_t pid;     // 0: not running
    int http, events, replay;
};

// On the same ports every time. False: it doesn't come up, and that has been said.
bool engine_start(struct engine_process *e, const char *program);

struct bridge_process {
    const char *program, *url, *pool, *log;
    const char *create; // options of KVROUTE.CREATE; NULL: never
    const char *more;   // further words, without spaces in them
    int listen;         // 0: no /metrics
    pid_t pid;
};

void bridge_start(struct bridge_process *b, const struct engine_process *engines, size_t n);
// Of /healthz and /metrics, so it must listen.
bool bridge_settled(const struct bridge_process *b); // all is well with all of its engines
uint64_t bridge_count(const struct bridge_process *b, const char *metric); // over all ranks

// What is different, block by block, between what the engines hold in their tiers and what the pool says
// of them. `vain`: of these, blocks that the pool has and the engine hasn't. -1: somebody doesn't
// answer, or an engine is still at work.
struct engines_difference {
    long blocks, vain;
    size_t held;     // by the engines
    char first[120]; // one block that the pool lacks or has in vain; "": none is known
};
bool engines_compare(redisContext *c, const char *pool, const struct engine_process *engines,
                     size_t n, struct engines_difference *out);

// How many of a prompt's blocks SCORE finds with each engine and rank, against how many of them the
// engine holds from the first on: the number of those that differ, -1 if somebody doesn't answer.
long engines_score(redisContext *c, const char *pool, const struct engine_process *engines,
                   size_t n, const uint64_t *hashes, size_t n_hashes);

#endif
