// SPDX-License-Identifier: Apache-2.0
// The core's smaller structures alone, each beside something as plain as can be, memory failing now
// and then: the index, the set of runs, the hash table, the deadlines, the live tree.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/deadline.h"
#include "module/core/hmap.h"
#include "module/core/index.h"
#include "module/core/live.h"
#include "module/core/runset.h"
#include "traffic.h"

struct bench {
    struct testmem memory;
    struct mem mem;
    struct source source;
};

static void start(struct bench *b, uint64_t seed, unsigned one_in) {
    *b = (struct bench){.source = {.state = seed}};
    b->memory.one_in = one_in;
    b->memory.random = seed;
    b->mem.alloc = testmem_alloc(&b->memory);
}

static void finish(struct bench *b) {
    testmem_all_free(&b->memory, "a part");
    cr_assert(b->mem.used == 0);
}

static void is_valid(const char *broken) {
    cr_assert(!broken, "%s", broken);
}

// ---- The index -----------------------------------------------------------------------------------

enum { KEYS = 20000 };

struct entry {
    uint64_t hash;
    uint32_t run;
    unsigned offset;
    bool in;
};

static bool index_has(const struct index *ix, const struct entry *e) {
    struct index_probe p = index_first(ix, e->hash);
    uint32_t run;
    unsigned offset;
    while (index_next(&p, &run, &offset))
        if (run == e->run && offset == e->offset) return true;
    return false;
}

static void index_run(uint64_t seed, unsigned one_in, bool crowded) {
    struct bench b;
    struct index ix = {0};
    start(&b, seed, one_in);
    while (index_init(&ix, &b.mem, seed))
        index_free(&ix);
    struct entry *all = must_alloc(KEYS * sizeof *all);
    uint64_t n = 0, counted;
    for (uint32_t i = 0; i < KEYS; i++) {
        uint64_t hash = source_next(&b.source);
        // Crowded: everything goes to one of a few segments, so that these grow and shrink a lot.
        while (crowded && index_mix(&ix, hash) >> 52 > 15)
            hash = source_next(&b.source);
        all[i] = (struct entry){i == 0 ? 0 : i == 1 ? UINT64_MAX : hash, i + 1, i % 256, false};
    }
    for (int step = 0; step < 120000; step++) {
        // Mostly adding, then mostly removing, and again.
        bool adding = source_chance(&b.source, step / 20000 % 2 ? 15 : 85);
        struct entry *e = &all[source_below(&b.source, KEYS)];
        if (adding && !e->in && !index_add(&ix, e->hash, e->run, e->offset)) {
            e->in = true;
            n++;
        } else if (!adding && e->in && source_chance(&b.source, 20)) {
            index_move(&ix, e->hash, e->run, e->offset, e->run + KEYS, e->offset ^ 1);
            e->run += KEYS;
            e->offset ^= 1;
        } else if (!adding && e->in) {
            index_remove(&ix, e->hash, e->run, e->offset);
            index_trim(&ix, e->hash);
            e->in = false;
            n--;
        }
        cr_assert(index_has(&ix, e) == e->in);
        if (step % 5000) continue;
        is_valid(index_validate(&ix, &counted));
        cr_assert(counted == n);
        for (uint32_t i = 0; i < KEYS; i++)
            cr_assert(index_has(&ix, &all[i]) == all[i].in);
    }
    // Putting back what was just removed needs no memory: undoing relies on it.
    for (uint32_t i = 0; i < KEYS; i++)
        if (all[i].in && i % 3 == 0) index_remove(&ix, all[i].hash, all[i].run, all[i].offset);
    b.memory.one_in = 1;
    for (uint32_t i = 0; i < KEYS; i++)
        if (all[i].in && i % 3 == 0)
            cr_assert(!index_add(&ix, all[i].hash, all[i].run, all[i].offset));
    is_valid(index_validate(&ix, &counted));
    cr_assert(counted == n);
    index_free(&ix);
    free(all);
    finish(&b);
}

Test(parts, index) {
    index_run(1, 0, false);
    index_run(2, 3, false);
}

Test(parts, index_crowded) {
    index_run(3, 0, true);
    index_run(4, 3, true);
}

// ---- The set of runs -----------------------------------------------------------------------------

