// SPDX-License-Identifier: Apache-2.0
// Long prompts that many hold: what a match counts for several runs at once, and what is chosen from many at once,
// against going through all of them one by one.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/tree/tree.h"
#include "tests/support/support_alloc.h"
#include "unit_source.h"
#include "unit_waiting.h"

enum { UNIT_HOLDERS = 150, UNIT_HOLDERS_PATHS = 3, UNIT_HOLDERS_BLOCKS = 1500 };

// Prompts that are the same up to some block; held[path] is of the blocks from there on, held[0] of all before.
struct unit_long_prompts {
    struct support_alloc memory;
    struct core_mem mem;
    struct core_tree tree;
    struct unit_source source;
    uint64_t seed;
    size_t parts[UNIT_HOLDERS_PATHS]; // where a path leaves the first one; 0 of that
    uint64_t hashes[UNIT_HOLDERS_PATHS][UNIT_HOLDERS_BLOCKS];
    uint32_t slots[UNIT_HOLDERS][KVR_TIERS];
    bool held[UNIT_HOLDERS_PATHS][UNIT_HOLDERS][KVR_TIERS][UNIT_HOLDERS_BLOCKS];
};

static bool *held_at(struct unit_long_prompts *f, size_t path, size_t holder, int tier, size_t i) {
    return &f->held[i < f->parts[path] ? 0 : path][holder][tier][i];
}

static void change(struct unit_long_prompts *f, size_t path, size_t holder, int tier, size_t from,
                   size_t to, bool store) {
    uint64_t changed;
    uint32_t *slot = &f->slots[holder][tier];
    const uint64_t *hashes = f->hashes[path];
    core_tree_begin(&f->tree, -1);
    if (!*slot) *slot = core_tree_new_slot(&f->tree, (uint32_t)holder, tier, 0);
    enum kvr_err err = store
                           ? core_tree_store(&f->tree, *slot, from ? &hashes[from - 1] : NULL,
                                             hashes + from, to - from, &changed)
                           : core_tree_remove(&f->tree, *slot, hashes + from, to - from, &changed);
    cr_assert(err == KVR_OK, "seed %" PRIu64 ": error %d", f->seed, err);
    core_tree_commit(&f->tree);
    for (size_t i = from; i < to; i++)
        *held_at(f, path, holder, tier, i) = store;
}

static void check_request(struct unit_long_prompts *f, size_t path, size_t n, bool known_before) {
    static uint32_t reach[UNIT_HOLDERS], tiers[KVR_TIERS][UNIT_HOLDERS], before[UNIT_HOLDERS];
    struct core_match m = {.reach = reach, .by_tier = {tiers[0], tiers[1], tiers[2]}};
    memset(tiers, 0, sizeof tiers);
    for (size_t k = 0; k < UNIT_HOLDERS; k++) {
        bool some = known_before && unit_source_chance(&f->source, 30);
        before[k] = some ? unit_source_below(&f->source, (uint32_t)n + 1) : 0;
        reach[k] = tiers[0][k] = before[k];
        m.longest = before[k] > m.longest ? before[k] : m.longest;
    }
    core_tree_match(&f->tree, f->hashes[path], n, &m);
    for (size_t k = 0; k < UNIT_HOLDERS; k++) {
        uint32_t overlap = 0, by_tier[KVR_TIERS] = {0};
        for (; overlap < n; overlap++) {
            int tier = 0;
            while (overlap >= before[k] && tier < KVR_TIERS && !*held_at(f, path, k, tier, overlap))
                tier++;
            if (tier == KVR_TIERS) break;
            by_tier[tier]++;
        }
        cr_assert(reach[k] == overlap, "seed %" PRIu64 ", holder %zu: %u instead of %u", f->seed, k,
                  reach[k], overlap);
        for (int t = 0; t < KVR_TIERS; t++)
            cr_assert(tiers[t][k] == by_tier[t], "seed %" PRIu64 ", holder %zu, tier %d: %u not %u",
                      f->seed, k, t, tiers[t][k], by_tier[t]);
    }
}

