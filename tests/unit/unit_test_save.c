// SPDX-License-Identifier: Apache-2.0
// Saving and loading: whole, cut short, spoiled, and as an earlier build wrote it.
//
// What earlier builds wrote is tried by unit_test_fixtures.c.
#define _GNU_SOURCE // memmem
#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/state/pool_state.h"
#include "tests/support/support_alloc.h"
#include "unit_pair.h"
#include "unit_saved.h"

// A small pool with something of everything; `chain` blocks in its longest prompt. Its parts come
// from constants alone, so every build makes the same.
static void build(struct unit_pair *p, size_t chain) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = 4;
    o.predict = 1000;
    o.worker_ttl = 60000;
    o.rule.requests = 0.5;
    unit_pair_init(p, &o, "saving");
    uint64_t *hashes = unit_must_alloc(chain * sizeof *hashes), leaf[3] = {0, UINT64_MAX, 77};
    for (size_t i = 0; i < chain; i++)
        hashes[i] = (i + 1) * 0x9e3779b97f4a7c15u;
    struct kvr_bytes labels[] = {text("zone=b"), text("gpu=a"), text("zone=b")};
    struct kvr_worker_settings w = {.set = 127,
                                    .addr = {"10.0.0.7:8000", 13},
                                    .ranks = 2,
                                    .capacity = 99,
                                    .speed = 1.625,
                                    .labels = labels,
                                    .n_labels = 3};
    unit_pair_worker_set(p, text("alpha"), &w);
    w.set = KVR_SET_STATE;
    w.state = KVR_DRAINING;
    unit_pair_worker_set(p, (struct kvr_bytes){"b\0\xff", 3}, &w);
    struct kvr_pool_op ops[] = {
        {.kind = KVR_STORED, .hashes = hashes, .n = chain},
        {KVR_STORED, KVR_HOST, true, hashes[1], leaf, 3},
        {.kind = KVR_REMOVED, .hashes = hashes + 2, .n = 1},
    };
    unit_pair_event(p, text("alpha"), 1, 3, 1, ops, 3, false);
    ops[0].n = 2;
    ops[0].tier = KVR_DISK;
    unit_pair_event(p, (struct kvr_bytes){"b\0\xff", 3}, 0, 1, 1, ops, 2, false);
    struct kvr_query q = {.hashes = hashes, .n = 4, .isl = 17, .osl = 5, .session = text("a chat")};
    q.rule = o.rule;
    unit_pair_select(p, text("one"), &q, -1, 0);
    p->now += 10;
    q.osl = 0;
    q.session = text("forgotten");
    unit_pair_select(p, text("two"), &q, 0, 0);
    unit_pair_session_del(p, &q.session, 1);
    q.session.n = 0;
    for (int i = 0; i < 3; i++) {
        struct kvr_bytes id = text("a lesson");
        unit_pair_select(p, id, &q, -1, 0);
        p->now += 25;
        unit_pair_update(p, id, true, 1, -1);
        p->now += 700;
        unit_pair_update(p, id, false, 30, -1);
        unit_pair_release(p, &id, 1);
    }
    unit_pair_update(p, text("two"), true, -1, -1);
    struct kvr_booking b = {.hashes = leaf,
                            .n = 3,
                            .isl = 20,
                            .cached = 3,
                            .output = 9,
                            .lease = 44,
                            .prefilled = true,
                            .created = p->now,
                            .renewed = p->now + 1};
    unit_pair_claim(p, (struct kvr_bytes){"\0", 1}, text("alpha"), 0, &b);
    free(hashes);
}

Test(save, round_trip) {
    static struct unit_pair p;
    build(&p, 5);
    for (int i = 0; i < 3; i++) {
        unit_pair_reload(&p);
        unit_pair_check_all(&p);
        unit_pair_check_tree(&p);
    }
    unit_pair_free(&p);
}

// More than one chunk: none may be left out, repeated, swapped, or come from another pool.
Test(save, chunks) {
    static struct unit_pair p;
    build(&p, 40000);
    unit_pair_reload(&p);
    unit_pair_check_tree(&p);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK);
    cr_assert(s.n_ends > 3);
    for (size_t i = 0, from = 0; i < s.n_ends; from = s.ends[i++])
        cr_assert(s.ends[i] - from < 128 * 1024);
    for (size_t skip = 0; skip < s.n_ends; skip++)
        for (int kind = 0; kind < 3; kind++) {
            struct unit_saved other = {0};
            for (size_t i = 0; i < s.n_ends; i++) {
                size_t at = i;
                if (kind == 0 && i == skip) continue;
                if (kind == 2 && skip + 1 < s.n_ends && (i == skip || i == skip + 1))
                    at = 2 * skip + 1 - i;
                size_t from = at ? s.ends[at - 1] : 0;
                for (int times = 0; times < 1 + (kind == 1 && i == skip); times++)
                    unit_saved_add(&other, s.bytes + from, s.ends[at] - from);
            }
            bool same = kind == 2 && skip + 1 == s.n_ends;
            cr_assert(unit_saved_any(&other) == same);
            unit_saved_free(&other);
        }
    unit_saved_free(&s);
    unit_pair_free(&p);
}

