// SPDX-License-Identifier: Apache-2.0
// The index: prefix hash → (run, offset), 8 bytes a block and no copy of the hash.
//
//   hash ──mix──▶ │ segment (9 bits) │ fingerprint (24 bits) │ unused │
//
//   segment: [ · e e · e e e e · · e … e e · │ slack ]     e = fingerprint 24 | offset 8 | run 32
//
// A segment is an array of entries sorted by fingerprint, with gaps: linear probing whose order is
// kept, where an entry's home is its fingerprint scaled to the array. A search walks from the home
// to the first larger fingerprint and is short even when 96 % of the slots are taken. Which slots are
// taken depends on the set of keys alone, and a larger array holds every set that a smaller one held;
// so putting back what was just removed never needs memory, and undoing can't fail.
//
// Segments grow one at a time in the allocator's own size classes, so no insert stalls on a rehash of
// the whole, and growing needs no hash: the fingerprint says where an entry goes. The mix is keyed by
// a secret, because any u64 is a valid prefix hash and callers could otherwise choose one segment.
//
// How many segments: one that is small must grow early, because its few slack slots don't take the
// cluster at its end; one that is large takes long to copy. With 512, a million blocks cost 9.2 bytes
// each (with 4,096 it was 10.1), their table stays in the first-level cache, and growing a segment takes
// about 0.1 ms at 10 million blocks and 1 ms at 100 million.
//
// Nearly all of a search's time is waiting for the one line of memory where its home is. So whoever
// has several hashes at hand starts the searches ahead (core_index_prefetch).
//
// Rejected: hash → run with the hash in the entry (16 bytes and more), a doubling table (stalls, half
// empty after growth), chaining (a pointer a block).
#ifndef CORE_INDEX_H
#define CORE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "module/core/base/mem.h"

enum {
    CORE_INDEX_SEGMENT_BITS = 9,
    CORE_INDEX_SEGMENTS = 1 << CORE_INDEX_SEGMENT_BITS,
    CORE_INDEX_FINGERPRINT_BITS = 24,
    CORE_INDEX_MAX_OFFSET = 255,
    // How far ahead of its change a block's place is asked for, and how much of it: together as much as
    // memory serves at a time.
    CORE_INDEX_AHEAD = 8,
    CORE_INDEX_LINES = 10,
};

struct core_index_segment {
    uint64_t *slots; // 0 is empty: run 0 doesn't exist
    uint32_t size, used;
};

struct core_index {
    struct core_mem *mem;
    uint64_t seed;
    struct core_index_segment *segments; // CORE_INDEX_SEGMENTS of them
};

// What a probe goes through: the entries whose fingerprint is the hash's. The caller compares the
// hash itself with the one that the run holds. Once core_index_next has said that there is no more, `at` is
// where an entry of this hash would stand.
struct core_index_probe {
    const uint64_t *at; // NULL: the segment is empty
    uint64_t fingerprint;
    uint32_t segment;
};

int core_index_init(struct core_index *ix, struct core_mem *m,
                    uint64_t seed); // 0, or -1: no memory
void core_index_free(struct core_index *ix);
// Makes an empty index large enough for n entries, spread as hashes are. 0, or -1 without memory.
int core_index_reserve(struct core_index *ix, uint64_t n);

// Adds an entry, which must not be there yet. 0, or -1 without memory.
int core_index_add(struct core_index *ix, uint64_t hash, uint32_t run, unsigned offset);
// The same where a probe for the hash has just come to its end: it knows the place.
int core_index_add_at(struct core_index *ix, const struct core_index_probe *end, uint32_t run,
                      unsigned offset);
// Removes or re-targets the entry (hash, run, offset), which must be there. Never allocates.
void core_index_remove(struct core_index *ix, uint64_t hash, uint32_t run, unsigned offset);
void core_index_move(struct core_index *ix, uint64_t hash, uint32_t run, unsigned offset,
                     uint32_t new_run, unsigned new_offset);
