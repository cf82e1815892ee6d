// SPDX-License-Identifier: Apache-2.0
// The second tier of an engine's cache: blocks that were evicted from the device, in the host's memory.
//
// What comes here stays until its room is wanted; what came or was used longest ago goes first. A block that
// is loaded again stays here, too: when it is evicted once more, nothing has to be copied. Leaves are evicted
// from the device before what precedes them, so they are older here, and go first here as well.
#ifndef FLEET_HOST_H
#define FLEET_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host;

// A block came or went.
struct moved {
    uint64_t hash, parent; // parent is meaningless at depth 0
    uint32_t depth;
    bool stored;
};

struct host *host_new(size_t capacity); // blocks, >= 1
void host_free(struct host *h);
void host_put(struct host *h, uint64_t hash, uint64_t parent, uint32_t depth);
// How many of the blocks from `from` on, up to n, are here without a gap.
size_t host_match(const struct host *h, const uint64_t *hashes, size_t from, size_t n);
// Those blocks are used.
void host_use(struct host *h, const uint64_t *hashes, size_t from, size_t to);
size_t host_count(const struct host *h);
// What came and went since the last host_forget, in order.
const struct moved *host_moved(const struct host *h, size_t *n);
void host_forget(struct host *h);
// The first blocks of `all` that can be told in one piece: such as went, or a sequence that came. Writes
// them to hashes in their order in a prompt (room for n); returns how many. The sequence's parent is that of
// the last of them in `all`.
size_t host_run(const struct moved *all, size_t n, uint64_t *hashes);
// All blocks, ancestors first.
void host_each(const struct host *h, void (*f)(void *, const struct moved *), void *ctx);
const char *host_validate(const struct host *h); // NULL, or what is wrong

#endif
