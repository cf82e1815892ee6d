// SPDX-License-Identifier: Apache-2.0
// Room, and those who wait for it: what SELECT answers, what is seen of a waiting request, how waiting ends.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "flow_queue.h"

TestSuite(queue, .fini = flow_harness_end, .timeout = 120);

// ---- Room ----------------------------------------------------------------------------------------

Test(queue, limits_are_options) {
    struct flow_conn *c = flow_start_pool("MAXREQUESTS 7 MAXPREFILL 8 MAXBLOCKS 90");
    cr_expect(flow_pool_info(c, "p", "maxrequests") == 7);
    cr_expect(flow_pool_info(c, "p", "maxprefill") == 8);
    cr_expect(flow_pool_info(c, "p", "maxblocks") == 90);
    cr_expect(flow_pool_info(c, "p", "maxwaiting") == 10000);
    cr_expect(flow_pool_info(c, "p", "accept") == 5000);
    flow_call_ok(c, "KVROUTE.ALTER p MAXREQUESTS 0 MAXWAITING 0 ACCEPT 1");
    cr_expect(flow_pool_info(c, "p", "maxrequests") == 0);
    cr_expect(flow_pool_info(c, "p", "maxwaiting") == 0);
    cr_expect(flow_pool_info(c, "p", "accept") == 1);
    flow_expect_refused(c, "KVROUTE.ALTER p",
                        "ACCEPT 0|MAXWAITING 1000001|MAXREQUESTS -1|MAXPREFILL x|MAXBLOCKS "
                        "1000001|MAXREQUESTS|ACCEPT -5");
    flow_call_ok(c, "CONFIG SET kvroute.maxrequests 3 kvroute.accept 77");
    flow_call_ok(c, "KVROUTE.CREATE q");
    cr_expect(flow_pool_info(c, "q", "maxrequests") == 3);
    cr_expect(flow_pool_info(c, "q", "accept") == 77);
}

Test(queue, an_instance_has_room_by_each_limit) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 2");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    flow_expect_booked(c, "KVROUTE.SELECT p b IDS 1 1");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p c IDS 1 1");
    // A worker's own limit goes before the pool's.
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w MAXREQUESTS 3");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.WORKER GET p w"), "maxrequests") == 3);
    flow_expect_booked(c, "KVROUTE.SELECT p c IDS 1 1");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p d IDS 1 1");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w MAXREQUESTS 0");
    flow_expect_int(c, 3, "KVROUTE.RELEASE p a b c");
    // Tokens queued: fewer than that, whatever the next one has. Idle ones have room for any.
    flow_call_ok(c, "KVROUTE.ALTER p MAXREQUESTS 0 MAXPREFILL 10");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 0 ISL 1000");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p b IDS 0 ISL 1");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p a PREFILLED");
    flow_expect_booked(c, "KVROUTE.SELECT p b IDS 0 ISL 9");
    flow_expect_booked(c, "KVROUTE.SELECT p c IDS 0 ISL 9");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p d IDS 0 ISL 9");
    flow_expect_int(c, 3, "KVROUTE.RELEASE p a b c");
    // Blocks in use, of a capacity that is known.
    flow_call_ok(c, "KVROUTE.ALTER p MAXPREFILL 0 MAXBLOCKS 50");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 4 1 2 3 4");
    flow_expect_booked(c, "KVROUTE.SELECT p b IDS 4 5 6 7 8");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w CAPACITY 20");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p c IDS 3 9 10 11");
    flow_expect_booked(c, "KVROUTE.SELECT p c IDS 2 9 10");
    flow_expect_booked(c, "KVROUTE.SELECT p d IDS 4 1 2 3 4"); // its prefix is live there
    flow_expect_int(c, 4, "KVROUTE.RELEASE p a b c d");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 12 1 2 3 4 5 6 7 8 9 10 11 12");
}

Test(queue, score_tells_room) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p v");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1 AMONG 1 w");
    const struct flow_reply *rows = flow_call(c, "KVROUTE.SCORE p IDS 1 1");
    cr_expect(flow_map_int(flow_row_of(rows, "w", 0), "room") == 0);
    cr_expect(flow_map_int(flow_row_of(rows, "v", 0), "room") == 1);
}

