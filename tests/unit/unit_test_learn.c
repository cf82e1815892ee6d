// SPDX-License-Identifier: Apache-2.0
// What a pool learns: the same on every copy, to the bit, and not led astray by what isn't so.
//
// How the estimators work is learn.c's business and may change: what is held here is what they promise.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "module/core/state/pool_state.h"
#include "tests/support/support_alloc.h"
#include "unit_saved.h"
#include "unit_traffic.h"

static void must(enum kvr_err err) {
    cr_assert(err == KVR_OK, "refused: %d", err);
}

// ---- Copies --------------------------------------------------------------------------------------

enum { UNIT_LEARN_COPIES = 3, UNIT_LEARN_FLEET = 5, UNIT_LEARN_IDS = 40, UNIT_LEARN_STEPS = 4000 };
enum {
    UNIT_LEARN_PRIMARY,
    UNIT_LEARN_RELOADED,
    UNIT_LEARN_REPLICA
}; // does what it is asked; so, but is saved and loaded now and then; gets effects

struct unit_copies {
    struct support_alloc mem;
    struct kvr_alloc alloc;
    struct kvr_pool *pool[UNIT_LEARN_COPIES];
    struct unit_source source;
    int64_t now;
};

static void agree(struct unit_copies *c, int step) {
    uint8_t want[2][KVR_DIGEST_BYTES], got[2][KVR_DIGEST_BYTES];
    for (int k = 0; k < UNIT_LEARN_COPIES; k++) {
        kvr_pool_digest_learnt(c->pool[k], k ? got[0] : want[0]);
        kvr_pool_digest(c->pool[k], k ? got[1] : want[1]);
        if (!k) continue;
        cr_assert(memcmp(want[1], got[1], KVR_DIGEST_BYTES) == 0, "step %d, copy %d: state", step,
                  k);
        cr_assert(memcmp(want[0], got[0], KVR_DIGEST_BYTES) == 0, "step %d, copy %d", step, k);
        cr_assert(kvr_pool_version(c->pool[0]) == kvr_pool_version(c->pool[k]));
    }
}

static struct kvr_bytes draw_name(struct unit_source *s, char kind, uint32_t n, char room[16]) {
    return (struct kvr_bytes){room, (size_t)sprintf(room, "%c%u", kind, unit_source_below(s, n))};
}

static void book(struct unit_copies *c) {
    struct unit_source *s = &c->source;
    char id_room[16], session_room[16];
    uint64_t hashes[64];
    uint32_t n = unit_source_below(s, 60), of = unit_source_below(s, 4);
    for (uint32_t i = 0; i < n; i++)
        hashes[i] = (of + 1) * 1000003u + i * 0x9e3779b97f4a7c15u;
    struct kvr_query q = {.hashes = hashes, .n = n, .isl = n * 16 + unit_source_below(s, 16)};
    q.rule = kvr_pool_options(c->pool[0])->rule;
    if (unit_source_chance(s, 30)) q.osl = 1 + unit_source_below(s, 500);
    if (unit_source_chance(s, 30)) q.session = draw_name(s, 's', 6, session_room);
    struct kvr_bytes id = draw_name(s, 'r', UNIT_LEARN_IDS, id_room);
    struct kvr_booking booked[2];
    struct kvr_pool_choice choice[2];
    for (int k = 0; k < 2; k++) {
        enum kvr_err err = kvr_select(c->pool[k], c->now, id, &q, -1, 0, &choice[k], &booked[k]);
        if (err == KVR_NOWORKER) return;
        must(err);
    }
    // Statistics that only a primary keeps aside, both that were asked answered alike.
    cr_assert(choice[0].score.rank == choice[1].score.rank && choice[0].repeat == choice[1].repeat);
    cr_assert(unit_bytes_compare(choice[0].score.worker, choice[1].score.worker) == 0);
    cr_assert(choice[0].score.cost == choice[1].score.cost &&
              choice[0].score.ttft == choice[1].score.ttft &&
              choice[0].score.tpot == choice[1].score.tpot);
    if (choice[0].repeat) return;
    int done;
    must(kvr_claim(c->pool[UNIT_LEARN_REPLICA], id, choice[0].score.worker, choice[0].score.rank,
                   &booked[0], &done));
    cr_assert(done);
}

