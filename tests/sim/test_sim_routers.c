// SPDX-License-Identifier: Apache-2.0
// Each kind's rule, on cases made by hand: who gets which request.
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "stest.h"

static struct stest_load l;
static uint32_t where[STEST_REQUESTS]; // by request: its engine
static struct sim_model engine;
static struct sim_plan plan;

enum { LONG_OUTPUT = 3000 }; // tokens of output: 30 s

// Blocks of 4 tokens. A step takes 10 ms, and prompts next to nothing.
static void open_case(const char *kind, unsigned n, unsigned workers) {
    stest_load_open(&l, 4);
    engine = (struct sim_model){.fixed = 0.01, .prefill = 1e-9, .budget = 1 << 20, .running = 256};
    plan = (struct sim_plan){.kind = sim_router_find(kind),
                             .load = &l.load,
                             .speed = 1,
                             .model = &engine,
                             .blocks = 1 << 20,
                             .workers = workers,
                             .routers = n,
                             .sync = 0.002,
                             .age = 0.05,
                             .seed = 1,
                             .title = kind};
    cr_assert(plan.kind != NULL, "%s", kind);
}

// A prompt of 10 blocks: the first `shared` of another request, then its own.
static uint32_t ask(double at, uint32_t osl, uint32_t other, uint32_t shared) {
    uint32_t i = (uint32_t)l.load.n;
    stest_load_fork(&l, at, 40, 0, 1000 * (i + 1u), other, shared);
    l.requests[i].osl = osl;
    return i;
}

static uint32_t ask_new(double at, uint32_t osl) {
    return ask(at, osl, 0, 0);
}

static void run_case(void) {
    struct sim_stats s;
    cr_assert(sim_run(&plan, &s));
    for (size_t i = 0; i < l.load.n; i++)
        where[i] = s.outcomes[i].worker;
    sim_stats_close(&s);
}

// ---- Text gateways -------------------------------------------------------------------------------

Test(routers, cache_aware_follows_a_match_above_three_tenths) {
    open_case("cache-aware", 1, 3);
    uint32_t first = ask_new(0, LONG_OUTPUT), match = ask(1, LONG_OUTPUT, first, 4),
             less = ask(2, LONG_OUTPUT, first, 3);
    run_case();
    cr_assert(where[first] == 0);
    cr_assert(where[match] == 0, "0.4 of the prompt");
    cr_assert(where[less] == 1, "0.3 is not more than 0.3: the first of the least busy");
}

Test(routers, cache_aware_takes_the_first_of_equals) {
    open_case("cache-aware", 1, 3);
    for (int i = 0; i < 5; i++)
        ask_new(i, 2);
    run_case();
    for (int i = 0; i < 5; i++)
        cr_assert(where[i] == 0);
}

Test(routers, cache_aware_spills_beyond_64_and_then_follows_the_first_owner) {
    open_case("cache-aware", 1, 2);
    for (int i = 0; i < 67; i++)
        ask(i * 0.01, LONG_OUTPUT, 0, i ? 9 : 0);
    run_case();
    for (int i = 0; i < 65; i++)
        cr_assert(where[i] == 0, "%d", i);
    cr_assert(where[65] == 1, "65 against 0 is out of balance");
    cr_assert(where[66] == 0, "65 against 1 isn't, and the text is still the first one's");
}

Test(routers, vllm_router_takes_the_least_busy_of_those_that_hold_it) {
    open_case("vllm-router", 1, 2);
    for (int i = 0; i < 67; i++)
        ask(i * 0.01, LONG_OUTPUT, 0, i ? 9 : 0);
    run_case();
    for (int i = 0; i < 65; i++)
        cr_assert(where[i] == 0, "%d", i);
    cr_assert(where[65] == 1, "65 against 0 is out of balance");
    cr_assert(where[66] == 1, "it holds the text, too, and is less busy");
}

