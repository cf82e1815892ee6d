// SPDX-License-Identifier: Apache-2.0
// The second tier of an engine's cache: blocks that were evicted from the device, in the host's memory.
//
// What comes here stays until its room is wanted; what came or was used longest ago goes first. A block that
// is loaded again stays here, too: when it is evicted once more, nothing has to be copied. Leaves are evicted
// from the device before what precedes them, so they are older here, and go first here as well.
#ifndef SIM_HOST_CACHE_H
#define SIM_HOST_CACHE_H

#include "block_cache.h"

// A block came or went.
struct sim_moved {
    uint64_t hash, parent; // parent is meaningless at depth 0
    uint32_t depth;
    bool stored;
};

struct sim_host {
    struct sim_blocks blocks;
    struct sim_moved *moved; // what came and went since the last sim_host_forget, in order
    size_t n_moved, room_moved;
};

void sim_host_open(struct sim_host *h, size_t capacity); // blocks, >= 1
void sim_host_close(struct sim_host *h);
void sim_host_put(struct sim_host *h, uint64_t hash, uint64_t parent, uint32_t depth);
// How many of the blocks from `from` on, up to n, are here without a gap.
size_t sim_host_match(const struct sim_host *h, const uint64_t *hashes, size_t from, size_t n);
// Those blocks are used.
void sim_host_use(struct sim_host *h, const uint64_t *hashes, size_t from, size_t to);
void sim_host_forget(struct sim_host *h);
// The first blocks of `all` that can be published in one piece: such as went, or a sequence that came. Writes
// them to hashes in their order in a prompt (room for n); returns how many. The sequence's parent is that of
// the last of them in `all`.
size_t sim_host_run(const struct sim_moved *all, size_t n, uint64_t *hashes);

#endif
