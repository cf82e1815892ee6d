// SPDX-License-Identifier: Apache-2.0
// Damaged payloads: bits flipped, cut at every byte, at each depth of sealing; restored, and where that
// is accepted used, saved, loaded and deleted.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_payload.h"
#include "flow_traffic.h"
#include "tests/support/support_process.h"

TestSuite(payload, .fini = flow_harness_end, .timeout = 240);

static const char *const plain[] = {"--rdbcompression", "no", NULL};

static struct flow_server *start(struct flow_payload *p, int steps) {
    struct flow_server *s = flow_server_start(plain);
    struct flow_traffic t;
    flow_traffic_start(&t, s->conn, "p", "PREDICT 100000000 LEASE 100000000 WORKERTTL 100000000");
    flow_traffic_run(&t, s->conn, steps);
    *p = flow_payload_dump(s->conn, "p");
    return s;
}

Test(payload, crc_is_the_servers) {
    cr_expect(flow_crc64("123456789", 9) == UINT64_C(0xe9c6d914c4b8d9ca));
    struct flow_payload p;
    struct flow_server *s = start(&p, 300);
    struct flow_payload copy = flow_payload_copy(&p), chunks[FLOW_PAYLOAD_CHUNKS];
    memset(copy.bytes + copy.n - 8, 0, 8);
    cr_expect(!flow_payload_restore(s->conn, "q", &copy));
    size_t n = flow_payload_chunks(&copy, chunks);
    cr_assert(n >= 1);
    memset(chunks[0].bytes + chunks[0].n - 8, 0, 8);
    flow_payload_seal(&copy);
    cr_expect(!flow_payload_restore(s->conn, "q", &copy), "the chunk's own check");
    flow_payload_seal_chunks(&copy);
    cr_expect(copy.n == p.n && memcmp(copy.bytes, p.bytes, p.n) == 0);
    cr_expect(flow_payload_restore(s->conn, "q", &copy));
    cr_expect(flow_same_digest(flow_pool_digest(s->conn, "p"), flow_pool_digest(s->conn, "q")));
    flow_payload_free(&copy);
    flow_payload_free(&p);
}

// Flipped bits make leases and heartbeats that are just running out, so what is there may end between two
// looks at it: a difference counts if the original is the same before and after.
static void copy_is_equal(struct flow_conn *c, const char *key) {
    for (int tries = 0; tries < 100; tries++) {
        struct flow_digest before = flow_pool_digest(c, key);
        flow_expect_int(c, 1, "COPY %s twin REPLACE", key);
        struct flow_digest twin = flow_pool_digest(c, "twin");
        if (flow_same_digest(before, twin)) return;
        cr_assert(!flow_same_digest(before, flow_pool_digest(c, key)), "the copy differs");
    }
    cr_assert_fail("a pool that never stands still");
}

// Whatever it is, it must answer, change, and come through a copy and a reload of itself.
static void use(struct flow_conn *c, const char *key, struct flow_rng *r) {
    const struct flow_reply *list =
        flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.WORKER LIST %s", key);
    char worker[200] = "none";
    size_t n = 4;
    int64_t epoch = 1, seq = 1;
    if (list->count) {
        const struct flow_reply *row = &list->items[flow_rng_below(r, list->count)];
        n = flow_map_get(row, "worker")->n;
        cr_assert(n <= 128);
        memcpy(worker, flow_map_str(row, "worker"), n);
        const struct flow_reply *rank = &flow_map_get(row, "ranks")->items[0];
        epoch = flow_map_int(rank, "epoch");
        seq = flow_map_int(rank, "seq") + 1;
    }
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.INFO %s", key);
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.TREE %s DEPTH 10 COUNT 1000", key);
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST LIST %s 0 COUNT 1000", key);
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SCORE %s IDS 8 1 2 3 4 5 6 7 8", key);
    flow_call_int(c, "MEMORY USAGE %s", key);
    copy_is_equal(c, key);
    flow_call(c, "KVROUTE.SELECT twin new IDS 8 1 2 3 4 5 6 7 8");
    flow_call(c, "KVROUTE.EVENT twin %b 0 %lld %lld STORED - IDS 8 1 2 3 4 5 6 7 8 CLEARED", worker,
              n, (long long)(epoch ? epoch : 1), (long long)seq);
    flow_call(c, "KVROUTE.CLAIM twin other %b 0 IDS 4 1 2 3 4", worker, n);
    flow_call(c, "KVROUTE.UPDATE twin new PREFILLED OUTPUT 9");
    flow_call(c, "KVROUTE.WORKER SET twin %b RANKS 3 TTL 5", worker, n);
    flow_call(c, "KVROUTE.RELEASE twin new request-1 request-2 request-3 request-4");
    flow_call(c, "KVROUTE.WORKER DEL twin %b", worker, n);
    flow_expect_int(c, 1, "DEL twin");
}