static void check_requests(struct unit_long_prompts *f) {
    const char *broken = core_tree_validate(&f->tree);
    cr_assert(!broken, "seed %" PRIu64 ": %s", f->seed, broken);
    for (size_t path = 0; path < UNIT_HOLDERS_PATHS; path++)
        for (int k = 0; k < 4; k++) {
            size_t part = 1 + unit_source_below(&f->source, UNIT_HOLDERS_BLOCKS);
            check_request(f, path, k ? part : UNIT_HOLDERS_BLOCKS, k & 1);
        }
}

static void begin(struct unit_long_prompts *f, uint64_t seed) {
    f->seed = seed;
    f->source.state = seed;
    f->mem.alloc = support_alloc_use(&f->memory);
    cr_assert(core_tree_init(&f->tree, &f->mem, seed) == 0);
}

static void make_prompts(struct unit_long_prompts *f) {
    for (size_t path = 0; path < UNIT_HOLDERS_PATHS; path++)
        for (size_t i = 0; i < UNIT_HOLDERS_BLOCKS; i++)
            f->hashes[path][i] =
                i < f->parts[path] ? f->hashes[0][i] : unit_source_next(&f->source);
}

static void end(struct unit_long_prompts *f) {
    check_requests(f);
    core_tree_free(&f->tree);
    support_alloc_check_freed(&f->memory, "long prompts");
}

// Of most prompts most holders have all, some a part, some in two tiers, and some nothing any more. Every other seed's
// begin in one tier, so that their slots' numbers follow one another as theirs do.
static void play(struct unit_long_prompts *f, uint64_t seed) {
    begin(f, seed);
    for (size_t path = 1; path < UNIT_HOLDERS_PATHS; path++)
        f->parts[path] = unit_source_below(&f->source, UNIT_HOLDERS_BLOCKS);
    make_prompts(f);
    for (size_t k = 0; k < UNIT_HOLDERS; k++)
        for (size_t path = 0; path < UNIT_HOLDERS_PATHS; path++) {
            bool other = seed % 2 && unit_source_chance(&f->source, 10);
            int tier = other ? KVR_HOST : KVR_DEVICE;
            change(f, path, k, tier, 0, UNIT_HOLDERS_BLOCKS, true);
        }
    check_requests(f);
    for (int step = 0; step < 60; step++) {
        struct unit_source *s = &f->source;
        size_t path = unit_source_below(s, UNIT_HOLDERS_PATHS);
        size_t holder = unit_source_below(s, UNIT_HOLDERS);
        size_t from = unit_source_below(s, UNIT_HOLDERS_BLOCKS);
        size_t n = 1 + unit_source_below(s, (uint32_t)(UNIT_HOLDERS_BLOCKS - from));
        int tier = (int)unit_source_below(s, KVR_TIERS);
        bool store = unit_source_chance(s, 50);
        if (unit_source_chance(s, 10) && f->slots[holder][tier]) {
            core_tree_begin(&f->tree, -1);
            cr_assert(core_tree_drop(&f->tree, f->slots[holder][tier]) == 0);
            core_tree_commit(&f->tree);
            f->slots[holder][tier] = 0;
            for (size_t p = 0; p < UNIT_HOLDERS_PATHS; p++)
                memset(f->held[p][holder][tier], 0, sizeof f->held[p][holder][tier]);
        } else {
            change(f, path, holder, tier, store ? 0 : from, from + n, store);
        }
        if (step % 6 == 0) check_requests(f);
    }
    end(f);
}

Test(holders, long_prompts_match_as_block_by_block) {
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct unit_long_prompts *f = calloc(1, sizeof *f);
        play(f, seed);
        free(f);
    }
}