// ---- Refused -------------------------------------------------------------------------------------

Test(queue, a_refusal_says_when_to_come_back) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p b IDS 1 1");
    cr_expect_str_eq(r->bytes, "NOROOM 1000 no instance has room"); // nothing is known
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p b IDS 1 1 WAIT 0");
    cr_expect(flow_pool_info(c, "p", "refused") == 2);
    cr_expect(!flow_is_live(c, "b") && flow_waiting(c) == 0);
    // Room that came is what it is told by.
    for (int i = 0; i < 20; i++) {
        flow_expect_int(c, 1, "KVROUTE.RELEASE p a");
        flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
        flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p b IDS 1 1");
    }
    flow_expect_error(c, "NOWORKER", "KVROUTE.SELECT p b IDS 1 1 AMONG 1 nosuch");
}

Test(queue, at_most_so_many_wait) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1 MAXWAITING 2");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 100000");
    flow_expect_waiting(c, "KVROUTE.SELECT p c IDS 1 1 WAIT 100000");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p d IDS 1 1 WAIT 100000");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 100000"); // waits already
    flow_call_ok(c, "KVROUTE.ALTER p MAXWAITING 1");
    cr_expect(flow_waiting(c) == 2, "who waits goes on");
}

// ---- Waiting -------------------------------------------------------------------------------------

Test(queue, waiting_is_answered_in_both_protocols) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    const struct flow_reply *r = flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 100000");
    flow_expect_fields(r, "waiting position estimate version");
    int64_t version = flow_map_int(r, "version");
    cr_expect(flow_map_int(r, "position") == 0 && flow_map_int(r, "estimate") == -1);
    cr_expect(version == flow_pool_info(c, "p", "version"));
    flow_call_kind(c, FLOW_REPLY_MAP, "HELLO 3");
    r = flow_expect_waiting(c, "KVROUTE.SELECT p c IDS 1 1 WAIT 100000");
    cr_assert(r->kind == FLOW_REPLY_MAP);
    flow_expect_fields(r, "waiting position estimate version");
    cr_expect(flow_map_int(r, "position") == 1 && flow_map_int(r, "version") == version + 1);
    r = flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 100000");
    cr_expect(flow_map_int(r, "position") == 0);
    // Asked again, nothing changes, whatever else it says.
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 3 7 8 9 WAIT 5 LEASE 7 CLASS default FLOW x");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1");
    flow_expect_version(c, "p", version + 1);
}

Test(queue, nobody_is_eligible_yet) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_error(c, "NOWORKER", "KVROUTE.SELECT p a IDS 1 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p a IDS 1 1 WAIT 100000");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 100000 WITH 1 gpu=b");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w"); // and there it is
    cr_expect(flow_is_live(c, "a") && !flow_is_live(c, "b"));
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p v LABELS 1 gpu=b");
    cr_expect(flow_is_live(c, "b") && flow_waiting(c) == 0);
}

Test(queue, a_waiting_request_is_in_the_queue_alone) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 3 1 2 3 OSL 10 WAIT 100000 FLOW t");
    flow_expect_null(c, "KVROUTE.REQUEST GET p b");
    cr_expect(flow_call(c, "KVROUTE.REQUEST LIST p 0 COUNT 100")->items[1].count == 1);
    cr_expect(flow_pool_info(c, "p", "requests") == 1);
    cr_expect(flow_pool_info(c, "p", "waiting") == 1);
    cr_expect(flow_pool_info(c, "p", "waiting_tokens") == 13);
    flow_expect_int(c, 0, "KVROUTE.UPDATE p b PREFILLED");
    const struct flow_reply *q = flow_call(c, "KVROUTE.QUEUE p");
    flow_expect_fields(q, "waiting tokens estimate first");
    cr_expect(flow_map_int(q, "waiting") == 1 && flow_map_int(q, "tokens") == 13);
    const struct flow_reply *first = flow_map_get(q, "first");
    cr_assert(first->count == 1);
    flow_expect_fields(&first->items[0], "id class flow position waited blocks");
    cr_expect_str_eq(flow_map_str(&first->items[0], "id"), "b");
    cr_expect_str_eq(flow_map_str(&first->items[0], "class"), "default");
    cr_expect_str_eq(flow_map_str(&first->items[0], "flow"), "t");
    cr_expect(flow_map_int(&first->items[0], "position") == 0);
    cr_expect(flow_map_int(&first->items[0], "waited") >= 0);
    cr_expect(flow_map_int(&first->items[0], "blocks") == 3);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_waiting") == 1);
}