// On every copy alike: an effect carries what it needs.
static void go_on(struct unit_copies *c) {
    struct unit_source *s = &c->source;
    char room[16];
    struct kvr_bytes id = draw_name(s, 'r', UNIT_LEARN_IDS, room);
    uint32_t what = unit_source_below(s, 10);
    bool prefilled = unit_source_chance(s, 70);
    int64_t output = unit_source_chance(s, 70) ? (int64_t)unit_source_below(s, 800) : -1;
    enum kvr_end how = unit_source_chance(s, 80) ? KVR_RELEASED : KVR_LAPSED;
    // What a release doesn't teach needn't be told to a copy.
    bool untold = how == KVR_RELEASED && !kvr_release_teaches(c->pool[0], &id, 1);
    for (int k = 0; k < UNIT_LEARN_COPIES; k++) {
        int live;
        if (what < 6)
            must(kvr_update(c->pool[k], c->now, id, prefilled, output, -1, &live));
        else
            kvr_release(c->pool[k], c->now, &id, 1, k && untold ? KVR_UNTOLD : how);
    }
}

static void change_fleet(struct unit_copies *c) {
    struct unit_source *s = &c->source;
    char room[16];
    struct kvr_bytes name = draw_name(s, 'w', UNIT_LEARN_FLEET, room);
    struct kvr_worker_settings w = {.set = KVR_SET_RANKS | KVR_SET_CAPACITY,
                                    .ranks = 1 + unit_source_below(s, 3),
                                    .capacity = unit_source_below(s, 300)};
    bool gone = unit_source_chance(s, 10), speed = unit_source_chance(s, 20);
    if (speed) w.set |= KVR_SET_SPEED, w.speed = unit_source_below(s, 3);
    for (int k = 0; k < UNIT_LEARN_COPIES; k++) {
        int created;
        if (gone)
            kvr_worker_del(c->pool[k], name);
        else
            must(kvr_worker_set(c->pool[k], c->now, name, &w, &created));
    }
}

static void reload(struct unit_copies *c, int k) {
    enum kvr_err err;
    struct kvr_pool *copy = unit_saved_copy(c->pool[k], &c->alloc, &err);
    must(err);
    kvr_pool_free(c->pool[k]);
    c->pool[k] = copy;
}

static void copies_run(uint64_t seed) {
    struct unit_copies c = {.source = {.state = seed}, .now = 1000000};
    struct kvr_options o;
    kvr_options_default(&o);
    o.predict = seed % 2 ? 5000 : 0;
    c.alloc = support_alloc_use(&c.mem);
    for (int k = 0; k < UNIT_LEARN_COPIES; k++)
        c.pool[k] = kvr_pool_new(&c.alloc, &o, seed + (uint64_t)k);
    for (int step = 0; step < UNIT_LEARN_STEPS; step++) {
        // Clocks do what clocks do.
        if (unit_source_chance(&c.source, 70)) c.now += unit_source_below(&c.source, 100);
        if (unit_source_below(&c.source, 500) == 0) c.now += 3600000;
        if (unit_source_below(&c.source, 500) == 0) c.now -= 300000;
        uint32_t what = unit_source_below(&c.source, 100);
        if (what < 3 || step < 5)
            change_fleet(&c);
        else if (what < 45)
            book(&c);
        else
            go_on(&c);
        if (unit_source_below(&c.source, 60) == 0) reload(&c, UNIT_LEARN_RELOADED);
        if (unit_source_below(&c.source, 400) == 0) reload(&c, UNIT_LEARN_REPLICA);
        if (step % 20 == 0) agree(&c, step);
        for (int k = 0; k < UNIT_LEARN_COPIES && step % 100 == 0; k++) {
            const char *broken = kvr_pool_validate(c.pool[k]);
            cr_assert(!broken, "copy %d: %s", k, broken);
        }
    }
    agree(&c, UNIT_LEARN_STEPS);
    for (int k = 0; k < UNIT_LEARN_COPIES; k++)
        kvr_pool_free(c.pool[k]);
    support_alloc_check_freed(&c.mem, "copies");
}

Test(learn, copies_agree) {
    for (uint64_t seed = 1; seed <= 10; seed++)
        copies_run(seed);
}

// ---- One engine ----------------------------------------------------------------------------------

struct unit_engine {
    struct kvr_pool *pool;
    struct support_alloc mem;
    int64_t now;
    double ms_per_prompt_token, ms_per_token;
};

