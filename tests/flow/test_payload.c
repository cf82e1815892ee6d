// SPDX-License-Identifier: Apache-2.0
// Damaged payloads: bits flipped, cut at every byte, at each depth of sealing; restored, and where that
// is accepted used, saved, loaded and deleted.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "payload.h"
#include "traffic.h"

TestSuite(payload, .fini = harness_end, .timeout = 240);

static const char *const plain[] = {"--rdbcompression", "no", NULL};

static struct server *start(struct payload *p, int steps) {
    struct server *s = server_start(plain);
    struct traffic t;
    traffic_start(&t, s->conn, "p", "PREDICT 100000000 LEASE 100000000 WORKERTTL 100000000");
    traffic_run(&t, s->conn, steps);
    *p = payload_dump(s->conn, "p");
    return s;
}

Test(payload, crc_is_the_servers) {
    cr_expect(crc64("123456789", 9) == UINT64_C(0xe9c6d914c4b8d9ca));
    struct payload p;
    struct server *s = start(&p, 300);
    struct payload copy = payload_copy(&p), chunks[PAYLOAD_CHUNKS];
    memset(copy.bytes + copy.n - 8, 0, 8);
    cr_expect(!payload_restore(s->conn, "q", &copy));
    size_t n = payload_chunks(&copy, chunks);
    cr_assert(n >= 1);
    memset(chunks[0].bytes + chunks[0].n - 8, 0, 8);
    payload_seal(&copy);
    cr_expect(!payload_restore(s->conn, "q", &copy), "the chunk's own check");
    payload_seal_chunks(&copy);
    cr_expect(copy.n == p.n && memcmp(copy.bytes, p.bytes, p.n) == 0);
    cr_expect(payload_restore(s->conn, "q", &copy));
    cr_expect(same_digest(pool_digest(s->conn, "p"), pool_digest(s->conn, "q")));
    payload_free(&copy);
    payload_free(&p);
}

// Flipped bits make leases and heartbeats that are just running out, so what is there may end between two
// looks at it: a difference counts if the original is the same before and after.
static void copy_is_equal(struct conn *c, const char *key) {
    for (int tries = 0; tries < 100; tries++) {
        struct digest before = pool_digest(c, key);
        expect_int(c, 1, "COPY %s twin REPLACE", key);
        struct digest twin = pool_digest(c, "twin");
        if (same_digest(before, twin)) return;
        cr_assert(!same_digest(before, pool_digest(c, key)), "the copy differs");
    }
    cr_assert_fail("a pool that never stands still");
}

// Whatever it is, it must answer, change, and come through a copy and a reload of itself.
static void use(struct conn *c, const char *key, struct rng *r) {
    const struct reply *list = call_kind(c, REPLY_ARRAY, "KVROUTE.WORKER LIST %s", key);
    char worker[200] = "none";
    size_t n = 4;
    int64_t epoch = 1, seq = 1;
    if (list->count) {
        const struct reply *row = &list->items[rng_below(r, list->count)];
        n = map_get(row, "worker")->n;
        cr_assert(n <= 128);
        memcpy(worker, map_str(row, "worker"), n);
        const struct reply *rank = &map_get(row, "ranks")->items[0];
        epoch = map_int(rank, "epoch");
        seq = map_int(rank, "seq") + 1;
    }
    call_kind(c, REPLY_ARRAY, "KVROUTE.INFO %s", key);
    call_kind(c, REPLY_ARRAY, "KVROUTE.TREE %s DEPTH 10 COUNT 1000", key);
    call_kind(c, REPLY_ARRAY, "KVROUTE.REQUEST LIST %s 0 COUNT 1000", key);
    call_kind(c, REPLY_ARRAY, "KVROUTE.SCORE %s IDS 8 1 2 3 4 5 6 7 8", key);
    call_int(c, "MEMORY USAGE %s", key);
    copy_is_equal(c, key);
    call(c, "KVROUTE.SELECT twin new IDS 8 1 2 3 4 5 6 7 8");
    call(c, "KVROUTE.EVENT twin %b 0 %lld %lld STORED - IDS 8 1 2 3 4 5 6 7 8 CLEARED", worker, n,
         (long long)(epoch ? epoch : 1), (long long)seq);
    call(c, "KVROUTE.CLAIM twin other %b 0 IDS 4 1 2 3 4", worker, n);
    call(c, "KVROUTE.UPDATE twin new PREFILLED OUTPUT 9");
    call(c, "KVROUTE.WORKER SET twin %b RANKS 3 TTL 5", worker, n);
    call(c, "KVROUTE.RELEASE twin new request-1 request-2 request-3 request-4");
    call(c, "KVROUTE.WORKER DEL twin %b", worker, n);
    expect_int(c, 1, "DEL twin");
}