// Gives back memory of the hash's segment when most of it is empty. Best effort; not while the removal
// may still be undone.
void core_index_trim(struct core_index *ix, uint64_t hash);
// Tells f where the entries of a large index lie: a process that only saves the tree needs none of it.
void core_index_memory(const struct core_index *ix, void (*f)(void *ctx, void *at, size_t bytes),
                       void *ctx);
// Checks order and counts; NULL, or what is broken. *entries: how many there are.
const char *core_index_validate(const struct core_index *ix, uint64_t *entries);

static inline uint64_t core_index_mix(const struct core_index *ix, uint64_t hash) {
    uint64_t x = (hash ^ ix->seed) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 32) ^ (ix->seed >> 7)) * 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}

static inline uint32_t core_index_segment_of(uint64_t mixed) {
    return (uint32_t)(mixed >> (64 - CORE_INDEX_SEGMENT_BITS));
}
static inline uint64_t core_index_fingerprint_of(uint64_t mixed) {
    return mixed << CORE_INDEX_SEGMENT_BITS >> (64 - CORE_INDEX_FINGERPRINT_BITS);
}

// Slots before the slack: the range of homes.
static inline uint32_t core_index_homes(uint32_t size) {
    uint32_t slack = size / 64;
    return size - (slack ? slack : 1);
}

// Where entries of a fingerprint begin in an array of so many slots.
static inline uint32_t core_index_home(uint64_t fingerprint, uint32_t size) {
    return (uint32_t)((fingerprint * core_index_homes(size)) >> CORE_INDEX_FINGERPRINT_BITS);
}

// Brings the memory of a coming search near, or, with `lines` above 2, of a change: adding and removing
// go on to the next gap. Always inlined: gcc takes a function that does nothing but prefetch for one
// without effect and drops the calls.
static inline __attribute__((always_inline)) void core_index_prefetch(const struct core_index *ix,
                                                                      uint64_t hash, int lines) {
    uint64_t mixed = core_index_mix(ix, hash);
    const struct core_index_segment *s = &ix->segments[core_index_segment_of(mixed)];
    if (!s->size) return;
    const uint64_t *home = s->slots + core_index_home(core_index_fingerprint_of(mixed), s->size);
    for (int i = 0; i < lines; i++)
        __builtin_prefetch(home + 8 * i);
}

// The same for changes of one block after the other: those that come first. Whoever goes through them
// asks at each for the CORE_INDEX_AHEAD-th after it.
static inline __attribute__((always_inline)) void
core_index_prefetch_first(const struct core_index *ix, const uint64_t *hashes, size_t from,
                          size_t n) {
    for (size_t i = from; i < n && i < from + CORE_INDEX_AHEAD; i++)
        core_index_prefetch(ix, hashes[i], CORE_INDEX_LINES);
}

static inline struct core_index_probe core_index_first(const struct core_index *ix, uint64_t hash) {
    uint64_t mixed = core_index_mix(ix, hash);
    struct core_index_probe p = {NULL, core_index_fingerprint_of(mixed),
                                 core_index_segment_of(mixed)};
    const struct core_index_segment *s = &ix->segments[p.segment];
    if (s->size) p.at = s->slots + core_index_home(p.fingerprint, s->size);
    return p;
}

// The next entry with the fingerprint; false when there is none. Every segment ends in a slot that
// is empty or larger, see block_index.c.
static inline bool core_index_next(struct core_index_probe *p, uint32_t *run, unsigned *offset) {
    if (!p->at) return false;
    for (;; p->at++) {
        uint64_t e = *p->at;
        uint64_t fingerprint = e >> 40;
        if (e == 0 || fingerprint > p->fingerprint) return false;
        if (fingerprint == p->fingerprint) {
            *run = (uint32_t)e;
            *offset = (e >> 32) & 0xff;
            p->at++;
            return true;
        }
    }
}

#endif
