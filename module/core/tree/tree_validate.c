// SPDX-License-Identifier: Apache-2.0
// Checks the tree's invariants, for tests.
#include "holdings_sum.h"

static const char *check_entries(const struct core_tree *t, uint32_t id, const struct core_run *r,
                                 uint32_t *deepest, uint32_t *live) {
    const uint32_t *e = core_run_entries(r);
    *deepest = *live = 0;
    if (r->many && r->n > r->e.out.cap) return "tree: more entries than room";
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t slot = core_entry_slot(e[i]), depth = core_entry_depth(e[i]);
        if (i && e[i - 1] >> 8 >= e[i] >> 8) return "tree: entries out of order";
        if (!slot || slot >= t->n_slots) return "tree: an entry of no slot";
        if (t->slots[slot].tier != core_entry_tier(e[i])) return "tree: an entry of another tier";
        if (depth > r->len) return "tree: an entry deeper than its run";
        if (!core_runset_has(&t->slots[slot].runs, id)) return "tree: a slot doesn't know its run";
        if (depth > *deepest) *deepest = depth;
        if (depth > *live && t->instance_of[slot] != CORE_NO_INSTANCE) *live = depth;
    }
    if (r->held < *live || r->held > *deepest) return "tree: held is wrong";
    if (r->held != *live && !t->dropped) return "tree: held counts what was dropped";
    return NULL;
}

static const char *check_links(const struct core_tree *t, uint32_t id, const struct core_run *r) {
    uint32_t before = 0;
    for (uint32_t c = r->child; c; before = c, c = core_tree_run(t, c)->next)
        if (core_tree_run(t, c)->parent != id || core_tree_run(t, c)->prev != before)
            return "tree: a child's links are wrong";
    if (!r->prev && (r->parent ? core_tree_run(t, r->parent)->child : t->roots) != id)
        return "tree: a run isn't its parent's child";
    return NULL;
}

const char *core_tree_validate(const struct core_tree *t) {
    uint64_t entries, blocks = 0, held = 0, runs_of_slots = 0, n_entries = 0;
    const char *wrong = core_index_validate(&t->index, &entries);
    for (uint32_t id = 1; id < t->n_runs && !wrong; id++) {
        const struct core_run *r = core_tree_run(t, id);
        if (r->parent == CORE_RUN_FREE) continue;
        uint32_t deepest, live;
        if ((wrong = check_entries(t, id, r, &deepest, &live))) return wrong;
        if ((wrong = check_links(t, id, r))) return wrong;
        if (r->len > CORE_MAX_RUN || r->len > r->room) return "tree: a run is too long";
        if (!r->child && deepest != r->len) return "tree: blocks that nobody needs";
        if (!r->len && (!t->dropped || !r->child)) return "tree: an empty run";
        if (r->last != (r->len ? r->hashes[r->len - 1] : 0)) return "tree: another last hash";
        for (uint32_t i = 0; i < r->len; i++) {
            uint32_t run;
            unsigned offset;
            if (!core_tree_find(t, r->hashes[i], &run, &offset) || run != id || offset != i)
                return "tree: the index doesn't find a block";
        }
        blocks += r->len;
        held += r->held;
        n_entries += r->n;
    }
    if (wrong) return wrong;
    if ((wrong = core_tree_scan_validate(t))) return wrong;
    if (blocks != entries) return "tree: the index has blocks that the tree hasn't";
    if (held != t->blocks) return "tree: the number of blocks is wrong";
    uint64_t live = 0, unswept = 0;
    for (uint32_t s = 1; s < t->n_slots; s++) {
        if ((wrong = core_runset_validate(&t->slots[s].runs))) return wrong;
        if (t->slots[s].tier != KVR_DEVICE && !t->tiered) return "tree: a tier that isn't known";
        runs_of_slots += t->slots[s].runs.used;
        if (t->instance_of[s] == CORE_NO_INSTANCE)
            unswept += t->slots[s].blocks;
        else
            live += t->slots[s].blocks;
    }
    if (runs_of_slots != n_entries) return "tree: a slot has a run that it isn't in";
    if (live != t->holdings || unswept != t->unswept) return "tree: the holdings' count is wrong";
    return NULL;
}