// Holders are sorted by tier first: the first and the last of some can be as far apart as if all stood in a row, and
// those between them, who hold another prompt, do.
Test(holders, tiers_apart_are_no_row) {
    for (size_t row = 8; row <= 64; row *= 2) {
        struct unit_long_prompts *f = calloc(1, sizeof *f);
        begin(f, row);
        make_prompts(f);
        for (size_t k = 0; k < 2 * row - 2; k++) {
            size_t path = k > 0 && k < row - 1 ? 1 : 0;
            int tier = k == row - 1 ? KVR_HOST : KVR_DEVICE;
            change(f, path, k, tier, 0, UNIT_HOLDERS_BLOCKS, true);
        }
        end(f);
        free(f);
    }
}

// ---- Choosing ------------------------------------------------------------------------------------

// SCORE sorts all that SELECT looks for the least of: least cost, then booked longest ago, then by name.
static void choose_from_many(uint64_t seed) {
    struct support_alloc memory = {0};
    struct kvr_alloc a = support_alloc_use(&memory);
    struct unit_source s = {.state = seed};
    struct kvr_options o;
    kvr_options_default(&o);
    o.rule.policy = seed % 2 ? KVR_DELAY : KVR_LINEAR;
    if (seed % 3 == 0) o.block_size = 12;
    struct kvr_pool *p = kvr_pool_new(&a, &o, seed);
    uint32_t workers = 1 + unit_source_below(&s, 400);
    for (uint32_t k = 0; k < workers; k++) {
        char name[16];
        int done;
        struct kvr_worker_settings w = {.set = KVR_SET_RANKS, .ranks = 1 + k % 2};
        snprintf(name, sizeof name, "w%u", (k * 37) % workers);
        cr_assert(kvr_worker_set(p, 1000, text(name), &w, &done) == KVR_OK);
    }
    uint64_t hashes[64];
    for (size_t i = 0; i < 64; i++)
        hashes[i] = unit_source_next(&s);
    for (unsigned k = 0; k < 600; k++) {
        struct kvr_query q = {.hashes = hashes,
                              .n = unit_source_below(&s, 64),
                              .isl = -1,
                              .rule = kvr_pool_options(p)->rule};
        const struct kvr_pool_score *scores;
        size_t n;
        cr_assert(kvr_scores(p, 1000, &q, &scores, &n) == KVR_OK && n >= workers);
        char id[16], best[KVR_MAX_NAME];
        size_t length = scores[0].worker.n;
        memcpy(best, scores[0].worker.p, length);
        uint32_t rank = scores[0].rank;
        double cost = scores[0].cost;
        struct kvr_pool_choice c;
        struct kvr_booking b;
        snprintf(id, sizeof id, "r%u", k);
        cr_assert(kvr_select(p, 1000, text(id), &q, -1, 0, &c, &b) == KVR_OK);
        cr_assert(c.score.worker.n == length && !memcmp(c.score.worker.p, best, length) &&
                      c.score.rank == rank && c.score.cost == cost,
                  "seed %" PRIu64 ", request %u: another is chosen", seed, k);
        snprintf(id, sizeof id, "r%u", unit_source_below(&s, k + 1));
        struct kvr_bytes ended = text(id);
        if (unit_source_chance(&s, 30)) kvr_release(p, 1000, &ended, 1, KVR_RELEASED);
    }
    const char *broken = kvr_pool_validate(p);
    cr_assert(!broken, "seed %" PRIu64 ": %s", seed, broken);
    kvr_pool_free(p);
    support_alloc_check_freed(&memory, "many to choose from");
}

Test(holders, the_least_of_many_is_chosen) {
    for (uint64_t seed = 1; seed <= 12; seed++)
        choose_from_many(seed);
}

// Costs are worked out for some workers at a time; these stand at the ends of what could be such a stretch.
enum { UNIT_FAR_WORKERS = 1200, UNIT_FAR_BLOCKS = 32 };
static const size_t far_places[] = {0, 63, 64, 127, 128, 511, 512, 513, 1023, 1024, 1199};

static struct kvr_bytes far_name(size_t k, char room[16]) {
    return (struct kvr_bytes){room, (size_t)snprintf(room, 16, "w%04zu", k)};
}

static struct kvr_bytes far_id(size_t k, char room[16]) {
    return (struct kvr_bytes){room, (size_t)snprintf(room, 16, "r%zu", k)};
}

