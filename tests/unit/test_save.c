// SPDX-License-Identifier: Apache-2.0
// Saving and loading: whole, cut short, spoiled, and as an earlier build wrote it.
//
// The fixture is written anew with KVROUTE_WRITE_FIXTURES=1; that is for a new version of the format,
// whose file then stands beside the old one.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"
#include "saved.h"

static struct kvr_bytes text(const char *s) {
    return (struct kvr_bytes){s, strlen(s)};
}

// A small pool with something of everything; `chain` blocks in its longest prompt. Its parts come
// from constants alone, so every build makes the same.
static void build(struct pair *p, size_t chain) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = 4;
    o.predict = 1000;
    o.worker_ttl = 60000;
    o.rule.requests = 0.5;
    pair_init(p, &o, "saving");
    uint64_t *hashes = must_alloc(chain * sizeof *hashes), leaf[3] = {0, UINT64_MAX, 77};
    for (size_t i = 0; i < chain; i++)
        hashes[i] = (i + 1) * 0x9e3779b97f4a7c15u;
    struct kvr_worker_set w = {
        .set = 31, .addr = {"10.0.0.7:8000", 13}, .ranks = 2, .capacity = 99};
    pair_worker_set(p, text("alpha"), &w);
    w.set = KVR_SET_STATE;
    w.state = KVR_DRAINING;
    pair_worker_set(p, (struct kvr_bytes){"b\0\xff", 3}, &w);
    struct kvr_op ops[] = {
        {.kind = KVR_STORED, .hashes = hashes, .n = chain},
        {KVR_STORED, KVR_HOST, true, hashes[1], leaf, 3},
        {.kind = KVR_REMOVED, .hashes = hashes + 2, .n = 1},
    };
    pair_event(p, text("alpha"), 1, 3, 1, ops, 3, false);
    ops[0].n = 2;
    ops[0].tier = KVR_DISK;
    pair_event(p, (struct kvr_bytes){"b\0\xff", 3}, 0, 1, 1, ops, 2, false);
    struct kvr_query q = {.hashes = hashes, .n = 4, .isl = 17, .osl = 5};
    q.rule = o.rule;
    pair_select(p, text("one"), &q, -1, 0);
    p->now += 10;
    q.osl = 0;
    pair_select(p, text("two"), &q, 0, 0);
    struct kvr_booking b = {.hashes = leaf,
                            .n = 3,
                            .isl = 20,
                            .cached = 3,
                            .output = 9,
                            .lease = 44,
                            .prefilled = true,
                            .created = p->now,
                            .renewed = p->now + 1};
    pair_claim(p, (struct kvr_bytes){"\0", 1}, text("alpha"), 0, &b);
    free(hashes);
}

static void digest_text(const struct kvr_pool *p, char out[2 * KVR_DIGEST_BYTES + 1]) {
    uint8_t d[KVR_DIGEST_BYTES];
    kvr_pool_digest(p, d);
    for (int i = 0; i < KVR_DIGEST_BYTES; i++)
        sprintf(out + 2 * i, "%02x", d[i]);
}

// Loads what may be anything: refused, or a valid pool that can be used, saved again and freed.
static bool load_anything(const struct saved *s) {
    struct testmem mem = {0};
    struct kvr_alloc a = testmem_alloc(&mem);
    enum kvr_err err;
    struct kvr_pool *p = saved_load(s, &a, &err);
    cr_assert(p || err == KVR_CORRUPT, "error %d", err);
    if (p) {
        const char *broken = kvr_pool_validate(p);
        cr_assert(!broken, "%s", broken);
        uint8_t first[KVR_DIGEST_BYTES], second[KVR_DIGEST_BYTES];
        kvr_pool_digest(p, first);
        struct saved again = {0};
        cr_assert(saved_write(p, &again) == KVR_OK);
        struct kvr_pool *copy = saved_load(&again, &a, &err);
        cr_assert(copy, "what was saved isn't loaded");
        kvr_pool_digest(copy, second);
        cr_assert(memcmp(first, second, sizeof first) == 0);
        kvr_pool_free(copy);
        saved_free(&again);
        while (kvr_worker_count(p)) {
            struct kvr_worker_info w;
            kvr_worker_at(p, 0, 0, &w);
            char name[KVR_MAX_NAME];
            memcpy(name, w.name.p, w.name.n);
            cr_assert(kvr_worker_del(p, (struct kvr_bytes){name, w.name.n}) == KVR_OK);
            broken = kvr_pool_validate(p);
            cr_assert(!broken, "%s", broken);
        }
        kvr_pool_free(p);
    }
    testmem_all_free(&mem, "loading anything");
    return p != NULL;
}

Test(save, round_trip) {
    static struct pair p;
    build(&p, 5);
    for (int i = 0; i < 3; i++) {
        pair_reload(&p);
        pair_check_all(&p);
        pair_check_tree(&p);
    }
    pair_free(&p);
}

// More than one chunk: none may be left out, repeated, swapped, or come from another pool.
Test(save, chunks) {
    static struct pair p;
    build(&p, 40000);
    pair_reload(&p);
    pair_check_tree(&p);
    struct saved s = {0};
    cr_assert(saved_write(p.pool, &s) == KVR_OK);
    cr_assert(s.n_ends > 3);
    for (size_t i = 0, from = 0; i < s.n_ends; from = s.ends[i++])
        cr_assert(s.ends[i] - from < 128 * 1024);
    for (size_t skip = 0; skip < s.n_ends; skip++)
        for (int kind = 0; kind < 3; kind++) {
            struct saved other = {0};
            for (size_t i = 0; i < s.n_ends; i++) {
                size_t at = i;
                if (kind == 0 && i == skip) continue;
                if (kind == 2 && skip + 1 < s.n_ends && (i == skip || i == skip + 1))
                    at = 2 * skip + 1 - i;
                size_t from = at ? s.ends[at - 1] : 0;
                for (int times = 0; times < 1 + (kind == 1 && i == skip); times++)
                    saved_add(&other, s.bytes + from, s.ends[at] - from);
            }
            bool same = kind == 2 && skip + 1 == s.n_ends;
            cr_assert(load_anything(&other) == same);
            saved_free(&other);
        }
    saved_free(&s);
    pair_free(&p);
}

