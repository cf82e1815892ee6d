// SPDX-License-Identifier: Apache-2.0
// A tree as a whole: made, built from saved runs, moved, freed.
#include <string.h>

#include "tree_journal.h"
#include "tree_run.h"

int core_tree_init(struct core_tree *t, struct core_mem *m, uint64_t seed) {
    *t = (struct core_tree){.mem = m, .n_runs = 1};
    if (core_index_init(&t->index, m, seed)) return -1;
    t->pages = core_mem_alloc(m, sizeof *t->pages);
    if (!t->pages) return -1;
    t->cap_pages = 1;
    t->pages[0] = core_mem_calloc(m, CORE_RUN_PAGE * sizeof **t->pages);
    if (!t->pages[0]) return -1;
    t->n_pages = 1;
    t->pages[0][0].parent = CORE_RUN_FREE; // id 0 is nobody's
    if (core_mem_grow(m, &t->slots, &t->cap_slots, 1, sizeof *t->slots) ||
        core_mem_grow(m, &t->instance_of, &t->cap_instance_of, 1, sizeof *t->instance_of))
        return -1;
    t->slots[0] = (struct core_slot){0};
    t->instance_of[0] = CORE_NO_INSTANCE;
    t->n_slots = 1;
    return 0;
}

void core_tree_free(struct core_tree *t) {
    for (uint32_t id = 1; id < t->n_runs; id++) {
        struct core_run *r = core_tree_run(t, id);
        if (r->parent == CORE_RUN_FREE) continue;
        core_mem_free(t->mem, r->hashes, r->room * sizeof *r->hashes);
        if (r->many) core_mem_free(t->mem, r->e.out.entries, r->e.out.cap * sizeof(uint32_t));
    }
    for (size_t i = 0; i < t->n_pages; i++)
        core_mem_free(t->mem, t->pages[i], CORE_RUN_PAGE * sizeof **t->pages);
    core_mem_free(t->mem, t->pages, t->cap_pages * sizeof *t->pages);
    for (uint32_t i = 0; t->slots && i < t->n_slots; i++)
        core_runset_free(&t->slots[i].runs, t->mem);
    core_mem_free(t->mem, t->slots, t->cap_slots * sizeof *t->slots);
    core_mem_free(t->mem, t->instance_of, t->cap_instance_of * sizeof *t->instance_of);
    core_mem_free(t->mem, t->journal, t->cap_journal * sizeof *t->journal);
    core_index_free(&t->index);
}

uint32_t core_tree_build_run(struct core_tree *t, uint32_t parent, const void *hashes, size_t n) {
    uint32_t run = core_run_new(t, parent, n);
    if (!run) return 0;
    struct core_run *r = core_tree_run(t, run);
    memcpy(r->hashes, hashes, n * sizeof *r->hashes);
    core_run_set_len(r, (uint32_t)n);
    return run;
}

int core_tree_build_holder(struct core_tree *t, uint32_t run, uint32_t slot, uint32_t depth) {
    return core_run_set_depth(t, run, slot, depth);
}

bool core_tree_defrag(struct core_tree *t, uint64_t *cursor, void *(*move)(void *ctx, void *),
                      bool (*stop)(void *ctx), void *ctx) {
    for (uint64_t id = *cursor ? *cursor : 1; id < t->n_runs; id++) {
        struct core_run *r = core_tree_run(t, (uint32_t)id);
        *cursor = id;
        if (id % 64 == 0 && stop(ctx)) return false;
        if (r->parent == CORE_RUN_FREE) continue;
        void *moved = move(ctx, r->hashes);
        if (moved) r->hashes = moved;
        if (!r->many) continue;
        moved = move(ctx, r->e.out.entries);
        if (moved) r->e.out.entries = moved;
    }
    *cursor = 0;
    return true;
}
