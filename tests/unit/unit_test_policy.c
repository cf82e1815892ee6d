// SPDX-License-Identifier: Apache-2.0
// Scoring: the worked examples, ties, turns, the draw at a temperature.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "module/core/rule/policy.h"
#include "unit_pair.h"

static void start(struct unit_pair *p, uint32_t block_size) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = block_size;
    unit_pair_init(p, &o, "scoring");
}

static void claim(struct unit_pair *p, const char *id, const char *name, const uint64_t *hashes,
                  size_t n) {
    struct kvr_booking b = {.hashes = hashes, .n = n, .isl = -1, .created = 1, .renewed = 1};
    cr_assert(unit_pair_claim(p, text(id), text(name), 0, &b) == KVR_OK);
}

static uint64_t decode_blocks(struct unit_pair *p) {
    struct kvr_rank_info info;
    kvr_worker_rank(p->pool, 0, 0, &info);
    unit_pair_check_all(p);
    return info.decode_blocks;
}

// The linear rule's example: a request of 10 blocks, overlaps 2, 5 and 8, decode of 10, 5 and 9.
Test(policy, worked_example) {
    double credit[] = {2, 5, 8}, none[] = {0, 0, 0}, decode[] = {0, 0, 0}, live[] = {0, 5, 1};
    double cost[3];
    struct kvr_policy_in in = {.n = 3,
                               .credit = credit,
                               .prefill_tokens = none,
                               .decode_blocks = decode,
                               .live_prefix = live,
                               .requests = none,
                               .blocks = 10,
                               .isl = 160,
                               .block_size = 16,
                               .overlap_weight = 1,
                               .prefill_weight = 1};
    int linear = kvr_policy_find("LINEAR", 6);
    cr_assert(linear == 0);
    kvr_policies[linear].cost(&in, cost);
    cr_assert(cost[0] == 18 && cost[1] == 10 && cost[2] == 11);
}

Test(policy, weights_and_floor) {
    double credit[] = {100, 1}, prefill[] = {32, 64}, decode[] = {7, 9}, live[] = {2, 0};
    double requests[] = {3, 4}, cost[2];
    struct kvr_policy_in in = {.n = 2,
                               .credit = credit,
                               .prefill_tokens = prefill,
                               .decode_blocks = decode,
                               .live_prefix = live,
                               .requests = requests,
                               .blocks = 4,
                               .isl = 64,
                               .block_size = 16,
                               .overlap_weight = 2,
                               .prefill_weight = 0.5,
                               .requests_weight = 10};
    kvr_policies[0].cost(&in, cost);
    cr_assert(cost[0] == 0 + (7 + 4 - 2) + 30); // more credit than there is to prefill
    cr_assert(cost[1] == 0.5 * (8 - 2) + (9 + 4) + 40);
}

// ---- The rules in words --------------------------------------------------------------------------

enum { UNIT_POLICY_FLEET = 67 }; // instances: more than one vector, and a rest

// What the rules read of a fleet, in arrays, and the request.
struct unit_fleet {
    double credit[UNIT_POLICY_FLEET], prefill[UNIT_POLICY_FLEET], decode[UNIT_POLICY_FLEET],
        live[UNIT_POLICY_FLEET], requests[UNIT_POLICY_FLEET], pace[UNIT_POLICY_FLEET];
    double full[UNIT_POLICY_FLEET], queue[UNIT_POLICY_FLEET];
    struct kvr_policy_in in;
};

static void fleet_bind(struct unit_fleet *f) {
    f->in.n = UNIT_POLICY_FLEET;
    f->in.credit = f->credit;
    f->in.prefill_tokens = f->prefill;
    f->in.queue = f->queue;
    f->in.decode_blocks = f->decode;
    f->in.live_prefix = f->live;
    f->in.requests = f->requests;
    f->in.pace = f->pace;
    f->in.full = f->full;
}

static double draw(uint64_t *state, double most) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / (1 << 24) * most;
}