static int stop_at(void *ctx, const void *bytes, size_t n) {
    (void)bytes;
    (void)n;
    return --*(int *)ctx < 0;
}

Test(save, a_sink_that_stops) {
    static struct pair p;
    build(&p, 40000);
    for (int left = 0;; left++) {
        int ctx = left;
        enum kvr_err err = kvr_pool_save(p.pool, stop_at, &ctx);
        pair_check(&p);
        if (err == KVR_OK) break;
        cr_assert(err == KVR_CORRUPT);
    }
    pair_free(&p);
}

Test(save, cut_at_every_byte) {
    static struct pair p;
    build(&p, 5);
    struct saved s = {0};
    cr_assert(saved_write(p.pool, &s) == KVR_OK && s.n_ends == 1);
    for (size_t n = 0; n < s.n; n++)
        for (int sealed = 0; sealed < 2; sealed++) {
            struct saved cut = {0};
            saved_add(&cut, s.bytes, n);
            if (sealed) saved_seal(&cut);
            cr_assert(!load_anything(&cut), "cut after %zu bytes", n);
            saved_free(&cut);
        }
    cr_assert(load_anything(&s));
    saved_free(&s);
    pair_free(&p);
}

Test(save, every_bit_flipped) {
    static struct pair p;
    build(&p, 5);
    struct saved s = {0};
    cr_assert(saved_write(p.pool, &s) == KVR_OK && s.n_ends == 1);
    size_t loaded = 0;
    for (size_t bit = 0; bit < s.n * 8; bit++) {
        uint8_t mask = (uint8_t)(1u << bit % 8);
        s.bytes[bit / 8] ^= mask;
        cr_assert(!load_anything(&s), "bit %zu", bit);
        saved_seal(&s); // the check is right again: now the records have to be looked at
        loaded += load_anything(&s);
        s.bytes[bit / 8] ^= mask;
        saved_seal(&s);
    }
    cr_assert(loaded > 0); // most numbers may be any
    saved_free(&s);
    pair_free(&p);
}

// Every byte as 0, 255, one more and one less, in pairs of places: lengths and counts at their ends.
Test(save, bytes_replaced) {
    static struct pair p;
    build(&p, 5);
    struct saved s = {0};
    cr_assert(saved_write(p.pool, &s) == KVR_OK);
    for (size_t i = 0; i + SAVED_CHECK < s.n; i++) {
        uint8_t was = s.bytes[i];
        const uint8_t values[] = {0, 255, (uint8_t)(was + 1), (uint8_t)(was - 1)};
        for (size_t k = 0; k < sizeof values; k++) {
            s.bytes[i] = values[k];
            saved_seal(&s);
            load_anything(&s);
            size_t j = (i * 31 + k * 17) % (s.n - SAVED_CHECK);
            uint8_t also = s.bytes[j];
            s.bytes[j] ^= 1;
            saved_seal(&s);
            load_anything(&s);
            s.bytes[j] = also;
        }
        s.bytes[i] = was;
    }
    saved_free(&s);
    pair_free(&p);
}

// ---- An earlier build's file ---------------------------------------------------------------------

// The digest of what build(5) makes. It changes only with the digest itself or with build.
static const char fixture_digest[] = "230c8e56bb7905dc7bcb1ece1c528ea91f668464";

static void fixture_path(char *to, size_t n) {
    const char *here = __FILE__, *slash = strrchr(here, '/');
    snprintf(to, n, "%.*sfixtures/pool-v1.bin", slash ? (int)(slash - here) + 1 : 0, here);
}

Test(save, fixture_of_version_1) {
    static struct pair p;
    build(&p, 5);
    char path[4096], digest[2 * KVR_DIGEST_BYTES + 1];
    fixture_path(path, sizeof path);
    struct saved s = {0};
    if (getenv("KVROUTE_WRITE_FIXTURES")) {
        cr_assert(saved_write(p.pool, &s) == KVR_OK && s.n_ends == 1);
        FILE *out = fopen(path, "wb");
        cr_assert(out && fwrite(s.bytes, 1, s.n, out) == s.n && fclose(out) == 0);
        digest_text(p.pool, digest);
        fprintf(stderr, "digest of the fixture: %s\n", digest);
        saved_free(&s);
    }
    FILE *in = fopen(path, "rb");
    cr_assert(in, "no fixture");
    static uint8_t bytes[1 << 16];
    size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    saved_add(&s, bytes, n);
    struct testmem mem = {0};
    struct kvr_alloc a = testmem_alloc(&mem);
    enum kvr_err err;
    struct kvr_pool *loaded = saved_load(&s, &a, &err);
    cr_assert(loaded, "the fixture isn't loaded");
    cr_assert(!kvr_pool_validate(loaded));
    digest_text(loaded, digest);
    cr_assert_str_eq(digest, fixture_digest);
    digest_text(p.pool, digest);
    cr_assert_str_eq(digest, fixture_digest);
    cr_assert(load_anything(&s));
    kvr_pool_free(loaded);
    saved_free(&s);
    pair_free(&p);
}
