// SPDX-License-Identifier: Apache-2.0
// The index of a tree that was built without one, in the order of its memory.
//
// Runs are loaded parents first, and hashes are spread evenly: a block after the other would go to another line of
// the index each time, which is in no cache. So blocks are brought into the index's order first, in as many
// passes as keep what that takes small beside the pool: a pass takes all blocks whose mixed hashes lie in its
// range, parts of it that the processor's cache holds, and enters part by part. As the index has its
// size from the start, nothing grows, and what an entry shifts is little until the end.
//
//   mixed hash   │ part (11 bits) │ …
//   pass 0         parts 0 … k-1        counted before, so that a part's places are known
//   pass 1         parts k …
#include <string.h>

#include "tree_run.h"

enum {
    BUILD_PART_BITS = 11,
    BUILD_PARTS = 1 << BUILD_PART_BITS,
    BUILD_SHARE = 4,         // of all blocks are in hand at a time, ...
    BUILD_AT_ONCE = 1 << 18, // ... or so many
};

struct build_entry {
    uint64_t hash;
    uint32_t run, offset;
};

struct build_index {
    struct core_tree *tree;
    struct build_entry *entries; // of a pass, by part
    size_t room;
    uint64_t counts[BUILD_PARTS]; // of all blocks
    uint64_t ends[BUILD_PARTS]; // of a pass: where the next entry of the part goes, at last its end
};

static uint32_t part_of(const struct core_tree *t, uint64_t hash) {
    return (uint32_t)(core_index_mix(&t->index, hash) >> (64 - BUILD_PART_BITS));
}

static void count_parts(struct build_index *b) {
    const struct core_tree *t = b->tree;
    for (uint32_t id = 1; id < t->n_runs; id++) {
        const struct core_run *r = core_tree_run(t, id);
        for (uint32_t i = 0; i < r->len; i++)
            b->counts[part_of(t, r->hashes[i])]++;
    }
}

// Brings together the blocks of parts first to end - 1.
static void gather(struct build_index *b, uint32_t first, uint32_t end) {
    const struct core_tree *t = b->tree;
    uint64_t at = 0;
    for (uint32_t p = first; p < end; p++) {
        b->ends[p] = at;
        at += b->counts[p];
    }
    for (uint32_t id = 1; id < t->n_runs; id++) {
        const struct core_run *r = core_tree_run(t, id);
        // Those of this pass are picked without a branch, which would be foretold wrongly at every fourth block.
        uint32_t picked[CORE_MAX_RUN], n = 0;
        for (uint32_t i = 0; i < r->len; i++) {
            uint32_t p = part_of(t, r->hashes[i]);
            picked[n] = p << 8 | i;
            n += p - first < end - first;
        }
        for (uint32_t k = 0; k < n; k++) {
            uint32_t i = picked[k] & 0xff;
            b->entries[b->ends[picked[k] >> 8]++] = (struct build_entry){r->hashes[i], id, i};
        }
    }
}

static enum kvr_err enter(struct core_tree *t, const struct build_entry *e, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct core_index_probe p;
        uint32_t run;
        unsigned offset;
        if (core_tree_seek(t, e[i].hash, &p, &run, &offset)) return KVR_CORRUPT;
        if (core_index_add_at(&t->index, &p, e[i].run, e[i].offset)) return KVR_NOMEM;
    }
    return KVR_OK;
}

// The first part that a pass from `first` on has no room for.
static uint32_t pass_end(const struct build_index *b, uint32_t first) {
    uint64_t n = 0;
    uint32_t end = first;
    while (end < BUILD_PARTS && n + b->counts[end] <= b->room)
        n += b->counts[end++];
    return end;
}

static enum kvr_err fill(struct build_index *b) {
    for (uint32_t first = 0, end; first < BUILD_PARTS; first = end) {
        end = pass_end(b, first);
        gather(b, first, end);
        enum kvr_err err = enter(b->tree, b->entries, b->ends[end - 1]);
        if (err) return err;
    }
    return KVR_OK;
}

enum kvr_err core_tree_build_index(struct core_tree *t) {
    struct build_index *b = core_mem_calloc(t->mem, sizeof *b);
    if (!b) return KVR_NOMEM;
    b->tree = t;
    count_parts(b);
    uint64_t blocks = 0, largest = 0;
    for (uint32_t p = 0; p < BUILD_PARTS; p++) {
        blocks += b->counts[p];
        if (b->counts[p] > largest) largest = b->counts[p];
    }
    b->room = blocks / BUILD_SHARE < BUILD_AT_ONCE ? BUILD_AT_ONCE : blocks / BUILD_SHARE;
    if (b->room > blocks) b->room = blocks;
    if (b->room < largest) b->room = largest;
    enum kvr_err err = KVR_OK;
    if (blocks) {
        b->entries = core_mem_alloc(t->mem, b->room * sizeof *b->entries);
        err = b->entries && !core_index_reserve(&t->index, blocks) ? fill(b) : KVR_NOMEM;
        core_mem_free(t->mem, b->entries, b->room * sizeof *b->entries);
    }
    core_mem_free(t->mem, b, sizeof *b);
    return err;
}