static void flip(struct payload *p, size_t from, size_t to, struct rng *r) {
    for (uint64_t n = 1 + rng_below(r, 3); n > 0; n--)
        p->bytes[from + rng_below(r, to - from)] ^= (unsigned char)(1u << rng_below(r, 8));
}

Test(payload, flipped_bits) {
    struct payload p;
    struct server *s = start(&p, 120);
    struct conn *c = s->conn;
    struct rng r = {test_seed()};
    struct digest before = pool_digest(c, "p");
    for (int i = 0; i < 3000; i++) {
        struct payload copy = payload_copy(&p);
        flip(&copy, 2, copy.n - PAYLOAD_FOOT, &r); // the type byte is the server's own affair
        payload_seal(&copy);
        if (payload_restore(c, "q", &copy)) use(c, "q", &r);
        payload_free(&copy);
    }
    call(c, "DEL q");
    cr_expect(same_digest(before, pool_digest(c, "p")));
    call_ok(c, "DEBUG RELOAD");
    cr_expect(same_digest(before, pool_digest(c, "p")));
    payload_free(&p);
}

// Behind the checks: what is flipped is what the loader reads.
Test(payload, flipped_bits_under_a_good_check) {
    struct payload p;
    struct server *s = start(&p, 120);
    struct conn *c = s->conn;
    struct rng r = {test_seed()};
    struct digest before = pool_digest(c, "p");
    size_t accepted = 0;
    for (int i = 0; i < 6000; i++) {
        struct payload copy = payload_copy(&p), chunks[PAYLOAD_CHUNKS];
        size_t n = payload_chunks(&copy, chunks);
        struct payload *chunk = &chunks[rng_below(&r, n)];
        // Half of them near the start, where options and workers are.
        size_t most = chunk->n - 8;
        flip(chunk, 0, rng_below(&r, 2) && most > 1000 ? 1000 : most, &r);
        payload_seal_chunks(&copy);
        if (payload_restore(c, "q", &copy)) {
            use(c, "q", &r);
            accepted++;
            // Reloaded too; what of it has run out of time ends in between.
            if (accepted % 50 == 0) call_ok(c, "DEBUG RELOAD");
        }
        payload_free(&copy);
    }
    cr_expect(accepted > 100, "%zu accepted: nothing got through to be used", accepted);
    call(c, "DEL q");
    cr_expect(same_digest(before, pool_digest(c, "p")));
    payload_free(&p);
}

Test(payload, cut_at_every_byte) {
    struct payload p;
    struct server *s = start(&p, 40);
    struct conn *c = s->conn;
    unsigned char foot[PAYLOAD_FOOT];
    memcpy(foot, p.bytes + p.n - PAYLOAD_FOOT, PAYLOAD_FOOT);
    for (size_t cut = 1; cut < p.n - PAYLOAD_FOOT; cut++) {
        struct payload copy = payload_copy(&p);
        memcpy(copy.bytes + cut, foot, PAYLOAD_FOOT);
        copy.n = cut + PAYLOAD_FOOT;
        payload_seal(&copy);
        cr_assert(!payload_restore(c, "q", &copy), "cut at %zu and accepted", cut);
        payload_free(&copy);
    }
    cr_expect(call_int(c, "EXISTS q") == 0);
    cr_expect(payload_restore(c, "q", &p));
    cr_expect(same_digest(pool_digest(c, "p"), pool_digest(c, "q")));
    payload_free(&p);
}

// A file that ends too soon ends the start, and in an orderly way.
Test(payload, an_rdb_file_cut_short) {
    struct payload p;
    struct server *s = start(&p, 300);
    payload_free(&p);
    call_ok(s->conn, "SAVE");
    server_kill(s, SIGKILL);
    char path[400];
    snprintf(path, sizeof path, "%s/dump.rdb", s->dir);
    FILE *f = fopen(path, "rb");
    cr_assert(f);
    static unsigned char whole[1 << 20];
    size_t n = fread(whole, 1, sizeof whole, f);
    fclose(f);
    for (int i = 1; i < 16; i++) {
        f = fopen(path, "wb");
        cr_assert(f && fwrite(whole, 1, n * (size_t)i / 16, f) == n * (size_t)i / 16);
        fclose(f);
        cr_assert(!server_comes_up(s), "started from a piece");
        cr_assert(server_log_count(s, "BUG REPORT") == 0);
    }
    f = fopen(path, "wb");
    cr_assert(f && fwrite(whole, 1, n, f) == n);
    fclose(f);
    server_restart(s);
    cr_expect(pool_info(s->conn, "p", "workers") > 0);
}
