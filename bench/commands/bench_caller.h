// SPDX-License-Identifier: Apache-2.0
// One client at work: its connection, what it is to ask for next, and what it keeps.
#ifndef BENCH_CALLER_H
#define BENCH_CALLER_H

#include <stddef.h>
#include <stdint.h>

#include "bench_holdings.h"
#include "bench_wire.h"

struct bench_caller {
    struct bench_wire wire;
    struct bench_holdings *held;
    uint64_t serial, callers;     // which of them it is: makes ids and blocks of its own
    uint64_t unit;                // the next
    uint64_t stored, removed;     // events of BENCH_EVENT_BLOCKS blocks of our own
    uint64_t *load;               // by worker: what a client that scores by itself has given it
    uint32_t *depth;              // by worker: scratch of the same
    char choose[41], release[41]; // the scripts' names
};

// One of several that share what is held; each publishes for workers of its own. The wire is opened apart.
void bench_caller_open(struct bench_caller *c, struct bench_holdings *h, uint64_t serial,
                       uint64_t callers);
void bench_caller_close(struct bench_caller *c);

// The id of a unit's request.
enum { BENCH_ID_ROOM = 24 };
size_t bench_unit_id(const struct bench_caller *c, uint64_t unit, char out[BENCH_ID_ROOM]);

#endif
