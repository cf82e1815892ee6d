// SPDX-License-Identifier: Apache-2.0
// What is measured apart from single commands: memory, a prompt that many hold, mixed load, what replication
// and the append-only file cost. Each is a struct of figures and a function that fills it.
#ifndef BENCH_EXPERIMENTS_H
#define BENCH_EXPERIMENTS_H

#include "bench_commands_options.h"
#include "bench_measure.h"
#include "tests/support/support_home.h"

enum { BENCH_LENGTH_512 = 2 }; // 512 blocks, in all of these

// Bytes a block, as the server counts its memory.
struct bench_footprint {
    size_t workers, blocks;
    double pool, own; // own: what the pool counts of itself
    double hashes, strings;
};

// How much slower a choice gets with the number of those that hold all of the prompt.
struct bench_many_holders {
    double few, many;           // us a SELECT by INFO's usec_per_call, 10 and 1,000 holders
    double few_pair, many_pair; // us of the server's CPU a SELECT + RELEASE, pipelined
    double few_p50, many_p50;   // us a SELECT takes a client that waits
};
void bench_measure_many_holders(const struct bench_options *o, struct bench_many_holders *out);

// Routers that select at a fixed rate, alone and while publishers send.
struct bench_mixed {
    size_t workers, routers, publishers;
    double due, done;             // SELECT + RELEASE a second, of all routers
    double alone[3], together[3]; // us from when it was due: p50, p99, p99.9
    double events_due, events;    // a second meanwhile; events_due 0: as many as the server takes
    double published;             // blocks stored or removed a second meanwhile
    double busy;                  // CPU seconds of the server a second meanwhile
};
// Publishers that send as fast as they can; and the events of 2,000 workers at a fixed rate.
void bench_measure_fleet_load(const struct bench_options *o, struct bench_mixed *out);
void bench_measure_mixed(const struct bench_options *o, struct bench_mixed *out);

// SELECT + RELEASE and SET + SET under four kinds of care for what is written.
enum { BENCH_DURABILITIES = 4 };
struct bench_durability {
    const char *names[BENCH_DURABILITIES];
    struct bench_result select[BENCH_DURABILITIES], set[BENCH_DURABILITIES];
    double wire_select, wire_release, wire_set; // bytes each adds to the replication stream
    double file_select, file_release, file_set; // and to the append-only file
};
void bench_measure_durability(const struct bench_options *o, struct bench_durability *out);

#endif
