// SPDX-License-Identifier: Apache-2.0
// The KV blocks of an engine: sharing, eviction, and that nothing is counted twice.
#include <criterion/criterion.h>

#include "bench/common/random.h"
#include "bench/sim/kv.h"

static void put(struct kv *k, const uint64_t *hashes, size_t n, uint64_t *evicted, size_t *gone) {
    size_t idle, had = kv_match(k, hashes, n, &idle);
    kv_use(k, hashes, had);
    kv_reserve(k, n - had);
    *gone = kv_hold(k, n - had, evicted);
    for (size_t i = had; i < n; i++)
        kv_fill(k, hashes, i);
    cr_assert(kv_validate(k) == NULL, "%s", kv_validate(k));
}

Test(kv, leaves_go_first_and_the_longest_idle) {
    struct kv *k = kv_new(6);
    static const uint64_t a[] = {1, 2, 3}, b[] = {1, 2, 4}, c[] = {7, 8};
    uint64_t evicted[8];
    size_t gone, idle;
    put(k, a, 3, evicted, &gone);
    kv_leave(k, a, 3);
    put(k, b, 3, evicted, &gone); // shares 1 and 2
    kv_leave(k, b, 3);
    cr_assert(gone == 0 && kv_count(k).cached == 4);
    put(k, c, 2, evicted, &gone);
    cr_assert(gone == 0 && kv_count(k).cached == 6 && kv_count(k).used == 2);
    kv_reserve(k, 3); // a promise: nothing has to go yet
    cr_assert(kv_count(k).cached == 6 && kv_validate(k) == NULL);
    cr_assert(kv_hold(k, 3, evicted) == 3);
    cr_assert(evicted[0] == 3 && evicted[1] == 4 && evicted[2] == 2);
    cr_assert(kv_match(k, a, 3, &idle) == 1 && idle == 1);
    kv_unreserve(k, 3, 3);
    kv_leave(k, c, 2);
    cr_assert(kv_validate(k) == NULL);
    kv_free(k);
}

Test(kv, two_that_compute_the_same_keep_one) {
    struct kv *k = kv_new(8);
    static const uint64_t a[] = {1, 2};
    uint64_t none[8];
    kv_reserve(k, 4);
    kv_hold(k, 4, none);
    cr_assert(kv_fill(k, a, 0) && !kv_fill(k, a, 0));
    cr_assert(kv_fill(k, a, 1) && !kv_fill(k, a, 1));
    cr_assert(kv_count(k).cached == 2 && kv_count(k).reserved == 0 && kv_count(k).held == 0);
    kv_leave(k, a, 2);
    cr_assert(kv_count(k).used == 2);
    kv_leave(k, a, 2);
    cr_assert(kv_count(k).used == 0 && kv_validate(k) == NULL);
    kv_free(k);
}

static void follow(void *ctx, uint64_t hash, const uint64_t *parent) {
    // Blocks of the random test are numbered so that a parent is known by its child.
    bool *seen = ctx;
    if (hash % 100) cr_assert(parent && *parent == hash - 1 && seen[*parent]);
    seen[hash] = true;
}

Test(kv, random) {
    enum { CAPACITY = 60, LONGEST = 20, RUNNING = 3 };
    struct kv *k = kv_new(CAPACITY);
    uint64_t rng = 5, hashes[RUNNING][LONGEST], evicted[CAPACITY];
    size_t n[RUNNING] = {0}, gone;
    for (int step = 0; step < 3000; step++) {
        int i = (int)(random_next(&rng) % RUNNING);
        if (n[i]) kv_leave(k, hashes[i], n[i]);
        n[i] = 1 + random_next(&rng) % LONGEST;
        uint64_t first = random_next(&rng) % 10 * 100;
        for (size_t b = 0; b < n[i]; b++)
            hashes[i][b] = first + b;
        put(k, hashes[i], n[i], evicted, &gone);
    }
    bool seen[1000] = {0};
    kv_each(k, follow, seen);
    kv_free(k);
}
