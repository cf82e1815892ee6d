// SPDX-License-Identifier: Apache-2.0
// The prefix tree: who holds which blocks.
//
// A radix tree over prefix hashes, its paths compressed to runs:
//
//            run 1: [a b c d]            w1 ████  w2 ████  w3 ██        (head depths 4, 4, 2)
//             ├─ run 2: [e f g h i j]    w1 ██████
//             └─ run 3: [x y]            w2 ██
//
//   - A run is at most 256 consecutive blocks, an array of their prefix hashes. Because a prefix hash
//     names all that precedes it, a request that has a run's last hash has all of the run; only the
//     run where they part is searched, by halves.
//   - Children begin after the last block of their parent; a run is split where a path branches off.
//   - A holder has a head of the run: its first `depth` blocks, all of it most often. So eviction from
//     the leaves, and storing what others have, change one number. A hole splits the run.
//   - The index finds any block by its hash, so children need no table: the run of the next block is
//     the index's answer for its hash.
//   - A block that nobody holds stays while something below it is held (a structural parent).
//
// Holders are slots, not instances: a slot is one (instance, tier) from the time it first stores to
// the time its holdings are dropped. Dropping gives the instance up to be given a new slot later, and
// leaves the old one's entries to be swept in bounded steps: it counts at once, whatever its size.
// An entry of a run is 4 bytes, tier | slot | depth - 1, sorted; up to six stand in the run itself.
//
// What a lookup costs is cache misses: one for an index slot, one for a run. All that a match needs of a
// run that the request has whole is in one line of 64 bytes: the last hash once more, the length, the
// first holders. And the misses of one request overlap, because its hashes are all at hand: the index
// is asked for every 32nd of them at once, and then for the runs that it named. More often isn't
// better: misses beside one another aren't free either. A run's hashes are read only where the
// request parts from it.
//
// Changes of one event are a transaction: begin, store / remove / drop, then commit or roll back.
// Every step is first written to a journal of exact inverses, and nothing is freed before the commit,
// so that rolling back needs no memory and can't fail. Which blocks are *known* (held, or above
// something held) is decided by looking at live slots, never by what memory is still to be freed:
// copies of the state that sweep at different times decide alike.
//
// Rejected: a set of holders per block (a pointer a block and a union for each lookup), a tree per
// worker (a lookup for each worker), bit sets (dense only for the few hottest runs; an entry carries
// the depth, so one array serves both whole and partial holders).
#ifndef CORE_TREE_H
#define CORE_TREE_H

#include "block_index.h"
#include "module/core/pool.h"
#include "runset.h"

enum { CORE_MAX_RUN = 256, CORE_RUN_FEW = 6, CORE_RUN_PAGE = 256, CORE_MAX_SLOT = (1 << 22) - 1 };
#define CORE_NO_INSTANCE UINT32_MAX
#define CORE_RUN_FREE UINT32_MAX // parent of a run that isn't in use

// Invariants (core_tree_validate): entries sorted, one a slot and tier, 1 <= depth <= len; held is the
// largest depth among live slots; every block is in the index once, as (run, offset); siblings are a
// doubly linked list and parent links agree; a run without children is not longer than its deepest
// entry; len 0 only under dropped holdings; last is the last of the hashes; a slot's set is the runs
// with an entry of it. A page of runs is 16 KiB, which the server's allocator aligns.
struct core_run {
    uint32_t parent, child, next, prev; // run ids, 0 none
    uint64_t *hashes;
    uint64_t last;                           // hashes[len - 1]; set by core_run_set_len
    uint32_t len : 10, held : 10, room : 10; // blocks; blocks held by live slots; size of hashes
    uint32_t n : 31, many : 1;               // entries; whether they stand outside
    union {
        uint32_t few[CORE_RUN_FEW];
        struct {
            uint32_t *entries;
            uint32_t cap;
        } out;
    } e;
};

_Static_assert(sizeof(struct core_run) == 64, "a run is one cache line");

struct core_sum {
    uint64_t low, high, third;
};

struct core_slot {
    uint64_t blocks;         // held
    uint64_t holder;         // who that is to the outside, as a hash, for the digest
    struct core_sum sum;     // while a scan is on; see holdings_sum.h
    struct core_runset runs; // where
    uint32_t next;           // in the list of free or of dropped slots
    uint8_t tier;
};

struct core_undo;

