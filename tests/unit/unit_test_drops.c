// SPDX-License-Identifier: Apache-2.0
// Large drops: they count at once, are swept in steps, and what is left of them misleads nobody.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "unit_pair.h"
#include "unit_saved.h"

enum {
    UNIT_DROPS_MANY = 30000
}; // more runs than a drop sweeps at once, or a bounded event looks at

static uint64_t leaf[UNIT_DROPS_MANY], root[3] = {0xa, 0xb, 0xc};

// A fan: root[0] root[1], and a great many leaves under it, each a run of its own.
static void store_fan(struct unit_pair *p, const char *name, uint32_t rank, int tier) {
    struct kvr_pool_op *ops = unit_must_alloc((UNIT_DROPS_MANY + 1) * sizeof *ops);
    ops[0] = (struct kvr_pool_op){.kind = KVR_STORED, .tier = tier, .hashes = root, .n = 2};
    for (int i = 0; i < UNIT_DROPS_MANY; i++)
        ops[i + 1] = (struct kvr_pool_op){KVR_STORED, tier, true, root[1], &leaf[i], 1};
    cr_assert(unit_pair_event(p, text(name), rank, 1, 1, ops, UNIT_DROPS_MANY + 1, true) == KVR_OK);
    free(ops);
}

static void start(struct unit_pair *p) {
    for (int i = 0; i < UNIT_DROPS_MANY; i++)
        leaf[i] = 0x100 + (uint64_t)i * 0x9e3779b97f4a7c15u;
    struct kvr_options o;
    kvr_options_default(&o);
    unit_pair_init(p, &o, "a large drop");
    unit_pair_add_worker(p, "big", 2);
    unit_pair_add_worker(p, "small", 1);
    store_fan(p, "big", 1, KVR_DEVICE);
}

static uint64_t unswept(struct unit_pair *p) {
    struct kvr_stats s;
    kvr_pool_stats(p->pool, p->now, &s);
    return s.unswept;
}

static enum kvr_err store(struct unit_pair *p, uint64_t seq, const uint64_t *parent,
                          const uint64_t *hashes, size_t n, bool bounded) {
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = hashes, .n = n};
    if (parent) {
        op.has_parent = true;
        op.parent = *parent;
    }
    return unit_pair_event(p, text("small"), 0, 1, seq, &op, 1, bounded);
}

static void drop_worker(struct unit_pair *p) {
    cr_assert(unit_pair_worker_del(p, text("big")) == KVR_OK);
}
static void drop_rank(struct unit_pair *p) {
    unit_pair_add_worker(p, "big", 1);
}
static void drop_by_clearing(struct unit_pair *p) {
    struct kvr_pool_op op = {.kind = KVR_CLEARED, .tier = KVR_DEVICE};
    cr_assert(unit_pair_event(p, text("big"), 1, 1, 2, &op, 1, true) == KVR_OK);
}
static void drop_by_epoch(struct unit_pair *p) {
    cr_assert(unit_pair_event(p, text("big"), 1, 2, 1, NULL, 0, true) == KVR_OK);
}
static void (*const drops[])(struct unit_pair *p) = {drop_worker, drop_rank, drop_by_clearing,
                                                     drop_by_epoch};

Test(drops, count_at_once) {
    static struct unit_pair p;
    for (size_t i = 0; i < sizeof drops / sizeof *drops; i++) {
        start(&p);
        drops[i](&p);
        cr_assert(unswept(&p) > 0, "the drop was too small to tell");
        unit_pair_check_all(&p);
        struct kvr_query q = {.hashes = root, .n = 2, .isl = -1};
        q.rule = kvr_pool_options(p.pool)->rule;
        cr_assert(unit_pair_scores(&p, &q) == KVR_OK);
        for (int step = 0; unswept(&p); step++) {
            unit_pair_sweep(&p, 3000);
            unit_pair_check(&p);
            cr_assert(step < 100, "sweeping doesn't end");
        }
        unit_pair_check_tree(&p);
        unit_pair_check_rebuilt(&p, i);
        unit_pair_free(&p);
    }
}

// Saving sweeps nothing, and what is loaded has nothing left to sweep: also where what was dropped stands above,
// below and beside what others hold.
Test(drops, are_not_saved) {
    static struct unit_pair p;
    for (size_t i = 0; i < sizeof drops / sizeof *drops; i++)
        for (int others = 0; others < 3; others++) {
            start(&p);
            if (others) cr_assert(store(&p, 1, NULL, root, 1, false) == KVR_OK);
            if (others == 2) {
                cr_assert(store(&p, 2, &root[1], &leaf[UNIT_DROPS_MANY / 2], 1, false) == KVR_OK);
                cr_assert(store(&p, 3, &leaf[7], &root[2], 1, false) == KVR_OK);
            }
            drops[i](&p);
            uint64_t left = unswept(&p);
            struct kvr_alloc a = support_alloc_use(&p.mem);
            enum kvr_err err;
            struct kvr_pool *copy = unit_saved_copy(p.pool, &a, &err);
            cr_assert(copy && left && unswept(&p) == left);
            kvr_pool_free(copy);
            unit_pair_reload(&p);
            cr_assert(unswept(&p) == 0);
            unit_pair_check_all(&p);
            unit_pair_check_tree(&p);
            unit_pair_free(&p);
        }
}

