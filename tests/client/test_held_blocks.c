// SPDX-License-Identifier: Apache-2.0
// The truth alone, beside a model: random calls over few hashes, so that everything meets; chains
// a million blocks long; memory that runs out.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "client/common/random.h"
#include "ctest_held_blocks.h"
#include "tests/support/support_alloc.h"

struct truth_pair {
    struct support_alloc memory;
    struct kvr_alloc alloc;
    uint64_t random; // the state
    struct ctest_universe universe;
    struct kvr_held_blocks held;
    struct ctest_truth model;
};

static struct truth_pair *start(uint64_t seed, size_t blocks, size_t max_blocks) {
    struct truth_pair *p = calloc(1, sizeof *p);
    p->alloc = support_alloc_use(&p->memory);
    p->random = p->memory.random = seed;
    ctest_universe_make(&p->universe, &p->random, blocks, 60);
    ctest_truth_init(&p->model, &p->universe, max_blocks);
    cr_assert(kvr_held_init(&p->held, &p->alloc, seed, max_blocks) == 0);
    return p;
}

static void finish(struct truth_pair *p) {
    kvr_held_free(&p->held);
    support_alloc_check_freed(&p->memory, "a truth");
    free(p);
}

// As the publisher does it.
static void prune(struct kvr_held_blocks *t, uint32_t id) {
    while (kvr_held_unneeded(t, id))
        id = kvr_held_drop(t, id);
}

static enum kvr_code store(struct kvr_held_blocks *t, int tier, const uint64_t *parent,
                           const uint64_t *hashes, size_t n) {
    enum kvr_code code = kvr_held_reserve(t, parent, hashes, n);
    if (code || !n) return code;
    struct kvr_chain chain = kvr_held_chain(t, parent);
    for (size_t i = 0; i < n; i++) {
        enum kvr_put what;
        uint32_t id = kvr_held_put(t, &chain, hashes[i], &what);
        if (!id) break;
        const struct kvr_held_node *node = kvr_held_node(t, id);
        if ((node->flags & KVR_NODE_REFUSED) && !node->held) kvr_held_forgive(t, id);
        kvr_held_hold(t, id, tier);
    }
    prune(t, chain.at);
    return KVR_CODE_OK;
}

static void store_op(struct truth_pair *p) {
    int parent, blocks[64];
    uint64_t hashes[64];
    size_t stored, n = ctest_draw_chain(&p->universe, &p->random, 20, &parent, blocks, 64);
    int tier = (int)ctest_below(&p->random, KVR_TIERS);
    for (size_t i = 0; i < n; i++)
        hashes[i] = p->universe.hash[blocks[i]];
    enum kvr_code code =
        store(&p->held, tier, parent == CTEST_NOBODY ? NULL : &p->universe.hash[parent], hashes, n);
    if (code == KVR_CODE_NOMEM) return;
    ctest_must(code == ctest_truth_store(&p->model, tier, parent, blocks, n, &stored),
               "stored, or no room");
}

static void remove_op(struct truth_pair *p) {
    int tier = (int)ctest_below(&p->random, KVR_TIERS),
        block = (int)ctest_below(&p->random, p->universe.n);
    uint32_t id = kvr_held_find(&p->held, p->universe.hash[block]);
    ctest_truth_remove(&p->model, tier, block);
    if (!id) return;
    kvr_held_unhold(&p->held, id, tier);
    prune(&p->held, id);
}

static void refuse_op(struct truth_pair *p) {
    int block = (int)ctest_below(&p->random, p->universe.n);
    if (!ctest_truth_placed(&p->model, block)) return;
    p->model.block[block].refused = true;
    kvr_held_refuse(&p->held, kvr_held_find(&p->held, p->universe.hash[block]));
}

static void forgive_op(struct truth_pair *p) {
    int block = (int)ctest_below(&p->random, p->universe.n);
    if (ctest_chance(&p->random, 10)) {
        for (size_t i = 0; i < p->universe.n; i++)
            p->model.block[i].refused = false;
        kvr_held_forgive_all(&p->held);
    } else if (p->model.block[block].refused) {
        p->model.block[block].refused = false;
        kvr_held_forgive(&p->held, kvr_held_find(&p->held, p->universe.hash[block]));
    }
}