static void fleet_draw(struct unit_fleet *f, uint64_t seed) {
    uint64_t r = seed;
    memset(f, 0, sizeof *f);
    f->in.blocks = floor(draw(&r, 200));
    f->in.block_size = 16;
    f->in.isl = floor(f->in.blocks * 16 + draw(&r, 15));
    f->in.overlap_weight = draw(&r, 2);
    f->in.prefill_weight = draw(&r, 2);
    f->in.requests_weight = seed % 2 ? draw(&r, 2) : 0;
    f->in.output = draw(&r, 1000);
    f->in.first_weight = 1 + draw(&r, 20);
    f->in.arrivals = draw(&r, 0.001);
    f->in.reuse = draw(&r, 1);
    for (int i = 0; i < UNIT_POLICY_FLEET; i++) {
        f->credit[i] = draw(&r, f->in.blocks);
        f->prefill[i] = floor(draw(&r, 20000));
        f->queue[i] = draw(&r, f->prefill[i]);
        f->decode[i] = floor(draw(&r, 5000));
        f->live[i] = seed % 3 ? floor(draw(&r, f->in.blocks)) : 0;
        f->requests[i] = floor(draw(&r, 30));
        f->pace[i] = 0.2 + draw(&r, 5);
        f->full[i] = draw(&r, 1);
    }
    fleet_bind(f);
}

// The cost of one instance as the rule is worded in policy.c, without its rounding.
static double linear_in_words(const struct kvr_policy_in *in, int i) {
    double prefill =
        (in->prefill_tokens[i] + in->isl) / in->block_size - in->overlap_weight * in->credit[i];
    if (prefill < 0) prefill = 0;
    return in->prefill_weight * prefill + in->decode_blocks[i] + in->blocks - in->live_prefix[i] +
           in->requests_weight * in->requests[i];
}

static double delay_in_words(const struct kvr_policy_in *in, int i) {
    double queue = in->queue[i], requests = in->requests[i];
    double known = fmax(in->overlap_weight * in->credit[i], in->live_prefix[i]);
    double own = fmax(in->isl - known * in->block_size, 0);
    double later = in->arrivals * (queue + own / 2);
    double push = 1 + in->reuse * in->full[i];
    double waits = in->first_weight * queue +
                   own * push * (in->first_weight + requests + in->first_weight * later);
    return (in->prefill_weight * waits + in->output * requests) / in->block_size * in->pace[i] +
           in->requests_weight * requests;
}

// `within`: how far rounding to a few bits may go, as a share.
static void same_in_words(int rule, double (*in_words)(const struct kvr_policy_in *in, int i),
                          double within) {
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct unit_fleet f;
        double cost[UNIT_POLICY_FLEET];
        fleet_draw(&f, seed);
        kvr_policies[rule].cost(&f.in, cost);
        for (int i = 0; i < UNIT_POLICY_FLEET; i++) {
            double want = in_words(&f.in, i);
            cr_assert(fabs(cost[i] - want) <= within * want + 1e-9, "seed %d: %g instead of %g",
                      (int)seed, cost[i], want);
        }
    }
}

Test(policy, linear_is_what_its_words_say) {
    same_in_words(KVR_LINEAR, linear_in_words, 1e-12);
}

Test(policy, delay_is_what_its_words_say) {
    same_in_words(KVR_DELAY, delay_in_words, 0.0625);
}

// Four significant bits, of anything between nothing and much.
Test(policy, delay_is_coarse) {
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct unit_fleet f;
        double cost[UNIT_POLICY_FLEET];
        fleet_draw(&f, seed);
        f.in.isl *= pow(10, (double)(seed % 7));
        kvr_policies[KVR_DELAY].cost(&f.in, cost);
        for (int i = 0; i < UNIT_POLICY_FLEET; i++) {
            int e;
            double m = frexp(cost[i], &e) * 16;
            cr_assert(isfinite(cost[i]) && cost[i] >= 0 && m == floor(m), "%.17g", cost[i]);
        }
    }
    struct unit_fleet none = {.in = {.block_size = 16, .first_weight = 1, .output = 300}};
    double cost[UNIT_POLICY_FLEET];
    fleet_bind(&none);
    kvr_policies[KVR_DELAY].cost(&none.in, cost);
    cr_assert(cost[0] == 0);
}

