// SPDX-License-Identifier: Apache-2.0
// The core's smaller structures alone, each beside something as plain as can be, memory failing now
// and then: the index, the set of runs, the hash table, the deadlines, the live tree.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/base/deadline.h"
#include "module/core/base/hash_map.h"
#include "module/core/tree/block_index.h"
#include "module/core/tree/live_tree.h"
#include "module/core/tree/runset.h"
#include "tests/support/support_alloc.h"
#include "unit_traffic.h"

struct unit_bench {
    struct support_alloc memory;
    struct core_mem mem;
    struct unit_source source;
};

static void start(struct unit_bench *b, uint64_t seed, unsigned one_in) {
    *b = (struct unit_bench){.source = {.state = seed}};
    b->memory.one_in = one_in;
    b->memory.random = seed;
    b->mem.alloc = support_alloc_use(&b->memory);
}

static void finish(struct unit_bench *b) {
    support_alloc_check_freed(&b->memory, "a part");
    cr_assert(b->mem.used == 0);
}

static void is_valid(const char *broken) {
    cr_assert(!broken, "%s", broken);
}

// ---- The index -----------------------------------------------------------------------------------

enum { UNIT_PARTS_KEYS = 20000 };

struct unit_entry {
    uint64_t hash;
    uint32_t run;
    unsigned offset;
    bool in;
};

static bool index_has(const struct core_index *ix, const struct unit_entry *e) {
    struct core_index_probe p = core_index_first(ix, e->hash);
    uint32_t run;
    unsigned offset;
    while (core_index_next(&p, &run, &offset))
        if (run == e->run && offset == e->offset) return true;
    return false;
}

// reserved: entries that it has room for from the start.
static void index_run(uint64_t seed, unsigned one_in, bool crowded, uint64_t reserved) {
    struct unit_bench b;
    struct core_index ix = {0};
    start(&b, seed, one_in);
    while (core_index_init(&ix, &b.mem, seed) || core_index_reserve(&ix, reserved))
        core_index_free(&ix);
    struct unit_entry *all = unit_must_alloc(UNIT_PARTS_KEYS * sizeof *all);
    uint64_t n = 0, counted;
    for (uint32_t i = 0; i < UNIT_PARTS_KEYS; i++) {
        uint64_t hash = unit_source_next(&b.source);
        // Crowded: everything goes to one of a few segments, so that these grow and shrink a lot.
        while (crowded && core_index_mix(&ix, hash) >> 52 > 15)
            hash = unit_source_next(&b.source);
        all[i] = (struct unit_entry){i == 0   ? 0
                                     : i == 1 ? UINT64_MAX
                                              : hash,
                                     i + 1, i % 256, false};
    }
    for (int step = 0; step < 120000; step++) {
        // Mostly adding, then mostly removing, and again.
        bool adding = unit_source_chance(&b.source, step / 20000 % 2 ? 15 : 85);
        struct unit_entry *e = &all[unit_source_below(&b.source, UNIT_PARTS_KEYS)];
        if (adding && !e->in && !core_index_add(&ix, e->hash, e->run, e->offset)) {
            e->in = true;
            n++;
        } else if (!adding && e->in && unit_source_chance(&b.source, 20)) {
            core_index_move(&ix, e->hash, e->run, e->offset, e->run + UNIT_PARTS_KEYS,
                            e->offset ^ 1);
            e->run += UNIT_PARTS_KEYS;
            e->offset ^= 1;
        } else if (!adding && e->in) {
            core_index_remove(&ix, e->hash, e->run, e->offset);
            core_index_trim(&ix, e->hash);
            e->in = false;
            n--;
        }
        cr_assert(index_has(&ix, e) == e->in);
        if (step % 5000) continue;
        is_valid(core_index_validate(&ix, &counted));
        cr_assert(counted == n);
        for (uint32_t i = 0; i < UNIT_PARTS_KEYS; i++)
            cr_assert(index_has(&ix, &all[i]) == all[i].in);
    }
    // Putting back what was just removed needs no memory: undoing relies on it.
    for (uint32_t i = 0; i < UNIT_PARTS_KEYS; i++)
        if (all[i].in && i % 3 == 0) core_index_remove(&ix, all[i].hash, all[i].run, all[i].offset);
    b.memory.one_in = 1;
    for (uint32_t i = 0; i < UNIT_PARTS_KEYS; i++)
        if (all[i].in && i % 3 == 0)
            cr_assert(!core_index_add(&ix, all[i].hash, all[i].run, all[i].offset));
    is_valid(core_index_validate(&ix, &counted));
    cr_assert(counted == n);
    core_index_free(&ix);
    free(all);
    finish(&b);
}