static void runset_run(uint64_t seed, unsigned one_in, uint32_t ids) {
    struct bench b;
    start(&b, seed, one_in);
    struct runset s = {0};
    bool *in = must_alloc(ids + 1);
    uint32_t n = 0;
    for (int step = 0; step < 60000; step++) {
        uint32_t id = 1 + source_below(&b.source, ids);
        bool adding = source_chance(&b.source, step / 10000 % 2 ? 20 : 80);
        if (adding && !in[id] && !runset_reserve(&s, &b.mem, id)) {
            runset_add(&s, id);
            in[id] = true;
            n++;
        } else if (!adding && in[id]) {
            runset_remove(&s, id);
            in[id] = false;
            n--;
        }
        cr_assert(runset_has(&s, id) == in[id] && s.used == n);
        cr_assert(!runset_any(&s) == !n);
        if (step % 1000 == 0) is_valid(runset_validate(&s));
    }
    for (uint32_t id = 1; id <= ids; id++)
        cr_assert(runset_has(&s, id) == in[id]);
    for (uint32_t id; (id = runset_any(&s)); n--) {
        cr_assert(id <= ids && in[id]);
        in[id] = false;
        runset_remove(&s, id);
    }
    cr_assert(n == 0);
    is_valid(runset_validate(&s));
    runset_free(&s, &b.mem);
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
    enum { ITEMS = 5000 };
    for (unsigned one_in = 0; one_in < 4; one_in += 3) {
        struct bench b;
        start(&b, one_in, one_in);
        struct hmap h;
        hmap_init(&h, &b.mem);
        struct hmap_item *items = must_alloc(ITEMS * sizeof *items);
        bool *in = must_alloc(ITEMS);
        size_t n = 0;
        cr_assert(!hmap_first(&h, 1));
        for (int step = 0; step < 60000; step++) {
            uint32_t i = source_below(&b.source, ITEMS);
            uint64_t hash = i % 7 == 0 ? i % 3 : i * 0x9e3779b97f4a7c15u; // some share theirs
            if (in[i] && source_chance(&b.source, 60)) {
                hmap_remove(&h, &items[i]);
                in[i] = false;
                n--;
            } else if (!in[i] && !hmap_reserve(&h)) {
                hmap_add(&h, &items[i], hash);
                in[i] = true;
                n++;
            }
            bool found = false;
            for (struct hmap_item *at = hmap_first(&h, hash); at; at = hmap_next(at)) {
                cr_assert(at->hash == hash);
                found |= at == &items[i];
            }
            cr_assert(found == in[i] && h.count == n);
            if (step % 1000 == 0) is_valid(hmap_validate(&h));
        }
        hmap_free(&h);
        free(items);
        free(in);
        finish(&b);
    }
}

// What is there during all of a scan is seen, however the table grows meanwhile.
Test(parts, hmap_scan) {
    enum { OLD = 300, NEW = 3000 };
    struct bench b;
    start(&b, 1, 0);
    struct hmap h;
    hmap_init(&h, &b.mem);
    struct hmap_item *items = must_alloc((OLD + NEW) * sizeof *items);
    bool seen[OLD] = {false};
    for (size_t i = 0; i < OLD; i++) {
        cr_assert(!hmap_reserve(&h));
        hmap_add(&h, &items[i], source_next(&b.source));
    }
    size_t added = OLD;
    for (size_t bucket = 0; bucket < h.n_buckets; bucket++) {
        for (struct hmap_item *i = hmap_bucket(&h, bucket); i; i = i->next)
            if (i < items + OLD) seen[i - items] = true;
        for (int k = 0; k < 5 && added < OLD + NEW; k++, added++) {
            cr_assert(!hmap_reserve(&h));
            hmap_add(&h, &items[added], source_next(&b.source));
        }
    }
    for (size_t i = 0; i < OLD; i++)
        cr_assert(seen[i]);
    hmap_free(&h);
    free(items);
    finish(&b);
}

// ---- Deadlines -----------------------------------------------------------------------------------

