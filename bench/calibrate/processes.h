// SPDX-License-Identifier: Apache-2.0
// The processes that a load is sent to: mock engines, and before them a router of ours with its
// redis-server, perhaps with a bridge, or somebody else's.
#ifndef CALIB_RIG_H
#define CALIB_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "bench/common/bench_engines.h"
#include "bench/sim/engine/engine_model.h"
#include "tests/support/support_redis.h"

enum { CALIB_ENGINES = 4 };

struct calib_processes {
    const struct sim_model *model; // what the engines are like
    unsigned block_size;
    struct support_redis server;
    struct bench_engine engines[CALIB_ENGINES];
    struct bench_bridge bridge;
    pid_t router;
    int port;         // of the router
    const char *logs; // a folder for what the processes say; NULL: nowhere
    const char *name; // of the router, for its log
};

// How our router is set up.
struct calib_setup {
    const char *create; // the pool, as options of KVROUTE.CREATE
    const char *blocks; // how the router makes blocks of a prompt
    bool bridge;        // engines publish what they cache
    bool capacity;      // the router is told how many blocks engines have; bridges always are
};

// All return false with a message.
bool calib_start_ours(struct calib_processes *r, const struct calib_setup *how);
// A router of the SGLang gateway's family, with the defaults of its command line; verb: its first argument, or NULL.
bool calib_start_theirs(struct calib_processes *r, const char *program, const char *verb);
// By how much the engines' steps took longer than planned, as a share.
double calib_processes_lateness(const struct calib_processes *r);
void calib_processes_end(struct calib_processes *r);

#endif
