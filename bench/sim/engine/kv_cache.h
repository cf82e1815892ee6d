// SPDX-License-Identifier: Apache-2.0
// The KV blocks of one engine: those that hold a known prefix and can be shared (cached), and those that
// a request holds and nobody else can use yet.
//
//   capacity = cached, in use + cached, idle + held + free
//
// A request is promised all blocks of its life when it begins (reserved), and takes them as it needs them
// (held): until then they may be free or idle ones. What is promised can be kept:
//
//   cached, in use + reserved <= capacity, and held <= reserved
//
// A cached block is in use while a request that is running has it among its first blocks. Idle ones stay
// until their room is wanted; the one that was let go longest ago goes first. Whoever uses a block uses all
// before it, and lets go of the last first. So an idle block is never older than one that follows it in a
// sequence, and what is evicted is always a leaf.
#ifndef SIM_KV_CACHE_H
#define SIM_KV_CACHE_H

#include "block_cache.h"
#include "host_cache.h"

struct sim_kv {
    struct sim_blocks cached;
    size_t reserved, held;
    struct sim_host *host; // where evicted blocks go; NULL: nowhere
};

void sim_kv_open(struct sim_kv *k, size_t capacity, struct sim_host *host); // blocks, >= 1
void sim_kv_close(struct sim_kv *k);
// How many of the first blocks are cached; *idle of these are in nobody's use.
size_t sim_kv_match(const struct sim_kv *k, const uint64_t *hashes, size_t n, size_t *idle);
// Uses the first n blocks, which are cached, and lets go of them again.
void sim_kv_use(struct sim_kv *k, const uint64_t *hashes, size_t n);
void sim_kv_leave(struct sim_kv *k, const uint64_t *hashes, size_t n);
// Whether so many more can be promised; and promises them.
bool sim_kv_has_room(const struct sim_kv *k, size_t n);
void sim_kv_reserve(struct sim_kv *k, size_t n);
// Takes n of the reserved blocks. What has to go is written to evicted (room for n); returns how many
// that are.
size_t sim_kv_hold(struct sim_kv *k, size_t n, uint64_t *evicted);
void sim_kv_unreserve(struct sim_kv *k, size_t n, size_t held); // n, so many of which were held
// A held block has got its content, the depth-th of a sequence: it is cached and used from now on.
// False: this content was cached already; that block is used instead and the held one is free.
bool sim_kv_fill(struct sim_kv *k, const uint64_t *hashes, size_t depth);
const char *sim_kv_validate(const struct sim_kv *k); // NULL, or what is wrong

#endif