static void engine_start(struct unit_engine *e) {
    struct kvr_options o;
    kvr_options_default(&o);
    *e = (struct unit_engine){.now = 1000000, .ms_per_prompt_token = 0.5, .ms_per_token = 20};
    struct kvr_alloc a = support_alloc_use(&e->mem);
    e->pool = kvr_pool_new(&a, &o, 1);
    struct kvr_worker_settings w = {0};
    int created;
    must(kvr_worker_set(e->pool, e->now, text("other"), &w, &created));
    must(kvr_worker_set(e->pool, e->now, text("w"), &w, &created));
}

static void engine_end(struct unit_engine *e) {
    const char *broken = kvr_pool_validate(e->pool);
    cr_assert(!broken, "%s", broken);
    kvr_pool_free(e->pool);
    support_alloc_check_freed(&e->mem, "one engine");
}

enum unit_learn_told {
    UNIT_LEARN_TELL_ALL,
    UNIT_LEARN_NO_PREFILLED,
    UNIT_LEARN_NO_OUTPUT,
    UNIT_LEARN_NOTHING,
    UNIT_LEARN_LAPSES
};

// One request after the other: nothing else is queued.
static void serve(struct unit_engine *e, int64_t isl, int64_t output, enum unit_learn_told told) {
    struct kvr_bytes id = text("r");
    struct kvr_booking b = {.isl = isl, .created = e->now, .renewed = e->now};
    int done, live;
    must(kvr_claim(e->pool, id, text("w"), 0, &b, &done));
    e->now += (int64_t)((double)isl * e->ms_per_prompt_token);
    if (told == UNIT_LEARN_TELL_ALL || told == UNIT_LEARN_NO_OUTPUT || told == UNIT_LEARN_LAPSES)
        must(kvr_update(e->pool, e->now, id, true, -1, -1, &live));
    e->now += (int64_t)((double)(output - 1) * e->ms_per_token);
    if (told == UNIT_LEARN_TELL_ALL || told == UNIT_LEARN_NO_PREFILLED || told == UNIT_LEARN_LAPSES)
        must(kvr_update(e->pool, e->now, id, false, output, -1, &live));
    cr_assert(kvr_release(e->pool, e->now, &id, 1,
                          told == UNIT_LEARN_LAPSES ? KVR_LAPSED : KVR_RELEASED) == 1);
}

static void serve_many(struct unit_engine *e, int n, enum unit_learn_told told) {
    for (int i = 0; i < n; i++)
        serve(e, 800 + i % 5 * 100, 90 + i % 7 * 10, told);
}

// What a request of 1,000 tokens would be told.
static struct kvr_pool_score told_now(struct unit_engine *e) {
    struct kvr_bytes only = text("w");
    struct kvr_query q = {.isl = 1000, .has_among = true, .among = &only, .n_among = 1};
    q.rule = kvr_pool_options(e->pool)->rule;
    const struct kvr_pool_score *s;
    size_t n;
    must(kvr_scores(e->pool, e->now, &q, &s, &n));
    cr_assert(n == 1);
    return s[0];
}

static void learnt_digest(struct unit_engine *e, uint8_t out[KVR_DIGEST_BYTES]) {
    kvr_pool_digest_learnt(e->pool, out);
}

static bool about(double got, double want, double times) {
    return got <= want * times && got >= want / times;
}

Test(learn, what_an_engine_does) {
    struct unit_engine e;
    engine_start(&e);
    struct kvr_pool_score s = told_now(&e);
    cr_assert(s.ttft == -1 && s.tpot == -1);
    serve_many(&e, 1, UNIT_LEARN_TELL_ALL); // nobody waited before it, so it tells all at once
    s = told_now(&e);
    cr_assert(s.ttft > 0 && s.tpot > 0);
    serve_many(&e, 50, UNIT_LEARN_TELL_ALL);
    s = told_now(&e);
    cr_assert(about(s.ttft, 500, 1.1) && about(s.tpot, 20, 1.1), "%g %g", s.ttft, s.tpot);
    struct kvr_rank_info r;
    kvr_worker_rank(e.pool, 1, 0, &r);
    cr_assert(about(r.ttft, 500, 1.2) && about(r.tpot, 20, 1.1), "%g %g", r.ttft, r.tpot);
    kvr_worker_rank(e.pool, 0, 0, &r); // the other had nothing to do
    cr_assert(r.ttft == -1 && r.tpot == -1);
    engine_end(&e);
}