// More blocks than the index is built of in one pass; one that stands twice among them is still found.
Test(save, many_blocks) {
    enum { UNIT_SAVE_BLOCKS = 700000, UNIT_SAVE_TWICE = 123456 };
    struct support_alloc mem = {0};
    struct kvr_alloc a = support_alloc_use(&mem);
    struct kvr_options o;
    kvr_options_default(&o);
    struct kvr_pool *p = kvr_pool_new(&a, &o, 1);
    struct kvr_worker_settings w = {0};
    int created;
    cr_assert(kvr_worker_set(p, 1, text("w"), &w, &created) == KVR_OK);
    uint64_t *hashes = unit_must_alloc(UNIT_SAVE_BLOCKS * sizeof *hashes), x = 0;
    for (size_t i = 0; i < UNIT_SAVE_BLOCKS; i++)
        hashes[i] = x += 0x9e3779b97f4a7c15u;
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = hashes, .n = UNIT_SAVE_BLOCKS};
    struct kvr_event_result result;
    cr_assert(kvr_event(p, text("w"), 0, 1, 1, &op, 1, true, &result) == KVR_OK);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p, &s) == KVR_OK);
    uint8_t first[KVR_DIGEST_BYTES], second[KVR_DIGEST_BYTES];
    enum kvr_err err;
    struct kvr_pool *copy = unit_saved_load(&s, &a, &err);
    cr_assert(copy && !kvr_pool_validate(copy));
    kvr_pool_digest(p, first);
    kvr_pool_digest(copy, second);
    cr_assert(memcmp(first, second, sizeof first) == 0);
    kvr_pool_free(copy);
    uint8_t *at = memmem(s.bytes, s.n, &hashes[UNIT_SAVE_TWICE], sizeof *hashes);
    cr_assert(at);
    memcpy(at, &hashes[UNIT_SAVE_BLOCKS - 1], sizeof *hashes);
    unit_saved_seal(&s);
    cr_assert(!unit_saved_load(&s, &a, &err) && err == KVR_CORRUPT);
    unit_saved_free(&s);
    free(hashes);
    kvr_pool_free(p);
    support_alloc_check_freed(&mem, "a large pool");
}

static int stop_at(void *ctx, const void *bytes, size_t n) {
    (void)bytes;
    (void)n;
    return --*(int *)ctx < 0;
}

Test(save, a_sink_that_stops) {
    static struct unit_pair p;
    build(&p, 40000);
    for (int left = 0;; left++) {
        int ctx = left;
        enum kvr_err err = kvr_pool_save(p.pool, stop_at, &ctx);
        unit_pair_check(&p);
        if (err == KVR_OK) break;
        cr_assert(err == KVR_CORRUPT);
    }
    unit_pair_free(&p);
}

Test(save, cut_at_every_byte) {
    static struct unit_pair p;
    build(&p, 5);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK && s.n_ends == 1);
    for (size_t n = 0; n < s.n; n++)
        for (int sealed = 0; sealed < 2; sealed++) {
            struct unit_saved cut = {0};
            unit_saved_add(&cut, s.bytes, n);
            if (sealed) unit_saved_seal(&cut);
            cr_assert(!unit_saved_any(&cut), "cut after %zu bytes", n);
            unit_saved_free(&cut);
        }
    cr_assert(unit_saved_any(&s));
    unit_saved_free(&s);
    unit_pair_free(&p);
}

Test(save, every_bit_flipped) {
    static struct unit_pair p;
    build(&p, 5);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK && s.n_ends == 1);
    size_t loaded = 0;
    for (size_t bit = 0; bit < s.n * 8; bit++) {
        uint8_t mask = (uint8_t)(1u << bit % 8);
        s.bytes[bit / 8] ^= mask;
        cr_assert(!unit_saved_any(&s), "bit %zu", bit);
        unit_saved_seal(&s); // the check is right again: now the records have to be looked at
        loaded += unit_saved_any(&s);
        s.bytes[bit / 8] ^= mask;
        unit_saved_seal(&s);
    }
    cr_assert(loaded > 0); // most numbers may be any
    unit_saved_free(&s);
    unit_pair_free(&p);
}

// Every byte as 0, 255, one more and one less, in pairs of places: lengths and counts at their ends.
Test(save, bytes_replaced) {
    static struct unit_pair p;
    build(&p, 5);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK);
    for (size_t i = 0; i + UNIT_SAVED_CHECK < s.n; i++) {
        uint8_t was = s.bytes[i];
        const uint8_t values[] = {0, 255, (uint8_t)(was + 1), (uint8_t)(was - 1)};
        for (size_t k = 0; k < sizeof values; k++) {
            s.bytes[i] = values[k];
            unit_saved_seal(&s);
            unit_saved_any(&s);
            size_t j = (i * 31 + k * 17) % (s.n - UNIT_SAVED_CHECK);
            uint8_t also = s.bytes[j];
            s.bytes[j] ^= 1;
            unit_saved_seal(&s);
            unit_saved_any(&s);
            s.bytes[j] = also;
        }
        s.bytes[i] = was;
    }
    unit_saved_free(&s);
    unit_pair_free(&p);
}