Test(parts, index) {
    index_run(1, 0, false, 0);
    index_run(2, 3, false, 0);
}

Test(parts, index_crowded) {
    index_run(3, 0, true, 0);
    index_run(4, 3, true, 0);
}

Test(parts, index_reserved) {
    index_run(5, 0, false, UNIT_PARTS_KEYS);
    index_run(6, 3000, false, UNIT_PARTS_KEYS / 2);
    index_run(7, 0, true, UNIT_PARTS_KEYS);
}

// As many as it was made for come in without memory, but for the segments that get more than their share.
Test(parts, index_reserved_is_room) {
    enum { UNIT_PARTS_MANY = 1 << 18 };
    struct unit_bench b;
    struct core_index ix;
    start(&b, 8, 0);
    cr_assert(!core_index_init(&ix, &b.mem, 8) && !core_index_reserve(&ix, UNIT_PARTS_MANY));
    size_t before = b.mem.used;
    for (uint32_t i = 0; i < UNIT_PARTS_MANY; i++)
        cr_assert(!core_index_add(&ix, unit_source_next(&b.source), i + 1, i % 256));
    cr_assert(b.mem.used < before + before / 4);
    core_index_free(&ix);
    finish(&b);
}

// ---- The set of runs -----------------------------------------------------------------------------

static void runset_run(uint64_t seed, unsigned one_in, uint32_t ids) {
    struct unit_bench b;
    start(&b, seed, one_in);
    struct core_runset s = {0};
    bool *in = unit_must_alloc(ids + 1);
    uint32_t n = 0;
    for (int step = 0; step < 60000; step++) {
        uint32_t id = 1 + unit_source_below(&b.source, ids);
        bool adding = unit_source_chance(&b.source, step / 10000 % 2 ? 20 : 80);
        if (adding && !in[id] && !core_runset_reserve(&s, &b.mem, id)) {
            core_runset_add(&s, id);
            in[id] = true;
            n++;
        } else if (!adding && in[id]) {
            core_runset_remove(&s, id);
            in[id] = false;
            n--;
        }
        cr_assert(core_runset_has(&s, id) == in[id] && s.used == n);
        cr_assert(!core_runset_any(&s) == !n);
        if (step % 1000 == 0) is_valid(core_runset_validate(&s));
    }
    for (uint32_t id = 1; id <= ids; id++)
        cr_assert(core_runset_has(&s, id) == in[id]);
    for (uint32_t id; (id = core_runset_any(&s)); n--) {
        cr_assert(id <= ids && in[id]);
        in[id] = false;
        core_runset_remove(&s, id);
    }
    cr_assert(n == 0);
    is_valid(core_runset_validate(&s));
    core_runset_free(&s, &b.mem);
    free(in);
    finish(&b);
}

Test(parts, runset) {
    runset_run(1, 0, 5000);
    runset_run(2, 3, 5000);
    runset_run(3, 3, 10);
}

// ---- The hash table ------------------------------------------------------------------------------

