// SPDX-License-Identifier: Apache-2.0
// The live tree: which prefixes are in use on which instance, counted.
//
// A radix tree over the block lists of bookings (live requests, or predictions). Every booking ends
// at the end of a node, so a booking is one pointer, and an instance that has bookings through a node
// uses all of it: the node counts how many. The number of distinct prefix hashes in use on an instance
// (decode_blocks) is the sum of the lengths of its nodes, kept up to date by add and remove.
//
//   bookings on w1: [1 2 3] [1 2 4] [1 2 3 5]
//
//     (1 2) w1:3 ─┬─ (3) w1:2 ── (5) w1:1          distinct on w1: 2 + 1 + 1 + 1 = 5
//                 └─ (4) w1:1
//
// Children are found by (parent, first hash) in a hash table; unlike the prefix tree nothing here is
// looked up by a hash in the middle, so adding a booking copies its new blocks and indexes one of them.
// When a booking ends, a node that came from a split and isn't needed any more goes into its child. A node has
// CORE_MAX_LIVE_NODE blocks at most, a longer booking a chain of them: so a split or a merge copies little, also
// where a short booking parts from one of a million blocks.
// A node's blocks are compared one by one, not by the last: what is live comes from callers directly.
#ifndef CORE_LIVE_TREE_H
#define CORE_LIVE_TREE_H

#include "module/core/base/hash_map.h"

enum { CORE_MAX_LIVE_NODE = 1024 };

struct core_live_user {
    uint32_t instance;
    uint32_t count; // bookings on the instance through this node, >= 1
};

// Invariants (core_live_validate): 1 <= len <= CORE_MAX_LIVE_NODE; users sorted by instance, a subset of the
// parent's, and none counts more than there; at least one user.
struct core_live_node {
    struct core_hash_map_item item; // by (parent, first hash)
    struct core_live_node *parent;
    uintptr_t children; // all children's addresses, xored: the only child's when there is one
    uint32_t n_children;
    uint32_t len;
    uint64_t *hashes;
    uint32_t n_users, cap_users;
    struct core_live_user *users; // &one, while there is but one: nodes don't move
    struct core_live_user one;
};

struct core_live {
    struct core_mem *mem;
    uint64_t seed;
    struct core_hash_map nodes;
    uint64_t blocks; // sum of all nodes' lengths over their users
};

void core_live_init(struct core_live *l, struct core_mem *m, uint64_t seed);
void core_live_free(struct core_live *l);
// Adds a booking of n blocks. *end: where it ends (NULL for n = 0), *fresh: how many of its blocks the
// instance didn't use yet. 0, or -1 without memory and with nothing changed.
int core_live_add(struct core_live *l, uint32_t instance, const uint64_t *hashes, size_t n,
                  struct core_live_node **end, uint64_t *fresh);
// Ends a booking; returns how many blocks the instance doesn't use any more.
uint64_t core_live_remove(struct core_live *l, uint32_t instance, struct core_live_node *end);
// By instance: sets prefix[i] to how many of the request's first blocks are in use there. Entries of
// instances that use none are left. *longest: the largest that was set, 0 if none. instance_of: of each number
// that bookings were added with, UINT32_MAX: nobody's; NULL: they are the instances'.
void core_live_match(const struct core_live *l, const uint32_t *instance_of, const uint64_t *hashes,
                     size_t n, uint32_t *prefix, uint32_t *longest);
// Copies a booking's n blocks to out.
void core_live_blocks(const struct core_live_node *end, size_t n, uint64_t *out);
// Over the n blocks of a path that ends at `end`; how it is cut into nodes doesn't show. For the digest.
uint64_t core_live_path_sum(const struct core_live_node *end, uint64_t n);
const char *core_live_validate(const struct core_live *l);

#endif
