// SPDX-License-Identifier: Apache-2.0
// WORKER SET, DEL, GET, LIST: registration, heartbeats and their ends.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_harness.h"
#include "tests/support/support_home.h"

TestSuite(worker, .fini = flow_harness_end, .timeout = 120);

Test(worker, set_creates_with_defaults_and_updates_what_is_named) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_expect_null(c, "KVROUTE.WORKER GET p w");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    const struct flow_reply *w = flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.WORKER GET p w");
    cr_expect_str_eq(flow_map_str(w, "worker"), "w");
    cr_expect_str_eq(flow_map_str(w, "addr"), "");
    cr_expect_str_eq(flow_map_str(w, "state"), "ready");
    cr_expect(flow_map_int(w, "capacity") == 0);
    cr_expect(flow_map_int(w, "ttl_left") == -1);
    const struct flow_reply *ranks = flow_map_get(w, "ranks");
    cr_assert(ranks->kind == FLOW_REPLY_ARRAY && ranks->count == 1);
    static const char *const zero[] = {"rank",          "epoch",          "seq",
                                       "device_blocks", "host_blocks",    "disk_blocks",
                                       "requests",      "prefill_tokens", "decode_blocks"};
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++)
        cr_expect(flow_map_int(&ranks->items[0], zero[i]) == 0, "%s", zero[i]);

    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w ADDR tcp://1:2 CAPACITY 1000");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w RANKS 3");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w STATE draining");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w");
    w = flow_call(c, "KVROUTE.WORKER GET p w");
    cr_expect_str_eq(flow_map_str(w, "addr"), "tcp://1:2");
    cr_expect_str_eq(flow_map_str(w, "state"), "draining");
    cr_expect(flow_map_int(w, "capacity") == 1000);
    cr_expect(flow_map_get(w, "ranks")->count == 3);
    for (int i = 0; i < 3; i++)
        cr_expect(flow_map_int(&flow_map_get(w, "ranks")->items[i], "rank") == i);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w state READY addr %s", "");
    w = flow_call(c, "KVROUTE.WORKER GET p w");
    cr_expect_str_eq(flow_map_str(w, "state"), "ready");
    cr_expect_str_eq(flow_map_str(w, "addr"), "");
    flow_expect_version(c, "p", version + 6);
}

Test(worker, listed_in_name_order) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p");
    cr_expect(flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.WORKER LIST p")->count == 0);
    static const char *const names[] = {"b", "ba", "\xff", "a", "B", "b\x01", "zz", "aa"};
    static const char *const order[] = {"B", "a", "aa", "b", "b\x01", "ba", "zz", "\xff"};
    for (size_t i = 0; i < 8; i++)
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p %s RANKS %d", names[i], (int)i + 1);
    for (int protocol = 2; protocol <= 3; protocol++) {
        struct flow_conn *d = flow_server_connect(s, protocol);
        const struct flow_reply *list =
            flow_call_kind(d, FLOW_REPLY_ARRAY, "KVROUTE.WORKER LIST p");
        cr_assert(list->count == 8);
        for (size_t i = 0; i < 8; i++) {
            cr_expect(list->items[i].kind == (protocol == 3 ? FLOW_REPLY_MAP : FLOW_REPLY_ARRAY));
            cr_expect_str_eq(flow_map_str(&list->items[i], "worker"), order[i]);
        }
        const struct flow_reply *ranks = flow_map_get(&list->items[0], "ranks");
        cr_expect(ranks->kind == FLOW_REPLY_ARRAY && ranks->count == 5);
        cr_expect(ranks->items[0].kind == (protocol == 3 ? FLOW_REPLY_MAP : FLOW_REPLY_ARRAY));
    }
    struct flow_conn *d = flow_server_connect(s, 3);
    flow_call_kind(d, FLOW_REPLY_MAP, "KVROUTE.WORKER GET p a");
    flow_call_kind(d, FLOW_REPLY_NULL, "KVROUTE.WORKER GET p nosuch");
}

