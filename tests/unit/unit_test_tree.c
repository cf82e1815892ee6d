// SPDX-License-Identifier: Apache-2.0
// The prefix tree alone, with drops that stay unswept for long.
//
// The pool sweeps a small drop at once; here nothing is swept but a little at random, so that almost
// every transaction meets what dropped slots have left: blocks that are there but not known. Prefixes
// move to other parents as soon as nobody remembers them. Beside it the model says what has to be.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/tree/holdings_sum.h"
#include "tests/support/support_alloc.h"
#include "unit_traffic.h"

enum {
    UNIT_TREE_NODES = 48,
    UNIT_TREE_INSTANCES = 4,
    UNIT_TREE_MAX_OPS = 5,
    UNIT_TREE_MAX_DEPTH = 64
};

struct unit_forest {
    struct support_alloc memory;
    struct core_mem mem;
    struct core_tree tree;
    struct unit_model model;
    struct unit_source source;
    struct unit_node nodes[UNIT_TREE_NODES];
    uint32_t slots[UNIT_TREE_INSTANCES][KVR_TIERS];
    uint64_t hashes[UNIT_TREE_MAX_OPS][UNIT_TREE_MAX_DEPTH];
    uint64_t seed;
    unsigned step, scans;
};

static struct kvr_bytes name_of(int instance) {
    static const char names[] = "abcd";
    return (struct kvr_bytes){names + instance, 1};
}

static void fail(const struct unit_forest *f, const char *what) {
    cr_assert_fail("seed %" PRIu64 ", step %u: %s", f->seed, f->step, what);
}

static void check(const struct unit_forest *f, bool good, const char *what) {
    if (!good) fail(f, what);
}

static void init(struct unit_forest *f, uint64_t seed) {
    *f = (struct unit_forest){.seed = seed, .source = {.state = seed}};
    f->mem.alloc = support_alloc_use(&f->memory);
    check(f, core_tree_init(&f->tree, &f->mem, seed) == 0, "no tree");
    struct kvr_options o;
    kvr_options_default(&o);
    unit_model_init(&f->model, &o);
    struct kvr_worker_settings set = {0};
    int created;
    for (int i = 0; i < UNIT_TREE_INSTANCES; i++)
        unit_model_worker_set(&f->model, 0, name_of(i), &set, &created);
    for (int i = 0; i < UNIT_TREE_NODES; i++) {
        int parent = i - 1;
        if (i && !unit_source_chance(&f->source, 75))
            parent = (int)unit_source_below(&f->source, (uint32_t)i + 1) - 1;
        f->nodes[i] = (struct unit_node){unit_source_next(&f->source), parent,
                                         parent < 0 ? 1 : f->nodes[parent].depth + 1};
    }
    f->nodes[7].hash = 0;
    f->nodes[11].hash = UINT64_MAX;
}

static size_t path(const struct unit_forest *f, int node, uint64_t *to) {
    size_t n = f->nodes[node].depth;
    for (size_t i = n; i-- > 0; node = f->nodes[node].parent)
        to[i] = f->nodes[node].hash;
    return n;
}

static bool is_below(const struct unit_forest *f, int node, int top) {
    for (; node >= 0; node = f->nodes[node].parent)
        if (node == top) return true;
    return false;
}

// Gives a prefix that nobody remembers another parent.
static void move(struct unit_forest *f, int node, int to) {
    if (is_below(f, to, node)) return;
    for (int i = 0; i < UNIT_TREE_NODES; i++)
        if (is_below(f, i, node) && unit_model_known(&f->model, f->nodes[i].hash)) return;
    f->nodes[node].parent = to;
    for (int i = 0; i < UNIT_TREE_NODES; i++) {
        f->nodes[i].depth = 0;
        for (int at = i; at >= 0; at = f->nodes[at].parent)
            f->nodes[i].depth++;
    }
}

