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
// Memory: nodes of 20 bytes in chunks that never move, and an index of 4-byte words in 256 segments that grow one at
// a time, so that no call waits for a great rehash and a growth peak is 1/256 of the index. Most blocks are the only
// child of their parent, so siblings are not linked in the nodes: where a block has several children, each of them has
// a link of 16 bytes.
//
//     a.child ── b                    b is the only child:   a.child is b, b.parent is a
//     a.child ── link 7 ── link 9     b and c are its children, a a fork:
//                  b         c          a.child is link 7; b.parent is link 7, c.parent link 9, which know a
//
// A word of the index is an id and, in the bits that no id needs yet, a part of the block's hash: so a search hardly
// ever looks at another block's node, which would be a line of memory each. Words stand in buckets of a cache line; a
// word belongs to the bucket that its hash names and stands in the first one from there on that had a place free.
// Each bucket counts the words that have passed it, so a search knows where to end, and a removal moves nothing (and
// needs no other block's hash). Several are looked for at once: kvr_held_prefetch has them on their way.
//
// Keyed with a secret, because hashes come from callers. 1 M blocks take 27 MB in chains, at worst 43. Nothing shrinks
// but by kvr_held_free: an engine's cache has a size of its own and stays near it.
//
// Invariants (the tests check them after each step): every node but the top is in the index once;
// parent, child and sibling links agree, phantoms have none; a node is a fork if and only if it has several children;
// a node without holdings has children; a node is placed if and only if its parent is and it is neither phantom nor refused; the counts count.
//
// Rejected: a table from hash to parent and tiers alone (to send all of it would need a sort, to have
// parents first, and an orphan's children could not be found); a chain of nodes per hash bucket
// (8 bytes more a block).
#ifndef KVR_PUBLISHER_TRUTH_H
#define KVR_PUBLISHER_TRUTH_H

#include <kvroute/client.h>
#include <stdbool.h>

#include "client/common/alloc.h"

enum {
    KVR_HELD_CHUNK = 2048, // nodes, and links
    KVR_HELD_SEGMENTS = 256,
    KVR_HELD_BUCKET = 15, // words
    KVR_TIER_BITS = (1 << KVR_TIERS) - 1
};

enum kvr_held_flag {
    KVR_NODE_USED = 1,    // not in the list of free nodes
    KVR_NODE_PHANTOM = 2, // named as a parent, never stored
    KVR_NODE_REFUSED = 4, // by the pool
    KVR_NODE_PLACED = 8,
    KVR_NODE_OPEN = 16,    // the publisher's: its walk is below this node
    KVR_NODE_SIBLING = 32, // `parent` is a link
    KVR_NODE_FORK = 64,    // `child` is a link, the first of several
};

// Packed: 8 bytes for the hash would make 24 of 20. So a hash's address isn't to be taken.
struct __attribute__((packed, aligned(4))) kvr_held_node {
    uint64_t hash;
    uint32_t parent,
        child; // see kvr_held_parent, kvr_held_child. Free: parent is the next free one
    // The publisher's notes: the tiers in which the pool has the block once it has applied all events
    // made so far. Meaningless unless told_in is the present epoch's number; 0 is none's.
    uint8_t told_in;
    uint8_t told;
    uint8_t held;  // tiers in which the rank has it
    uint8_t flags; // enum kvr_held_flag
};

struct kvr_held_link {
    uint32_t node, parent; // nodes
    uint32_t next, prev;   // links. Free: next
};

struct kvr_held_bucket {             // a line of cache
    uint32_t words[KVR_HELD_BUCKET]; // 0: free
    uint32_t passed;                 // words that belong here or before, and stand behind
};

struct kvr_held_segment {
    void *memory;
    struct kvr_held_bucket *buckets; // in it, where a line begins
    uint32_t n, used;                // n: buckets
    uint32_t bits;                   // of a word that are the id
    uint32_t wanted;                 // while reserving
};

struct kvr_held_blocks {
    const struct kvr_alloc *alloc;
    uint64_t secret;
    size_t max_blocks;
    struct kvr_held_node **chunks;
    size_t n_chunks, cap_chunks;
    uint32_t n_ids, free; // ids ever used, the top's included; the first free one
    struct kvr_held_link **link_chunks;
    size_t n_link_chunks, cap_link_chunks;
    uint32_t n_links, free_link; // ever used, 0 included, which is none; the first free one
    size_t links;                // in use
    size_t blocks, holdings, orphans, refused; // phantoms are blocks, but not orphans
    size_t bytes;
    struct kvr_held_segment segments[KVR_HELD_SEGMENTS];
};

static inline struct kvr_held_node *kvr_held_node(const struct kvr_held_blocks *t, uint32_t id) {
    return &t->chunks[id / KVR_HELD_CHUNK][id % KVR_HELD_CHUNK];
}
static inline struct kvr_held_link *kvr_held_link(const struct kvr_held_blocks *t, uint32_t link) {
    return &t->link_chunks[link / KVR_HELD_CHUNK][link % KVR_HELD_CHUNK];
}
// The block before it; 0: it is a start, or a phantom.
static inline uint32_t kvr_held_parent(const struct kvr_held_blocks *t,
                                       const struct kvr_held_node *n) {
    return n->flags & KVR_NODE_SIBLING ? kvr_held_link(t, n->parent)->parent : n->parent;
}
// Its first child, and the next child of its parent; 0: none.
static inline uint32_t kvr_held_child(const struct kvr_held_blocks *t,
                                      const struct kvr_held_node *n) {
    return n->flags & KVR_NODE_FORK ? kvr_held_link(t, n->child)->node : n->child;
}
static inline uint32_t kvr_held_next(const struct kvr_held_blocks *t,
                                     const struct kvr_held_node *n) {
    uint32_t next = n->flags & KVR_NODE_SIBLING ? kvr_held_link(t, n->parent)->next : 0;
    return next ? kvr_held_link(t, next)->node : 0;
}

int kvr_held_init(struct kvr_held_blocks *t, const struct kvr_alloc *a, uint64_t secret,
                  size_t max_blocks);
void kvr_held_free(struct kvr_held_blocks *t);
uint32_t kvr_held_find(const struct kvr_held_blocks *t, uint64_t hash); // 0: not here
// The block will be looked for soon; a little later, its node will be. These change nothing.
void kvr_held_prefetch(const struct kvr_held_blocks *t, uint64_t hash);
void kvr_held_prefetch_node(const struct kvr_held_blocks *t, uint64_t hash);

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
void kvr_held_clear(struct kvr_held_blocks *t);  // everything; keeps the memory
void kvr_held_untell(struct kvr_held_blocks *t); // told_in of all becomes 0

// The pool doesn't take the block: it and all below are placed no more. told_in of these becomes 0.
void kvr_held_refuse(struct kvr_held_blocks *t, uint32_t id);
void kvr_held_forgive(struct kvr_held_blocks *t, uint32_t id); // it is to be tried again
void kvr_held_forgive_all(struct kvr_held_blocks *t);

// ---- Walking -------------------------------------------------------------------------------------

// The node after id in the subtree of `root`, parents before children, or past its own subtree; 0: no
// more.
uint32_t kvr_held_after(const struct kvr_held_blocks *t, uint32_t id, uint32_t root, bool past);

#endif