// ---- Fields that no pool can have ----------------------------------------------------------------

// Writes x where the number `of` is in the saved form, wherever that is, and loads. *places: how many.
static size_t loads_with(struct unit_saved *s, double of, double x, size_t *places) {
    size_t loaded = 0;
    *places = 0;
    for (size_t i = 0; i + sizeof of + UNIT_SAVED_CHECK <= s->n; i++) {
        if (memcmp(s->bytes + i, &of, sizeof of) != 0) continue;
        memcpy(s->bytes + i, &x, sizeof x);
        unit_saved_seal(s);
        loaded += unit_saved_any(s);
        memcpy(s->bytes + i, &of, sizeof of);
        unit_saved_seal(s);
        ++*places;
    }
    return loaded;
}

// Totals that would begin again at 0: what is booked after that would count as booked before all others.
Test(save, totals_that_cannot_be) {
    static struct unit_pair p;
    static const uint64_t bad[] = {UINT64_MAX, (uint64_t)INT64_MAX + 1};
    build(&p, 5);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK);
    uint64_t totals[] = {p.pool->version, p.pool->bookings};
    uint8_t *at = memmem(s.bytes, s.n, totals, sizeof totals);
    cr_assert(at, "they are saved beside each other");
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
            cr_assert(!unit_saved_with(&s, at + 8 * i, &bad[k], 8), "%zu %zu", i, k);
    unit_saved_free(&s);
    unit_pair_free(&p);
}

// What was learnt, speeds and what requests were told: never NaN, infinite, below zero.
Test(save, learnt_nonsense) {
    static struct unit_pair p;
    build(&p, 5);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK);
    double numbers[CORE_LEARNT_NUMBERS + CORE_LEARNT_INSTANCE_NUMBERS + 2];
    const struct unit_model_rank *r = &p.model.workers[0].rank[0];
    core_learnt_numbers(&p.model.learnt, numbers);
    core_learnt_instance_numbers(&r[r->learnt.decode.den > 0 ? 0 : 1].learnt,
                                 numbers + CORE_LEARNT_NUMBERS);
    numbers[CORE_LEARNT_NUMBERS + CORE_LEARNT_INSTANCE_NUMBERS] = 1.625; // the speed
    struct unit_model_request *q = unit_model_find_request(&p.model, text("two"));
    numbers[CORE_LEARNT_NUMBERS + CORE_LEARNT_INSTANCE_NUMBERS + 1] = q->ttft;
    static const double bad[] = {NAN, INFINITY, -INFINITY, -2, -0.5, 1e301};
    size_t looked = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i] == 0 || numbers[i] == 1 || numbers[i] == -1) continue; // many are that
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            size_t places;
            cr_assert(loads_with(&s, numbers[i], bad[k], &places) == 0, "%g for %g", bad[k],
                      numbers[i]);
            cr_assert(places > 0, "number %zu isn't saved", i);
            looked++;
        }
    }
    cr_assert(looked > 40);
    unit_saved_free(&s);
    unit_pair_free(&p);
}

// What begins behind `after` in the saved form.
static uint8_t *behind(const struct unit_saved *s, const char *after, size_t n) {
    for (size_t i = 0; i + n < s->n; i++)
        if (memcmp(s->bytes + i, after, n) == 0) return s->bytes + i + n;
    cr_assert(false, "it isn't saved");
    return NULL;
}

static void refuse_byte(struct unit_saved *s, uint8_t *at, uint8_t x, const char *what) {
    uint8_t was = *at;
    *at = x;
    unit_saved_seal(s);
    cr_assert(!unit_saved_any(s), "%s", what);
    *at = was;
    unit_saved_seal(s);
    cr_assert(unit_saved_any(s));
}

Test(save, sessions_and_labels_that_cannot_be) {
    static struct unit_pair p;
    build(&p, 5);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK);
    uint8_t *session = behind(&s, "S\x06\0\0\0a chat", 11); // then u32 instance, i64 booked
    refuse_byte(&s, session, 77, "a session on no instance");
    refuse_byte(&s, session + 11, 0x80, "a session from before the epoch");
    uint8_t *label = behind(&s, "\x02\0\0\0\x05\0\0\0gpu=a", 13) - 13; // the number of labels
    refuse_byte(&s, label + 1, 1, "more labels than there may be");
    refuse_byte(&s, label + 4, 0, "an empty label");
    refuse_byte(&s, label + 5, 1, "a label of more bytes than there may be");
    uint8_t *request = behind(&s, "Q\x03\0\0\0two", 8); // u32, u8, 7 i64, u32, f64, then bytes
    uint8_t *taught = request + 4 + 1 + 7 * 8 + 4 + 8 + 4 + strlen("forgotten") + 4;
    refuse_byte(&s, taught + 7, 0x80, "less than nothing ahead");
    refuse_byte(&s, taught + 15, 1, "a booking that is yet to come");
    refuse_byte(&s, taught + 8, 0, "a booking before that of the request before");
    refuse_byte(&s, request + 4, 0, "a first token before there is one");
    unit_saved_free(&s);
    unit_pair_free(&p);
}