static void far_books(struct kvr_pool *p, const struct kvr_query *q, size_t request,
                      size_t wanted) {
    char id[16], room[16];
    struct kvr_pool_choice c;
    struct kvr_booking b;
    struct kvr_bytes name = far_name(wanted, room);
    cr_assert(kvr_select(p, 1000, far_id(request, id), q, -1, 0, &c, &b) == KVR_OK);
    cr_assert(c.score.worker.n == name.n && !memcmp(c.score.worker.p, name.p, name.n),
              "%.*s instead of %s", (int)c.score.worker.n, c.score.worker.p, room);
}

static void far_ends(struct kvr_pool *p, size_t request) {
    char id[16];
    struct kvr_bytes ended = far_id(request, id);
    cr_assert(kvr_release(p, 1000, &ended, 1, KVR_RELEASED) == 1);
}

static void far_is_busy(struct kvr_pool *p, const struct kvr_query *q, size_t worker,
                        bool prefilled) {
    char id[16], room[16];
    int live;
    struct kvr_bytes only = far_name(worker, room);
    struct kvr_query another = *q;
    another.hashes += UNIT_FAR_BLOCKS;
    another.has_among = true;
    another.among = &only;
    another.n_among = 1;
    far_books(p, &another, worker, worker);
    if (prefilled) cr_assert(!kvr_update(p, 1000, far_id(worker, id), true, 0, -1, &live) && live);
}

// The one that holds the prompt among idle workers, and the one that is idle among busy ones, wherever it stands. Those
// are busy with prefill, for every other place with decoding alone.
static void choose_far_away(struct kvr_pool *p, const struct kvr_query *q) {
    char room[16];
    for (size_t i = 0; i < sizeof far_places / sizeof *far_places; i++) {
        size_t place = far_places[i];
        struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = q->hashes, .n = UNIT_FAR_BLOCKS};
        struct kvr_event_result r;
        struct kvr_bytes name = far_name(place, room);
        cr_assert(kvr_event(p, name, 0, 1, 1, &op, 1, true, &r) == KVR_OK);
        far_books(p, q, UNIT_FAR_WORKERS, place);
        far_ends(p, UNIT_FAR_WORKERS);
        op.kind = KVR_REMOVED;
        cr_assert(kvr_event(p, name, 0, 1, 2, &op, 1, true, &r) == KVR_OK);

        for (size_t k = 0; k < UNIT_FAR_WORKERS; k++)
            if (k != place) far_is_busy(p, q, k, i % 2);
        far_is_busy(p, q, place, false); // of equals it would be the last to be chosen
        far_ends(p, place);
        far_books(p, q, place, place);
        for (size_t k = 0; k < UNIT_FAR_WORKERS; k++)
            far_ends(p, k);
    }
}

Test(holders, who_stands_far_behind_is_seen) {
    for (int policy = KVR_LINEAR; policy <= KVR_DELAY; policy++) {
        struct support_alloc memory = {0};
        struct kvr_alloc a = support_alloc_use(&memory);
        struct kvr_options o;
        kvr_options_default(&o);
        o.rule.policy = policy;
        o.predict = 0; // or whoever was booked would hold the prompt
        struct kvr_pool *p = kvr_pool_new(&a, &o, 1);
        for (size_t k = 0; k < UNIT_FAR_WORKERS; k++) {
            char room[16];
            int done;
            struct kvr_worker_settings w = {0};
            cr_assert(kvr_worker_set(p, 1000, far_name(k, room), &w, &done) == KVR_OK);
        }
        uint64_t hashes[2 * UNIT_FAR_BLOCKS]; // of two prompts
        for (size_t i = 0; i < 2 * UNIT_FAR_BLOCKS; i++)
            hashes[i] = 1000 + i;
        struct kvr_query q = {
            .hashes = hashes, .n = UNIT_FAR_BLOCKS, .isl = -1, .rule = kvr_pool_options(p)->rule};
        choose_far_away(p, &q);
        kvr_pool_free(p);
        support_alloc_check_freed(&memory, "far away");
    }
}