// Who doesn't say when the first token came, or how many came, teaches nothing false: times stay unknown
// or as they were.
Test(learn, half_told) {
    static const int half[] = {UNIT_LEARN_NO_PREFILLED, UNIT_LEARN_NO_OUTPUT, UNIT_LEARN_NOTHING};
    for (size_t i = 0; i < sizeof half / sizeof *half; i++) {
        struct unit_engine e;
        engine_start(&e);
        serve_many(&e, 100, half[i]);
        struct kvr_pool_score s = told_now(&e);
        cr_assert(s.tpot == -1 && (half[i] == UNIT_LEARN_NO_OUTPUT) == (s.ttft >= 0));
        serve_many(&e, 100, UNIT_LEARN_TELL_ALL);
        struct kvr_pool_score before = told_now(&e);
        serve_many(&e, 200, half[i]);
        s = told_now(&e);
        cr_assert(s.tpot == before.tpot && about(s.ttft, before.ttft, 1.01));
        engine_end(&e);
    }
}

// A lease that ends says when nobody cared any more, not when the answer was whole.
Test(learn, a_lapse_teaches_nothing_of_the_end) {
    struct unit_engine e;
    engine_start(&e);
    serve_many(&e, 100, UNIT_LEARN_TELL_ALL);
    struct kvr_pool_score before = told_now(&e);
    e.ms_per_token = 500;
    serve_many(&e, 100, UNIT_LEARN_LAPSES);
    struct kvr_pool_score s = told_now(&e);
    cr_assert(s.tpot == before.tpot);
    engine_end(&e);
}

// Where nothing is told at all, nothing at all is learnt of times.
Test(learn, unknown_ends) {
    struct unit_engine e;
    engine_start(&e);
    struct kvr_booking b = {.isl = 500, .created = e.now, .renewed = e.now};
    struct kvr_bytes id = text("r");
    int done;
    must(kvr_claim(e.pool, id, text("w"), 0, &b, &done));
    uint8_t before[KVR_DIGEST_BYTES], after[KVR_DIGEST_BYTES];
    int live;
    must(kvr_update(e.pool, e.now + 100, id, true, 50, -1, &live));
    double numbers[CORE_LEARNT_NUMBERS], then[CORE_LEARNT_NUMBERS];
    core_learnt_numbers(&e.pool->learnt, numbers);
    learnt_digest(&e, before);
    cr_assert(kvr_release(e.pool, 0, &id, 1, KVR_UNTOLD) == 1);
    core_learnt_numbers(&e.pool->learnt, then);
    learnt_digest(&e, after);
    cr_assert(memcmp(numbers, then, sizeof numbers) == 0);
    cr_assert(memcmp(before, after, sizeof before) != 0); // the request is gone from it
    engine_end(&e);
}

// An engine that becomes ten times slower, or faster, is believed within so many requests: what is told
// then is nearer to the truth than to twice or half of it.
Test(learn, a_change_of_ten_times) {
    static const double times[] = {10, 0.1};
    for (int i = 0; i < 2; i++) {
        struct unit_engine e;
        engine_start(&e);
        serve_many(&e, 4 * CORE_LEARN_WINDOW, UNIT_LEARN_TELL_ALL);
        e.ms_per_prompt_token *= times[i];
        e.ms_per_token *= times[i];
        serve_many(&e, 4 * CORE_LEARN_WINDOW, UNIT_LEARN_TELL_ALL);
        struct kvr_pool_score s = told_now(&e);
        cr_assert(about(s.ttft, 500 * times[i], 2), "ttft %g", s.ttft);
        cr_assert(about(s.tpot, 20 * times[i], 1.5), "tpot %g", s.tpot);
        engine_end(&e);
    }
}

// A report that was stuck, a clock that jumped: one of a million times, or of none, shifts what is
// believed by a few per cent.
Test(learn, one_that_is_far_off) {
    static const double times[] = {1e6, 1e-6, 1e3};
    for (int i = 0; i < 3; i++) {
        struct unit_engine e;
        engine_start(&e);
        serve_many(&e, 2 * CORE_LEARN_WINDOW, UNIT_LEARN_TELL_ALL);
        struct kvr_pool_score before = told_now(&e);
        struct unit_engine usual = e;
        e.ms_per_prompt_token *= times[i];
        e.ms_per_token *= times[i];
        serve(&e, 1000, 100, UNIT_LEARN_TELL_ALL);
        e.ms_per_prompt_token = usual.ms_per_prompt_token;
        e.ms_per_token = usual.ms_per_token;
        struct kvr_pool_score s = told_now(&e);
        double most = 1 + 1.5 * CORE_LEARN_CLIP / CORE_LEARN_WINDOW;
        cr_assert(about(s.ttft, before.ttft, most), "ttft %g after %g", s.ttft, before.ttft);
        cr_assert(about(s.tpot, before.tpot, most), "tpot %g after %g", s.tpot, before.tpot);
        serve_many(&e, 2 * CORE_LEARN_WINDOW, UNIT_LEARN_TELL_ALL);
        s = told_now(&e);
        cr_assert(about(s.ttft, 500, 1.1) && about(s.tpot, 20, 1.1), "%g %g", s.ttft, s.tpot);
        engine_end(&e);
    }
}