Test(parts, hmap) {
    enum { UNIT_PARTS_ITEMS = 5000 };
    for (unsigned one_in = 0; one_in < 4; one_in += 3) {
        struct unit_bench b;
        start(&b, one_in, one_in);
        struct core_hash_map h;
        core_hash_map_init(&h, &b.mem);
        struct core_hash_map_item *items = unit_must_alloc(UNIT_PARTS_ITEMS * sizeof *items);
        bool *in = unit_must_alloc(UNIT_PARTS_ITEMS);
        size_t n = 0;
        cr_assert(!core_hash_map_first(&h, 1));
        for (int step = 0; step < 60000; step++) {
            uint32_t i = unit_source_below(&b.source, UNIT_PARTS_ITEMS);
            uint64_t hash = i % 7 == 0 ? i % 3 : i * 0x9e3779b97f4a7c15u; // some share theirs
            if (in[i] && unit_source_chance(&b.source, 60)) {
                core_hash_map_remove(&h, &items[i]);
                in[i] = false;
                n--;
            } else if (!in[i] && !core_hash_map_reserve(&h)) {
                core_hash_map_add(&h, &items[i], hash);
                in[i] = true;
                n++;
            }
            bool found = false;
            for (struct core_hash_map_item *at = core_hash_map_first(&h, hash); at;
                 at = core_hash_map_next(at)) {
                cr_assert(at->hash == hash);
                found |= at == &items[i];
            }
            cr_assert(found == in[i] && h.count == n);
            if (step % 1000 == 0) is_valid(core_hash_map_validate(&h));
        }
        core_hash_map_free(&h);
        free(items);
        free(in);
        finish(&b);
    }
}

// What is there during all of a scan is seen, however the table grows meanwhile.
Test(parts, hmap_scan) {
    enum { UNIT_PARTS_OLD = 300, UNIT_PARTS_NEW = 3000 };
    struct unit_bench b;
    start(&b, 1, 0);
    struct core_hash_map h;
    core_hash_map_init(&h, &b.mem);
    struct core_hash_map_item *items =
        unit_must_alloc((UNIT_PARTS_OLD + UNIT_PARTS_NEW) * sizeof *items);
    bool seen[UNIT_PARTS_OLD] = {false};
    for (size_t i = 0; i < UNIT_PARTS_OLD; i++) {
        cr_assert(!core_hash_map_reserve(&h));
        core_hash_map_add(&h, &items[i], unit_source_next(&b.source));
    }
    size_t added = UNIT_PARTS_OLD;
    for (size_t bucket = 0; bucket < h.n_buckets; bucket++) {
        for (struct core_hash_map_item *i = core_hash_map_bucket(&h, bucket); i; i = i->next)
            if (i < items + UNIT_PARTS_OLD) seen[i - items] = true;
        for (int k = 0; k < 5 && added < UNIT_PARTS_OLD + UNIT_PARTS_NEW; k++, added++) {
            cr_assert(!core_hash_map_reserve(&h));
            core_hash_map_add(&h, &items[added], unit_source_next(&b.source));
        }
    }
    for (size_t i = 0; i < UNIT_PARTS_OLD; i++)
        cr_assert(seen[i]);
    core_hash_map_free(&h);
    free(items);
    finish(&b);
}

// ---- Deadlines -----------------------------------------------------------------------------------

Test(parts, deadlines) {
    enum { UNIT_PARTS_ITEMS = 200 };
    struct unit_bench b;
    start(&b, 1, 5);
    struct core_deadlines d = {.mem = &b.mem};
    struct core_deadline items[UNIT_PARTS_ITEMS] = {{0}};
    for (int step = 0; step < 40000; step++) {
        struct core_deadline *i = &items[unit_source_below(&b.source, UNIT_PARTS_ITEMS)];
        int64_t at = unit_source_below(&b.source, 100);
        if (i->place && unit_source_chance(&b.source, 40))
            core_deadlines_remove(&d, i);
        else if (i->place)
            core_deadlines_move(&d, i, at);
        else if (!core_deadlines_reserve(&d))
            core_deadlines_add(&d, i, at);
        int64_t earliest = INT64_MAX;
        for (int k = 0; k < UNIT_PARTS_ITEMS; k++)
            if (items[k].place && items[k].at < earliest) earliest = items[k].at;
        const struct core_deadline *first = core_deadlines_first(&d);
        cr_assert(first ? first->at == earliest : earliest == INT64_MAX);
        is_valid(core_deadlines_validate(&d));
    }
    core_deadlines_free(&d);
    finish(&b);
}