Test(routers, smg_gives_what_it_does_not_know_to_whom_it_gave_least) {
    open_case("smg", 1, 3);
    for (int i = 0; i < 5; i++)
        ask_new(i, 2);
    run_case();
    for (uint32_t i = 0; i < 5; i++)
        cr_assert(where[i] == i % 3);
}

Test(routers, smg_spills_beyond_the_swing_of_the_mean) {
    open_case("smg", 1, 2);
    for (int i = 0; i < 12; i++)
        ask(i * 0.01, LONG_OUTPUT, 0, i ? 9 : 0);
    run_case();
    for (int i = 0; i < 9; i++)
        cr_assert(where[i] == 0, "8 are 4 above the mean of 4: %d", i);
    cr_assert(where[9] == 1, "9 are 4.5 above 4.5, whose swing is 4.2");
    cr_assert(where[10] == 1 && where[11] == 1, "of those that hold it the least busy");
}

Test(routers, smg_knows_that_a_greater_mean_swings_more) {
    open_case("smg", 1, 2);
    uint32_t a = ask_new(0, LONG_OUTPUT), b = ask_new(0.01, LONG_OUTPUT);
    ask(0.02, LONG_OUTPUT, b, 9);
    ask(0.03, LONG_OUTPUT, b, 9);
    for (int i = 0; i < 16; i++)
        ask(1 + i * 0.01, LONG_OUTPUT, a, 9);
    run_case();
    for (int i = 4; i < 19; i++)
        cr_assert(where[i] == where[a], "15 are 6 above 9, whose swing is 6: %d", i);
    cr_assert(where[19] == where[b], "16 are 6.5 above 9.5, whose swing is 6.2");
}

// Nine on one engine, of which eight wait, five on the other.
static void load_two(void) {
    engine.running = 1;
    uint32_t a = ask_new(0, LONG_OUTPUT), b = ask_new(0.01, LONG_OUTPUT);
    for (int i = 0; i < 8; i++)
        ask(1 + i, LONG_OUTPUT, a, 9);
    for (int i = 0; i < 4; i++)
        ask(9 + i * 0.01, LONG_OUTPUT, b, 9);
}

Test(routers, smg_leaves_out_an_engine_where_eight_wait) {
    open_case("smg", 1, 2);
    load_two();
    uint32_t after = ask(11, LONG_OUTPUT, 0, 9);
    run_case();
    for (int i = 2; i < 10; i++)
        cr_assert(where[i] == where[0], "it looks every 10 s: %d", i);
    cr_assert(where[after] != where[0]);
}

Test(routers, smg_does_not_where_fewer_wait_or_without_the_veto) {
    open_case("smg-no-veto", 1, 2);
    load_two();
    uint32_t after = ask(11, LONG_OUTPUT, 0, 9);
    run_case();
    cr_assert(where[after] == where[0]);
    open_case("smg", 1, 2);
    load_two();
    engine.running = 2; // so seven wait
    after = ask(11, LONG_OUTPUT, 0, 9);
    run_case();
    cr_assert(where[after] == where[0]);
}

Test(routers, prefix_hash_goes_by_256_tokens_up_to_ten_above_the_mean) {
    open_case("smg-prefix-hash", 1, 2);
    stest_load_open(&l, 64);
    for (uint32_t i = 0; i < 24; i++) {
        stest_load_fork(&l, i * 0.01, 64 * 6, 0, 1000 * (i + 1u), 0, i ? 4 : 0);
        l.requests[i].osl = LONG_OUTPUT;
    }
    run_case();
    for (int i = 1; i < 22; i++)
        cr_assert(where[i] == where[0], "21 are not above 11 + 10: %d", i);
    cr_assert(where[22] != where[0], "22 are above 11.5 + 10");
}

// ---- Sessions ------------------------------------------------------------------------------------

static void as_session(uint32_t request, uint32_t session) {
    l.requests[request].session = session;
}

