// SPDX-License-Identifier: Apache-2.0
// Bad input: refused, politely, at once, with nothing changed. And whatever is accepted can be lived
// with: saved, loaded and replicated.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_payload.h"
#include "flow_traffic.h"

TestSuite(hostile, .fini = flow_harness_end, .timeout = 240);

enum { FLOW_HOSTILE_MAX_BLOCKS = 1048576 };

Test(hostile, huge_lists) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    struct flow_digest before = flow_pool_digest(c, "p");
    size_t n = (FLOW_HOSTILE_MAX_BLOCKS + 1) * sizeof(uint64_t);
    char *zeros = calloc(1, n);
    cr_assert(zeros);
    // One more than the most, in every form.
    static const char *const heads[] = {"KVROUTE.SELECT p r %s %b",
                                        "KVROUTE.SCORE p %s %b",
                                        "KVROUTE.EXPLAIN p %s %b",
                                        "KVROUTE.CLAIM p r w 0 %s %b",
                                        "KVROUTE.EVENT p w 0 1 1 STORED - %s %b",
                                        "KVROUTE.HASH 1 %s %b"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        flow_expect_error(c, "ERR", heads[i], "HASHES", zeros, n);
        flow_expect_error(c, "ERR", heads[i], "TOKENS", zeros, n / 2);
    }
    memset(zeros, '0', n);
    flow_expect_error(c, "ERR", "KVROUTE.SCORE p HEX %b", zeros, n); // odd digits
    flow_expect_error(c, "ERR", "KVROUTE.EVENT p w 0 1 1 REMOVED HASHES %b", zeros, n);
    flow_expect_refused(c, "KVROUTE.SELECT p r",
                        "IDS 1048577|IDS 99999999999 1|IDS 9223372036854775807 1|"
                        "IDS 18446744073709551615 1|IDS 18446744073709551616 1|IDS 4294967296 1|"
                        "IDS -9223372036854775808 1|IDS 1e3 1|IDS 0x1 1|IDS 1.0 1|IDS +1 1");
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    // The most itself is fine.
    uint64_t *hashes = (uint64_t *)(void *)zeros;
    for (size_t i = 0; i < FLOW_HOSTILE_MAX_BLOCKS; i++)
        hashes[i] = i * UINT64_C(0x9e3779b97f4a7c15) + 7;
    n -= 8;
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - HASHES %b", zeros, n);
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p r HASHES %b", zeros, n);
    cr_expect(flow_map_int(r, "overlap") == FLOW_HOSTILE_MAX_BLOCKS);
    r = flow_row_of(flow_call(c, "KVROUTE.SCORE p HASHES %b", zeros, n), "w", 0);
    cr_expect(flow_map_int(r, "decode_blocks") == FLOW_HOSTILE_MAX_BLOCKS);
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 1 2 REMOVED HASHES %b", zeros, n);
    cr_expect(flow_pool_info(c, "p", "holdings") == 0);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    // Tokens of less than the most blocks, though more than the most tokens.
    flow_call_ok(c, "KVROUTE.CREATE q BLOCKSIZE 16");
    flow_call_int(c, "KVROUTE.WORKER SET q w");
    r = flow_call(c, "KVROUTE.SELECT q r TOKENS %b", zeros, n);
    cr_expect(flow_map_int(r, "blocks") == FLOW_HOSTILE_MAX_BLOCKS * 2 / 16);
    free(zeros);
}

Test(hostile, malformed_blobs_at_every_length) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    char blob[65];
    memset(blob, '1', sizeof blob);
    for (size_t n = 0; n < sizeof blob; n++) {
        cr_expect((flow_call(c, "KVROUTE.SCORE p HASHES %b", blob, n)->kind == FLOW_REPLY_ERROR) ==
                  (n % 8 != 0));
        cr_expect((flow_call(c, "KVROUTE.SCORE p TOKENS %b", blob, n)->kind == FLOW_REPLY_ERROR) ==
                  (n % 4 != 0));
        cr_expect((flow_call(c, "KVROUTE.SCORE p HEX %b", blob, n)->kind == FLOW_REPLY_ERROR) ==
                  (n % 16 != 0));
    }
    for (int byte = 0; byte < 256; byte++) {
        char hex[17] = "0123456789abcdef";
        hex[byte % 16] = (char)byte;
        bool is_digit = byte && strchr("0123456789abcdefABCDEF", byte);
        const struct flow_reply *r = flow_call(c, "KVROUTE.SCORE p HEX %b", hex, (size_t)16);
        cr_expect((r->kind == FLOW_REPLY_ERROR) != is_digit, "digit %d", byte);
        r = flow_call(c, "KVROUTE.EVENT p w 0 1 1 STORED %b IDS 1 1", hex, (size_t)16);
        cr_expect(flow_is_error(r, is_digit ? "NOPARENT" : "ERR"), "digit %d of a parent", byte);
    }
}