// The very first request is the one that was stuck: the pool gets over it.
Test(learn, far_off_at_once) {
    static const double times[] = {1e3, 1e-3};
    for (int i = 0; i < 2; i++) {
        struct unit_engine e;
        engine_start(&e);
        e.ms_per_prompt_token *= times[i];
        e.ms_per_token *= times[i];
        serve(&e, 1000, 100, UNIT_LEARN_TELL_ALL);
        e.ms_per_prompt_token /= times[i];
        e.ms_per_token /= times[i];
        serve_many(&e, 16 * CORE_LEARN_WINDOW, UNIT_LEARN_TELL_ALL);
        struct kvr_pool_score s = told_now(&e);
        cr_assert(about(s.ttft, 500, 1.2) && about(s.tpot, 20, 1.2), "%g %g", s.ttft, s.tpot);
        engine_end(&e);
    }
}

// Times before the booking, and an hour's jump, both ways.
Test(learn, clocks_that_jump) {
    struct unit_engine e;
    engine_start(&e);
    serve_many(&e, 2 * CORE_LEARN_WINDOW, UNIT_LEARN_TELL_ALL);
    struct kvr_pool_score before = told_now(&e);
    static const int64_t jumps[] = {-3600000, 3600000, -1, -999999};
    for (int i = 0; i < 4; i++) {
        struct kvr_bytes id = text("r");
        struct kvr_booking b = {.isl = 1000, .created = e.now, .renewed = e.now};
        int done, live;
        must(kvr_claim(e.pool, id, text("w"), 0, &b, &done));
        int64_t at = e.now + jumps[i] < 0 ? 0 : e.now + jumps[i];
        must(kvr_update(e.pool, at, id, true, 1, -1, &live));
        must(kvr_update(e.pool, e.now, id, false, 100, -1, &live));
        cr_assert(kvr_release(e.pool, e.now + 2000, &id, 1, KVR_RELEASED) == 1);
        struct kvr_pool_score s = told_now(&e);
        double most = pow(1 + 1.5 * CORE_LEARN_CLIP / CORE_LEARN_WINDOW, i + 1);
        cr_assert(about(s.ttft, before.ttft, most) && about(s.tpot, before.tpot, most));
        cr_assert(!kvr_pool_validate(e.pool));
    }
    serve_many(&e, 4 * CORE_LEARN_WINDOW, UNIT_LEARN_TELL_ALL);
    struct kvr_pool_score s = told_now(&e);
    cr_assert(about(s.ttft, 500, 1.1) && about(s.tpot, 20, 1.1), "%g %g", s.ttft, s.tpot);
    engine_end(&e);
}

// Nobody came while the first was served; that mustn't be believed for ever.
Test(learn, arrivals_after_silence) {
    struct unit_engine e;
    engine_start(&e);
    serve_many(&e, 20, UNIT_LEARN_TELL_ALL);
    cr_assert(core_ratio_mean(e.pool->learnt.arrivals, 0) == 0);
    for (int i = 0; i < 4 * CORE_LEARN_WINDOW; i++) {
        struct kvr_bytes id[] = {text("a"), text("b"), text("c")};
        struct kvr_booking b = {.isl = 1000, .created = e.now, .renewed = e.now};
        int done, live;
        for (int k = 0; k < 3; k++)
            must(kvr_claim(e.pool, id[k], text("w"), 0, &b, &done));
        e.now += 500;
        must(kvr_update(e.pool, e.now, id[0], true, 1, -1, &live));
        kvr_release(e.pool, e.now, id, 3, KVR_RELEASED);
    }
    cr_assert(core_ratio_mean(e.pool->learnt.arrivals, 0) > 0);
    engine_end(&e);
}

