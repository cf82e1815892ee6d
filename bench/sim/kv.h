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
// until their room is wanted; the one that was let go longest ago goes first:
//
//   newest ⇄ [a0] ⇄ [a1] ⇄ [a2] ⇄ [b0] ⇄ [b1] ⇄ … ⇄ oldest
//
// Whoever uses a block uses all before it, and lets go of the last first. So an idle block is never
// older than one that follows it in a sequence, and what is evicted is always a leaf.
#ifndef FLEET_KV_H
#define FLEET_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host.h"

struct kv;

struct kv_count {
    size_t capacity, cached, used, reserved, held; // used: of the cached; held: of the reserved
};

struct kv *kv_new(size_t capacity); // blocks, >= 1
void kv_free(struct kv *k);
// What is evicted from now on goes to the host, which must live as long.
void kv_spill(struct kv *k, struct host *host);
struct kv_count kv_count(const struct kv *k);
// How many of the first blocks are cached; *idle of these are in nobody's use.
size_t kv_match(const struct kv *k, const uint64_t *hashes, size_t n, size_t *idle);
// Uses the first n blocks, which are cached, and lets go of them again.
void kv_use(struct kv *k, const uint64_t *hashes, size_t n);
void kv_leave(struct kv *k, const uint64_t *hashes, size_t n);
void kv_reserve(struct kv *k, size_t n); // of those that are free, idle, or promised to nobody
// Takes n of the reserved blocks. What has to go is written to evicted (room for n); returns how many
// that are.
size_t kv_hold(struct kv *k, size_t n, uint64_t *evicted);
void kv_unreserve(struct kv *k, size_t n, size_t held); // n, so many of which were held
// A held block has got its content, the depth-th of a sequence: it is cached and used from now on.
// False: this content was cached already; that block is used instead and the held one is free.
bool kv_fill(struct kv *k, const uint64_t *hashes, size_t depth);
// The cached blocks, ancestors first. parent: NULL at the start of a sequence.
void kv_each(const struct kv *k, void (*f)(void *, uint64_t hash, const uint64_t *parent),
             void *ctx);
const char *kv_validate(const struct kv *k); // NULL, or what is wrong

#endif
