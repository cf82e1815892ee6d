// SPDX-License-Identifier: Apache-2.0
// The host's memory of an engine; see host_cache.h.
#include "host_cache.h"

#include <stdlib.h>

#include "bench/common/bench_memory.h"

void sim_host_open(struct sim_host *h, size_t capacity) {
    *h = (struct sim_host){0};
    sim_blocks_open(&h->blocks, capacity);
}

void sim_host_close(struct sim_host *h) {
    sim_blocks_close(&h->blocks);
    free(h->moved);
}

static void note_move(struct sim_host *h, struct sim_moved m) {
    h->moved = bench_grow(h->moved, &h->room_moved, h->n_moved + 1, sizeof *h->moved);
    h->moved[h->n_moved++] = m;
}

void sim_host_put(struct sim_host *h, uint64_t hash, uint64_t parent, uint32_t depth) {
    struct sim_block x;
    if (!sim_blocks_refresh(&h->blocks, hash, parent, depth, &x)) return;
    if (x.uses) note_move(h, (struct sim_moved){x.hash, x.parent, x.depth, false});
    note_move(h, (struct sim_moved){hash, parent, depth, true});
}

size_t sim_host_match(const struct sim_host *h, const uint64_t *hashes, size_t from, size_t n) {
    size_t i = from;
    while (i < n && sim_blocks_find(&h->blocks, hashes[i]))
        i++;
    return i - from;
}

void sim_host_use(struct sim_host *h, const uint64_t *hashes, size_t from, size_t to) {
    while (to-- > from) {
        uint32_t at = sim_blocks_find(&h->blocks, hashes[to]);
        if (!at) continue;
        sim_blocks_use(&h->blocks, at);
        sim_blocks_leave(&h->blocks, at);
    }
}

void sim_host_forget(struct sim_host *h) {
    h->n_moved = 0;
}

// Evicted blocks come here leaf first: each is the parent of the one before.
size_t sim_host_run(const struct sim_moved *all, size_t n, uint64_t *hashes) {
    size_t run = 1;
    while (run < n && all[run].stored == all[0].stored &&
           (!all[0].stored || (all[run - 1].depth && all[run].hash == all[run - 1].parent)))
        run++;
    for (size_t i = 0; i < run; i++)
        hashes[i] = all[run - 1 - i].hash;
    return run;
}
