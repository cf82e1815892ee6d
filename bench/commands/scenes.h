// SPDX-License-Identifier: Apache-2.0
// What is measured apart from single commands: memory, a crowd of holders, mixed load, what replication
// and the append-only file cost. Each is a struct of figures and a function that fills it.
#ifndef COMMANDS_SCENES_H
#define COMMANDS_SCENES_H

#include "options.h"
#include "rounds.h"

enum { SCENE_LENGTH = 2 }; // 512 blocks, in all of these

// A server and a connection to it.
struct stage {
    struct server server;
    struct held held;
    struct caller caller;
};
void stage_begin(struct stage *s, const struct options *o, size_t workers, size_t blocks);
void stage_end(struct stage *s);
void stage_connect(struct stage *s, struct wire *w, bool tcp);
void scene_fail(const char *what); // says so and ends the program

// Bytes a block, as the server counts its memory.
struct footprint {
    size_t workers, blocks;
    double pool, own; // own: what the pool counts of itself
    double hashes, strings;
};

// How much slower a choice gets with the number of those that hold all of the prompt.
struct crowd {
    double few, many;           // us a SELECT by INFO's usec_per_call, 10 and 1,000 holders
    double few_pair, many_pair; // us of the server's CPU a SELECT + RELEASE, pipelined
    double few_p50, many_p50;   // us a SELECT takes a client that waits
};
void scene_crowd(const struct options *o, struct crowd *out);

// Routers that select at a fixed rate, alone and while publishers send as fast as they can.
struct mixed {
    size_t routers, publishers;
    double due, done;             // SELECT + RELEASE a second, of all routers
    double alone[3], together[3]; // us from when it was due: p50, p99, p99.9
    double published;             // blocks stored or removed a second meanwhile
};
void scene_mixed(const struct options *o, struct mixed *out);

// SELECT + RELEASE and SET + SET under four kinds of care for what is written.
enum { KEPT = 4 };
struct durable {
    const char *names[KEPT];
    struct cell select[KEPT], set[KEPT];
    double wire_select, wire_release, wire_set; // bytes each adds to the replication stream
    double file_select, file_release, file_set; // and to the append-only file
};
void scene_durable(const struct options *o, struct durable *out);

#endif
