// SPDX-License-Identifier: Apache-2.0
// One engine: scenarios small enough to compute by hand, and random ones whose counts must come out.
#include <criterion/criterion.h>
#include <math.h>

#include "bench/sim/engine/sim_engine.h"
#include "client/common/random.h"
#include "stest.h"

// A prompt of 10 tokens in chunks of 8 and 2, then two more tokens. Blocks of 4.
Test(engine, one_request) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 10, 3, 100);
    struct sim_engine *e = sim_engine_new(&stest_model, &l.load, 20, 0);
    const struct sim_begun *begun;
    size_t n;
    double none;
    cr_assert(!sim_engine_begin(e, &none, &begun, &n));
    sim_engine_add(e, 0, SIM_ALL);
    struct sim_step s = stest_step(e, 1 + 8 * 0.01);
    cr_assert(s.n_first == 0 && s.n_stored == 1 && s.stored[0].from == 0 && s.stored[0].to == 2);
    s = stest_step(e, 1 + 2 * 0.01 + 8 * 0.001); // the chunk before it is read
    cr_assert(s.n_first == 1 && s.n_done == 0 && s.n_stored == 0);
    s = stest_step(e, 1 + 0.1 + 11 * 0.001);
    cr_assert(s.decoding == 1 && s.n_done == 0);
    s = stest_step(e, 1 + 0.1 + 12 * 0.001);
    cr_assert(s.n_done == 1 && s.n_stored == 1 && s.stored[0].from == 2 && s.stored[0].to == 3);
    cr_assert(!sim_engine_begin(e, &none, &begun, &n));
    cr_assert(sim_blocks_count(&sim_engine_kv(e)->cached) == 3 && sim_engine_kv(e)->reserved == 0);
    sim_engine_free(e);
}

// Decoding comes first and takes from the budget; what is cached isn't computed; the last token is.
Test(engine, budget_and_cache) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 8, 4, 100);
    stest_load_add(&l, 0, 12, 2, 100); // the first two blocks are those of the other
    stest_load_add(&l, 0, 8, 2, 100);  // all of it is
    struct sim_engine *e = sim_engine_new(&stest_model, &l.load, 20, 0);
    sim_engine_add(e, 0, SIM_ALL);
    stest_step(e, 1 + 8 * 0.01);
    sim_engine_add(e, 1, SIM_ALL);
    sim_engine_add(e, 2, SIM_ALL);
    // One decodes, reading 9; 4 tokens of the second are new, 1 of the third; both read 8 or 7.
    struct sim_step s = stest_step(e, 1 + 0.1 + 5 * 0.01 + (9 + 8 + 7) * 0.001);
    cr_assert(s.prefill == 5 && s.decoding == 1 && s.n_first == 2);
    s = stest_step(e, 1 + 3 * 0.1 + (10 + 13 + 9) * 0.001);
    cr_assert(s.decoding == 3 && s.n_done == 2);
    sim_engine_free(e);
}

// Room for one at a time: the second waits until the first has ended, and then evicts what it left.
Test(engine, waits_when_full) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 8, 4, 100);
    stest_load_add(&l, 0, 8, 4, 200);
    struct sim_engine *e = sim_engine_new(&stest_model, &l.load, 5, 0);
    sim_engine_add(e, 0, SIM_ALL);
    sim_engine_add(e, 1, SIM_ALL);
    stest_step(e, 1 + 8 * 0.01);
    for (int i = 0; i < 3; i++) {
        struct sim_step s = stest_step(e, 1 + 0.1 + (9 + i) * 0.001);
        cr_assert(s.prefill == 0 && s.n_done == (i == 2));
    }
    struct sim_step s = stest_step(e, 1 + 8 * 0.01);
    cr_assert(s.n_removed == 1 && s.removed[0] == 102); // 3 were left, 5 - 3 are free, 3 needed
    cr_assert(sim_blocks_count(&sim_engine_kv(e)->cached) == 4 && sim_engine_kv(e)->reserved == 1);
    sim_engine_free(e);
}

// Blocks are promised for a whole life and taken as they are needed: what was there stays until then.
Test(engine, takes_room_when_it_needs_it) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 4, 12, 100);
    stest_load_add(&l, 0, 4, 12, 200);
    struct sim_engine *e = sim_engine_new(&stest_model, &l.load, 5, 0);
    sim_engine_add(e, 0, SIM_ALL);
    stest_step(e, 1 + 4 * 0.01);
    for (int i = 0; i < 11; i++)
        stest_step(e, 1 + 0.1 + (5 + i) * 0.001);
    cr_assert(sim_blocks_count(&sim_engine_kv(e)->cached) == 4);
    sim_engine_add(e, 1, SIM_ALL);
    struct sim_step s =
        stest_step(e, 1 + 4 * 0.01); // its prompt's block and one for the output; 1 was free
    cr_assert(s.n_removed == 1 && s.removed[0] == 103);
    cr_assert(sim_engine_kv(e)->reserved == 3 && sim_engine_kv(e)->held == 1);
    size_t removed = 0;
    for (int i = 0; i < 11; i++) {
        s = stest_step(e, 1 + 0.1 + (5 + i) * 0.001);
        cr_assert(s.n_removed == (i == 3 || i == 7)); // every fourth token
        removed += s.n_removed;
    }
    cr_assert(removed == 2 && sim_blocks_count(&sim_engine_kv(e)->cached) == 5);
    sim_engine_free(e);
}

Test(engine, no_more_run_than_may) {
    struct stest_load l;
    stest_load_open(&l, 4);
    for (uint64_t i = 0; i < 6; i++)
        stest_load_add(&l, 0, 1, 3, 100 * i);
    struct sim_engine *e = sim_engine_new(&stest_model, &l.load, 20, 0);
    for (uint32_t i = 0; i < 6; i++)
        sim_engine_add(e, i, SIM_ALL);
    struct sim_step s = stest_step(e, 1 + 4 * 0.01);
    cr_assert(s.n_first == 4);
    s = stest_step(e, 1 + 4 * 0.1 + 4 * 2 * 0.001);
    cr_assert(s.prefill == 0 && sim_engine_load(e).requests == 6);
    sim_engine_free(e);
}

// Each request ends once and no earlier than it can; the cache stays below its capacity throughout.
Test(engine, random) {
    struct bench_workload load;
    sim_load_make(sim_load_find("agents"), &load, &(struct sim_load_plan){16, 400, 5, 3});
    struct sim_model m = *sim_model_find("middle");
    m.running = 24;
    size_t preempted;
    uint64_t hits, tokens = stest_engine_run(&load, &m, 4000, 0, &preempted, &hits), wanted = 0;
    for (size_t i = 0; i < load.n; i++)
        wanted += load.requests[i].isl;
    // A prompt that is cached to its end is computed from its last token on.
    cr_assert(tokens + hits * 16 >= wanted && tokens + hits * 16 <= wanted + load.n);
    cr_assert(hits > 0 && preempted == 0);
    bench_workload_free(&load);
}
