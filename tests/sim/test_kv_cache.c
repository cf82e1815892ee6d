// SPDX-License-Identifier: Apache-2.0
// The KV blocks of an engine: sharing, eviction, and that nothing is counted twice.
#include <criterion/criterion.h>

#include "bench/sim/engine/kv_cache.h"
#include "client/common/random.h"

static void put(struct sim_kv *k, const uint64_t *hashes, size_t n, uint64_t *evicted,
                size_t *gone) {
    size_t idle, had = sim_kv_match(k, hashes, n, &idle);
    sim_kv_use(k, hashes, had);
    sim_kv_reserve(k, n - had);
    *gone = sim_kv_hold(k, n - had, evicted);
    for (size_t i = had; i < n; i++)
        sim_kv_fill(k, hashes, i);
    cr_assert(sim_kv_validate(k) == NULL, "%s", sim_kv_validate(k));
}

Test(kv, leaves_go_first_and_the_longest_idle) {
    struct sim_kv cache, *k = &cache;
    sim_kv_open(k, 6, NULL);
    static const uint64_t a[] = {1, 2, 3}, b[] = {1, 2, 4}, c[] = {7, 8};
    uint64_t evicted[8];
    size_t gone, idle;
    put(k, a, 3, evicted, &gone);
    sim_kv_leave(k, a, 3);
    put(k, b, 3, evicted, &gone); // shares 1 and 2
    sim_kv_leave(k, b, 3);
    cr_assert(gone == 0 && sim_blocks_count(&k->cached) == 4);
    put(k, c, 2, evicted, &gone);
    cr_assert(gone == 0 && sim_blocks_count(&k->cached) == 6 && k->cached.used == 2);
    sim_kv_reserve(k, 3); // a promise: nothing has to go yet
    cr_assert(sim_blocks_count(&k->cached) == 6 && sim_kv_validate(k) == NULL);
    cr_assert(sim_kv_hold(k, 3, evicted) == 3);
    cr_assert(evicted[0] == 3 && evicted[1] == 4 && evicted[2] == 2);
    cr_assert(sim_kv_match(k, a, 3, &idle) == 1 && idle == 1);
    sim_kv_unreserve(k, 3, 3);
    sim_kv_leave(k, c, 2);
    cr_assert(sim_kv_validate(k) == NULL);
    sim_kv_close(k);
}

Test(kv, two_that_compute_the_same_keep_one) {
    struct sim_kv cache, *k = &cache;
    sim_kv_open(k, 8, NULL);
    static const uint64_t a[] = {1, 2};
    uint64_t none[8];
    sim_kv_reserve(k, 4);
    sim_kv_hold(k, 4, none);
    cr_assert(sim_kv_fill(k, a, 0) && !sim_kv_fill(k, a, 0));
    cr_assert(sim_kv_fill(k, a, 1) && !sim_kv_fill(k, a, 1));
    cr_assert(sim_blocks_count(&k->cached) == 2 && k->reserved == 0 && k->held == 0);
    sim_kv_leave(k, a, 2);
    cr_assert(k->cached.used == 2);
    sim_kv_leave(k, a, 2);
    cr_assert(k->cached.used == 0 && sim_kv_validate(k) == NULL);
    sim_kv_close(k);
}

static void follow(void *ctx, const struct sim_block *x) {
    // Blocks of the random test are numbered so that a parent is known by its child.
    bool *seen = ctx;
    if (x->hash % 100) cr_assert(x->depth && x->parent == x->hash - 1 && seen[x->parent]);
    seen[x->hash] = true;
}

Test(kv, random) {
    enum { KV_CAPACITY = 60, KV_LONGEST = 20, KV_RUNNING = 3 };
    struct sim_kv cache, *k = &cache;
    sim_kv_open(k, KV_CAPACITY, NULL);
    uint64_t rng = 5, hashes[KV_RUNNING][KV_LONGEST], evicted[KV_CAPACITY];
    size_t n[KV_RUNNING] = {0}, gone;
    for (int step = 0; step < 3000; step++) {
        int i = (int)(kvr_random(&rng) % KV_RUNNING);
        if (n[i]) sim_kv_leave(k, hashes[i], n[i]);
        n[i] = 1 + kvr_random(&rng) % KV_LONGEST;
        uint64_t first = kvr_random(&rng) % 10 * 100;
        for (size_t b = 0; b < n[i]; b++)
            hashes[i][b] = first + b;
        put(k, hashes[i], n[i], evicted, &gone);
    }
    bool seen[1000] = {0};
    sim_blocks_each(&k->cached, follow, seen);
    sim_kv_close(k);
}
