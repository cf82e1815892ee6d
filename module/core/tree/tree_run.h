// SPDX-License-Identifier: Apache-2.0
// Runs: their place in the tree, their holders, splitting and merging. What a run is stands in tree.h. For the
// tree's own files.
#ifndef CORE_TREE_RUN_H
#define CORE_TREE_RUN_H

#include "tree.h"

// ---- Records and links ---------------------------------------------------------------------------

// A new run under parent, without blocks and with room for so many. 0: no memory.
uint32_t core_run_new(struct core_tree *t, uint32_t parent, size_t room);
// Gives up a run that has no children, no entries, and no blocks in the index any more.
void core_run_release(struct core_tree *t, uint32_t run);
int core_run_reserve(struct core_tree *t, uint32_t run,
                     size_t len);                        // 0: there is room for len hashes
void core_run_set_len(struct core_run *r, uint32_t len); // the hashes are there

// ---- Holders -------------------------------------------------------------------------------------

// How many of its first blocks the slot holds; 0: it has no entry.
uint32_t core_run_depth(const struct core_tree *t, uint32_t run, uint32_t slot);
// Sets it; 0 removes the entry. 0, or -1 without memory and with nothing changed.
int core_run_set_depth(struct core_tree *t, uint32_t run, uint32_t slot, uint32_t depth);
// Sets how many of its blocks live slots hold, and so the tree's number of blocks.
void core_run_set_held(struct core_tree *t, struct core_run *r, uint32_t held);

// ---- Splitting and merging -----------------------------------------------------------------------

// Splits so that the run begins at block `at`. Returns the id of the head, which has what precedes and is
// the run's parent; 0: no memory.
uint32_t core_run_split(struct core_tree *t, uint32_t run, uint32_t at);
// Undoes it: the run takes in its parent `head`, whose only child it is, and whose blocks all holders of the
// run hold. Hashes and entries must have room; what a split left, has.
void core_run_merge(struct core_tree *t, uint32_t head, uint32_t run);
// Brings a run that was changed to its normal form, and those above it that this leaves bare: no blocks that
// nobody needs, no run that could be one with its only child. Never fails.
void core_run_normalize(struct core_tree *t, uint32_t run);

// ---- Looking up ----------------------------------------------------------------------------------

static inline uint64_t core_run_hash(const struct core_run *r, unsigned offset) {
    return offset + 1 == r->len ? r->last : r->hashes[offset]; // the former needs no other line
}

// As core_tree_find; where the block isn't in the tree, the probe is left where its entry would stand.
static inline bool core_tree_seek(const struct core_tree *t, uint64_t hash,
                                  struct core_index_probe *p, uint32_t *run, unsigned *offset) {
    *p = core_index_first(&t->index, hash);
    while (core_index_next(p, run, offset))
        if (core_run_hash(core_tree_run(t, *run), *offset) == hash) return true;
    return false;
}

#endif
