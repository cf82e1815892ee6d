// SPDX-License-Identifier: Apache-2.0
// Requests that two engines serve: by hand, twice the same, and nothing lost whatever dies.
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "bench/sim/fleet/transfers.h"
#include "bench/sim/pairs/goodput.h"
#include "stest.h"

static const struct sim_model hand_model = {.fixed = 1,
                                            .prefill = 0.01,
                                            .decode = 0.1,
                                            .kv = 0.001,
                                            .budget = 8,
                                            .running = 4,
                                            .kv_bytes = 100,
                                            .ports = 2};

// One engine for prompts, one for answers: 20 tokens a second between them, and 0.25 s for each transfer.
static struct sim_plan hand_plan(const struct stest_load *l, struct sim_engine_plan engines[2]) {
    engines[0] = (struct sim_engine_plan){hand_model, 1, 30, KVR_ROLE_PREFILL};
    engines[1] = (struct sim_engine_plan){hand_model, 1, 30, KVR_ROLE_DECODE};
    return (struct sim_plan){.kind = sim_router_find("two-steps"),
                             .load = &l->load,
                             .speed = 1,
                             .model = &hand_model,
                             .blocks = 30,
                             .engines = engines,
                             .n_engines = 2,
                             .pairs = true,
                             .network = {.rate = 1000, .fixed = 0.25, .lease = 30, .across = 0.1},
                             .workers = 2,
                             .routers = 1,
                             .rule = {.policy = KVR_DELAY, .overlap = 1, .prefill = 1},
                             .words = "",
                             .hop = 0.5,
                             .title = "by hand"};
}

// It is asked for half a second after it came, and at the first engine a second later; there a step of 8 prompt tokens; two
// hops; 8 tokens are moved; a step for the last token of the prompt, which reads 7; two for tokens.
Test(pairs, by_hand) {
    struct stest_load l;
    struct sim_engine_plan engines[2];
    struct sim_stats s;
    stest_load_open(&l, 4);
    stest_load_add(&l, 5, 8, 3, 100);
    struct sim_plan plan = hand_plan(&l, engines);
    cr_assert(sim_run(&plan, &s));
    double kept = 5 + 0.5 + 1 + 1.08, moved = kept + 1 + 8 * 0.05 + 0.25, first = moved + 1.017;
    cr_assert(s.outcomes[0].worker == 1);
    cr_assert(fabs(s.outcomes[0].first - first) < 1e-9, "%g", s.outcomes[0].first);
    cr_assert(fabs(s.outcomes[0].done - (first + 1.109 + 1.110)) < 1e-9);
    cr_assert(s.moves.pairs == 1 && s.moves.tokens == 8 && s.moves.recomputed == 0);
    cr_assert(fabs(s.moves.seconds - 0.65) < 1e-9);
    sim_stats_close(&s);
}

// The second prompt begins as the first, whose blocks are where the answer is: only the rest is moved.
Test(pairs, what_is_there_is_not_moved) {
    struct stest_load l;
    struct sim_engine_plan engines[2];
    struct sim_stats s;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 12, 1, 100);
    stest_load_fork(&l, 60, 12, 1, 200, 0, 2);
    stest_load_fork(&l, 120, 12, 1, 100, 0, 3);
    struct sim_plan plan = hand_plan(&l, engines);
    cr_assert(sim_run(&plan, &s));
    cr_assert(s.moves.pairs == 2 && s.moves.tokens == 12 + 4, "all of the third is there");
    sim_stats_close(&s);
    plan.local_prefill = 4;
    cr_assert(sim_run(&plan, &s));
    cr_assert(s.moves.pairs == 1 && s.moves.tokens == 12, "what little is lacking is computed");
    sim_stats_close(&s);
}