static void step(struct truth_pair *p) {
    unsigned k = ctest_below(&p->random, 200);
    if (k < 80) {
        store_op(p);
    } else if (k < 170) {
        remove_op(p);
    } else if (k < 185) {
        refuse_op(p);
    } else if (k < 199) {
        forgive_op(p);
    } else if (ctest_chance(&p->random, 20)) {
        ctest_truth_clear(&p->model, -1);
        kvr_held_clear(&p->held);
    }
    ctest_truth_check(&p->held);
    ctest_truth_compare(&p->held, &p->model);
}

struct truth_profile {
    size_t blocks, max_blocks, steps;
    unsigned one_in; // allocations fail
};

static void run(void *ctx, uint64_t seed) {
    const struct truth_profile *f = ctx;
    struct truth_pair *p = start(seed, f->blocks, f->max_blocks);
    p->memory.one_in = f->one_in;
    for (size_t i = 0; i < f->steps; i++)
        step(p);
    finish(p);
}

Test(truth, few_blocks) {
    ctest_with_seeds(40, run, &(struct truth_profile){6, 100, 2000, 0});
}
Test(truth, some_blocks) {
    ctest_with_seeds(40, run, &(struct truth_profile){40, 1000, 2000, 0});
}
Test(truth, no_room) {
    ctest_with_seeds(40, run, &(struct truth_profile){40, 15, 2000, 0});
}
Test(truth, many_blocks) {
    ctest_with_seeds(40, run, &(struct truth_profile){400, 1000, 600, 0});
}
Test(truth, no_memory) {
    ctest_with_seeds(40, run, &(struct truth_profile){40, 1000, 2000, 3});
}

// Long stretches in the index, and holes in them.
Test(truth, index_shrinks_and_grows) {
    struct support_alloc memory = {0};
    struct kvr_alloc alloc = support_alloc_use(&memory);
    struct kvr_held_blocks t;
    uint64_t d = 7;
    enum { FEW_BLOCKS = 60000 };
    uint64_t *hashes = malloc(FEW_BLOCKS * sizeof *hashes);
    for (size_t i = 0; i < FEW_BLOCKS; i++)
        hashes[i] = kvr_random(&d);
    cr_assert(kvr_held_init(&t, &alloc, d, 1 << 20) == 0);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < FEW_BLOCKS; i++)
            cr_assert(store(&t, KVR_HOST, NULL, &hashes[i], 1) == KVR_CODE_OK);
        ctest_truth_check(&t);
        for (size_t i = 0; i < FEW_BLOCKS; i++) {
            uint32_t id = kvr_held_find(&t, hashes[i]);
            cr_assert(id);
            if (i % 3 == (size_t)round) continue;
            kvr_held_unhold(&t, id, KVR_HOST);
            kvr_held_drop(&t, id);
        }
        ctest_truth_check(&t);
        for (size_t i = 0; i < FEW_BLOCKS; i++)
            cr_assert(!kvr_held_find(&t, hashes[i]) == (i % 3 != (size_t)round));
    }
    kvr_held_free(&t);
    free(hashes);
    support_alloc_check_freed(&memory, "a truth");
}

