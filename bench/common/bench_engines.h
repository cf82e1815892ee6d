// SPDX-License-Identifier: Apache-2.0
// Mock engines and bridges as processes.
#ifndef BENCH_ENGINES_H
#define BENCH_ENGINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BENCH_MAX_ENGINES = 32, BENCH_MAX_WORDS = 40 };

struct bench_engine {
    char name[24];     // the worker's
    char options[500]; // words for kvroute-mock-engine
    char bridge[160];  // words for its bridge
    unsigned ranks;
    bool connects; // its event sockets connect, the bridge binds
    bool asked;    // its bridge knows its URL alone, and asks it for the rest
    bool unlisted; // bridges aren't told of it
    pid_t pid;     // 0: not running
    int http, events, replay;
};

// On the same ports every time. False: it doesn't come up, and that has been said.
bool bench_engine_start(struct bench_engine *e, const char *program);

struct bench_bridge {
    const char *program, *url, *pool, *log;
    const char *create; // options of KVROUTE.CREATE; NULL: never
    const char *more;   // further words, without spaces in them
    int listen;         // 0: no /metrics
    pid_t pid;
};

void bench_bridge_start(struct bench_bridge *b, const struct bench_engine *engines, size_t n);
// All is well with all of its engines, by its /healthz: it must listen.
bool bench_bridge_settled(const struct bench_bridge *b);

#endif