Test(queue, queue_shows_the_first) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.QUEUE p"), "estimate") == 0, "there is room");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    cr_expect(flow_map_get(flow_call(c, "KVROUTE.QUEUE p"), "first")->count == 0);
    for (int i = 0; i < 30; i++)
        flow_expect_waiting(c, "KVROUTE.SELECT p w%d IDS 1 1 WAIT 100000", i);
    cr_expect(flow_map_get(flow_call(c, "KVROUTE.QUEUE p"), "first")->count == 10);
    cr_expect(flow_map_get(flow_call(c, "KVROUTE.QUEUE p COUNT 0"), "first")->count == 0);
    const struct flow_reply *first =
        flow_map_get(flow_call(c, "KVROUTE.QUEUE p COUNT 1000000"), "first");
    cr_assert(first->count == 30);
    for (int i = 0; i < 30; i++) {
        char id[16];
        snprintf(id, sizeof id, "w%d", i);
        cr_expect_str_eq(flow_map_str(&first->items[i], "id"), id);
        cr_expect(flow_map_int(&first->items[i], "position") == i);
    }
    flow_expect_refused(c, "KVROUTE.QUEUE p", "COUNT|COUNT x|COUNT -1|COUNT 1 COUNT 2|x");
    flow_expect_error(c, "NOPOOL", "KVROUTE.QUEUE nosuch");
}

// ---- The end of waiting --------------------------------------------------------------------------

Test(queue, release_ends_waiting) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 100000");
    flow_expect_waiting(c, "KVROUTE.SELECT p c IDS 1 1 WAIT 100000");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p b nosuch");
    cr_expect(flow_waiting(c) == 1);
    flow_expect_int(c, 2, "KVROUTE.RELEASE p c a");
    cr_expect(flow_waiting(c) == 0 && flow_pool_info(c, "p", "requests") == 0);
}

Test(queue, it_is_dropped_at_its_deadline) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    for (int i = 0; i < 100; i++) // more than end with one effect
        flow_expect_waiting(c, "KVROUTE.SELECT p w%d IDS 1 1 WAIT %d", i, 50 + i % 7);
    flow_expect_waiting(c, "KVROUTE.SELECT p long IDS 1 1 WAIT 1000000");
    flow_wait_waiting(c, 1);
    cr_expect_str_eq(flow_queue_id(c, 0), "long");
    cr_expect(flow_pool_info(c, "p", "expired_requests") == 0, "it was no lease");
    // Its id waits anew, behind the others.
    const struct flow_reply *r = flow_expect_waiting(c, "KVROUTE.SELECT p w0 IDS 1 1 WAIT 100000");
    cr_expect(flow_map_int(r, "position") == 1);
}

Test(queue, claim_ends_waiting_room_or_not) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 100000");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p b w 0 IDS 1 1");
    cr_expect(flow_waiting(c) == 0 && flow_pool_info(c, "p", "requests") == 2);
    cr_expect(flow_map_int(flow_expect_booked(c, "KVROUTE.SELECT p b IDS 1 1"), "repeat") == 1);
}

// ---- Hostile arguments ---------------------------------------------------------------------------