Test(routers, sticky_stays_and_begins_where_least_is_open) {
    open_case("sticky", 1, 2);
    for (int i = 0; i < 6; i++)
        as_session(ask_new(i, LONG_OUTPUT), 0);
    uint32_t other = ask_new(7, LONG_OUTPUT), same = ask_new(8, LONG_OUTPUT);
    as_session(same, other);
    run_case();
    for (int i = 1; i < 6; i++)
        cr_assert(where[i] == where[0]);
    cr_assert(where[other] != where[0] && where[same] == where[other]);
}

Test(routers, a_session_hash_needs_no_state_and_knows_no_bound) {
    for (unsigned n = 1; n <= 8; n += 7) {
        open_case("session-hash", n, 4);
        for (int i = 0; i < 60; i++)
            as_session(ask_new(i * 0.1, LONG_OUTPUT), (uint32_t)i % 2);
        run_case();
        for (int i = 2; i < 60; i++)
            cr_assert(where[i] == where[i % 2]);
    }
}

Test(routers, affinity_is_bounded_to_a_quarter_above_the_mean) {
    open_case("affinity", 1, 4);
    for (int i = 0; i < 8; i++)
        as_session(ask_new(i, LONG_OUTPUT), 0);
    run_case();
    unsigned n[4] = {0};
    for (int i = 0; i < 8; i++) {
        double most = 1.25 * (i + 1) / 4;
        cr_assert(n[where[i]] < most, "%d: %u", i, n[where[i]]);
        bool home = n[where[0]] < most;
        cr_assert(!home || where[i] == where[0], "%d", i);
        n[where[i]]++;
    }
}

Test(routers, affinity_by_the_prompt_if_so_many_tokens_are_given) {
    open_case("affinity", 1, 4);
    plan.affinity = 16;
    for (int i = 0; i < 20; i++)
        ask(i, 2, 0, i ? 4 : 0);
    run_case();
    for (int i = 1; i < 20; i++)
        cr_assert(where[i] == where[0]);
}

static bool all_at_one_place(void) {
    bool same = true;
    for (size_t i = 1; i < l.load.n; i++)
        same &= where[i] == where[0];
    return same;
}

Test(routers, a_balancer_can_keep_a_session_at_one_router) {
    for (int together = 0; together < 2; together++) {
        open_case("sticky", 8, 4);
        plan.together = together;
        for (int i = 0; i < 24; i++)
            as_session(ask_new(i, 2), 0);
        run_case();
        cr_assert(all_at_one_place() == together);
    }
}

// ---- llm-d ---------------------------------------------------------------------------------------

// Half of the prompt is worth 1.5, an empty queue 2; which is seen at the next reading only.
Test(routers, llmd_sees_queues_as_old_as_its_metrics) {
    open_case("llm-d", 1, 2);
    engine.running = 1;
    plan.age = 1;
    uint32_t first = ask_new(1.1, LONG_OUTPUT), waits = ask(1.2, LONG_OUTPUT, first, 9);
    uint32_t blind = ask(1.9, LONG_OUTPUT, first, 5), sees = ask(2.1, LONG_OUTPUT, first, 5);
    run_case();
    cr_assert(where[waits] == where[first] && where[blind] == where[first]);
    cr_assert(where[sees] != where[first]);
}

Test(routers, llmd_weighs_kv_use_like_a_queue) {
    open_case("llm-d", 1, 2);
    plan.blocks = 800;
    plan.age = 0.1;
    uint32_t full = ask_new(1, LONG_OUTPUT); // of 760 blocks in the end; half after 15 s
    uint32_t early = ask(5, 2, full, 4), late = ask(28, 2, full, 4);
    run_case();
    cr_assert(where[early] == where[full], "4 of 10 blocks are 1.2; an eighth in use 0.25");
    cr_assert(where[late] != where[full], "nine tenths in use are 1.8");
}

