// SPDX-License-Identifier: Apache-2.0
// An engine that has nothing but a cache: a forest of blocks of which it stores and removes some, and
// tells so over ZeroMQ as engines do, with a replay socket, and with whatever faults are wished for.
// Its messages are made by msgpack-c and sent from the test's own thread.
#ifndef BTEST_ENGINE_H
#define BTEST_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BTEST_ENGINE_BLOCKS = 600, BTEST_ENGINE_DEPTH = 16, BTEST_ENGINE_BUFFER = 20000 };

struct btest_engine_block {
    int parent;                       // -1: a start
    unsigned depth, copies, children; // children: those held
    uint32_t tokens[4];
    uint64_t prefix;
};

struct btest_engine_faults { // percent of the batches
    unsigned drop, repeat, reorder, damage;
    unsigned lossy; // of the replies, the end marker too
};

struct btest_engine {
    void *zmq, *pub, *router;
    int events_port, replay_port;
    bool has_replay;
    uint64_t random, life, seq;
    struct btest_engine_faults faults;
    struct btest_engine_block blocks[BTEST_ENGINE_BLOCKS];
    struct btest_engine_batch {
        void *payload;
        size_t n;
    } buffer[BTEST_ENGINE_BUFFER]; // by seq
    int late;                      // a batch that is sent after the next; -1: none
    uint64_t replays;
};

struct btest_engine *btest_engine_new(uint64_t seed, bool replay);
void btest_engine_free(struct btest_engine *f);
unsigned btest_engine_below(struct btest_engine *f, unsigned n);
void btest_engine_restart(struct btest_engine *f); // another life: empty, from 0, with other hashes
void btest_engine_step(struct btest_engine *f);    // one batch of a few events
void btest_engine_clear(struct btest_engine *f);
void btest_engine_serve(struct btest_engine *f, int ms); // answers replays for so long
size_t btest_engine_held(const struct btest_engine *f);
// The prefix hashes from the start down to a block, and how many of the first of these are held.
size_t btest_engine_path(const struct btest_engine *f, int block, uint64_t out[BTEST_ENGINE_DEPTH],
                         size_t *held);

#endif