struct core_tree {
    struct core_mem *mem;
    struct core_index index;
    struct core_run **pages; // of CORE_RUN_PAGE runs each
    size_t n_pages, cap_pages;
    uint32_t n_runs;         // ids ever used; id 0 is the root of roots: only its child is used
    uint32_t free_run;       // list of unused ids, linked by next
    uint32_t roots;          // first run without parent
    struct core_slot *slots; // slot 0 is none
    uint32_t
        *instance_of; // by slot: the instance, or CORE_NO_INSTANCE. Apart: the hot part of a match
    size_t cap_slots, cap_instance_of;
    uint32_t n_slots, free_slot, dropped; // heads of lists of slots
    uint64_t blocks, holdings, unswept;
    struct core_undo *journal;
    size_t n_journal, cap_journal;
    bool journaling;
    bool tiered;      // something has been stored in another tier than devices
    uint32_t scanned; // runs with smaller ids are in the slots' sums; 0: no scan is on
    long budget;      // how many runs `known` may still look at in this transaction
};

static inline struct core_run *core_tree_run(const struct core_tree *t, uint32_t id) {
    return &t->pages[id / CORE_RUN_PAGE][id % CORE_RUN_PAGE];
}
static inline const uint32_t *core_run_entries(const struct core_run *r) {
    return r->many ? r->e.out.entries : r->e.few;
}
static inline uint32_t core_entry_slot(uint32_t e) {
    return e >> 8 & CORE_MAX_SLOT;
}
static inline int core_entry_tier(uint32_t e) {
    return (int)(e >> 30);
}
static inline uint32_t core_entry_depth(uint32_t e) {
    return (e & 0xff) + 1;
}

int core_tree_init(struct core_tree *t, struct core_mem *m, uint64_t seed); // 0, or -1: no memory
void core_tree_free(struct core_tree *t);

// ---- Transactions --------------------------------------------------------------------------------
// Errors of the steps leave the transaction to be rolled back.

// budget: how many runs may be looked at to decide whether blocks are known; < 0: no bound.
void core_tree_begin(struct core_tree *t, long budget);
void core_tree_commit(struct core_tree *t);
void core_tree_rollback(struct core_tree *t);
// A new slot for the instance; 0 without memory or when all are taken. holder: see core_slot.
uint32_t core_tree_new_slot(struct core_tree *t, uint32_t instance, int tier, uint64_t holder);
// Drops all that the slot holds. Also outside of transactions. 0, or -1 without memory (only inside).
int core_tree_drop(struct core_tree *t, uint32_t slot);
// KVR_NOPARENT, KVR_BADCHAIN, KVR_BUSY, KVR_NOMEM. *stored: blocks that the slot didn't hold before.
enum kvr_err core_tree_store(struct core_tree *t, uint32_t slot, const uint64_t *parent,
                             const uint64_t *hashes, size_t n, uint64_t *stored);
// slot 0 holds nothing. *removed: blocks that it did hold. KVR_NOMEM.
enum kvr_err core_tree_remove(struct core_tree *t, uint32_t slot, const uint64_t *hashes, size_t n,
                              uint64_t *removed);

// ---- Looking -------------------------------------------------------------------------------------

// What a request finds: by instance, how many of its first blocks are held, and in which tier at best.
// The caller sets reach and by_tier: zero, or a prefix known otherwise (counted as device).
struct core_match {
    uint32_t *reach;
    uint32_t *by_tier[KVR_TIERS];
    uint32_t longest; // the largest reach set beforehand
    uint32_t from;    // the block to begin at: no reach that was set is smaller, but for zeros
};
void core_tree_match(const struct core_tree *t, const uint64_t *hashes, size_t n,
                     struct core_match *m);
// The block's place, known or not. False: not in the tree.
bool core_tree_find(const struct core_tree *t, uint64_t hash, uint32_t *run, unsigned *offset);

// Frees entries of dropped slots, max units of work (see kvr_pool_sweep). Whether any are left. max
// below 17 may do nothing.
bool core_tree_sweep(struct core_tree *t, size_t max);
const char *core_tree_validate(const struct core_tree *t);
bool core_tree_defrag(struct core_tree *t, uint64_t *cursor, void *(*move)(void *ctx, void *),
                      bool (*stop)(void *ctx), void *ctx);

// ---- Building, for loading -----------------------------------------------------------------------

// Runs and holders first, then the index: until then nothing else may be done. After an error the tree is only
// good to be freed.

// A new run under parent with these blocks, of any alignment; 0: no memory.
uint32_t core_tree_build_run(struct core_tree *t, uint32_t parent, const void *hashes, size_t n);
// The slot holds the first `depth` blocks of the run. 0, or -1 without memory.
int core_tree_build_holder(struct core_tree *t, uint32_t run, uint32_t slot, uint32_t depth);
// KVR_NOMEM; KVR_CORRUPT: a hash is in the tree twice.
enum kvr_err core_tree_build_index(struct core_tree *t);

#endif