Test(queue, nonsense_is_refused_and_changes_nothing) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 100000");
    struct flow_digest d = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_expect_refused(
        c, "KVROUTE.SELECT p x IDS 1 1",
        "WAIT|WAIT -1|WAIT x|WAIT 1125899906842625|WAIT 1 WAIT 2|CLASS|CLASS nosuch|CLASS nosuch "
        "WAIT 5|FLOW|NOTIFY|NOTIFY __sentinel__:hello|NOTIFY __|BLOCK BLOCK|BLOCK 1|AT 5|WAIT 5 AT "
        "5");
    flow_expect_refused(c, "KVROUTE.SCORE p IDS 1 1",
                        "WAIT 5|CLASS default|FLOW x|NOTIFY x|BLOCK|LEASE 5");
    flow_expect_refused(c, "KVROUTE.CLASS SET p",
                        "x PRIORITY 101|x PRIORITY -101|x PRIORITY|x PRIORITY +1|x PRIORITY --1|x "
                        "WEIGHT 0|x WEIGHT -1|x WEIGHT 1000001|x WEIGHT nan|x ROOM 101|x ROOM -1|x "
                        "WAITING -1|x AT 5|x y");
    flow_expect_refused(
        c, "KVROUTE.FLOW SET p",
        "x WEIGHT 0|x WEIGHT 1e7|x REQUESTS -1|x RATE -1|x RATE 1e3|x BURST -1|x AT "
        "5|x LEFT 5|x y");
    flow_expect_refused(c, "KVROUTE.CLASS", "DEL p default|DEL p|LIST p x|SET p");
    flow_expect_refused(c, "KVROUTE.FLOW", "DEL p|LIST p x|LIST p 0 COUNT 0|SET p");
    flow_expect_refused(c, "KVROUTE.ENQUEUE p z", "IDS 1 1 WAIT 5|IDS 1 1 WAIT 5 AT 5");
    flow_expect_refused(c, "KVROUTE.ADMIT p b w 0", "CREATED 5|CREATED 5 CACHED 0");
    flow_expect_refused(c, "KVROUTE.CLAIM p z w 0 IDS 0", "LEFT 5|CLASS nosuch|FLOW|CLASS");
    char big[600];
    memset(big, 'i', sizeof big);
    static const char *const names[] = {"CLASS SET p %b", "FLOW SET p %b"};
    for (int i = 0; i < 2; i++) {
        char command[64];
        snprintf(command, sizeof command, "KVROUTE.%s", names[i]);
        flow_expect_error(c, "ERR", command, big, (size_t)257);
        flow_expect_error(c, "ERR", command, "", (size_t)0);
    }
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p x IDS 0 WAIT 5 NOTIFY %b", big, (size_t)257);
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p x IDS 0 WAIT 5 FLOW %b", big, (size_t)257);
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p x IDS 0 WAIT 5 CLASS %s", "");
    flow_expect_version(c, "p", version);
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
}

Test(queue, any_bytes_are_a_name) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    static const char odd[] = "a\0\r\n\xff%s";
    const size_t n = sizeof odd - 1;
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p %b", odd, n);
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p %b RATE 1000000", odd, n);
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    flow_call_kind(c, FLOW_REPLY_ARRAY,
                   "KVROUTE.SELECT p %b IDS 1 1 WAIT 100000 CLASS %b FLOW %b NOTIFY %b", odd, n,
                   odd, n, odd, n, odd, n);
    static const char *const fields[] = {"id", "class", "flow"};
    for (int round = 0; round < 2; round++) {
        const struct flow_reply *first = flow_map_get(flow_call(c, "KVROUTE.QUEUE p"), "first");
        cr_assert(first->count == 1);
        for (int i = 0; i < 3; i++) {
            const struct flow_reply *name = flow_map_get(&first->items[0], fields[i]);
            cr_expect(name->n == n && memcmp(name->bytes, odd, n) == 0, "%s", fields[i]);
        }
        flow_call_ok(c, "DEBUG RELOAD");
    }
    flow_expect_int(c, 1, "KVROUTE.RELEASE p a");
    const struct flow_reply *r = flow_call(c, "KVROUTE.REQUEST GET p %b", odd, n);
    cr_assert(r->kind == FLOW_REPLY_ARRAY);
    cr_expect(flow_map_get(r, "class")->n == n && flow_map_get(r, "flow")->n == n);
}
