// SPDX-License-Identifier: Apache-2.0
// The tree of prompts: what matches, who owns and holds it, what is forgotten first; and against a list.
#include <criterion/criterion.h>

#include "bench/sim/routers/prompt_tree.h"
#include "client/common/random.h"
#include "stest.h"

static struct stest_load l;
static struct sim_prompts *t;

static void open_texts(unsigned workers) {
    stest_load_open(&l, 4);
    t = sim_prompts_new(&l.load, workers);
}

static uint32_t prompt(uint32_t tokens, uint64_t first, uint32_t other, uint32_t shared) {
    stest_load_fork(&l, 0, tokens, 0, first, other, shared);
    return (uint32_t)l.load.n - 1;
}

static void insert(uint32_t request, uint32_t worker) {
    sim_prompts_insert(t, request, worker);
    cr_assert(sim_prompts_validate(t) == NULL, "%s", sim_prompts_validate(t));
}

static bool holds(const struct sim_match *m, uint32_t worker) {
    for (size_t i = 0; i < m->n_holders; i++)
        if (m->holders[i] == worker) return true;
    return false;
}

Test(texts, parts_of_a_text_match) {
    open_texts(3);
    uint32_t a = prompt(42, 100, 0, 0), b = prompt(42, 200, a, 6), c = prompt(30, 300, a, 3);
    cr_assert(sim_prompts_find(t, a).tokens == 0 && sim_prompts_find(t, a).n_holders == 0);
    insert(a, 1);
    struct sim_match m = sim_prompts_find(t, b);
    cr_assert(m.tokens == 24 && m.owner == 1 && m.n_holders == 1);
    cr_assert(sim_prompts_find(t, a).tokens == 40,
              "the rest after the last block is nobody else's");
    insert(b, 2);
    m = sim_prompts_find(t, c);
    cr_assert(m.tokens == 12 && m.owner == 1 && holds(&m, 1) && holds(&m, 2));
    cr_assert(sim_prompts_size(t, 1) == 42 && sim_prompts_size(t, 2) == 42);
    insert(c, 2);
    cr_assert(sim_prompts_size(t, 2) == 42 + 18);
    sim_prompts_free(t);
}

Test(texts, the_owner_is_who_brought_it_while_it_holds_it) {
    open_texts(3);
    uint32_t a = prompt(40, 100, 0, 0), b = prompt(40, 200, a, 6), c = prompt(40, 300, b, 8);
    insert(a, 0);
    insert(b, 1);
    cr_assert(sim_prompts_find(t, c).owner == 1, "what b added to a");
    cr_assert(sim_prompts_find(t, a).owner == 0);
    sim_prompts_forget(t, 0);
    cr_assert(sim_prompts_validate(t) == NULL);
    cr_assert(sim_prompts_find(t, a).owner == 1 && sim_prompts_find(t, a).tokens == 24);
    sim_prompts_free(t);
}

Test(texts, told_of_eight_holders_at_most) {
    open_texts(12);
    uint32_t a = prompt(40, 100, 0, 0);
    for (uint32_t w = 0; w < 12; w++)
        insert(a, w);
    struct sim_match m = sim_prompts_find(t, a);
    cr_assert(m.n_holders == SIM_MAX_HOLDERS && m.owner == 0);
    sim_prompts_free(t);
}

Test(texts, the_leaf_used_longest_ago_goes_first) {
    open_texts(2);
    uint32_t a = prompt(40, 100, 0, 0), b = prompt(40, 200, a, 5), c = prompt(40, 300, a, 5);
    insert(a, 0);
    insert(b, 0);
    insert(c, 0);
    insert(b, 1);
    sim_prompts_evict(t, 80, true); // 20 + 3 · 20: nothing
    cr_assert(sim_prompts_size(t, 0) == 80 && sim_prompts_find(t, a).tokens == 40);
    sim_prompts_evict(t, 79, true);
    cr_assert(sim_prompts_size(t, 0) == 60 && sim_prompts_size(t, 1) == 40);
    cr_assert(sim_prompts_find(t, a).tokens == 20 && sim_prompts_find(t, b).tokens == 40);
    insert(a, 0);
    sim_prompts_evict(t, 119, false); // of 80 + 40: b's end at 0
    cr_assert(sim_prompts_validate(t) == NULL);
    cr_assert(sim_prompts_size(t, 0) == 60 && sim_prompts_size(t, 1) == 40);
    struct sim_match m = sim_prompts_find(t, b);
    cr_assert(m.tokens == 40 && !holds(&m, 0) && holds(&m, 1));
    sim_prompts_evict(t, 0, false);
    cr_assert(sim_prompts_size(t, 0) == 0 && sim_prompts_size(t, 1) == 0 &&
              sim_prompts_find(t, b).tokens == 0);
    sim_prompts_free(t);
}

// Random prompts over few blocks, beside a list of all that was inserted.
Test(texts, as_a_list_would) {
    uint64_t rng = 5;
    uint32_t sent[STEST_REQUESTS];
    open_texts(4);
    for (uint32_t i = 0; i < STEST_REQUESTS; i++) {
        uint32_t other = i ? (uint32_t)(kvr_random(&rng) % i) : 0;
        uint32_t blocks = 1 + (uint32_t)(kvr_random(&rng) % 20);
        uint32_t shared = (uint32_t)(kvr_random(&rng) % (blocks + 1));
        if (shared > l.requests[other].blocks || !i) shared = i ? l.requests[other].blocks : 0;
        if (shared > blocks) shared = blocks;
        prompt(blocks * 4 + (uint32_t)(kvr_random(&rng) % 4), 1000 * (i + 1u), other, shared);
        size_t longest = 0;
        for (uint32_t k = 0; k < i; k++) {
            size_t same = 0;
            while (same < l.requests[k].blocks && same < blocks &&
                   bench_request_hashes(&l.load, k)[same] == bench_request_hashes(&l.load, i)[same])
                same++;
            if (same > longest) longest = same;
        }
        struct sim_match m = sim_prompts_find(t, i);
        cr_assert(m.tokens == longest * 4, "%u", i);
        for (size_t h = 0; h < m.n_holders; h++) {
            bool right = false;
            for (uint32_t k = 0; k < i; k++)
                right |= sent[k] == m.holders[h] && l.requests[k].blocks >= longest &&
                         bench_request_hashes(&l.load, k)[longest - 1] ==
                             bench_request_hashes(&l.load, i)[longest - 1];
            cr_assert(right, "%u", i);
        }
        sent[i] = (uint32_t)(kvr_random(&rng) % 4);
        insert(i, sent[i]);
    }
    for (uint64_t size = 4000; size > 100; size /= 2) {
        sim_prompts_evict(t, size, true);
        cr_assert(sim_prompts_validate(t) == NULL, "%s", sim_prompts_validate(t));
        for (uint32_t w = 0; w < 4; w++)
            cr_assert(sim_prompts_size(t, w) <= size);
    }
    sim_prompts_free(t);
}