static void draw(struct unit_forest *f, struct kvr_pool_op *op, uint64_t *room) {
    struct unit_source *s = &f->source;
    *op = (struct kvr_pool_op){.kind = KVR_STORED, .tier = (int)unit_source_below(s, KVR_TIERS)};
    size_t n = path(f, (int)unit_source_below(s, UNIT_TREE_NODES), room),
           from = unit_source_below(s, (uint32_t)n);
    unsigned k = unit_source_below(s, 100);
    if (k < 50) {
        while (from && !unit_model_known(&f->model, room[from - 1]) && !unit_source_chance(s, 5))
            from = unit_source_below(s, (uint32_t)from);
        op->has_parent = from > 0;
        op->parent = from ? room[from - 1] : 0;
    } else if (k < 85) {
        op->kind = KVR_REMOVED;
    } else {
        op->kind = KVR_CLEARED;
        op->tier = (int)unit_source_below(s, KVR_TIERS + 1) - 1;
        return;
    }
    op->hashes = room + from;
    op->n = n - from;
    if (unit_source_chance(s, 40)) op->n = 1 + unit_source_below(s, (uint32_t)op->n);
}

// What the pool does with an event; the model does the same in its own way.
static enum kvr_err apply(struct unit_forest *f, int instance, const struct kvr_pool_op *op) {
    uint32_t *slots = f->slots[instance];
    uint64_t changed = 0;
    switch (op->kind) {
    case KVR_STORED:
        if (!slots[op->tier]) {
            slots[op->tier] = core_tree_new_slot(&f->tree, (uint32_t)instance, op->tier,
                                                 (uint64_t)instance << 8 | (unsigned)op->tier);
            if (!slots[op->tier]) return KVR_NOMEM;
        }
        return core_tree_store(&f->tree, slots[op->tier], op->has_parent ? &op->parent : NULL,
                               op->hashes, op->n, &changed);
    case KVR_REMOVED:
        return core_tree_remove(&f->tree, slots[op->tier], op->hashes, op->n, &changed);
    case KVR_CLEARED:
        for (int t = 0; t < KVR_TIERS; t++) {
            if ((op->tier >= 0 && op->tier != t) || !slots[t]) continue;
            if (core_tree_drop(&f->tree, slots[t])) return KVR_NOMEM;
            slots[t] = 0;
        }
        return KVR_OK;
    }
    return KVR_RANGE;
}

static enum kvr_err transact(struct unit_forest *f, int instance, const struct kvr_pool_op *ops,
                             size_t n, long budget) {
    uint32_t before[KVR_TIERS];
    memcpy(before, f->slots[instance], sizeof before);
    enum kvr_err err = KVR_OK;
    core_tree_begin(&f->tree, budget);
    for (size_t i = 0; i < n && !err; i++)
        err = apply(f, instance, &ops[i]);
    if (!err) {
        core_tree_commit(&f->tree);
        return KVR_OK;
    }
    core_tree_rollback(&f->tree);
    memcpy(f->slots[instance], before, sizeof before);
    return err;
}

// ---- Comparing -----------------------------------------------------------------------------------

static void check_match(struct unit_forest *f) {
    uint64_t hashes[UNIT_TREE_MAX_DEPTH];
    size_t n = path(f, (int)unit_source_below(&f->source, UNIT_TREE_NODES), hashes);
    // A match trusts that a hash has one prefix. One that moved while the memory of its old place is
    // still to be swept has two until it is stored again, so of such a path only the head is asked.
    for (size_t i = 0; i < n; i++) {
        uint32_t run;
        unsigned offset;
        if (core_tree_find(&f->tree, hashes[i], &run, &offset) &&
            !unit_model_known(&f->model, hashes[i]))
            n = i;
    }
    uint32_t reach[UNIT_TREE_INSTANCES] = {0}, tiers[KVR_TIERS][UNIT_TREE_INSTANCES] = {{0}};
    struct core_match m = {.reach = reach, .by_tier = {tiers[0], tiers[1], tiers[2]}};
    core_tree_match(&f->tree, hashes, n, &m);
    for (int i = 0; i < UNIT_TREE_INSTANCES; i++) {
        uint64_t id = unit_model_find_rank(&f->model, name_of(i), 0)->id;
        uint32_t overlap = 0, by_tier[KVR_TIERS] = {0};
        for (; overlap < n; overlap++) {
            int tier = 0;
            while (tier < KVR_TIERS && !unit_model_holds(&f->model, id, tier, hashes[overlap]))
                tier++;
            if (tier == KVR_TIERS) break;
            by_tier[tier]++;
        }
        check(f, reach[i] == overlap, "another overlap");
        for (int t = 0; t < KVR_TIERS; t++)
            check(f, tiers[t][i] == by_tier[t], "another tier");
    }
}