Test(pairs, transfers_of_two_engines_come_one_after_the_other) {
    static const struct sim_network n = {.rate = 10, .fixed = 0.5, .racks = 2, .across = 0.1};
    struct sim_links l;
    sim_links_open(&l, &n, 3);
    cr_assert(sim_links_move(&l, 10, 0, 1, 4) == 14.5);
    cr_assert(sim_links_move(&l, 11, 0, 1, 2) == 16.5, "the fixed part keeps nobody up");
    cr_assert(sim_links_move(&l, 11, 0, 2, 2) == 13.5 && sim_links_move(&l, 11, 1, 0, 2) == 13.5);
    cr_assert(sim_links_move(&l, 20, 0, 1, 1) == 21.5);
    struct sim_model a = {.kv_bytes = 40, .ports = 4}, b = {.kv_bytes = 40, .ports = 2};
    cr_assert(sim_transfer_token(&n, &a, &b, false) == 2 && sim_racks_differ(&n, 0, 1));
    cr_assert(fabs(sim_transfer_token(&n, &a, &b, true) - 20) < 1e-9 &&
              !sim_racks_differ(&n, 0, 2));
    sim_links_close(&l);
}

// ---- Engines -------------------------------------------------------------------------------------

static struct sim_step any_step(struct sim_engine *e) {
    const struct sim_begun *begun;
    struct sim_step s;
    size_t n;
    double seconds;
    cr_assert(sim_engine_begin(e, &seconds, &begun, &n));
    sim_engine_end(e, &s);
    cr_assert(sim_engine_validate(e) == NULL, "%s", sim_engine_validate(e));
    return s;
}

// A kept prompt takes room until it is let go, and then stays as what may be evicted.
Test(pairs, a_kept_prompt_has_its_room) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 8, 4, 100);
    stest_load_add(&l, 0, 8, 4, 200);
    struct sim_engine *e = sim_engine_new(&stest_model, &l.load, 3, 0);
    const struct sim_begun *begun;
    size_t n;
    double seconds;
    sim_engine_add(e, 0, SIM_PROMPT);
    struct sim_step s = any_step(e);
    cr_assert(s.n_kept == 1 && s.kept[0] == 0 && s.n_first == 0 && s.n_done == 0);
    cr_assert(sim_engine_requests(e, NULL) == 0 && sim_engine_kv(e)->cached.used == 2);
    sim_engine_add(e, 1, SIM_PROMPT);
    cr_assert(!sim_engine_begin(e, &seconds, &begun, &n), "two of three blocks are kept");
    cr_assert(sim_engine_validate(e) == NULL);
    sim_engine_let_go(e, 0);
    s = any_step(e);
    cr_assert(s.n_kept == 1 && s.n_removed == 1 && s.removed[0] == 101);
    sim_engine_let_go(e, 1);
    sim_engine_let_go(e, 1); // once more does nothing
    cr_assert(sim_engine_validate(e) == NULL && sim_engine_kv(e)->cached.used == 0);
    sim_engine_free(e);
}

// While it receives, an engine has nothing to do for it; then it computes one token.
Test(pairs, an_answer_waits_for_what_it_lacks) {
    for (int got = 0; got < 2; got++) {
        struct stest_load l;
        stest_load_open(&l, 4);
        stest_load_add(&l, 0, 8, 2, 100);
        struct sim_engine *e = sim_engine_new(&stest_model, &l.load, 9, 0);
        const struct sim_begun *begun;
        size_t n;
        double seconds;
        sim_engine_add(e, 0, SIM_ANSWER);
        cr_assert(!sim_engine_begin(e, &seconds, &begun, &n));
        cr_assert(n == 1 && begun[0].part == SIM_ANSWER && begun[0].lacks == 8);
        cr_assert(sim_engine_requests(e, NULL) == 1 && sim_engine_load(e).waiting == 0);
        sim_engine_received(e, 0, got);
        struct sim_step s = any_step(e);
        cr_assert(s.prefill == (got ? 1 : 8) && s.n_first == 1 && s.n_stored == 1);
        s = any_step(e);
        cr_assert(s.n_done == 1 && sim_engine_kv(e)->cached.used == 0);
        sim_engine_free(e);
    }
}

// ---- Whole runs ----------------------------------------------------------------------------------

static const struct {
    const char *kind;
    unsigned routers;
} pair_kinds[] = {{"shared", 3},    {"one", 3},   {"own", 3}, {"events", 3},
                  {"two-steps", 3}, {"llm-d", 3}, {"both", 3}};
enum { PAIR_KINDS = sizeof pair_kinds / sizeof *pair_kinds };

struct pair_fleet {
    struct stest_fleet s;
    struct sim_engine_plan engines[8];
};