// Whatever the size of a block, the cost is the exact one with fewer bits. (Dividing by a power of two has a way of its
// own.)
Test(policy, delay_is_coarse_of_the_exact) {
    static const double sizes[] = {1, 2, 7, 12, 16, 64, 1000, 1024, 4095, 4096};
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct unit_fleet f;
        double cost[UNIT_POLICY_FLEET], exact[UNIT_POLICY_FLEET];
        fleet_draw(&f, seed);
        f.in.block_size = sizes[seed % (sizeof sizes / sizeof *sizes)];
        kvr_policies[KVR_DELAY].cost(&f.in, cost);
        f.in.exact = true;
        kvr_policies[KVR_DELAY].cost(&f.in, exact);
        for (int i = 0; i < UNIT_POLICY_FLEET; i++) {
            int e;
            double m = frexp(exact[i], &e);
            cr_assert(cost[i] == ldexp(rint(m * 16), e - 4), "seed %d: %.17g of %.17g", (int)seed,
                      cost[i], exact[i]);
        }
    }
}

// What an instance has more of never makes it cost less, but for what is cached or live of the request,
// which never makes it cost more.
Test(policy, delay_goes_the_right_way) {
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct unit_fleet f;
        double before[UNIT_POLICY_FLEET], after[UNIT_POLICY_FLEET];
        fleet_draw(&f, seed);
        kvr_policies[KVR_DELAY].cost(&f.in, before);
        double *more[] = {f.queue, f.requests, f.pace, f.full, f.credit, f.live};
        for (int k = 0; k < 6; k++) {
            struct unit_fleet g = f;
            double *in_g[] = {g.queue, g.requests, g.pace, g.full, g.credit, g.live};
            fleet_bind(&g);
            for (int i = 0; i < UNIT_POLICY_FLEET; i++)
                in_g[k][i] = more[k][i] * 1.5 + (k == 2 || k == 3 ? 0 : 1);
            kvr_policies[KVR_DELAY].cost(&g.in, after);
            for (int i = 0; i < UNIT_POLICY_FLEET; i++)
                cr_assert(k < 4 ? after[i] >= before[i] : after[i] <= before[i],
                          "seed %d, input %d: %g, then %g", (int)seed, k, before[i], after[i]);
        }
    }
}

Test(policy, names) {
    cr_assert(kvr_policy_find("linear", 6) == 0);
    cr_assert(kvr_policy_find("Delay", 5) == 1);
    cr_assert(kvr_policy_find("LiNeAr", 6) == 0);
    cr_assert(kvr_policy_find("linea", 5) == -1);
    cr_assert(kvr_policy_find("linear ", 7) == -1);
    cr_assert(kvr_policy_find("linear\0", 7) == -1);
    cr_assert(kvr_policy_find("", 0) == -1);
    for (size_t i = 0; i < kvr_policy_count; i++)
        cr_assert(kvr_policy_find(kvr_policies[i].name, strlen(kvr_policies[i].name)) == (int)i);
}

// The loads' example: A [1 2 3], B [1 2 4], C [1 2 3 5].
Test(policy, distinct_live_blocks) {
    static struct unit_pair p;
    start(&p, 4);
    unit_pair_add_worker(&p, "w", 1);
    static const uint64_t a[] = {1, 2, 3}, b[] = {1, 2, 4}, c[] = {1, 2, 3, 5};
    claim(&p, "A", "w", a, 3);
    cr_assert(decode_blocks(&p) == 3);
    claim(&p, "B", "w", b, 3);
    cr_assert(decode_blocks(&p) == 4);
    claim(&p, "C", "w", c, 4);
    cr_assert(decode_blocks(&p) == 5);
    unit_pair_end(&p, "A");
    cr_assert(decode_blocks(&p) == 5);
    unit_pair_end(&p, "C");
    cr_assert(decode_blocks(&p) == 3);
    unit_pair_end(&p, "B");
    cr_assert(decode_blocks(&p) == 0);
    unit_pair_free(&p);
}

