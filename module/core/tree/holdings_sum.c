// SPDX-License-Identifier: Apache-2.0
#include "holdings_sum.h"

#include <kvroute/hash.h>

void core_sum_add(struct core_sum *s, const void *bytes, size_t n, int sign) {
    uint64_t times = (uint64_t)(int64_t)sign;
    XXH128_hash_t h = XXH3_128bits_withSeed(bytes, n, 1);
    s->low += h.low64 * times;
    s->high += h.high64 * times;
    s->third += XXH3_64bits_withSeed(bytes, n, 2) * times;
}

void core_sum_join(struct core_sum *s, const struct core_sum *of) {
    s->low += of->low;
    s->high += of->high;
    s->third += of->third;
}

static void add_blocks(struct core_sum *s, uint64_t holder, const uint64_t *hashes, size_t n,
                       int sign) {
    for (size_t i = 0; i < n; i++) {
        uint64_t holding[2] = {holder, hashes[i]};
        core_sum_add(s, holding, sizeof holding, sign);
    }
}

// How many holdings there were.
static size_t add_run(struct core_slot *slots, const struct core_run *r, int sign) {
    size_t n = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t entry = core_run_entries(r)[i], depth = core_entry_depth(entry);
        struct core_slot *slot = &slots[core_entry_slot(entry)];
        add_blocks(&slot->sum, slot->holder, r->hashes, depth, sign);
        n += depth;
    }
    return n;
}

// Of what live slots hold of the runs below `end`.
static void sum_runs(const struct core_tree *t, uint32_t end, struct core_sum *s) {
    for (uint32_t id = 1; id < end; id++) {
        const struct core_run *r = core_tree_run(t, id);
        if (r->parent == CORE_RUN_FREE) continue;
        for (uint32_t i = 0; i < r->n; i++) {
            uint32_t entry = core_run_entries(r)[i], slot = core_entry_slot(entry);
            if (t->instance_of[slot] == CORE_NO_INSTANCE) continue;
            add_blocks(s, t->slots[slot].holder, r->hashes, core_entry_depth(entry), 1);
        }
    }
}

void core_tree_sum(const struct core_tree *t, struct core_sum *s) {
    sum_runs(t, t->n_runs, s);
}

// ---- A scan --------------------------------------------------------------------------------------

void core_tree_scan_begin(struct core_tree *t) {
    for (uint32_t i = 0; i < t->n_slots; i++)
        t->slots[i].sum = (struct core_sum){0};
    t->scanned = 1;
}

bool core_tree_scan_step(struct core_tree *t, size_t max) {
    for (size_t n = 0; n < max && t->scanned < t->n_runs; t->scanned++) {
        const struct core_run *r = core_tree_run(t, t->scanned);
        n += 1 + (r->parent == CORE_RUN_FREE ? 0 : add_run(t->slots, r, 1));
    }
    return t->scanned == t->n_runs;
}

void core_tree_scan_end(struct core_tree *t, struct core_sum *s) {
    for (uint32_t i = 1; i < t->n_slots; i++)
        if (t->instance_of[i] != CORE_NO_INSTANCE) core_sum_join(s, &t->slots[i].sum);
    t->scanned = 0;
}

void core_tree_sum_depth(struct core_tree *t, uint32_t run, uint32_t slot, uint32_t before,
                         uint32_t after) {
    if (run >= t->scanned) return;
    struct core_slot *s = &t->slots[slot];
    const uint64_t *hashes = core_tree_run(t, run)->hashes;
    if (after > before)
        add_blocks(&s->sum, s->holder, hashes + before, after - before, 1);
    else
        add_blocks(&s->sum, s->holder, hashes + after, before - after, -1);
}

void core_tree_sum_move(struct core_tree *t, uint32_t run, uint32_t from, uint32_t to) {
    bool was_in = from < t->scanned, is_in = to < t->scanned;
    if (was_in != is_in) add_run(t->slots, core_tree_run(t, run), is_in ? 1 : -1);
}

const char *core_tree_scan_validate(const struct core_tree *t) {
    struct core_sum all = {0}, again = {0};
    if (t->scanned > t->n_runs) return "tree: a scan is past its end";
    for (uint32_t i = 1; t->scanned && i < t->n_slots; i++)
        if (t->instance_of[i] != CORE_NO_INSTANCE) core_sum_join(&all, &t->slots[i].sum);
    sum_runs(t, t->scanned, &again);
    bool same = all.low == again.low && all.high == again.high && all.third == again.third;
    return same ? NULL : "tree: a scan has another sum";
}