Test(worker, del_drops_all_of_it) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_call(c, "KVROUTE.WORKER SET p a RANKS 2");
    flow_call(c, "KVROUTE.WORKER SET p b");
    struct flow_digest before = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_expect_int(c, 0, "KVROUTE.WORKER DEL p nosuch");
    flow_expect_version(c, "p", version);

    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w RANKS 2");
    flow_call(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 3 1 2 3");
    flow_call(c, "KVROUTE.EVENT p w 1 1 1 TIER disk STORED - IDS 3 1 2 4");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r1 w 0 IDS 3 1 2 3");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r2 w 1 IDS 3 1 2 3");
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p w");
    flow_expect_int(c, 0, "KVROUTE.WORKER DEL p w");
    cr_expect(flow_same_state(before, flow_pool_digest(c, "p")));
    cr_expect(flow_pool_info(c, "p", "requests") == 0);
    cr_expect(flow_pool_info(c, "p", "holdings") == 0);
    cr_expect(flow_pool_info(c, "p", "blocks") == 0);
    flow_expect_null(c, "KVROUTE.REQUEST GET p r1");
    flow_expect_error(c, "NOWORKER", "KVROUTE.EVENT p w 0 1 2 CLEARED");

    // Its name comes back as a stranger's.
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_error(c, "GAP", "KVROUTE.EVENT p w 0 1 2 CLEARED");
    const struct flow_reply *rank =
        &flow_map_get(flow_call(c, "KVROUTE.WORKER GET p w"), "ranks")->items[0];
    cr_expect(flow_map_int(rank, "epoch") == 0 && flow_map_int(rank, "seq") == 0);
}

Test(worker, fewer_ranks_drop_what_they_had) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_call(c, "KVROUTE.WORKER SET p w RANKS 3");
    for (int i = 0; i < 3; i++) {
        flow_expect_int(c, 1, "KVROUTE.EVENT p w %d 4 1 STORED - IDS 2 1 %d", i, 10 + i);
        flow_expect_int(c, 1, "KVROUTE.CLAIM p r%d w %d IDS 2 1 %d", i, i, 10 + i);
    }
    cr_expect(flow_pool_info(c, "p", "holdings") == 6);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w RANKS 1");
    cr_expect(flow_pool_info(c, "p", "holdings") == 2);
    cr_expect(flow_pool_info(c, "p", "blocks") == 2);
    cr_expect(flow_pool_info(c, "p", "requests") == 1);
    cr_expect(flow_pool_info(c, "p", "instances") == 1);
    flow_expect_null(c, "KVROUTE.REQUEST GET p r2");
    flow_expect_error(c, "NOWORKER", "KVROUTE.EVENT p w 1 4 2 CLEARED");
    flow_expect_error(c, "NOWORKER", "KVROUTE.CLAIM p r w 1 IDS 0");
    // The ranks that come back are new.
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w RANKS 3");
    const struct flow_reply *w = flow_call(c, "KVROUTE.WORKER GET p w");
    cr_expect(flow_map_int(&flow_map_get(w, "ranks")->items[0], "seq") == 1);
    cr_expect(flow_map_int(&flow_map_get(w, "ranks")->items[2], "epoch") == 0);
    cr_expect(flow_map_int(&flow_map_get(w, "ranks")->items[2], "device_blocks") == 0);
    flow_expect_error(c, "NOPARENT", "KVROUTE.EVENT p w 2 1 1 STORED %s IDS 1 5",
                      flow_prefix_of(c, 1, "IDS 2 1 12").digits);
}

Test(worker, refuses_bad_settings) {
    struct flow_conn *c = flow_start_pool("");
    flow_expect_refused(c, "KVROUTE.WORKER SET p w",
                        "ADDR|RANKS 0|RANKS 1025|RANKS -1|RANKS x|CAPACITY -1|CAPACITY x|STATE|"
                        "STATE expired|STATE nosuch|TTL -1|TTL x|NOSUCH 1|RANKS 2 NOSUCH|"
                        "RANKS 1 CAPACITY 99999999999999999999|TTL 9223372036854775807");
    cr_expect(flow_pool_info(c, "p", "workers") == 0);
    char big[1024];
    memset(big, 'x', sizeof big);
    flow_expect_error(c, "ERR", "KVROUTE.WORKER SET p %b", big, (size_t)129);
    flow_expect_error(c, "ERR", "KVROUTE.WORKER SET p %s", "");
    flow_expect_error(c, "ERR", "KVROUTE.WORKER SET p w ADDR %b", big, (size_t)513);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p %b ADDR %b RANKS 1024", big, (size_t)128, big,
                    (size_t)512);
    flow_expect_error(c, "ERR", "KVROUTE.WORKER SET p");
    flow_expect_error(c, "ERR", "KVROUTE.WORKER NOSUCH p w");
    flow_expect_error(c, "ERR", "KVROUTE.WORKER");
    flow_expect_error(c, "ERR", "KVROUTE.WORKER GET p");
    flow_expect_error(c, "ERR", "KVROUTE.WORKER GET p w w");
    flow_expect_error(c, "ERR", "KVROUTE.WORKER DEL p w w");
    flow_expect_error(c, "ERR", "KVROUTE.WORKER LIST p w");
}