// ---- The live tree -------------------------------------------------------------------------------

enum { UNIT_PARTS_BOOKINGS = 60, UNIT_PARTS_USERS = 5, UNIT_PARTS_LONGEST = 30 };

struct unit_booking {
    uint64_t hashes[UNIT_PARTS_LONGEST];
    size_t n;
    uint32_t instance;
    struct core_live_node *end;
    bool live;
};

// Prompts over a tiny alphabet: they share beginnings. A hash names its prefix.
static void draw_prompt(struct unit_source *s, struct unit_booking *k) {
    k->n = unit_source_below(s, UNIT_PARTS_LONGEST + 1);
    k->instance = unit_source_below(s, UNIT_PARTS_USERS);
    uint64_t prefix = 0;
    for (size_t i = 0; i < k->n; i++) {
        uint64_t token = unit_source_chance(s, 80) ? 0 : unit_source_below(s, 3);
        k->hashes[i] = prefix = (prefix + token + 1) * 0x9e3779b97f4a7c15u;
    }
}

static bool uses(const struct unit_booking *all, uint32_t instance, uint64_t hash) {
    for (int i = 0; i < UNIT_PARTS_BOOKINGS; i++)
        for (size_t k = 0; all[i].live && all[i].instance == instance && k < all[i].n; k++)
            if (all[i].hashes[k] == hash) return true;
    return false;
}

// How many of the booking's blocks its instance doesn't use yet, or wouldn't any more.
static uint64_t unused(const struct unit_booking *all, const struct unit_booking *k) {
    uint64_t n = 0;
    for (size_t i = 0; i < k->n; i++)
        n += !uses(all, k->instance, k->hashes[i]);
    return n;
}

static void live_check(const struct core_live *l, const struct unit_booking *all,
                       const struct unit_booking *k) {
    is_valid(core_live_validate(l));
    uint32_t prefix[UNIT_PARTS_USERS] = {0}, longest, most = 0;
    core_live_match(l, NULL, k->hashes, k->n, prefix, &longest);
    for (uint32_t i = 0; i < UNIT_PARTS_USERS; i++) {
        uint32_t want = 0;
        while (want < k->n && uses(all, i, k->hashes[want]))
            want++;
        cr_assert(prefix[i] == want);
        if (want > most) most = want;
    }
    cr_assert(longest == most);
    for (int i = 0; i < UNIT_PARTS_BOOKINGS; i++) {
        uint64_t out[UNIT_PARTS_LONGEST];
        if (!all[i].live) continue;
        core_live_blocks(all[i].end, all[i].n, out);
        cr_assert(!memcmp(out, all[i].hashes, all[i].n * sizeof *out));
    }
}

static void live_run(uint64_t seed, unsigned one_in) {
    struct unit_bench b;
    start(&b, seed, one_in);
    struct core_live l;
    core_live_init(&l, &b.mem, seed);
    struct unit_booking *all = unit_must_alloc(UNIT_PARTS_BOOKINGS * sizeof *all);
    for (int step = 0; step < 4000; step++) {
        struct unit_booking *k = &all[unit_source_below(&b.source, UNIT_PARTS_BOOKINGS)];
        if (k->live) {
            k->live = false;
            uint64_t gone = core_live_remove(&l, k->instance, k->end);
            cr_assert(gone == unused(all, k));
        } else {
            draw_prompt(&b.source, k);
            uint64_t want = unused(all, k), fresh;
            if (!core_live_add(&l, k->instance, k->hashes, k->n, &k->end, &fresh)) {
                cr_assert(fresh == want);
                k->live = true;
            }
        }
        live_check(&l, all, k);
    }
    for (int i = 0; i < UNIT_PARTS_BOOKINGS; i++)
        if (all[i].live) core_live_remove(&l, all[i].instance, all[i].end);
    cr_assert(l.blocks == 0 && l.nodes.count == 0);
    core_live_free(&l);
    free(all);
    finish(&b);
}

Test(parts, live) {
    for (uint64_t seed = 1; seed < 4; seed++) {
        live_run(seed, 0);
        live_run(seed, 3);
    }
}

