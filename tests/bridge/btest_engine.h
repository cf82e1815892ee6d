// SPDX-License-Identifier: Apache-2.0
// An engine that has nothing but a cache: a forest of blocks of which it stores and removes some, and
// tells so over ZeroMQ as engines do, with a replay socket, and with whatever faults are wished for.
// Its messages are made by msgpack-c and sent from the test's own thread.
#ifndef BTEST_ENGINE_H
#define BTEST_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAKE_BLOCKS = 600, FAKE_DEPTH = 16, FAKE_BUFFER = 20000 };

struct fake_block {
    int parent;                       // -1: a start
    unsigned depth, copies, children; // children: those held
    uint32_t tokens[4];
    uint64_t prefix;
};

struct fake_faults { // percent of the batches
    unsigned drop, repeat, reorder, damage;
    unsigned lossy; // of the replies, the end marker too
};

struct fake {
    void *zmq, *pub, *router;
    int events_port, replay_port;
    bool has_replay;
    uint64_t dice, life, seq;
    struct fake_faults faults;
    struct fake_block blocks[FAKE_BLOCKS];
    struct fake_batch {
        void *payload;
        size_t n;
    } buffer[FAKE_BUFFER]; // by seq
    int late;              // a batch that is sent after the next; -1: none
    uint64_t replays;
};

struct fake *fake_new(uint64_t seed, bool replay);
void fake_free(struct fake *f);
unsigned fake_below(struct fake *f, unsigned n);
void fake_restart(struct fake *f); // another life: empty, from 0, with other hashes
void fake_step(struct fake *f);    // one batch of a few events
void fake_clear(struct fake *f);
void fake_serve(struct fake *f, int ms); // answers replays for so long
size_t fake_held(const struct fake *f);
// The prefix hashes from the start down to a block, and how many of the first of these are held.
size_t fake_path(const struct fake *f, int block, uint64_t out[FAKE_DEPTH], size_t *held);

#endif
