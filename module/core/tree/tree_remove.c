// SPDX-License-Identifier: Apache-2.0
// What an instance holds no more.
//
// An entry of a run is a depth, so a hole in the middle splits the run, and a split moves all blocks of the run in
// the index. Engines evict from the leaves on, and then a depth gets less. A long list in any other order is
// sorted by run and offset first: so each run is looked at once, what goes altogether splits nothing, and a
// run of many holes is halved, and its halves again, rather than cut off block by block.
#include "tree_journal.h"
#include "tree_run.h"

#include <string.h>

// Blocks of a run that go: first to end - 1.
struct removed_piece {
    uint32_t first, end;
};

// The slot gives up these blocks of the run; there are n pieces, in order, none touching the next, all within what
// it holds.
static int remove_pieces(struct core_tree *t, uint32_t slot, uint32_t run, struct removed_piece *g,
                         size_t n) {
    while (n > 1) {
        uint32_t at = g[n / 2 - 1].end, head = core_run_split(t, run, at);
        if (!head || remove_pieces(t, slot, head, g, n / 2)) return -1;
        g += n / 2;
        n -= n / 2;
        for (size_t i = 0; i < n; i++) {
            g[i].first -= at;
            g[i].end -= at;
        }
    }
    // A hole: what follows becomes a run of its own.
    if (g->end < core_run_depth(t, run, slot) && !(run = core_run_split(t, run, g->end))) return -1;
    return core_run_set_depth(t, run, slot, g->first);
}

// In the order of the list, each stretch that lies in a run as it does in the list.
static enum kvr_err remove_in_order(struct core_tree *t, uint32_t slot, const uint64_t *hashes,
                                    size_t n, uint64_t *removed) {
    for (size_t i = 0; i < n;) {
        uint32_t run, k = 1;
        unsigned offset;
        if (!core_tree_find(t, hashes[i], &run, &offset)) {
            i++;
            continue;
        }
        const struct core_run *r = core_tree_run(t, run);
        while (i + k < n && offset + k < r->len && hashes[i + k] == r->hashes[offset + k])
            k++;
        i += k;
        uint32_t depth = core_run_depth(t, run, slot);
        if (depth <= offset) continue;
        struct removed_piece g = {offset, offset + k < depth ? offset + k : depth};
        if (remove_pieces(t, slot, run, &g, 1)) return KVR_NOMEM;
        *removed += g.end - g.first;
    }
    return KVR_OK;
}

// ---- Long lists ----------------------------------------------------------------------------------

enum { SORT_FROM = 64, OFFSET_BITS = 8, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

_Static_assert(CORE_MAX_RUN <= 1 << OFFSET_BITS, "a place is a run and an offset");

// Sorts places, from the lowest digit on, between two arrays; the one that they are in at the end.
static uint64_t *sort_places(uint64_t *places, uint64_t *spare, size_t n, uint64_t highest) {
    static const uint64_t mask = DIGITS - 1;
    size_t in_order = 1;
    while (in_order < n && places[in_order - 1] <= places[in_order])
        in_order++;
    if (in_order >= n) return places;
    for (unsigned shift = 0; shift < 64 && highest >> shift; shift += DIGIT_BITS) {
        uint32_t to[DIGITS] = {0}, sum = 0;
        for (size_t i = 0; i < n; i++)
            to[places[i] >> shift & mask]++;
        for (size_t d = 0; d < DIGITS; d++) {
            uint32_t count = to[d];
            to[d] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++)
            spare[to[places[i] >> shift & mask]++] = places[i];
        uint64_t *sorted = spare;
        spare = places;
        places = sorted;
    }
    return places;
}

// Where the blocks are, as run << OFFSET_BITS | offset; how many are anywhere.
static size_t find_places(const struct core_tree *t, const uint64_t *hashes, size_t n,
                          uint64_t *places) {
    size_t found = 0;
    core_index_prefetch_first(&t->index, hashes, 0, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t run;
        unsigned offset;
        if (i + CORE_INDEX_AHEAD < n)
            core_index_prefetch(&t->index, hashes[i + CORE_INDEX_AHEAD], CORE_INDEX_LINES);
        if (!core_tree_find(t, hashes[i], &run, &offset)) continue;
        places[found++] = (uint64_t)run << OFFSET_BITS | offset;
        const struct core_run *r = core_tree_run(t, run);
        while (i + 1 < n && offset + 1 < r->len && hashes[i + 1] == r->hashes[offset + 1]) {
            i++;
            places[found++] = (uint64_t)run << OFFSET_BITS | ++offset;
        }
    }
    return found;
}

// The pieces of one run, at the beginning of the places; *taken: how many of these are of it.
static size_t pieces_of(const uint64_t *places, size_t n, uint32_t depth, struct removed_piece *g,
                        size_t *taken) {
    uint64_t run = places[0] >> OFFSET_BITS;
    size_t pieces = 0, i = 0;
    for (; i < n && places[i] >> OFFSET_BITS == run; i++) {
        uint32_t offset = places[i] & ((1u << OFFSET_BITS) - 1);
        if (offset >= depth || (pieces && offset < g[pieces - 1].end)) continue;
        if (pieces && offset == g[pieces - 1].end)
            g[pieces - 1].end++;
        else
            g[pieces++] = (struct removed_piece){offset, offset + 1};
    }
    *taken = i;
    return pieces;
}

static enum kvr_err remove_sorted(struct core_tree *t, uint32_t slot, const uint64_t *places,
                                  size_t n, uint64_t *removed) {
    struct removed_piece g[CORE_MAX_RUN / 2 + 1];
    for (size_t i = 0, taken; i < n; i += taken) {
        uint32_t run = (uint32_t)(places[i] >> OFFSET_BITS);
        size_t pieces = pieces_of(places + i, n - i, core_run_depth(t, run, slot), g, &taken);
        for (size_t k = 0; k < pieces; k++)
            *removed += g[k].end - g[k].first;
        if (pieces && remove_pieces(t, slot, run, g, pieces)) return KVR_NOMEM;
    }
    return KVR_OK;
}

enum kvr_err core_tree_remove(struct core_tree *t, uint32_t slot, const uint64_t *hashes, size_t n,
                              uint64_t *removed) {
    if (!slot) return KVR_OK;
    if (n < SORT_FROM) return remove_in_order(t, slot, hashes, n, removed);
    size_t bytes = 2 * n * sizeof(uint64_t);
    uint64_t *places = core_mem_alloc(t->mem, bytes);
    if (!places) return remove_in_order(t, slot, hashes, n, removed);
    size_t found = find_places(t, hashes, n, places);
    uint64_t highest = (uint64_t)t->n_runs << OFFSET_BITS;
    const uint64_t *sorted = sort_places(places, places + n, found, highest);
    enum kvr_err err = remove_sorted(t, slot, sorted, found, removed);
    core_mem_free(t->mem, places, bytes);
    return err;
}