// Each prefix of a good command, and each with one argument left out, is refused or harmless.
Test(hostile, commands_cut_short) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    static const char *const whole[] = {
        "KVROUTE.CREATE q BLOCKSIZE 4 POLICY linear OVERLAP 1 LEASE 5 PREDICT 6 FAILURES 2 "
        "OPENTIME 9 SESSIONTTL 5 SLOTTFT 6 SLOTBT 7 STICK 8 MAXREQUESTS 1 MAXPREFILL 2 MAXBLOCKS 3 "
        "MAXWAITING 4 ACCEPT 5",
        "KVROUTE.CLASS SET p k PRIORITY -5 WEIGHT 2 WAITING 3 ROOM 50",
        "KVROUTE.CLASS DEL p k",
        "KVROUTE.CLASS LIST p",
        "KVROUTE.FLOW SET p f WEIGHT 2 REQUESTS 3 RATE 4 BURST 5",
        "KVROUTE.FLOW LIST p 0 COUNT 5",
        "KVROUTE.SELECT p waits IDS 2 1 2 AMONG 0 WAIT 20 CLASS default FLOW f NOTIFY n BLOCK",
        "KVROUTE.QUEUE p COUNT 5",
        "KVROUTE.FLOW DEL p f",
        "KVROUTE.REPORT p w FAILED",
        "KVROUTE.WORKER SET p w ADDR x RANKS 2 CAPACITY 3 STATE ready TTL 500000 SPEED "
        "2 LABELS 2 a b MAXREQUESTS 9",
        "KVROUTE.EVENT p w 0 1 1 TIER host STORED - IDS 2 1 2 LORA a NAMESPACE b REMOVED HEX "
        "00000000000000ff TIER disk CLEARED",
        "KVROUTE.SELECT p r IDS 2 1 2 LORA a NAMESPACE b ISL 5 OSL 6 LEASE 70000 AMONG 2 w v "
        "EXCLUDE "
        "1 u POLICY linear OVERLAP 1 PREFILL 1 REQUESTS 1 TEMPERATURE 1 WITH 1 a WITHOUT 2 c d "
        "SESSION s",
        "KVROUTE.CLAIM p r w 0 IDS 2 1 2 ISL 5 CACHED 2 OUTPUT 3 PREFILLED LEASE 80000 SESSION "
        "t CLASS default FLOW f",
        "KVROUTE.UPDATE p r PREFILLED OUTPUT 5 LEASE 90000",
        "KVROUTE.REQUEST LIST p 0 COUNT 5",
        "KVROUTE.SESSION LIST p 0 COUNT 5",
        "KVROUTE.SESSION GET p s",
        "KVROUTE.DIGEST p LEARNT",
        "KVROUTE.TREE p FROM 00000000000000ff DEPTH 3 COUNT 4",
        "KVROUTE.HASH 4 IDS 4 1 2 3 4 LORA a FROM 00000000000000ff",
        "KVROUTE.RELEASE p r q",
        "KVROUTE.SESSION DEL p s t",
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        struct flow_args a = {0};
        flow_args_words(&a, whole[i]);
        size_t n = a.n;
        for (a.n = 1; a.n <= n; a.n++)
            flow_call_args(c, &a);
        a.n = n;
        for (size_t skip = 1; skip < n; skip++) {
            struct flow_args b = {0};
            for (size_t k = 0; k < n; k++)
                if (k != skip) flow_args_add(&b, a.v[k], a.len[k]);
            flow_call_args(c, &b);
            flow_args_clear(&b);
        }
        flow_args_clear(&a);
    }
    struct flow_digest d = flow_pool_digest(c, "p");
    flow_call_ok(c, "DEBUG RELOAD");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
}

