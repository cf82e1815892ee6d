// SPDX-License-Identifier: Apache-2.0
// What an instance comes to hold. What it holds no more is in tree_remove.c.
#include "tree_journal.h"
#include "tree_run.h"

// ---- What is known -------------------------------------------------------------------------------

enum core_known { BLOCK_UNKNOWN, BLOCK_KNOWN, BLOCK_UNDECIDED };

static bool held_beyond(const struct core_tree *t, const struct core_run *r, uint32_t depth) {
    const uint32_t *e = core_run_entries(r);
    for (uint32_t i = 0; i < r->n; i++)
        if (core_entry_depth(e[i]) > depth &&
            t->instance_of[core_entry_slot(e[i])] != CORE_NO_INSTANCE)
            return true;
    return false;
}

// Whether the block is held by a live slot, or one below it is. Outside of a transaction and with
// nothing left to sweep every run has a live holder at or below it, and the first leaf answers; a
// subtree that has been dropped but not swept is looked through, within the transaction's budget.
static enum core_known is_known(struct core_tree *t, uint32_t run, unsigned offset) {
    if (held_beyond(t, core_tree_run(t, run), offset)) return BLOCK_KNOWN;
    uint32_t at = core_tree_run(t, run)->child;
    while (at) {
        if (t->budget >= 0 && t->budget-- == 0) {
            t->budget = 0;
            return BLOCK_UNDECIDED;
        }
        struct core_run *r = core_tree_run(t, at);
        if (held_beyond(t, r, 0)) return BLOCK_KNOWN;
        if (r->child) {
            at = r->child;
            continue;
        }
        while (at != run && !core_tree_run(t, at)->next)
            at = core_tree_run(t, at)->parent;
        at = at == run ? 0 : core_tree_run(t, at)->next;
    }
    return BLOCK_UNKNOWN;
}

// ---- Storing -------------------------------------------------------------------------------------

// Where a sequence stands: after block `offset` of `run`; run 0 is its start.
struct tree_position {
    uint32_t run;
    unsigned offset;
};

static bool follows(const struct core_tree *t, struct tree_position at, uint32_t run,
                    unsigned offset) {
    if (offset) return at.run == run && at.offset + 1 == offset;
    uint32_t parent = core_tree_run(t, run)->parent;
    return at.run == parent && (parent == 0 || at.offset + 1 == core_tree_run(t, parent)->len);
}

// Takes a block that isn't known any more, and what stands below it in its run, out of the index, so
// that it can come again under another parent. What remains is swept with its holders.
static int detach(struct core_tree *t, uint32_t run, unsigned offset) {
    if (offset && !core_run_split(t, run, offset)) return -1;
    struct core_run *r = core_tree_run(t, run);
    while (r->n)
        if (core_run_set_depth(t, run, core_entry_slot(core_run_entries(r)[r->n - 1]), 0))
            return -1;
    if (core_journal_push(t, CORE_UNDO_DETACH, run, r->len, 0)) return -1;
    for (uint32_t i = 0; i < r->len; i++)
        core_index_remove(&t->index, r->hashes[i], run, i);
    core_run_set_len(r, 0);
    return 0;
}

// The slot comes to hold the run's blocks offset..offset + n - 1. Where it doesn't hold what precedes them in
// the run, the run is split before them, because an entry is a depth and can't have a hole. *at: the last of
// these blocks.
static int hold(struct core_tree *t, uint32_t slot, uint32_t run, unsigned offset, uint32_t n,
                struct tree_position *at, uint64_t *stored) {
    uint32_t depth = core_run_depth(t, run, slot);
    if (depth < offset) {
        if (!core_run_split(t, run, offset)) return -1;
        depth = offset = 0;
    }
    if (offset + n > depth) {
        if (core_run_set_depth(t, run, slot, offset + n)) return -1;
        *stored += offset + n - depth;
    }
    *at = (struct tree_position){run, offset + n - 1};
    return 0;
}

// Puts blocks at the run's end, up to one that is in the tree already; the first isn't. -1 without
// memory.
static int put_blocks(struct core_tree *t, uint32_t run, const uint64_t *hashes, size_t n) {
    struct core_run *r = core_tree_run(t, run);
    uint32_t len = r->len;
    int failed = 0;
    for (size_t i = 0; i < n; i++) {
        struct core_index_probe p;
        uint32_t other;
        unsigned offset;
        if (i + CORE_INDEX_AHEAD < n)
            core_index_prefetch(&t->index, hashes[i + CORE_INDEX_AHEAD], CORE_INDEX_LINES);
        if (core_tree_seek(t, hashes[i], &p, &other, &offset)) break;
        if ((failed = core_index_add_at(&t->index, &p, run, len))) break;
        r->hashes[len++] = hashes[i];
    }
    core_run_set_len(r, len);
    return failed;
}

