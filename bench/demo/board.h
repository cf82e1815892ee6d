// SPDX-License-Identifier: Apache-2.0
// Shared memory of one run: what the processes count, and the order in which requests begin. It is
// the replay's, not the routers': nothing here helps to choose a worker.
#ifndef DEMO_BOARD_H
#define DEMO_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

struct board {
    // Requests begin in the order of the workload, whichever router takes the next.
    atomic_size_t next;
    atomic_size_t done; // finished by their workers

    // The quiet moment before a crash. The router that has this request asks for a worker, leaves the
    // answer unread and waits for `go`, as if the server had died before it came.
    size_t hold_at; // SIZE_MAX: never
    atomic_uint held;
    atomic_bool go;

    // Counted by the routers.
    atomic_size_t selects, repeats, put_back;
    atomic_uint reconnects;
    // Counted by the fleet, when a prompt is looked up in the real cache of its worker.
    atomic_size_t hit_blocks, asked_blocks;
    atomic_size_t resent, rebuilt; // events sent again; caches published anew
    uint64_t work[MAX_WORKERS];    // tokens computed: prompt without hits, and output
    uint64_t cached[MAX_WORKERS];  // blocks in the cache at the end
    double ended;                  // virtual time

    // By request.
    size_t n;
    uint64_t *select_ns;    // from asking until there was an answer, 0: not asked
    double *first_token;    // seconds of virtual time from arrival to the end of prefill
    uint8_t *handed, *over; // how many times it was given to a worker, and was finished
    size_t bytes;
};

struct board *board_new(size_t n); // ends the program when there is no memory
void board_free(struct board *b);

#endif
