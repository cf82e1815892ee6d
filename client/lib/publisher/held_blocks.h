// SPDX-License-Identifier: Apache-2.0
// What one rank holds: a tree of blocks, each under the block before it.
//
//     top (0) ──┬─ a ── b ── c        starts of sequences are children of the top
//               └─ d ─┬─ e            d may be held by nobody any more: e keeps it
//                     └─ f
//     ? ── g ── h                     the phantom ?: its children came, it did not
//
// A block stays while it is held in some tier or has children. One whose parent isn't here hangs on a
// phantom, a node of that hash that nothing is known of; when the phantom is stored itself, it gets
// its place and all that hangs on it comes along. A block is *placed* when all blocks before it, up to
// the start of its sequence, are really here and none has been refused by the pool. Only placed blocks
// are for the pool; all others are orphans, or phantoms, or refused.
//
// A prefix hash names all that precedes it, so a block has one parent. To store it under another
// parent is refused, unless the parent so far is a phantom: then the new parent replaces it. Nothing here recurses; chains may
// be a million blocks long.
//
// Memory: nodes of 32 bytes in chunks that never move, and an index of 4-byte ids in 256 segments that
// grow one at a time, so that no call waits for a great rehash and a growth peak is 1/256 of the index.
// Keyed with a secret, because hashes come from callers. 1 M blocks take 40 MB. Nothing shrinks but by
// kvr_held_free: an engine's cache has a size of its own and stays near it.
//
// Invariants (the tests check them after each step): every node but the top is in the index once;
// parent, child and sibling links agree, phantoms have none; a node without holdings has children; a
// node is placed if and only if its parent is and it is neither phantom nor refused; the counts count.
//
// Rejected: a table from hash to parent and tiers alone (to send all of it would need a sort, to have
// parents first, and an orphan's children could not be found); a chain of nodes per hash bucket
// (8 bytes more a block).
#ifndef KVR_PUBLISHER_TRUTH_H
#define KVR_PUBLISHER_TRUTH_H

#include <kvroute/client.h>
#include <stdbool.h>

#include "client/common/alloc.h"

enum { KVR_HELD_CHUNK = 2048, KVR_HELD_SEGMENTS = 256, KVR_TIER_BITS = (1 << KVR_TIERS) - 1 };

enum kvr_held_flag {
    KVR_NODE_USED = 1,    // not in the list of free nodes
    KVR_NODE_PHANTOM = 2, // named as a parent, never stored
    KVR_NODE_REFUSED = 4, // by the pool
    KVR_NODE_PLACED = 8,
    KVR_NODE_OPEN = 16, // the publisher's: its walk is below this node
};

struct kvr_held_node {
    uint64_t hash;
    uint32_t parent, child, next, prev; // ids; parent 0: a start, or a phantom. Free: next
    // The publisher's notes: the tiers in which the pool has the block once it has applied all events
    // made so far. Meaningless unless told_in is the present epoch's number.
    uint32_t told_in;
    uint8_t told;
    uint8_t held;  // tiers in which the rank has it
    uint8_t flags; // enum kvr_held_flag
};

struct kvr_held_segment { // open addressing, linear
    uint32_t *ids;
    uint32_t size, used; // size: 0 or a power of two
};

struct kvr_held_blocks {
    const struct kvr_alloc *alloc;
    uint64_t secret;
    size_t max_blocks;
    struct kvr_held_node **chunks;
    size_t n_chunks, cap_chunks;
    uint32_t n_ids, free; // ids ever used, the top's included; the first free one
    size_t blocks, holdings, orphans, refused; // phantoms are blocks, but not orphans
    size_t bytes;
    struct kvr_held_segment segments[KVR_HELD_SEGMENTS];
};

static inline struct kvr_held_node *kvr_held_node(const struct kvr_held_blocks *t, uint32_t id) {
    return &t->chunks[id / KVR_HELD_CHUNK][id % KVR_HELD_CHUNK];
}

int kvr_held_init(struct kvr_held_blocks *t, const struct kvr_alloc *a, uint64_t secret,
                  size_t max_blocks);
void kvr_held_free(struct kvr_held_blocks *t);
uint32_t kvr_held_find(const struct kvr_held_blocks *t, uint64_t hash); // 0: not here

// ---- Storing -------------------------------------------------------------------------------------

// Takes the memory that storing these blocks can need. FULL, NOMEM: the blocks must not be stored.
enum kvr_code kvr_held_reserve(struct kvr_held_blocks *t, const uint64_t *parent,
                               const uint64_t *hashes, size_t n);

// Where a chain that is being stored has got to.
struct kvr_chain {
    uint32_t at; // its last block; 0: the next one is a start
    // Of a chain that isn't placed, once it mattered: the first block of all before it, and the one
    // after that on the way to `at`. They tell whether a phantom or its child would become its own
    // ancestor, without a climb for each block.
    uint32_t head, second;
};

enum kvr_put { KVR_PUT_OLD, KVR_PUT_NEW, KVR_PUT_JOINED, KVR_PUT_REFUSED };

// A chain after this block (NULL: a start), which becomes a phantom if it isn't here. One step of
// memory must be reserved for it.
struct kvr_chain kvr_held_chain(struct kvr_held_blocks *t, const uint64_t *parent);
// Puts a block at the end of the chain; it holds nothing yet. Its id, or 0 when it has another place,
// and then the chain is as it was. JOINED: it was a phantom or hung on one, and all below it has come
// along.
uint32_t kvr_held_put(struct kvr_held_blocks *t, struct kvr_chain *c, uint64_t hash,
                      enum kvr_put *what);

void kvr_held_hold(struct kvr_held_blocks *t, uint32_t id, int tier);
void kvr_held_unhold(struct kvr_held_blocks *t, uint32_t id, int tier);
// Frees a node without holdings and children; its parent, 0: none.
uint32_t kvr_held_drop(struct kvr_held_blocks *t, uint32_t id);
// Whether it is such a node, and not the top.
bool kvr_held_unneeded(const struct kvr_held_blocks *t, uint32_t id);
void kvr_held_clear(struct kvr_held_blocks *t); // everything; keeps the memory

// The pool doesn't take the block: it and all below are placed no more. told_in of these becomes 0.
void kvr_held_refuse(struct kvr_held_blocks *t, uint32_t id);
void kvr_held_forgive(struct kvr_held_blocks *t, uint32_t id); // it is to be tried again
void kvr_held_forgive_all(struct kvr_held_blocks *t);

// ---- Walking -------------------------------------------------------------------------------------

// The node after id in the subtree of `root`, parents before children, or past its own subtree; 0: no
// more.
uint32_t kvr_held_after(const struct kvr_held_blocks *t, uint32_t id, uint32_t root, bool past);

#endif