// So many engines for prompts, the rest for answers; 0: all do both.
static void open_pairs(struct pair_fleet *f, unsigned prefill) {
    stest_open(&f->s, "chat", 600, 15);
    for (unsigned w = 0; w < 8; w++) {
        f->engines[w] = f->s.o.engines[w];
        f->engines[w].role = !prefill      ? KVR_ROLE_BOTH
                             : w < prefill ? KVR_ROLE_PREFILL
                                           : KVR_ROLE_DECODE;
    }
    f->s.plan.engines = f->engines;
    f->s.plan.n_engines = 8;
    f->s.plan.pairs = true;
}

Test(pairs, every_kind_twice_the_same) {
    struct pair_fleet f;
    open_pairs(&f, 4);
    for (size_t i = 0; i < PAIR_KINDS; i++) {
        stest_router(&f.s, pair_kinds[i].kind, pair_kinds[i].routers);
        struct sim_figures a = stest_run(&f.s), b = stest_run(&f.s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%s", pair_kinds[i].kind);
        cr_assert(a.requests == 600 && a.retried == 0, "%s", pair_kinds[i].kind);
    }
    stest_close(&f.s);
}

// The same pairs by the module over its socket and by the core in the process; in racks, where all engines do
// both, and where requests wait in the pool.
Test(pairs, module_and_core_decide_alike) {
    for (int i = 0; i < 4; i++) {
        struct pair_fleet f;
        open_pairs(&f, i == 2 ? 0 : 3);
        f.s.plan.hop = 0;
        f.s.plan.network.racks = i == 1 ? 2 : 0;
        f.s.plan.admission.on = i == 3;
        f.s.plan.admission.max_requests = 12;
        stest_router(&f.s, "shared", 3);
        struct sim_figures a = stest_run(&f.s);
        stest_router(&f.s, "one", 3);
        struct sim_figures b = stest_run(&f.s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%d: %g %g", i, a.ttft_mean, b.ttft_mean);
        stest_router(&f.s, "events", 1);
        struct sim_figures c = stest_run(&f.s);
        cr_assert(!memcmp(&a, &c, sizeof a), "%d: %g %g", i, a.ttft_mean, c.ttft_mean);
        stest_close(&f.s);
    }
}

Test(pairs, nothing_is_lost_whatever_dies) {
    static const struct sim_incident incidents[] = {
        {SIM_WORKER_DIES, 4, 5, 1, true},  {SIM_WORKER_DIES, 6, 0, 2, true},
        {SIM_WORKER_DIES, 9, 5, 5, true},  {SIM_WORKER_DIES, 12, 0, 6, true},
        {SIM_ROUTER_DIES, 7, 4, 0, true},  {SIM_WORKERS_JOIN, 10, 0, 2, false},
        {SIM_SERVER_DIES, 13, 2, 0, true}, {SIM_SERVER_DIES, 18, 2, 0, false},
    };
    for (int preempt = 0; preempt < 2; preempt++) {
        struct pair_fleet f;
        open_pairs(&f, preempt ? 0 : 4);
        for (unsigned w = 0; w < 8; w++) {
            f.engines[w].model.preempt = preempt;
            f.engines[w].blocks = preempt ? 1500 : 3000;
        }
        f.s.plan.network.rate = 1e9; // slow, so that transfers are under way
        f.s.plan.network.lease = 0.5;
        f.s.plan.incidents = incidents;
        f.s.plan.n_incidents = sizeof incidents / sizeof *incidents;
        size_t recomputed = 0;
        for (size_t i = 0; i < PAIR_KINDS; i++) {
            struct sim_stats a;
            stest_router(&f.s, pair_kinds[i].kind, pair_kinds[i].routers);
            cr_assert(sim_run(&f.s.plan, &a), "%s", pair_kinds[i].kind);
            cr_assert(a.retried > 0 && a.moves.pairs > 0, "%s", pair_kinds[i].kind);
            recomputed += a.moves.recomputed;
            sim_stats_close(&a);
        }
        cr_assert(recomputed > 0);
        stest_close(&f.s);
    }
}

// How many of the requests that an engine answers are under way at a time, from when they were given to it.
static unsigned max_live(const struct sim_stats *s, size_t n, uint32_t worker) {
    unsigned max = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned live = 0;
        for (size_t k = 0; k < n; k++)
            live += s->outcomes[k].worker == worker &&
                    s->outcomes[k].chosen <= s->outcomes[i].chosen &&
                    s->outcomes[k].done > s->outcomes[i].chosen;
        if (live > max) max = live;
    }
    return max;
}

Test(pairs, limits_hold_where_answers_are) {
    struct pair_fleet f;
    struct sim_stats a;
    open_pairs(&f, 4);
    f.s.plan.hop = 0;
    f.s.plan.admission.on = true;
    f.s.plan.admission.max_requests = 3;
    stest_router(&f.s, "one", 2);
    cr_assert(sim_run(&f.s.plan, &a));
    for (uint32_t w = 4; w < 8; w++)
        cr_assert(max_live(&a, 600, w) == 3, "%u", max_live(&a, 600, w));
    cr_assert(a.moves.pairs > 0);
    sim_stats_close(&a);
    stest_close(&f.s);
}

// ---- Goodput -------------------------------------------------------------------------------------

// All keep the targets up to a load of 1 and of 3, and then ever fewer.
static bool slope(void *ctx, struct goodput_point *p) {
    size_t *runs = ctx;
    ++*runs;
    p->kept[0] = p->factor < 1 ? 1 : 1 / p->factor;
    p->kept[1] = p->factor < 3 ? 1 : 3 / p->factor;
    p->kept[2] = p->factor < 3.2 ? 1 : 3.2 / p->factor;
    return true;
}

static bool none(void *ctx, struct goodput_point *p) {
    p->kept[0] = p->kept[1] = p->kept[2] = 0.5;
    return ++*(size_t *)ctx < 5;
}

Test(pairs, goodput_is_where_nine_of_ten_keep_the_targets) {
    static struct goodput g;
    size_t runs = 0;
    cr_assert(sim_goodput_search(slope, &runs, &g) && runs == g.n && runs < 25);
    cr_assert(fabs(g.factor[0] - 1 / 0.9) < 0.01, "%g", g.factor[0]);
    cr_assert(fabs(g.factor[1] - 3 / 0.9) < 0.03, "%g", g.factor[1]);
    cr_assert(fabs(g.factor[2] - 3.2 / 0.9) < 0.03, "%g", g.factor[2]);
    for (size_t i = 1; i < g.n; i++)
        cr_assert(g.points[i].factor > g.points[i - 1].factor);
    cr_assert(sim_goodput_at(&g, 0)->factor <= g.factor[0]);
    runs = 0;
    cr_assert(sim_goodput_search(none, &runs, &g) && g.factor[0] == 0 && runs == 1);
    cr_assert(sim_goodput_at(&g, 0) == NULL);
    runs = 5;
    cr_assert(!sim_goodput_search(none, &runs, &g));
}

Test(options, roles_and_the_network_between) {
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--roles", "prefill:3,decode:2", "--transfer=20,5", NULL) == -1);
    cr_assert(o.workers == 5 && o.plan.pairs && o.engines[2].role == KVR_ROLE_PREFILL);
    cr_assert(o.engines[3].role == KVR_ROLE_DECODE && o.n_specs == 3);
    cr_assert(o.plan.network.rate == 20e9 && o.plan.network.fixed == 5e-3);
    cr_assert(fabs(o.plan.transfer - 327680 / (4 * 20e9) / 76.4e-6) < 1e-9);
    cr_assert(stest_parse(&o, "--roles", "both:8", "--racks=2", "--local-prefill=0") == -1);
    cr_assert(o.plan.pairs && o.workers == 8 && o.plan.network.racks == 2);
    cr_assert(!o.plan.local_prefill);
    cr_assert(stest_parse(&o, NULL, NULL, NULL, NULL) == -1 && !o.plan.pairs);
    cr_assert(stest_parse(&o, "--roles", "decode:8", NULL, NULL) == 2, "nobody computes prompts");
    cr_assert(stest_parse(&o, "--roles", "prefill:8", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--roles", "encode:8", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--roles", "both:8", "--router=least", NULL) == 2);
    cr_assert(stest_parse(&o, "--transfer", "0", NULL, NULL) == 2);
}