// The largest of everything leaves numbers that can be saved and loaded, and costs that are finite.
Test(learn, the_largest_numbers) {
    struct unit_engine e;
    engine_start(&e);
    struct kvr_alloc a = support_alloc_use(&e.mem);
    for (int i = 0; i < 300; i++) {
        struct kvr_bytes id[] = {text("a"), text("b")};
        struct kvr_booking b = {.isl = i % 3 ? KVR_MAX_TOKENS : 1};
        int done, live;
        must(kvr_claim(e.pool, id[0], text("w"), 0, &b, &done));
        must(kvr_claim(e.pool, id[1], text("w"), 0, &b, &done));
        must(kvr_update(e.pool, i % 2 ? 1 : KVR_MAX_MS, id[0], true, 2, -1, &live));
        must(kvr_update(e.pool, 0, id[0], false, i % 5 ? 2 : KVR_MAX_TOKENS, -1, &live));
        kvr_release(e.pool, INT64_MAX, id, 2, KVR_RELEASED);
        struct kvr_pool_score s = told_now(&e);
        cr_assert(isfinite(s.cost) && isfinite(s.ttft) && isfinite(s.tpot));
        const char *broken = kvr_pool_validate(e.pool);
        cr_assert(!broken, "%s", broken);
    }
    enum kvr_err err;
    kvr_pool_free(unit_saved_copy(e.pool, &a, &err));
    must(err);
    // And nothing but empty prompts for so long that all else is forgotten.
    struct kvr_booking b = {.isl = 0};
    for (int i = 0; i < 100000; i++) {
        struct kvr_bytes id = text("r");
        int done;
        must(kvr_claim(e.pool, id, text("w"), 0, &b, &done));
        kvr_release(e.pool, 5, &id, 1, KVR_RELEASED);
    }
    kvr_pool_free(unit_saved_copy(e.pool, &a, &err));
    must(err);
    engine_end(&e);
}

// ---- A pool that is new --------------------------------------------------------------------------

Test(learn, a_new_pool_spreads) {
    enum { UNIT_LEARN_WORKERS = 8, UNIT_LEARN_EACH = 4 };
    static struct unit_pair p;
    struct kvr_options o;
    kvr_options_default(&o);
    unit_pair_init(&p, &o, "a new pool");
    for (int i = 0; i < UNIT_LEARN_WORKERS; i++) {
        char name[] = {(char)('a' + i), '\0'};
        unit_pair_add_worker(&p, name, 1);
    }
    uint64_t hashes[100];
    for (int i = 0; i < UNIT_LEARN_WORKERS * UNIT_LEARN_EACH; i++) {
        char id[16];
        sprintf(id, "r%d", i);
        for (int k = 0; k < 100; k++)
            hashes[k] = (uint64_t)(i * 100 + k + 1) * 0x9e3779b97f4a7c15u;
        struct kvr_query q = {.hashes = hashes, .n = 100, .isl = -1, .rule = o.rule};
        must(unit_pair_select(&p, text(id), &q, -1, 0));
        p.now += 10;
    }
    for (int i = 0; i < UNIT_LEARN_WORKERS; i++) {
        struct kvr_rank_info r;
        kvr_worker_rank(p.pool, (size_t)i, 0, &r);
        cr_assert(r.requests == UNIT_LEARN_EACH, "%d has %d", i, (int)r.requests);
    }
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

// From the first request on: where the prompt is held, and where the turn before it is still computed.
Test(learn, a_new_pool_uses_caches) {
    static struct unit_pair p;
    struct kvr_options o;
    kvr_options_default(&o);
    unit_pair_init(&p, &o, "a new pool");
    unit_pair_add_worker(&p, "a", 1);
    unit_pair_add_worker(&p, "b", 1);
    unit_pair_add_worker(&p, "c", 1);
    uint64_t hashes[200];
    for (int k = 0; k < 200; k++)
        hashes[k] = (uint64_t)(k + 1) * 0x9e3779b97f4a7c15u;
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = hashes, .n = 150};
    must(unit_pair_event(&p, text("b"), 0, 1, 1, &op, 1, false));
    struct kvr_query q = {.hashes = hashes, .n = 160, .isl = -1, .rule = o.rule};
    must(unit_pair_select(&p, text("first"), &q, -1, 0));
    struct kvr_request_info r;
    cr_assert(kvr_request_get(p.pool, p.now, text("first"), &r));
    cr_assert(unit_bytes_compare(r.worker, text("b")) == 0 && r.cached == 150 * 16);
    q.n = 170; // the next turn, while the first is queued
    must(unit_pair_select(&p, text("second"), &q, -1, 0));
    cr_assert(kvr_request_get(p.pool, p.now, text("second"), &r));
    cr_assert(unit_bytes_compare(r.worker, text("b")) == 0 && r.cached == 160 * 16);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}