// Adds blocks that aren't in the tree after *at: to the run there, if that is the slot's alone to
// prolong, else as a new run. Stops at one that is in the tree, or when the run is full. *added: >= 1.
static int append(struct core_tree *t, uint32_t slot, const uint64_t *hashes, size_t n,
                  struct tree_position *at, size_t *added) {
    core_index_prefetch_first(&t->index, hashes, 1, n);
    uint32_t run = at->run;
    if (run && at->offset + 1 < core_tree_run(t, run)->len &&
        !(run = core_run_split(t, run, at->offset + 1)))
        return -1;
    uint32_t len = run ? core_tree_run(t, run)->len : 0;
    bool prolong = run && len < CORE_MAX_RUN && !core_tree_run(t, run)->child &&
                   core_run_depth(t, run, slot) == len;
    size_t max = prolong && n > CORE_MAX_RUN - len ? CORE_MAX_RUN - len
                 : n > CORE_MAX_RUN                ? CORE_MAX_RUN
                                                   : n;
    if (!prolong) {
        len = 0;
        run = core_run_new(t, run, max);
        if (!run) return -1;
    } else if (core_run_reserve(t, run, len + max)) {
        return -1;
    }
    if (core_journal_push(t, CORE_UNDO_APPEND, run, len, 0)) {
        if (!prolong) core_run_release(t, run);
        return -1;
    }
    core_runset_prefetch(&t->slots[slot].runs, run);
    if (put_blocks(t, run, hashes, max)) return -1;
    const struct core_run *r = core_tree_run(t, run);
    *added = r->len - len;
    *at = (struct tree_position){run, r->len - 1};
    return core_run_set_depth(t, run, slot, r->len);
}

// A sequence is stored piece by piece. `at` is where it stands: its last block so far. The next block is
//
//   1. in the tree, right behind `at`: so are perhaps some of those that follow it in its run. The slot comes to
//      hold them (`hold`).
//   2. in the tree under another parent, and known: no chain of blocks can have two. Refused.
//   3. in the tree under another parent, but all who held it were dropped: it is taken out of there (`detach`)
//      and goes on as case 4.
//   4. not in the tree: it and those behind it that aren't either are put behind `at` (`append`). That prolongs
//      the run, where all of it is the slot's and nothing stands below; otherwise it makes a new run.
//
//   w2 stores a b x y; w1 has stored a b c d:
//
//     1[a b c d]         ──▶   2[a b] ─┬─ 1[c d]         a b: case 1, x y: case 4, which splits the run,
//       w1 ########              w1 ####    w1 ####      as the path branches off within it
//                                w2 ####
//                                      └─ 3[x y]
//                                           w2 ####
enum kvr_err core_tree_store(struct core_tree *t, uint32_t slot, const uint64_t *parent,
                             const uint64_t *hashes, size_t n, uint64_t *stored) {
    static const enum kvr_err refusal[] = {
        [BLOCK_UNKNOWN] = KVR_NOPARENT, [BLOCK_UNDECIDED] = KVR_BUSY};
    struct tree_position at = {0, 0};
    if (parent) {
        if (!core_tree_find(t, *parent, &at.run, &at.offset)) return KVR_NOPARENT;
        enum core_known known = is_known(t, at.run, at.offset);
        if (known != BLOCK_KNOWN) return refusal[known];
    }
    for (size_t i = 0; i < n;) {
        uint32_t run;
        unsigned offset;
        bool found = core_tree_find(t, hashes[i], &run, &offset);
        if (found && follows(t, at, run, offset)) {
            const struct core_run *r = core_tree_run(t, run);
            uint32_t k = 1;
            while (i + k < n && offset + k < r->len && hashes[i + k] == r->hashes[offset + k])
                k++;
            if (hold(t, slot, run, offset, k, &at, stored)) return KVR_NOMEM;
            i += k;
            continue;
        }
        if (found) {
            enum core_known known = is_known(t, run, offset);
            if (known != BLOCK_UNKNOWN) return known == BLOCK_KNOWN ? KVR_BADCHAIN : KVR_BUSY;
            // The split may move where the sequence stands; its hash finds it again.
            uint64_t last = at.run ? core_tree_run(t, at.run)->hashes[at.offset] : 0;
            if (detach(t, run, offset)) return KVR_NOMEM;
            if (at.run) core_tree_find(t, last, &at.run, &at.offset);
        }
        size_t added;
        if (append(t, slot, hashes + i, n - i, &at, &added)) return KVR_NOMEM;
        *stored += added;
        i += added;
    }
    return KVR_OK;
}