static void flip(struct flow_payload *p, size_t from, size_t to, struct flow_rng *r) {
    for (uint64_t n = 1 + flow_rng_below(r, 3); n > 0; n--)
        p->bytes[from + flow_rng_below(r, to - from)] ^=
            (unsigned char)(1u << flow_rng_below(r, 8));
}

Test(payload, flipped_bits) {
    struct flow_payload p;
    struct flow_server *s = start(&p, 120);
    struct flow_conn *c = s->conn;
    struct flow_rng r = {flow_test_seed()};
    struct flow_digest before = flow_pool_digest(c, "p");
    for (int i = 0; i < 3000; i++) {
        struct flow_payload copy = flow_payload_copy(&p);
        flip(&copy, 2, copy.n - FLOW_PAYLOAD_FOOT, &r); // the type byte is the server's own affair
        flow_payload_seal(&copy);
        if (flow_payload_restore(c, "q", &copy)) use(c, "q", &r);
        flow_payload_free(&copy);
    }
    flow_call(c, "DEL q");
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    flow_call_ok(c, "DEBUG RELOAD");
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    flow_payload_free(&p);
}

// Behind the checks: what is flipped is what the loader reads.
Test(payload, flipped_bits_under_a_good_check) {
    struct flow_payload p;
    struct flow_server *s = start(&p, 120);
    struct flow_conn *c = s->conn;
    struct flow_rng r = {flow_test_seed()};
    struct flow_digest before = flow_pool_digest(c, "p");
    size_t accepted = 0;
    for (int i = 0; i < 6000; i++) {
        struct flow_payload copy = flow_payload_copy(&p), chunks[FLOW_PAYLOAD_CHUNKS];
        size_t n = flow_payload_chunks(&copy, chunks);
        struct flow_payload *chunk = &chunks[flow_rng_below(&r, n)];
        // Half of them near the start, where options and workers are.
        size_t most = chunk->n - 8;
        flip(chunk, 0, flow_rng_below(&r, 2) && most > 1000 ? 1000 : most, &r);
        flow_payload_seal_chunks(&copy);
        if (flow_payload_restore(c, "q", &copy)) {
            use(c, "q", &r);
            accepted++;
            // Reloaded too; what of it has run out of time ends in between.
            if (accepted % 50 == 0) flow_call_ok(c, "DEBUG RELOAD");
        }
        flow_payload_free(&copy);
    }
    cr_expect(accepted > 100, "%zu accepted: nothing got through to be used", accepted);
    flow_call(c, "DEL q");
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    flow_payload_free(&p);
}

Test(payload, cut_at_every_byte) {
    struct flow_payload p;
    struct flow_server *s = start(&p, 40);
    struct flow_conn *c = s->conn;
    unsigned char foot[FLOW_PAYLOAD_FOOT];
    memcpy(foot, p.bytes + p.n - FLOW_PAYLOAD_FOOT, FLOW_PAYLOAD_FOOT);
    for (size_t cut = 1; cut < p.n - FLOW_PAYLOAD_FOOT; cut++) {
        struct flow_payload copy = flow_payload_copy(&p);
        memcpy(copy.bytes + cut, foot, FLOW_PAYLOAD_FOOT);
        copy.n = cut + FLOW_PAYLOAD_FOOT;
        flow_payload_seal(&copy);
        cr_assert(!flow_payload_restore(c, "q", &copy), "cut at %zu and accepted", cut);
        flow_payload_free(&copy);
    }
    cr_expect(flow_call_int(c, "EXISTS q") == 0);
    cr_expect(flow_payload_restore(c, "q", &p));
    cr_expect(flow_same_digest(flow_pool_digest(c, "p"), flow_pool_digest(c, "q")));
    flow_payload_free(&p);
}

// A file that ends too soon ends the start, and in an orderly way.
Test(payload, an_rdb_file_cut_short) {
    struct flow_payload p;
    struct flow_server *s = start(&p, 300);
    flow_payload_free(&p);
    flow_call_ok(s->conn, "SAVE");
    flow_server_kill(s, SIGKILL);
    char path[400];
    snprintf(path, sizeof path, "%s/dump.rdb", s->redis.dir);
    FILE *f = fopen(path, "rb");
    cr_assert(f);
    static unsigned char whole[1 << 20];
    size_t n = fread(whole, 1, sizeof whole, f);
    fclose(f);
    for (int i = 1; i < 16; i++) {
        f = fopen(path, "wb");
        cr_assert(f && fwrite(whole, 1, n * (size_t)i / 16, f) == n * (size_t)i / 16);
        fclose(f);
        cr_assert(!flow_server_comes_up(s), "started from a piece");
        cr_assert(support_log_count(s->redis.log, "BUG REPORT") == 0);
    }
    f = fopen(path, "wb");
    cr_assert(f && fwrite(whole, 1, n, f) == n);
    fclose(f);
    flow_server_restart(s);
    cr_expect(flow_pool_info(s->conn, "p", "workers") > 0);
}