Test(parts, deadlines) {
    enum { ITEMS = 200 };
    struct bench b;
    start(&b, 1, 5);
    struct deadlines d = {.mem = &b.mem};
    struct deadline items[ITEMS] = {{0}};
    for (int step = 0; step < 40000; step++) {
        struct deadline *i = &items[source_below(&b.source, ITEMS)];
        int64_t at = source_below(&b.source, 100);
        if (i->place && source_chance(&b.source, 40))
            deadlines_remove(&d, i);
        else if (i->place)
            deadlines_move(&d, i, at);
        else if (!deadlines_reserve(&d))
            deadlines_add(&d, i, at);
        int64_t earliest = INT64_MAX;
        for (int k = 0; k < ITEMS; k++)
            if (items[k].place && items[k].at < earliest) earliest = items[k].at;
        const struct deadline *first = deadlines_first(&d);
        cr_assert(first ? first->at == earliest : earliest == INT64_MAX);
        is_valid(deadlines_validate(&d));
    }
    deadlines_free(&d);
    finish(&b);
}

// ---- The live tree -------------------------------------------------------------------------------

enum { BOOKINGS = 60, USERS = 5, LONGEST = 30 };

struct booking {
    uint64_t hashes[LONGEST];
    size_t n;
    uint32_t instance;
    struct live_node *end;
    bool live;
};

// Prompts over a tiny alphabet: they share beginnings. A hash names its prefix.
static void draw_prompt(struct source *s, struct booking *k) {
    k->n = source_below(s, LONGEST + 1);
    k->instance = source_below(s, USERS);
    uint64_t prefix = 0;
    for (size_t i = 0; i < k->n; i++) {
        uint64_t token = source_chance(s, 80) ? 0 : source_below(s, 3);
        k->hashes[i] = prefix = (prefix + token + 1) * 0x9e3779b97f4a7c15u;
    }
}

static bool uses(const struct booking *all, uint32_t instance, uint64_t hash) {
    for (int i = 0; i < BOOKINGS; i++)
        for (size_t k = 0; all[i].live && all[i].instance == instance && k < all[i].n; k++)
            if (all[i].hashes[k] == hash) return true;
    return false;
}

// How many of the booking's blocks its instance doesn't use yet, or wouldn't any more.
static uint64_t unused(const struct booking *all, const struct booking *k) {
    uint64_t n = 0;
    for (size_t i = 0; i < k->n; i++)
        n += !uses(all, k->instance, k->hashes[i]);
    return n;
}

static void live_check(const struct live *l, const struct booking *all, const struct booking *k) {
    is_valid(live_validate(l));
    uint32_t prefix[USERS] = {0}, longest, most = 0;
    live_match(l, k->hashes, k->n, prefix, &longest);
    for (uint32_t i = 0; i < USERS; i++) {
        uint32_t want = 0;
        while (want < k->n && uses(all, i, k->hashes[want]))
            want++;
        cr_assert(prefix[i] == want);
        if (want > most) most = want;
    }
    cr_assert(longest == most);
    for (int i = 0; i < BOOKINGS; i++) {
        uint64_t out[LONGEST];
        if (!all[i].live) continue;
        live_blocks(all[i].end, all[i].n, out);
        cr_assert(!memcmp(out, all[i].hashes, all[i].n * sizeof *out));
    }
}

static void live_run(uint64_t seed, unsigned one_in) {
    struct bench b;
    start(&b, seed, one_in);
    struct live l;
    live_init(&l, &b.mem, seed);
    struct booking *all = must_alloc(BOOKINGS * sizeof *all);
    for (int step = 0; step < 4000; step++) {
        struct booking *k = &all[source_below(&b.source, BOOKINGS)];
        if (k->live) {
            k->live = false;
            uint64_t gone = live_remove(&l, k->instance, k->end);
            cr_assert(gone == unused(all, k));
        } else {
            draw_prompt(&b.source, k);
            uint64_t want = unused(all, k), fresh;
            if (!live_add(&l, k->instance, k->hashes, k->n, &k->end, &fresh)) {
                cr_assert(fresh == want);
                k->live = true;
            }
        }
        live_check(&l, all, k);
    }
    for (int i = 0; i < BOOKINGS; i++)
        if (all[i].live) live_remove(&l, all[i].instance, all[i].end);
    cr_assert(l.blocks == 0 && l.nodes.count == 0);
    live_free(&l);
    free(all);
    finish(&b);
}

Test(parts, live) {
    for (uint64_t seed = 1; seed < 4; seed++) {
        live_run(seed, 0);
        live_run(seed, 3);
    }
}
