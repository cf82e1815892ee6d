// SPDX-License-Identifier: Apache-2.0
#include "tree_journal.h"

int core_journal_push(struct core_tree *t, enum core_undo_kind kind, uint32_t run, uint32_t a,
                      uint32_t b) {
    if (core_mem_grow(t->mem, &t->journal, &t->cap_journal, t->n_journal + 1, sizeof *t->journal))
        return -1;
    t->journal[t->n_journal++] = (struct core_undo){(uint8_t)kind, run, a, b};
    return 0;
}