Test(policy, output_counts_in_blocks) {
    static struct unit_pair p;
    start(&p, 4);
    unit_pair_add_worker(&p, "w", 1);
    static const uint64_t a[] = {1, 2};
    claim(&p, "A", "w", a, 2);
    static const struct {
        int64_t output;
        uint64_t blocks;
    } steps[] = {{0, 2}, {1, 3}, {4, 3}, {5, 4}, {3, 4}, {-1, 4}, {8, 4}, {9, 5}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        unit_pair_update(&p, text("A"), false, steps[i].output, -1);
        cr_assert(decode_blocks(&p) == steps[i].blocks, "output %ld", (long)steps[i].output);
    }
    unit_pair_free(&p);
}

// Equal instances take turns, the ones never booked first, then in name and rank order.
Test(policy, turns) {
    static struct unit_pair p;
    start(&p, 16);
    unit_pair_add_worker(&p, "b", 2);
    unit_pair_add_worker(&p, "ab", 1);
    unit_pair_add_worker(&p, "a", 1);
    struct kvr_query q = {.isl = 0, .rule = kvr_pool_options(p.pool)->rule};
    q.rule.policy = KVR_LINEAR; // requests without a token cost nothing
    static const char *const order[] = {"a", "ab", "b", "b", "a", "ab", "b", "b", "c", "a"};
    for (int i = 0; i < 10; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        if (i == 8) unit_pair_add_worker(&p, "c", 1);
        struct kvr_pool_choice c;
        struct kvr_booking b;
        cr_assert(kvr_select(p.pool, p.now, text(id), &q, -1, 0, &c, &b) == KVR_OK);
        cr_assert(unit_bytes_compare(c.score.worker, text(order[i])) == 0, "turn %d", i);
        if (order[i][0] == 'b') cr_assert(c.score.rank == (uint32_t)(i % 4 == 3));
    }
    unit_pair_free(&p);
}

// p ∝ exp(-(cost - min) / ((max - min) · T)), drawn over a grid of random numbers.
Test(policy, temperature) {
    enum { UNIT_POLICY_WORKERS = 4, UNIT_POLICY_DRAWS = 4000 };
    static const double weights[] = {0.25, 1, 4};
    for (size_t k = 0; k < 3; k++) {
        static struct unit_pair p;
        start(&p, 16);
        static const uint64_t hashes[] = {1, 2, 3, 4, 5, 6};
        char names[UNIT_POLICY_WORKERS][2] = {"a", "b", "c", "d"};
        for (int i = 0; i < UNIT_POLICY_WORKERS; i++) {
            unit_pair_add_worker(&p, names[i], 1);
            struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = hashes, .n = (size_t)i * 2};
            cr_assert(unit_pair_event(&p, text(names[i]), 0, 1, 1, &op, 1, false) == KVR_OK);
        }
        struct kvr_query q = {.hashes = hashes, .n = 6, .isl = -1};
        q.rule = kvr_pool_options(p.pool)->rule;
        q.rule.temperature = weights[k];
        double want[UNIT_POLICY_WORKERS], sum = 0;
        int drawn[UNIT_POLICY_WORKERS] = {0};
        for (int i = 0; i < UNIT_POLICY_WORKERS; i++)
            sum += want[i] = exp(-(double)(UNIT_POLICY_WORKERS - 1 - i) /
                                 (UNIT_POLICY_WORKERS - 1) / weights[k]);
        for (int i = 0; i < UNIT_POLICY_DRAWS; i++) {
            struct kvr_pool_choice c;
            struct kvr_booking b;
            struct kvr_bytes id = text("r");
            double random = (i + 0.5) / UNIT_POLICY_DRAWS;
            cr_assert(kvr_select(p.pool, p.now, id, &q, -1, random, &c, &b) == KVR_OK);
            drawn[c.score.worker.p[0] - 'a']++;
            cr_assert(kvr_release(p.pool, p.now, &id, 1, KVR_RELEASED) == 1);
        }
        for (int i = 0; i < UNIT_POLICY_WORKERS; i++)
            cr_assert(fabs(drawn[i] - want[i] / sum * UNIT_POLICY_DRAWS) < 2, "%d of %g", drawn[i],
                      want[i] / sum * UNIT_POLICY_DRAWS);
        unit_pair_free(&p);
    }
}

