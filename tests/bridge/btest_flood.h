// SPDX-License-Identifier: Apache-2.0
// A publisher that floods: batches of more than a megabyte, each of which clears the cache and stores as many
// blocks as one event may have, faster than anybody reads them. It drops what doesn't fit into its queue and keeps
// the last few for replays, in a thread of its own.
#ifndef BTEST_FLOOD_H
#define BTEST_FLOOD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { BTEST_FLOOD_BLOCKS = 60000, BTEST_FLOOD_BUFFER = 32 };

struct btest_flood {
    void *zmq, *pub, *router;
    int events_port, replay_port;
    uint8_t *payload; // a batch; only its time, which names it, differs
    size_t n, time_at;
    atomic_uint seq;
    atomic_bool quiet, stop; // quiet: no more batches, but replays
    pthread_t thread;
};

void btest_flood_begin(struct btest_flood *f, unsigned block_size);
void btest_flood_end(struct btest_flood *f);

#endif