static void check_all(struct unit_forest *f) {
    const char *broken = core_tree_validate(&f->tree);
    check(f, !broken, broken);
    check(f, f->tree.holdings == f->model.held.n, "another number of holdings");
    for (int i = 0; i < 3; i++)
        check_match(f);
    for (int i = 0; i < UNIT_TREE_NODES; i++) {
        uint32_t run;
        unsigned offset;
        bool found = core_tree_find(&f->tree, f->nodes[i].hash, &run, &offset);
        bool known = unit_model_known(&f->model, f->nodes[i].hash);
        check(f, found || !known, "a known block is lost");
        check(f, known || !found || f->tree.dropped, "a block that nobody needs");
    }
}

// A sum that is taken run by run while all of this goes on is that of the end.
static void scan(struct unit_forest *f) {
    if (!f->tree.scanned) core_tree_scan_begin(&f->tree);
    if (!core_tree_scan_step(&f->tree, 1 + unit_source_below(&f->source, 20))) return;
    struct core_sum all = {0}, sum = {0};
    core_tree_sum(&f->tree, &all);
    core_tree_scan_end(&f->tree, &sum);
    check(f, !memcmp(&all, &sum, sizeof all), "another sum");
    f->scans++;
}

static void one(struct unit_forest *f) {
    struct unit_source *s = &f->source;
    struct kvr_pool_op ops[UNIT_TREE_MAX_OPS];
    size_t n = 1 + unit_source_below(s, UNIT_TREE_MAX_OPS);
    for (int i = 0; i < 3; i++)
        move(f, (int)unit_source_below(s, UNIT_TREE_NODES),
             (int)unit_source_below(s, UNIT_TREE_NODES + 1) - 1);
    for (size_t i = 0; i < n; i++)
        draw(f, &ops[i], f->hashes[i]);
    int instance = (int)unit_source_below(s, UNIT_TREE_INSTANCES);
    struct kvr_event_result out;
    uint64_t failures = f->memory.failures;
    enum kvr_err got = transact(f, instance, ops, n,
                                unit_source_chance(s, 50) ? -1 : (long)unit_source_below(s, 6));
    if (got == KVR_BUSY) {
        check_all(f);
        got = transact(f, instance, ops, n, -1);
    }
    if (got == KVR_NOMEM) {
        check(f, f->memory.failures > failures, "out of memory without a reason");
        return;
    }
    const struct unit_model_rank *r = unit_model_find_rank(&f->model, name_of(instance), 0);
    enum kvr_err want = unit_model_event(&f->model, name_of(instance), 0, 1,
                                         r->epoch ? r->seq + 1 : 1, ops, n, &out);
    check(f, got == want, "another answer");
}

static void run(uint64_t seed, unsigned steps, unsigned one_in) {
    struct unit_forest *f = unit_must_alloc(sizeof *f);
    struct unit_source *s = &f->source;
    init(f, seed);
    f->memory.one_in = one_in;
    for (f->step = 0; f->step < steps; f->step++) {
        one(f);
        if (unit_source_chance(s, 40)) scan(f);
        check_all(f);
        if (unit_source_chance(&f->source, 30)) {
            core_tree_sweep(&f->tree, 17 + unit_source_below(&f->source, 8));
            check_all(f);
        }
        if (unit_source_chance(&f->source, 1)) {
            core_tree_sweep(&f->tree, SIZE_MAX);
            check(f, !f->tree.dropped && !f->tree.unswept, "sweeping left something");
            check_all(f);
        }
    }
    check(f, f->scans > steps / 40, "too few sums");
    core_tree_free(&f->tree);
    unit_model_free(&f->model);
    check(f, !f->memory.bytes && !f->memory.blocks && !f->mem.used, "memory was not given back");
    free(f);
}

static uint64_t first_seed(void) {
    const char *seed = getenv("KVROUTE_SEED");
    return seed ? strtoull(seed, NULL, 0) : 1;
}

Test(tree, unswept_drops) {
    for (uint64_t seed = first_seed(), i = 0; i < 12; i++)
        run(seed + i, 800, 0);
}

Test(tree, unswept_drops_without_memory) {
    for (uint64_t seed = first_seed(), i = 0; i < 12; i++)
        run(seed + i, 800, 4);
}
