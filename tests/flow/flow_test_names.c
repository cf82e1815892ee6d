// SPDX-License-Identifier: Apache-2.0
// Names, ids and addresses are bytes: any of them come back as they went in, and survive everything.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "flow_harness.h"

TestSuite(names, .fini = flow_harness_end, .timeout = 120);

enum { FLOW_NAMES = 10 };

struct flow_name {
    char bytes[512];
    size_t n;
};

// Distinct, each with something that breaks careless code.
static size_t make_names(struct flow_name out[FLOW_NAMES], size_t longest) {
    static const struct {
        const char *bytes;
        size_t n;
    } odd[] = {{"\0", 1},           {"a\0b", 3}, {"a\0c", 3},   {"\xff\xfe\xff", 3}, {"\r\n", 2},
               {"a\r\n+OK\r\n", 8}, {" ", 1},    {"%s%n%d", 6}, {"\"'\\{}[]()", 9}};
    for (size_t i = 0; i < FLOW_NAMES - 1; i++) {
        memcpy(out[i].bytes, odd[i].bytes, odd[i].n);
        out[i].n = odd[i].n;
    }
    memset(out[FLOW_NAMES - 1].bytes, 0xff, longest);
    out[FLOW_NAMES - 1].n = longest;
    return FLOW_NAMES;
}

static void expect_same(const struct flow_reply *r, const struct flow_name *want) {
    cr_assert(r->kind == FLOW_REPLY_BULK);
    cr_expect(r->n == want->n && memcmp(r->bytes, want->bytes, want->n) == 0);
}

static void expect_all(struct flow_conn *c, const struct flow_name *keys,
                       const struct flow_name *workers, const struct flow_name *addrs,
                       const struct flow_name *ids) {
    for (size_t i = 0; i < FLOW_NAMES; i++) {
        const struct flow_reply *r = flow_call(c, "KVROUTE.WORKER GET %b %b", keys[i].bytes,
                                               keys[i].n, workers[i].bytes, workers[i].n);
        expect_same(flow_map_get(r, "worker"), &workers[i]);
        expect_same(flow_map_get(r, "addr"), &addrs[i]);
        r = flow_call(c, "KVROUTE.REQUEST GET %b %b", keys[i].bytes, keys[i].n, ids[i].bytes,
                      ids[i].n);
        expect_same(flow_map_get(r, "request"), &ids[i]);
        expect_same(flow_map_get(r, "worker"), &workers[i]);
        r = flow_call(c, "KVROUTE.REQUEST LIST %b 0 COUNT 1000", keys[i].bytes, keys[i].n);
        cr_assert(r->items[1].count == 1);
        expect_same(&r->items[1].items[0], &ids[i]);
        r = flow_call(c, "KVROUTE.SCORE %b IDS 1 1 AMONG 1 %b", keys[i].bytes, keys[i].n,
                      workers[i].bytes, workers[i].n);
        cr_assert(r->count == 1);
        expect_same(flow_map_get(&r->items[0], "worker"), &workers[i]);
        r = flow_call(c, "KVROUTE.SCORE %b IDS 1 1 EXCLUDE 1 %b", keys[i].bytes, keys[i].n,
                      workers[i].bytes, workers[i].n);
        cr_assert(r->count == 0);
    }
}

Test(names, any_bytes_anywhere) {
    struct flow_server *s = flow_server_start(flow_with_aof), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    static struct flow_name keys[FLOW_NAMES], workers[FLOW_NAMES], addrs[FLOW_NAMES],
        ids[FLOW_NAMES];
    make_names(keys, 500);
    make_names(workers, 128);
    make_names(addrs, 512);
    make_names(ids, 256);
    for (size_t i = 0; i < FLOW_NAMES; i++) {
        const struct flow_name *k = &keys[i], *w = &workers[i], *a = &addrs[i], *id = &ids[i];
        flow_call_ok(c, "KVROUTE.CREATE %b BLOCKSIZE 1", k->bytes, k->n);
        flow_expect_int(c, 1, "KVROUTE.WORKER SET %b %b ADDR %b", k->bytes, k->n, w->bytes, w->n,
                        a->bytes, a->n);
        flow_expect_int(c, 1, "KVROUTE.EVENT %b %b 0 1 1 STORED - IDS 2 1 2 LORA %b", k->bytes,
                        k->n, w->bytes, w->n, id->bytes, id->n);
        const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT %b %b IDS 2 1 2 LORA %b LEASE 0",
                                               k->bytes, k->n, id->bytes, id->n, id->bytes, id->n);
        cr_expect(flow_map_int(r, "overlap") == 2);
        expect_same(flow_map_get(r, "worker"), w);
        expect_same(flow_map_get(r, "addr"), a);
        flow_expect_int(c, 1, "KVROUTE.UPDATE %b %b PREFILLED", k->bytes, k->n, id->bytes, id->n);
        flow_expect_int(c, 0, "KVROUTE.CLAIM %b %b %b 0 IDS 0", k->bytes, k->n, id->bytes, id->n,
                        w->bytes, w->n);
    }
    expect_all(c, keys, workers, addrs, ids);
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    expect_all(replica->conn, keys, workers, addrs, ids);
    flow_call_ok(c, "DEBUG RELOAD");
    expect_all(c, keys, workers, addrs, ids);
    flow_call_ok(c, "DEBUG LOADAOF");
    expect_all(c, keys, workers, addrs, ids);
    flow_server_restart(s);
    c = s->conn;
    expect_all(c, keys, workers, addrs, ids);
    for (size_t i = 0; i < FLOW_NAMES; i++) {
        const struct flow_name *k = &keys[i], *w = &workers[i], *id = &ids[i];
        flow_expect_int(c, 1, "KVROUTE.RELEASE %b %b", k->bytes, k->n, id->bytes, id->n);
        flow_expect_int(c, 1, "KVROUTE.WORKER DEL %b %b", k->bytes, k->n, w->bytes, w->n);
    }
}