// ---- Garbage -------------------------------------------------------------------------------------

// And the empty word.
static const char vocabulary[] =
    "HASHES HEX TOKENS IDS LORA NAMESPACE BLOCKSIZE POLICY linear OVERLAP PREFILL REQUESTS "
    "HOST DISK TEMPERATURE LEASE WORKERTTL WORKERGRACE PREDICT FAILURES OPENTIME FAILED "
    "SESSIONTTL SLOTTFT SLOTBT STICK SPEED LABELS WITH WITHOUT SESSION LEARNT EXPECTED "
    "LAPSED delay ADDR RANKS CAPACITY STATE TTL ready draining TIER device host disk STORED "
    "REMOVED CLEARED - ISL OSL CACHED OUTPUT PREFILLED AMONG EXCLUDE FROM DEPTH COUNT "
    "MAXREQUESTS MAXPREFILL MAXBLOCKS MAXWAITING ACCEPT WAIT CLASS FLOW NOTIFY PRIORITY WEIGHT "
    "WAITING ROOM RATE BURST LEFT UNCALLED default k f CREATED RENEWED PREDICTED AT SEEN SET GET "
    "DEL LIST HELP p q w v r s 0 1 2 3 16 -1 255 "
    "1024 65535 4294967295 4294967296 9223372036854775807 9223372036854775808 "
    "-9223372036854775808 18446744073709551615 1e308 nan -inf 0.5 1000000000 "
    "00000000000000ff 0123456789abcdef0123456789ABCDEF";

// Well-formed commands to spoil.
static const char *const shapes[] = {
    "KVROUTE.CREATE q BLOCKSIZE 1",
    "KVROUTE.ALTER p OVERLAP 1",
    "KVROUTE.INFO p",
    "KVROUTE.DIGEST p",
    "KVROUTE.WORKER SET p w RANKS 2",
    "KVROUTE.WORKER SET p v ADDR x",
    "KVROUTE.WORKER DEL p v",
    "KVROUTE.WORKER GET p w",
    "KVROUTE.WORKER LIST p",
    "KVROUTE.REPORT p w FAILED",
    "KVROUTE.EVENT p w 0 1 1 STORED - IDS 3 1 2 3",
    "KVROUTE.EVENT p w 1 1 1 TIER host STORED - IDS 3 1 2 4 REMOVED HEX 00000000000000ff",
    "KVROUTE.SELECT p r IDS 3 1 2 3 ISL 5 LEASE 5",
    "KVROUTE.SELECT p s HASHES 12345678 AMONG 1 w",
    "KVROUTE.SCORE p TOKENS 1234 EXCLUDE 1 w",
    "KVROUTE.EXPLAIN p IDS 2 1 2 PAIR TOP 2 CLASS default WITH 1 x",
    "KVROUTE.DECISIONS ON p 3 BYTES 4096 BLOCKS",
    "KVROUTE.DECISIONS GET p 1 COUNT 2",
    "KVROUTE.DECISIONS CLEAR p",
    "KVROUTE.UPDATE p r PREFILLED OUTPUT 5",
    "KVROUTE.RELEASE p r",
    "KVROUTE.CLAIM p s w 0 IDS 2 1 2 CACHED 1",
    "KVROUTE.REQUEST GET p r",
    "KVROUTE.REQUEST LIST p 0 COUNT 10",
    "KVROUTE.DIGEST p LEARNT",
    "KVROUTE.WORKER SET p w LABELS 2 a b SPEED 2",
    "KVROUTE.SELECT p s IDS 1 1 WITH 1 a WITHOUT 1 c SESSION s",
    "KVROUTE.CLAIM p r w 0 IDS 2 1 2 SESSION s",
    "KVROUTE.SESSION GET p s",
    "KVROUTE.SESSION LIST p 0 COUNT 10",
    "KVROUTE.SESSION DEL p s v",
    "KVROUTE.TREE p DEPTH 2 COUNT 10",
    "KVROUTE.HASH 1 IDS 2 1 2",
    "KVROUTE.SELECT p v IDS 1 1 WAIT 500 CLASS k FLOW f NOTIFY n",
    "KVROUTE.SELECT p w HASHES 12345678 AMONG 1 w WAIT 50 FLOW f",
    "KVROUTE.ALTER p MAXREQUESTS 1 MAXBLOCKS 50",
    "KVROUTE.WORKER SET p w MAXREQUESTS 2 CAPACITY 3",
    "KVROUTE.CLASS SET p k PRIORITY 1 WEIGHT 2",
    "KVROUTE.CLASS DEL p k",
    "KVROUTE.CLASS LIST p",
    "KVROUTE.FLOW SET p f RATE 16 REQUESTS 3",
    "KVROUTE.FLOW DEL p f",
    "KVROUTE.FLOW LIST p 0 COUNT 10",
    "KVROUTE.QUEUE p COUNT 3",
    "KVROUTE.ENQUEUE p v IDS 1 1 WAIT 500 AT 16",
    "KVROUTE.ADMIT p v w 0 CREATED 16 LEFT -1",
    "KVROUTE.FORGET p 1 1",
    "KVROUTE.LOAD z chunk",
};
enum { FLOW_HOSTILE_SHAPES = sizeof shapes / sizeof *shapes };