// Bookings as long as several nodes: the beginning of one sequence, perhaps up to a fork, and another one from
// there on.
enum { UNIT_PARTS_LONG = 40, UNIT_PARTS_FAR = 5 * CORE_MAX_LIVE_NODE };

struct unit_long_booking {
    size_t n, fork; // the first block that isn't of the common sequence
    uint64_t branch;
    uint32_t instance;
    struct core_live_node *end;
    bool live;
};

static size_t shared_length(const struct unit_long_booking *a, const struct unit_long_booking *b) {
    size_t least = a->n < b->n ? a->n : b->n, fork = a->fork < b->fork ? a->fork : b->fork;
    bool same = a->fork == b->fork && a->branch == b->branch;
    return same || least < fork ? least : fork;
}

static void draw_long(struct unit_source *s, struct unit_long_booking *k, uint64_t *hashes) {
    k->n = unit_source_below(s, UNIT_PARTS_FAR);
    k->fork = unit_source_chance(s, 50) ? UNIT_PARTS_FAR : unit_source_below(s, UNIT_PARTS_FAR);
    if (unit_source_chance(s, 50)) k->fork -= k->fork % CORE_MAX_LIVE_NODE;
    k->branch = k->fork == UNIT_PARTS_FAR ? 0 : 1 + unit_source_below(s, 2);
    k->instance = unit_source_below(s, UNIT_PARTS_USERS);
    for (size_t i = 0; i < k->n; i++)
        hashes[i] = 1 + i + (i < k->fork ? 0 : k->branch << 40 | (uint64_t)k->fork << 20);
}

static size_t longest_shared(const struct unit_long_booking *all, const struct unit_long_booking *k,
                             uint32_t instance) {
    size_t longest = 0;
    for (int i = 0; i < UNIT_PARTS_LONG; i++) {
        if (!all[i].live || all[i].instance != instance || &all[i] == k) continue;
        size_t n = shared_length(&all[i], k);
        longest = n > longest ? n : longest;
    }
    return longest;
}

static void long_run(uint64_t seed, unsigned one_in) {
    static uint64_t hashes[UNIT_PARTS_FAR], out[UNIT_PARTS_FAR];
    struct unit_bench b;
    start(&b, seed, one_in);
    struct core_live l;
    core_live_init(&l, &b.mem, seed);
    struct unit_long_booking all[UNIT_PARTS_LONG] = {{0}};
    for (int step = 0; step < 3000; step++) {
        struct unit_long_booking *k = &all[unit_source_below(&b.source, UNIT_PARTS_LONG)];
        if (k->live) {
            uint64_t want = k->n - longest_shared(all, k, k->instance);
            k->live = false;
            cr_assert(core_live_remove(&l, k->instance, k->end) == want);
            is_valid(core_live_validate(&l));
            continue;
        }
        draw_long(&b.source, k, hashes);
        uint32_t prefix[UNIT_PARTS_USERS] = {0}, longest;
        core_live_match(&l, NULL, hashes, k->n, prefix, &longest);
        for (uint32_t i = 0; i < UNIT_PARTS_USERS; i++)
            cr_assert(prefix[i] == longest_shared(all, k, i));
        uint64_t want = k->n - longest_shared(all, k, k->instance), fresh;
        k->live = !core_live_add(&l, k->instance, hashes, k->n, &k->end, &fresh);
        is_valid(core_live_validate(&l));
        if (!k->live) continue;
        cr_assert(fresh == want);
        core_live_blocks(k->end, k->n, out);
        cr_assert(!memcmp(out, hashes, k->n * sizeof *out));
    }
    for (int i = 0; i < UNIT_PARTS_LONG; i++)
        if (all[i].live) core_live_remove(&l, all[i].instance, all[i].end);
    cr_assert(l.blocks == 0 && l.nodes.count == 0);
    core_live_free(&l);
    finish(&b);
}

Test(parts, live_with_long_bookings) {
    for (uint64_t seed = 1; seed < 4; seed++) {
        long_run(seed, 0);
        long_run(seed, 5);
    }
}