// Stored from its end to its start, block by block, a million blocks come to hang on one phantom each
// time, and all are placed by the last call. Nothing may recurse, and nothing may climb for each.
Test(truth, a_million_in_a_row) {
    enum { FEW_BLOCKS = 1000000 };
    struct support_alloc memory = {0};
    struct kvr_alloc alloc = support_alloc_use(&memory);
    struct kvr_held_blocks t;
    uint64_t *hashes = malloc(FEW_BLOCKS * sizeof *hashes);
    uint64_t d = 5;
    for (size_t i = 0; i < FEW_BLOCKS; i++)
        hashes[i] = kvr_random(&d);
    cr_assert(kvr_held_init(&t, &alloc, 3, 2 * FEW_BLOCKS) == 0);
    for (size_t i = FEW_BLOCKS; i-- > 1;)
        cr_assert(store(&t, KVR_DEVICE, &hashes[i - 1], &hashes[i], 1) == KVR_CODE_OK);
    cr_assert(t.orphans == FEW_BLOCKS - 1 && t.blocks == FEW_BLOCKS &&
              t.holdings == FEW_BLOCKS - 1);
    // The chain's own end as the parent of its beginning: a circle, refused.
    cr_assert(store(&t, KVR_DEVICE, &hashes[FEW_BLOCKS - 1], hashes, 3) == KVR_CODE_OK);
    cr_assert(t.orphans == FEW_BLOCKS - 1 && t.blocks == FEW_BLOCKS &&
              t.holdings == FEW_BLOCKS - 1);
    cr_assert(store(&t, KVR_DEVICE, NULL, hashes, 1) == KVR_CODE_OK);
    cr_assert(!t.orphans && t.holdings == FEW_BLOCKS);
    kvr_held_refuse(&t, kvr_held_find(&t, hashes[10]));
    cr_assert(t.orphans == FEW_BLOCKS - 11 && t.refused == 1);
    kvr_held_forgive_all(&t);
    cr_assert(!t.orphans && !t.refused);
    for (size_t i = 0; i + 1 < FEW_BLOCKS; i++)
        kvr_held_unhold(&t, kvr_held_find(&t, hashes[i]), KVR_DEVICE);
    cr_assert(t.blocks == FEW_BLOCKS && t.holdings == 1);
    uint32_t last = kvr_held_find(&t, hashes[FEW_BLOCKS - 1]);
    kvr_held_unhold(&t, last, KVR_DEVICE);
    prune(&t, last);
    cr_assert(!t.blocks);
    ctest_truth_check(&t);
    kvr_held_free(&t);
    free(hashes);
    support_alloc_check_freed(&memory, "a truth");
}

// The most that a million blocks take, peaks of growing included, in chains of so many.
static size_t peak_of_a_million(size_t chain) {
    enum { FEW_BLOCKS = 1000000 };
    struct support_alloc memory = {0};
    struct kvr_alloc alloc = support_alloc_use(&memory);
    struct kvr_held_blocks t;
    uint64_t d = 11;
    size_t peak = 0;
    cr_assert(kvr_held_init(&t, &alloc, 3, 2 * FEW_BLOCKS) == 0);
    for (size_t i = 0; i < FEW_BLOCKS; i += chain) {
        uint64_t hashes[32];
        for (size_t k = 0; k < chain; k++)
            hashes[k] = kvr_random(&d);
        cr_assert(store(&t, KVR_DEVICE, NULL, hashes, chain) == KVR_CODE_OK);
        if (memory.bytes > peak) peak = memory.bytes;
    }
    cr_assert(t.holdings == FEW_BLOCKS && t.bytes == memory.bytes);
    kvr_held_free(&t);
    support_alloc_check_freed(&memory, "a truth");
    return peak;
}

// What the design promises.
Test(truth, memory_of_a_million) {
    size_t chains = peak_of_a_million(32), starts = peak_of_a_million(1);
    cr_assert(chains < 27500000, "%zu bytes in chains", chains);
    cr_assert(starts < 43000000, "%zu bytes, each of them the child of one", starts);
}

// Millions of children of one block, and any of them goes at once.
Test(truth, siblings_in_any_order) {
    enum { FEW_BLOCKS = 300000 };
    struct support_alloc memory = {0};
    struct kvr_alloc alloc = support_alloc_use(&memory);
    struct kvr_held_blocks t;
    const uint64_t parent = 9;
    uint64_t *hashes = malloc(FEW_BLOCKS * sizeof *hashes), d = 13;
    cr_assert(kvr_held_init(&t, &alloc, 3, 2 * FEW_BLOCKS) == 0);
    cr_assert(store(&t, KVR_DEVICE, NULL, &parent, 1) == KVR_CODE_OK);
    for (size_t i = 0; i < FEW_BLOCKS; i++) {
        hashes[i] = kvr_random(&d);
        cr_assert(store(&t, KVR_DEVICE, &parent, &hashes[i], 1) == KVR_CODE_OK);
    }
    ctest_truth_check(&t);
    cr_assert(t.links == FEW_BLOCKS);
    for (size_t i = FEW_BLOCKS; i > 1; i--) { // the last one left is an only child
        size_t k = ctest_below(&d, i);
        uint32_t id = kvr_held_find(&t, hashes[k]);
        kvr_held_unhold(&t, id, KVR_DEVICE);
        prune(&t, id);
        hashes[k] = hashes[i - 1];
    }
    cr_assert(t.blocks == 2 && !t.links);
    ctest_truth_check(&t);
    kvr_held_free(&t);
    free(hashes);
    support_alloc_check_freed(&memory, "a truth");
}