static void add_garbage(struct flow_args *a, struct flow_rng *r) {
    static struct flow_args words;
    if (!words.n) {
        flow_args_words(&words, vocabulary);
        flow_args_str(&words, "");
    }
    if (flow_rng_below(r, 4)) {
        flow_args_str(a, words.v[flow_rng_below(r, words.n)]);
        return;
    }
    char bytes[64];
    size_t n = flow_rng_below(r, sizeof bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)flow_rng_next(r);
    flow_args_add(a, bytes, n & (flow_rng_below(r, 2) ? ~(size_t)7 : ~(size_t)0));
}

static void make_garbage(struct flow_args *a, struct flow_rng *r) {
    struct flow_args shape = {0};
    flow_args_words(&shape, shapes[flow_rng_below(r, FLOW_HOSTILE_SHAPES)]);
    for (size_t i = 0; i < shape.n; i++) {
        uint64_t luck = i ? flow_rng_below(r, 12) : 11;
        if (luck == 0) continue;
        if (luck <= 2)
            add_garbage(a, r);
        else
            flow_args_add(a, shape.v[i], shape.len[i]);
        if (luck == 3) add_garbage(a, r);
    }
    for (uint64_t more = flow_rng_below(r, 4); more > 0 && flow_rng_below(r, 2); more--)
        add_garbage(a, r);
    flow_args_clear(&shape);
}

Test(hostile, garbage_over_all_commands) {
    static const char *const extra[] = {"--appendonly", "yes", "--appendfsync", "no", NULL};
    struct flow_server *s = flow_server_start(extra), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    struct flow_rng r = {flow_test_seed()};
    size_t accepted = 0;
    for (int i = 0; i < 15000; i++) {
        struct flow_args a = {0};
        make_garbage(&a, &r);
        const struct flow_reply *reply = flow_call_args(c, &a);
        accepted += reply->kind != FLOW_REPLY_ERROR;
        if (reply->kind == FLOW_REPLY_ERROR) cr_assert(!strpbrk(reply->bytes, "\r\n"));
        flow_args_clear(&a);
        if (i % 1000 == 999) {
            if (!flow_call_int(c, "EXISTS p")) flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
            flow_call_ok(c, "KVROUTE.ALTER p LEASE 0 WORKERTTL 0 WORKERGRACE 0 PREDICT 0");
        }
    }
    cr_expect(accepted > 1000);
    flow_expect_null(c, "GET z");
    // What came of it is a state like any other: replicated, dumped, loaded.
    flow_expect_equal(s, replica, "p");
    struct flow_payload p = flow_payload_dump(c, "p");
    cr_assert(flow_payload_restore(c, "copy", &p));
    flow_payload_free(&p);
    int64_t version = flow_pool_info(c, "p", "version");
    flow_server_restart(s);
    cr_expect(flow_pool_info(s->conn, "p", "version") >= version);
}