Test(names, limits_of_ids) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    char big[600];
    memset(big, 'i', sizeof big);
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p %b IDS 0", big, (size_t)256);
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p %b IDS 0", big, (size_t)257);
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p %s IDS 0", "");
    flow_expect_error(c, "ERR", "KVROUTE.CLAIM p %b w 0 IDS 0", big, (size_t)257);
    flow_expect_error(c, "ERR", "KVROUTE.CLAIM p %s w 0 IDS 0", "");
    flow_expect_int(c, 0, "KVROUTE.RELEASE p %b", big, (size_t)600);
    flow_expect_int(c, 0, "KVROUTE.RELEASE p %s", "");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p %b", big, (size_t)256);
    // Unknown names of any length are just unknown where nothing would be made of them.
    flow_expect_null(c, "KVROUTE.WORKER GET p %b", big, (size_t)600);
    cr_expect(flow_call(c, "KVROUTE.SCORE p IDS 0 EXCLUDE 2 %b %s", big, (size_t)600, "")->count ==
              1);
    flow_expect_error(c, "NOWORKER", "KVROUTE.EVENT p nosuch 0 1 1 CLEARED");
}

static void expect_no_echo(struct flow_conn *c, const struct flow_args *a, const char *secret) {
    const struct flow_reply *r = flow_call_args(c, a);
    if (r->kind != FLOW_REPLY_ERROR) return;
    cr_expect(!strstr(r->bytes, secret), "echoed: %s", r->bytes);
    cr_expect(!strpbrk(r->bytes, "\r\n"));
}

// The caller's bytes never come back in an error, in whatever place they stand.
Test(names, errors_never_echo) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    static const char *const shapes[] = {
        "KVROUTE.CREATE q BLOCKSIZE 4 POLICY linear LEASE 5",
        "KVROUTE.ALTER p LEASE 5 HOST 1",
        "KVROUTE.WORKER SET p w2 ADDR x RANKS 2 CAPACITY 3 STATE ready TTL 5",
        "KVROUTE.WORKER DEL p w9",
        "KVROUTE.EVENT p w 0 1 1 TIER host STORED - IDS 1 1 REMOVED HEX 00000000000000ff CLEARED",
        "KVROUTE.SELECT p r IDS 2 1 2 LORA a ISL 5 LEASE 5 AMONG 1 w EXCLUDE 1 v POLICY linear",
        "KVROUTE.SCORE p HASHES 12345678 ISL 5 OVERLAP 1 TEMPERATURE 0",
        "KVROUTE.UPDATE p r PREFILLED OUTPUT 5 LEASE 6",
        "KVROUTE.CLAIM p r w 0 HEX 0000000000000001 ISL 2 CACHED 1 OUTPUT 3 PREFILLED LEASE 5",
        "KVROUTE.REQUEST LIST p 0 COUNT 5",
        "KVROUTE.TREE p FROM 00000000000000ff DEPTH 1 COUNT 2",
        "KVROUTE.HASH 4 IDS 4 1 2 3 4 NAMESPACE n FROM 00000000000000ff",
        "KVROUTE.INFO p",
        "KVROUTE.DIGEST p",
        "KVROUTE.SELECT p r2 IDS 1 1 WAIT 5 CLASS default FLOW f NOTIFY n BLOCK",
        "KVROUTE.CLASS SET p c PRIORITY 1 WEIGHT 2 WAITING 3 ROOM 4",
        "KVROUTE.CLASS DEL p c",
        "KVROUTE.FLOW SET p f WEIGHT 1 REQUESTS 2 RATE 3 BURST 4",
        "KVROUTE.FLOW LIST p 0 COUNT 5",
        "KVROUTE.QUEUE p COUNT 5",
    };
    static char secret[] = "s3cr3t-\xff\r\n-bytes";
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct flow_args a = {0};
        flow_args_words(&a, shapes[i]);
        for (size_t k = 1; k < a.n; k++) {
            if (k == 1 && (strstr(a.v[0], "WORKER") || strstr(a.v[0], "REQUEST") ||
                           strstr(a.v[0], "CLASS") || strstr(a.v[0], "FLOW")))
                continue; // an unknown subcommand is refused by the server, in its words
            char *word = a.v[k];
            size_t n = a.len[k];
            a.v[k] = secret;
            a.len[k] = sizeof secret - 1;
            expect_no_echo(c, &a, "s3cr3t");
            a.v[k] = word;
            a.len[k] = n;
        }
        flow_args_str(&a, secret);
        expect_no_echo(c, &a, "s3cr3t");
        flow_args_clear(&a);
    }
}