// Whether the root is known takes a look at all that is below it: too long for a bounded event.
Test(drops, a_bounded_event_gives_up) {
    static struct unit_pair p;
    start(&p);
    drop_worker(&p);
    cr_assert(store(&p, 1, &root[1], &root[2], 1, true) == KVR_BUSY);
    unit_pair_check_all(&p);
    cr_assert(p.busy == 1);
    cr_assert(store(&p, 1, &root[1], &root[2], 1, false) == KVR_NOPARENT);
    unit_pair_check_all(&p);
    while (unswept(&p)) {
        unit_pair_sweep(&p, 1000);
        unit_pair_check(&p);
    }
    cr_assert(store(&p, 1, &root[1], &root[2], 1, true) == KVR_NOPARENT);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

// A single holder below is found, wherever it is: then the root is known.
Test(drops, what_another_holds_stays_known) {
    static struct unit_pair p;
    start(&p);
    cr_assert(store(&p, 1, &root[1], &leaf[UNIT_DROPS_MANY / 2], 1, true) == KVR_OK);
    drop_worker(&p);
    cr_assert(unswept(&p) > 0);
    cr_assert(store(&p, 2, &root[1], &root[2], 1, false) == KVR_OK);
    cr_assert(store(&p, 3, &root[2], &root[1], 1, false) == KVR_BADCHAIN);
    cr_assert(store(&p, 3, NULL, &leaf[UNIT_DROPS_MANY / 2], 1, false) == KVR_BADCHAIN);
    unit_pair_check_all(&p);
    unit_pair_check_tree(&p);
    unit_pair_check_rebuilt(&p, 1);
    unit_pair_free(&p);
}

// Forgotten blocks come back elsewhere while the memory of their old place is still to be swept.
Test(drops, blocks_come_back_elsewhere) {
    static struct unit_pair p;
    start(&p);
    drop_worker(&p);
    cr_assert(unswept(&p) > 0);
    uint64_t seq = 1;
    cr_assert(store(&p, seq++, NULL, &root[1], 1, false) == KVR_OK); // was under root[0]
    cr_assert(store(&p, seq++, &root[1], &root[0], 1, false) == KVR_OK);
    for (int i = 0; i < 400; i++) {
        const uint64_t *parent = i % 3 == 0 ? NULL : i % 3 == 1 ? &root[0] : &leaf[i - 1];
        cr_assert(store(&p, seq++, parent, &leaf[i], 1, false) == KVR_OK);
        if (i % 8) continue;
        unit_pair_sweep(&p, 40);
        unit_pair_check(&p);
    }
    unit_pair_check_all(&p);
    unit_pair_check_tree(&p);
    unit_pair_check_rebuilt(&p, 2);
    unit_pair_free(&p);
}

// Refused half way while much is dropped: all is as before, and the sweep goes on.
Test(drops, refusals_beside_a_drop) {
    static struct unit_pair p;
    start(&p);
    store_fan(&p, "small", 0, KVR_HOST);
    drop_worker(&p);
    cr_assert(unswept(&p) > 0);
    struct kvr_pool_op ops[] = {
        {.kind = KVR_CLEARED, .tier = -1},
        {.kind = KVR_STORED, .hashes = leaf, .n = 3}, // a chain of what were siblings
        {KVR_STORED, KVR_DEVICE, true, leaf[3], &leaf[4], 1},
    };
    for (int round = 0; round < 4; round++) {
        uint8_t before[KVR_DIGEST_BYTES], after[KVR_DIGEST_BYTES];
        kvr_pool_digest(p.pool, before);
        cr_assert(unit_pair_event(&p, text("small"), 0, 1 + round % 2, 2 - round % 2, ops, 3,
                                  false) == KVR_NOPARENT);
        kvr_pool_digest(p.pool, after);
        cr_assert(memcmp(before, after, sizeof before) == 0);
        unit_pair_check_all(&p);
        unit_pair_sweep(&p, 2000);
        unit_pair_check(&p);
    }
    cr_assert(unit_pair_event(&p, text("small"), 0, 2, 1, ops, 2, false) == KVR_OK);
    unit_pair_check_all(&p);
    unit_pair_check_tree(&p);
    unit_pair_free(&p);
}
