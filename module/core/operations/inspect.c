// SPDX-License-Identifier: Apache-2.0
// The prefix tree from outside.
#include "module/core/state/pool_state.h"

static bool is_held(const struct kvr_pool *p, uint32_t run) {
    const struct core_run *r = core_tree_run(&p->tree, run);
    const uint32_t *e = core_run_entries(r);
    for (uint32_t i = 0; i < r->n; i++)
        if (p->tree.instance_of[core_entry_slot(e[i])] != CORE_NO_INSTANCE) return true;
    return false;
}

// The first of the siblings that isn't only what a dropped instance left.
static uint32_t shown(const struct kvr_pool *p, uint32_t run) {
    for (; run; run = core_tree_run(&p->tree, run)->next) {
        const struct core_run *r = core_tree_run(&p->tree, run);
        if (r->len && (r->child || is_held(p, run))) return run;
    }
    return 0;
}

uint32_t kvr_tree_first(const struct kvr_pool *p, uint32_t parent) {
    return shown(p, parent ? core_tree_run(&p->tree, parent)->child : p->tree.roots);
}

uint32_t kvr_tree_next(const struct kvr_pool *p, uint32_t run) {
    return shown(p, core_tree_run(&p->tree, run)->next);
}

bool kvr_tree_find(const struct kvr_pool *p, uint64_t hash, uint32_t *run, size_t *offset) {
    unsigned at;
    if (!core_tree_find(&p->tree, hash, run, &at)) return false;
    *offset = at;
    return true;
}

void kvr_tree_view(const struct kvr_pool *p, uint32_t run, struct kvr_run_view *out) {
    const struct core_run *r = core_tree_run(&p->tree, run);
    *out = (struct kvr_run_view){.id = run,
                                 .hashes = r->hashes,
                                 .n = r->len,
                                 .holders = r->n,
                                 .has_children = kvr_tree_first(p, run) != 0};
}

bool kvr_run_holder(const struct kvr_pool *p, uint32_t run, size_t i, struct kvr_holder *out) {
    uint32_t e = core_run_entries(core_tree_run(&p->tree, run))[i];
    uint32_t instance = p->tree.instance_of[core_entry_slot(e)];
    if (instance == CORE_NO_INSTANCE) return false;
    const struct core_instance *in = &p->instances[instance];
    *out = (struct kvr_holder){.worker = {in->worker->name, in->worker->name_len},
                               .rank = in->rank,
                               .tier = core_entry_tier(e),
                               .depth = core_entry_depth(e)};
    return true;
}