Test(worker, no_more_instances_than_the_limit) {
    struct flow_conn *c = flow_start_pool("");
    for (int i = 0; i < 63; i++)
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p w%d RANKS 1024", i);
    flow_expect_error(c, "ERR", "KVROUTE.WORKER SET p last RANKS 1024");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p last RANKS 1023");
    cr_expect(flow_pool_info(c, "p", "instances") == 65535);
    flow_expect_error(c, "ERR", "KVROUTE.WORKER SET p last RANKS 1024");
    flow_expect_error(c, "ERR", "KVROUTE.WORKER SET p more");
    const struct flow_reply *r =
        flow_call(c, "KVROUTE.SELECT p r IDS 16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16");
    cr_expect_str_eq(flow_map_str(r, "worker"), "last");
    cr_expect(flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SCORE p IDS 0")->count == 65535);
    flow_call_ok(c, "DEBUG RELOAD");
    cr_expect(flow_pool_info(c, "p", "instances") == 65535);
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p w7");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p last RANKS 1024");
}

static bool is_expired(void *ctx) {
    struct flow_conn *c = ctx;
    return strcmp(flow_map_str(flow_call(c, "KVROUTE.WORKER GET p w"), "state"), "expired") == 0;
}

static bool is_gone(void *ctx) {
    struct flow_conn *c = ctx;
    return flow_call(c, "KVROUTE.WORKER GET p w")->kind == FLOW_REPLY_NULL;
}

Test(worker, expires_and_is_renewed_and_deleted) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 WORKERTTL 100000 WORKERGRACE 100000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    int64_t left = flow_map_int(flow_call(c, "KVROUTE.WORKER GET p w"), "ttl_left");
    cr_expect(left > 0 && left <= 100000);
    flow_call(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 2 1 2");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w TTL 50");
    flow_wait_until(is_expired, c, "the worker is expired");
    cr_expect(flow_pool_info(c, "p", "eligible") == 0);
    cr_expect(flow_pool_info(c, "p", "holdings") == 2, "an expired worker keeps its holdings");
    flow_expect_error(c, "NOWORKER", "KVROUTE.SELECT p r IDS 1 1");
    cr_expect(flow_call(c, "KVROUTE.SCORE p IDS 1 1")->count == 0);
    // What it holds is still told, and a heartbeat brings it back.
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 1 2 STORED - IDS 1 3");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w TTL 100000");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.WORKER GET p w"), "state"), "ready");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.SELECT p r IDS 1 1"), "overlap") == 1);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w TTL 0");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.WORKER GET p w"), "ttl_left") == -1);
    // Past the grace it goes with all it had.
    flow_call_ok(c, "KVROUTE.ALTER p WORKERGRACE 50");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w TTL 50");
    flow_wait_until(is_gone, c, "the worker is deleted");
    cr_expect(flow_pool_info(c, "p", "holdings") == 0);
    cr_expect(flow_pool_info(c, "p", "requests") == 0);
    cr_expect(flow_pool_info(c, "p", "expired_workers") == 1);
}

Test(worker, pools_ttl_is_the_default_and_no_grace_keeps_it) {
    struct flow_conn *c = flow_start_pool("WORKERTTL 50 WORKERGRACE 0");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_wait_until(is_expired, c, "the worker is expired");
    support_sleep_ms(400);
    cr_expect(is_expired(c), "WORKERGRACE 0 never deletes");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p v TTL 0");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.WORKER GET p v"), "ttl_left") == -1);
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p w");
}