Test(policy, temperature_of_equals_is_uniform) {
    static struct unit_pair p;
    start(&p, 16);
    unit_pair_add_worker(&p, "a", 1);
    unit_pair_add_worker(&p, "b", 4);
    struct kvr_query q = {.isl = 0, .rule = kvr_pool_options(p.pool)->rule};
    q.rule.temperature = 1;
    int first = 0;
    for (int i = 0; i < 1000; i++) {
        struct kvr_pool_choice c;
        struct kvr_booking b;
        struct kvr_bytes id = text("r");
        cr_assert(kvr_select(p.pool, p.now, id, &q, -1, i / 1000.0, &c, &b) == KVR_OK);
        first += c.score.worker.p[0] == 'a';
        kvr_release(p.pool, p.now, &id, 1, KVR_RELEASED);
    }
    cr_assert(first >= 199 && first <= 201, "%d of 1000", first);
    // The ends of [0, 1), with a temperature so small that all weights but one vanish.
    q.rule.temperature = 1e-300;
    double ends[] = {0, nextafter(1, 0)};
    for (int i = 0; i < 2; i++) {
        struct kvr_pool_choice c;
        struct kvr_booking b;
        struct kvr_bytes id = text("r");
        cr_assert(kvr_select(p.pool, p.now, id, &q, -1, ends[i], &c, &b) == KVR_OK);
        kvr_release(p.pool, p.now, &id, 1, KVR_RELEASED);
    }
    unit_pair_free(&p);
}

// Who may be chosen: ready, not expired, among those named, not excluded; exclusion is stronger.
Test(policy, eligible) {
    static struct unit_pair p;
    start(&p, 16);
    unit_pair_add_worker(&p, "a", 1);
    unit_pair_add_worker(&p, "b", 1);
    struct kvr_worker_settings draining = {.set = KVR_SET_STATE, .state = KVR_DRAINING};
    cr_assert(unit_pair_worker_set(&p, text("c"), &draining) == KVR_OK);
    struct kvr_worker_settings brief = {.set = KVR_SET_TTL, .ttl = 5};
    cr_assert(unit_pair_worker_set(&p, text("d"), &brief) == KVR_OK);
    struct kvr_query q = {.isl = 0, .rule = kvr_pool_options(p.pool)->rule};
    struct kvr_bytes named[] = {text("a"), text("c"), text("nobody"), text("d")};
    q.among = q.exclude = named;
    for (int round = 0; round < 2; round++, p.now += 5) {
        for (int i = 0; i < 16; i++) {
            q.has_among = i & 1;
            q.n_among = i & 2 ? 4 : 0;
            q.n_exclude = i & 4 ? 1 : i & 8 ? 4 : 0;
            cr_assert(unit_pair_scores(&p, &q) == KVR_OK);
        }
    }
    q.has_among = true;
    q.n_among = 0;
    cr_assert(unit_pair_select(&p, text("r"), &q, -1, 0) == KVR_NOWORKER);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

Test(policy, no_workers) {
    static struct unit_pair p;
    start(&p, 16);
    static const uint64_t hashes[] = {1, 2};
    struct kvr_query q = {.hashes = hashes, .n = 2, .isl = -1};
    for (int drawn = 0; drawn < 2; drawn++) {
        q.rule = kvr_pool_options(p.pool)->rule;
        q.rule.temperature = drawn;
        cr_assert(unit_pair_scores(&p, &q) == KVR_OK);
        cr_assert(unit_pair_select(&p, text("r"), &q, -1, 0.5) == KVR_NOWORKER);
    }
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}
