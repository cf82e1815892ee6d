// SPDX-License-Identifier: Apache-2.0
// The tree's transactions: slots, the journal and its exact inverses.
//
//   kind    what was done                                     how it is undone
//   HOLD    run's entry of slot a had depth b (low half),     set both back
//           and b's high half of the run was held
//   APPEND  run had a blocks; 0: it is new                    forget the others; release a new run
//   TRUNC   run had a blocks, none are in the index now       put them back into the index
//   SPLIT   run's head went to run a                          merge
//   DROP    slot a was instance b's                           give it back
//   SLOT    slot a is new                                     free it
//
// Undoing in reverse order meets each structure in the state the step left it in. Arrays only grow
// until the commit, and the index and the sets take back what they had without memory, so no inverse
// can fail.
#include <stdlib.h>
#include <string.h>

#include "tree.h"

enum { JOURNAL_KEEP = 4096 }; // entries kept allocated between transactions

int journal_push(struct tree *t, enum undo_kind kind, uint32_t run, uint32_t a, uint32_t b) {
    if (mem_grow(t->mem, &t->journal, &t->cap_journal, t->n_journal + 1, sizeof *t->journal))
        return -1;
    t->journal[t->n_journal++] = (struct undo){(uint8_t)kind, run, a, b};
    return 0;
}

void tree_begin(struct tree *t, long budget) {
    t->journaling = true;
    t->n_journal = 0;
    t->budget = budget;
}

static void end(struct tree *t) {
    t->n_journal = 0;
    if (t->cap_journal <= JOURNAL_KEEP) return;
    mem_free(t->mem, t->journal, t->cap_journal * sizeof *t->journal);
    t->journal = NULL;
    t->cap_journal = 0;
}

// Settles every run that the transaction touched. Runs are only released here, none is made, so an id
// in the journal is either the run that it was or free.
static void settle_all(struct tree *t) {
    for (size_t i = 0; i < t->n_journal; i++) {
        const struct undo *u = &t->journal[i];
        if (u->kind == UNDO_DROP || u->kind == UNDO_SLOT) continue;
        run_settle(t, u->run);
        if (u->kind == UNDO_SPLIT) run_settle(t, u->a);
    }
}

void tree_commit(struct tree *t) {
    t->journaling = false;
    settle_all(t);
    end(t);
}

static void free_slot(struct tree *t, uint32_t slot) {
    struct slot *s = &t->slots[slot];
    if (s->blocks != 0 || s->runs.used != 0) abort(); // somebody would hold blocks unseen
    runset_free(&s->runs, t->mem);
    t->instance_of[slot] = NO_INSTANCE;
    s->next = t->free_slot;
    t->free_slot = slot;
}

static void undo(struct tree *t, const struct undo *u) {
    struct run *r = tree_run(t, u->run);
    int failed = 0;
    switch ((enum undo_kind)u->kind) {
    case UNDO_HOLD:
        failed = run_set_depth(t, u->run, u->a, u->b & 0xffff);
        run_set_held(t, r, u->b >> 16);
        break;
    case UNDO_APPEND:
        for (uint32_t i = u->a; i < r->len; i++)
            index_remove(&t->index, r->hashes[i], u->run, i);
        run_set_len(r, u->a);
        if (u->a == 0) run_release(t, u->run);
        break;
    case UNDO_TRUNC:
        for (uint32_t i = 0; i < u->a && !failed; i++)
            failed = index_add(&t->index, r->hashes[i], u->run, i);
        run_set_len(r, u->a);
        break;
    case UNDO_SPLIT:
        run_merge(t, u->a, u->run);
        break;
    case UNDO_DROP:
        if (t->dropped != u->a) abort();
        t->dropped = t->slots[u->a].next;
        t->instance_of[u->a] = u->b;
        t->holdings += t->slots[u->a].blocks;
        t->unswept -= t->slots[u->a].blocks;
        break;
    case UNDO_SLOT:
        free_slot(t, u->a);
        break;
    }
    // Every step was possible before, and its room is kept until the end: this can't be. If it were, what
    // is left would be a pool half undone, which must not be saved or replicated.
    if (failed) abort();
}

void tree_rollback(struct tree *t) {
    t->journaling = false;
    for (size_t i = t->n_journal; i-- > 0;)
        undo(t, &t->journal[i]);
    // What remains of the steps is spare room: settling the runs that are still there gives it back.
    settle_all(t);
    end(t);
}

// ---- Slots ---------------------------------------------------------------------------------------

uint32_t tree_new_slot(struct tree *t, uint32_t instance, int tier) {
    uint32_t slot = t->free_slot;
    if (!slot) {
        if (t->n_slots > MAX_SLOT ||
            mem_grow(t->mem, &t->slots, &t->cap_slots, t->n_slots + 1, sizeof *t->slots) ||
            mem_grow(t->mem, &t->instance_of, &t->cap_instance_of, t->n_slots + 1,
                     sizeof *t->instance_of))
            return 0;
        slot = t->n_slots;
    }
    if (t->journaling && journal_push(t, UNDO_SLOT, 0, slot, 0)) return 0;
    if (slot == t->n_slots)
        t->n_slots++;
    else
        t->free_slot = t->slots[slot].next;
    t->slots[slot] = (struct slot){.tier = (uint8_t)tier};
    t->instance_of[slot] = instance;
    return slot;
}

int tree_drop(struct tree *t, uint32_t slot) {
    struct slot *s = &t->slots[slot];
    if (t->journaling && journal_push(t, UNDO_DROP, 0, slot, t->instance_of[slot])) return -1;
    t->instance_of[slot] = NO_INSTANCE;
    t->holdings -= s->blocks;
    t->unswept += s->blocks;
    s->next = t->dropped;
    t->dropped = slot;
    return 0;
}

bool tree_sweep(struct tree *t, size_t max) {
    while (t->dropped) {
        uint32_t slot = t->dropped, run;
        while ((run = runset_any(&t->slots[slot].runs))) {
            size_t work = 1 + run_depth(t, run, slot) / 16;
            if (work > max) return true;
            max -= work;
            run_set_depth(t, run, slot, 0);
            run_settle(t, run);
        }
        t->dropped = t->slots[slot].next;
        free_slot(t, slot);
    }
    return false;
}