// Of four prompts each is sent four times: nothing but the match tells the engines apart.
Test(routers, llmd_goes_where_the_prompt_was_sent) {
    open_case("llm-d", 1, 2);
    uint32_t last = 0;
    for (int i = 0; i < 16; i++)
        last = ask(i, 2, last, i % 4 ? 10 : 0);
    run_case();
    for (int i = 0; i < 16; i++)
        cr_assert(where[i] == where[i - i % 4], "%d", i);
}

// ---- Rules over the core -------------------------------------------------------------------------

Test(routers, lmetric_multiplies) {
    open_case("lmetric", 1, 2);
    uint32_t first = ask_new(0, LONG_OUTPUT);
    uint32_t more = ask(1, 2, first, 6), less = ask(2, 2, first, 4);
    run_case();
    cr_assert(where[more] == where[first], "16 tokens times 2 are less than 40");
    cr_assert(where[less] != where[first], "24 times 2 are more");
}

// What is being computed for another counts as queued, and isn't cached yet.
Test(routers, lmetric_knows_what_is_cached_not_what_is_coming) {
    open_case("lmetric", 1, 2);
    ask_new(0, LONG_OUTPUT);
    ask(0, LONG_OUTPUT, 0, 10);
    run_case();
    cr_assert(where[1] != where[0]);
}

Test(routers, fixed_knows_what_is_coming) {
    static const struct sim_fixed own_only = {0, 8, 1, 0, 0, 53};
    open_case("fixed", 1, 2);
    plan.fixed = &own_only;
    for (int i = 0; i < 4; i++)
        ask(0, LONG_OUTPUT, 0, i ? 10 : 0);
    run_case();
    cr_assert(all_at_one_place());
}

Test(routers, fixed_gives_equals_to_the_one_chosen_longest_ago) {
    static const struct sim_fixed none = {0, 0, 0, 0, 0, 53};
    open_case("fixed", 1, 3);
    plan.fixed = &none;
    for (int i = 0; i < 9; i++)
        ask_new(i, 2);
    run_case();
    for (int i = 3; i < 9; i++)
        cr_assert(where[i] == where[i - 3]);
    cr_assert(where[0] != where[1] && where[1] != where[2] && where[0] != where[2]);
}

// Pairs from two routers, one so much after the other; how many pairs were given to the same engine.
static unsigned pairs_together(const char *kind, double gap) {
    open_case(kind, 2, 2);
    for (int i = 0; i < 60; i++) {
        ask_new(i, 20);
        ask_new(i + gap, 20);
    }
    run_case();
    unsigned same = 0;
    for (int i = 0; i < 120; i += 2)
        same += where[i] == where[i + 1];
    return same;
}

Test(routers, dynamo_hears_of_others_two_milliseconds_later) {
    cr_assert(pairs_together("dynamo", 0.001) > 5, "as chance has it");
    cr_assert(pairs_together("dynamo", 0.003) == 0);
}

Test(routers, dynamo_draws_among_equals) {
    open_case("dynamo", 1, 2);
    for (int i = 0; i < 60; i++)
        ask_new(i, 2);
    run_case();
    unsigned first = 0, turns = 0;
    for (int i = 0; i < 60; i++) {
        first += where[i] == 0;
        turns += i && where[i] != where[i - 1];
    }
    cr_assert(first > 10 && first < 50, "%u", first);
    cr_assert(turns > 10 && turns < 50, "%u", turns);
}

// A block that is live there costs nothing more, a hit counts in full, load in blocks: 10 of each.
Test(routers, dynamo_adds_blocks_to_compute_and_blocks_in_use) {
    open_case("dynamo", 1, 2);
    uint32_t first = ask_new(0, LONG_OUTPUT);
    uint32_t same = ask(1, LONG_OUTPUT, first, 10), half = ask(2, LONG_OUTPUT, first, 4);
    run_case();
    cr_assert(where[same] == where[first], "0 + 10 against 10 + 10");
    cr_assert(where[half] != where[first], "6 + 10 + 6 against 10 + 10");
}
