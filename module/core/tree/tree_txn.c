// SPDX-License-Identifier: Apache-2.0
// The tree's transactions, and the slots that live as long as one instance holds something in one tier.
#include <stdlib.h>
#include <string.h>

#include "tree_journal.h"
#include "tree_run.h"

enum { JOURNAL_KEEP = 4096 }; // entries kept allocated between transactions

void core_tree_begin(struct core_tree *t, long budget) {
    t->journaling = true;
    t->n_journal = 0;
    t->budget = budget;
}

static void end(struct core_tree *t) {
    t->n_journal = 0;
    if (t->cap_journal <= JOURNAL_KEEP) return;
    core_mem_free(t->mem, t->journal, t->cap_journal * sizeof *t->journal);
    t->journal = NULL;
    t->cap_journal = 0;
}

// Settles every run that the transaction touched. Runs are only released here, none is made, so an id
// in the journal is either the run that it was or free.
static void normalize_all(struct core_tree *t) {
    for (size_t i = 0; i < t->n_journal; i++) {
        const struct core_undo *u = &t->journal[i];
        if (u->kind == CORE_UNDO_DROP || u->kind == CORE_UNDO_SLOT) continue;
        core_run_normalize(t, u->run);
        if (u->kind == CORE_UNDO_SPLIT) core_run_normalize(t, u->a);
    }
}

void core_tree_commit(struct core_tree *t) {
    t->journaling = false;
    normalize_all(t);
    end(t);
}

static void free_slot(struct core_tree *t, uint32_t slot) {
    struct core_slot *s = &t->slots[slot];
    if (s->blocks != 0 || s->runs.used != 0) abort(); // somebody would hold blocks unseen
    core_runset_free(&s->runs, t->mem);
    t->instance_of[slot] = CORE_NO_INSTANCE;
    s->next = t->free_slot;
    t->free_slot = slot;
}

static void undo(struct core_tree *t, const struct core_undo *u) {
    struct core_run *r = core_tree_run(t, u->run);
    int failed = 0;
    switch ((enum core_undo_kind)u->kind) {
    case CORE_UNDO_HOLD:
        failed = core_run_set_depth(t, u->run, u->a, u->b & 0xffff);
        core_run_set_held(t, r, u->b >> 16);
        break;
    case CORE_UNDO_APPEND:
        for (uint32_t i = u->a; i < r->len; i++)
            core_index_remove(&t->index, r->hashes[i], u->run, i);
        core_run_set_len(r, u->a);
        if (u->a == 0) core_run_release(t, u->run);
        break;
    case CORE_UNDO_DETACH:
        for (uint32_t i = 0; i < u->a && !failed; i++)
            failed = core_index_add(&t->index, r->hashes[i], u->run, i);
        core_run_set_len(r, u->a);
        break;
    case CORE_UNDO_SPLIT:
        core_run_merge(t, u->a, u->run);
        break;
    case CORE_UNDO_DROP:
        if (t->dropped != u->a) abort();
        t->dropped = t->slots[u->a].next;
        t->instance_of[u->a] = u->b;
        t->holdings += t->slots[u->a].blocks;
        t->unswept -= t->slots[u->a].blocks;
        break;
    case CORE_UNDO_SLOT:
        free_slot(t, u->a);
        break;
    }
    // Every step was possible before, and its room is kept until the end: this can't be. If it were, what
    // is left would be a pool half undone, which must not be saved or replicated.
    if (failed) abort();
}

void core_tree_rollback(struct core_tree *t) {
    t->journaling = false;
    for (size_t i = t->n_journal; i-- > 0;)
        undo(t, &t->journal[i]);
    // What remains of the steps is spare room: settling the runs that are still there gives it back.
    normalize_all(t);
    end(t);
}

// ---- Slots ---------------------------------------------------------------------------------------

uint32_t core_tree_new_slot(struct core_tree *t, uint32_t instance, int tier, uint64_t holder) {
    uint32_t slot = t->free_slot;
    if (!slot) {
        if (t->n_slots > CORE_MAX_SLOT ||
            core_mem_grow(t->mem, &t->slots, &t->cap_slots, t->n_slots + 1, sizeof *t->slots) ||
            core_mem_grow(t->mem, &t->instance_of, &t->cap_instance_of, t->n_slots + 1,
                          sizeof *t->instance_of))
            return 0;
        slot = t->n_slots;
    }
    if (t->journaling && core_journal_push(t, CORE_UNDO_SLOT, 0, slot, 0)) return 0;
    if (slot == t->n_slots)
        t->n_slots++;
    else
        t->free_slot = t->slots[slot].next;
    t->slots[slot] = (struct core_slot){.tier = (uint8_t)tier, .holder = holder};
    t->instance_of[slot] = instance;
    if (tier != KVR_DEVICE) t->tiered = true;
    return slot;
}

int core_tree_drop(struct core_tree *t, uint32_t slot) {
    struct core_slot *s = &t->slots[slot];
    if (t->journaling && core_journal_push(t, CORE_UNDO_DROP, 0, slot, t->instance_of[slot]))
        return -1;
    t->instance_of[slot] = CORE_NO_INSTANCE;
    t->holdings -= s->blocks;
    t->unswept += s->blocks;
    s->next = t->dropped;
    t->dropped = slot;
    return 0;
}

bool core_tree_sweep(struct core_tree *t, size_t max) {
    while (t->dropped) {
        uint32_t slot = t->dropped, run;
        while ((run = core_runset_any(&t->slots[slot].runs))) {
            size_t work = 1 + core_run_depth(t, run, slot) / 16;
            if (work > max) return true;
            max -= work;
            core_run_set_depth(t, run, slot, 0);
            core_run_normalize(t, run);
        }
        t->dropped = t->slots[slot].next;
        free_slot(t, slot);
    }
    return false;
}
