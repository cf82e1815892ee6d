// SPDX-License-Identifier: Apache-2.0
// What is measured: kvroute's commands, and beside them what a user would do with plain Redis. A table
// of operations; each says what it sends for one unit and how it takes the replies.
//
// A unit is one choice where the operation chooses, else one command. Units that are two round trips for a
// client that waits (SELECT, then RELEASE) have two steps.
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench_caller.h"

enum { BENCH_EVENT_BLOCKS = 64, BENCH_LIVE = 64, BENCH_PAYLOAD_KEYS = 1024 };

struct bench_op {
    const char *id, *name;
    const char *commands[2]; // as INFO commandstats names them; the second may be NULL
    size_t steps;
    bool a_block;   // a command for each block
    bool by_length; // depends on the request's length
    bool drains;    // goes on until what was stored is removed, whatever the time
    void (*prepare)(struct bench_caller *c);
    void (*finish)(struct bench_caller *c);
    void (*put)(struct bench_caller *c, size_t length, uint64_t unit, size_t step);
    void (*take)(struct bench_caller *c, size_t length, uint64_t unit, size_t step);
};

enum bench_op_number {
    BENCH_OP_SET,
    BENCH_OP_SELECT,
    BENCH_OP_LOGGED, // the same with a log of decisions and their blocks
    BENCH_OP_SCORE,
    BENCH_OP_HASHES,
    BENCH_OP_STRINGS,
    BENCH_OP_SCRIPT,
    BENCH_OP_UPDATE,
    BENCH_OP_STORED,
    BENCH_OP_REMOVED,
    BENCH_OPS
};
extern const struct bench_op bench_ops[BENCH_OPS];

#endif
