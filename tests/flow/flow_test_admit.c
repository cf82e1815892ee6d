// SPDX-License-Identifier: Apache-2.0
// Admission: what makes room admits, in order, and the owner is told and comes.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "flow_queue.h"
#include "tests/support/support_home.h"

TestSuite(admit, .fini = flow_harness_end, .timeout = 120);

// ---- What admits ---------------------------------------------------------------------------------

// One that waits is booked by this command, before anything else may happen.
static void expect_admits(struct flow_conn *c, const char *command, const char *id) {
    char get[100];
    snprintf(get, sizeof get, "KVROUTE.REQUEST GET p %s", id);
    const char *const both[] = {command, get};
    cr_assert(!flow_is_live(c, id), "before %s", command);
    const struct flow_reply *r = flow_transaction(c, both, 2);
    cr_assert(r->items[0].kind != FLOW_REPLY_ERROR, "%s: %s", command, r->items[0].bytes);
    cr_expect(r->items[1].kind != FLOW_REPLY_NULL, "%s admits nobody", command);
}

Test(admit, the_command_that_makes_room_admits) {
    struct flow_conn *c =
        flow_queue_start("MAXREQUESTS 1 MAXPREFILL 5 FAILURES 1 OPENTIME 1000000");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    for (int i = 0; i < 3; i++)
        flow_expect_waiting(c, "KVROUTE.SELECT p b%d IDS 0 ISL 50 WAIT 1000000", i);
    expect_admits(c, "KVROUTE.RELEASE p a", "b0");
    expect_admits(c, "KVROUTE.WORKER SET p v", "b1");
    flow_call_ok(c, "KVROUTE.ALTER p MAXREQUESTS 2");
    cr_assert(flow_waiting(c) == 1, "the prompts still queue");
    expect_admits(c, "KVROUTE.UPDATE p b0 PREFILLED", "b2");
    flow_expect_int(c, 3, "KVROUTE.RELEASE p b0 b1 b2");

    flow_call_ok(c, "KVROUTE.ALTER p MAXREQUESTS 1 MAXPREFILL 0");
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p v");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p c1 IDS 1 1 WAIT 1000000");
    expect_admits(c, "KVROUTE.ALTER p MAXREQUESTS 2", "c1");
    flow_expect_waiting(c, "KVROUTE.SELECT p c2 IDS 1 1 WAIT 1000000");
    expect_admits(c, "KVROUTE.WORKER SET p w MAXREQUESTS 3", "c2");
    // A circuit that keeps a worker out, and one that counts for nothing when no other is left.
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p v");
    flow_call(c, "KVROUTE.REPORT p v FAILED");
    flow_expect_waiting(c, "KVROUTE.SELECT p c3 IDS 1 1 WAIT 1000000");
    expect_admits(c, "KVROUTE.REPORT p v OK", "c3");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p c3");
    flow_call(c, "KVROUTE.REPORT p v FAILED");
    flow_expect_waiting(c, "KVROUTE.SELECT p c4 IDS 1 1 WAIT 1000000");
    expect_admits(c, "KVROUTE.WORKER DEL p w", "c4");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p c4");
    flow_call(c, "KVROUTE.REPORT p v OK");

    flow_call_ok(c, "KVROUTE.ALTER p MAXREQUESTS 2");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p half ROOM 50");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p d IDS 1 1 WAIT 1000000 CLASS half");
    expect_admits(c, "KVROUTE.CLASS SET p half ROOM 100", "d");
    flow_expect_int(c, 2, "KVROUTE.RELEASE p a d");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t REQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1 FLOW t");
    flow_expect_waiting(c, "KVROUTE.SELECT p e IDS 1 1 WAIT 1000000 FLOW t");
    expect_admits(c, "KVROUTE.FLOW SET p t REQUESTS 2", "e");
    flow_expect_int(c, 0, "KVROUTE.FLOW SET p t REQUESTS 1");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p a");
    flow_expect_waiting(c, "KVROUTE.SELECT p f IDS 1 1 WAIT 1000000 FLOW t");
    expect_admits(c, "KVROUTE.FLOW DEL p t", "f");
}

Test(admit, what_ends_by_itself_makes_room_too) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1 LEASE 0");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000000");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p a LEASE 100");
    flow_wait_live(c, "b");
    // A worker's drain has nothing to do with it, nor has one that comes back.
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w STATE draining");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p b");
    flow_expect_waiting(c, "KVROUTE.SELECT p d IDS 1 1 WAIT 1000000");
    expect_admits(c, "KVROUTE.WORKER SET p w STATE ready", "d");
}

// A command looks at so many; the rest is the timer's, and nobody is lost.
Test(admit, many_are_admitted_by_command_and_timer) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    enum { FLOW_ADMIT_MANY = 1000 };
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1");
    for (int i = 0; i < FLOW_ADMIT_MANY; i++)
        flow_post(c, "KVROUTE.SELECT p b%d IDS 1 %d WAIT 1000000", i, i);
    for (int i = 0; i < FLOW_ADMIT_MANY; i++)
        flow_collect(c);
    cr_assert(flow_waiting(c) == FLOW_ADMIT_MANY);
    static const char *const commands[] = {"KVROUTE.ALTER p MAXREQUESTS 0 ACCEPT 1000000",
                                           "KVROUTE.INFO p"};
    const struct flow_reply *r = flow_transaction(c, commands, 2);
    int64_t left = flow_map_int(&r->items[1], "waiting");
    cr_expect(left < FLOW_ADMIT_MANY && left >= FLOW_ADMIT_MANY - 64, "%d are left", (int)left);
    flow_wait_waiting(c, 0);
    cr_expect(flow_pool_info(c, "p", "requests") == FLOW_ADMIT_MANY + 1);
    cr_expect(flow_pool_info(c, "p", "admitted") == FLOW_ADMIT_MANY);
}

// ---- Order ---------------------------------------------------------------------------------------

Test(admit, in_order_of_arrival) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1");
    for (int i = 0; i < 20; i++)
        flow_expect_waiting(c, "KVROUTE.SELECT p r%d IDS 1 1 WAIT 1000000", i);
    char last[16] = "x";
    for (int i = 0; i < 20; i++) {
        flow_expect_int(c, 1, "KVROUTE.RELEASE p %s", last);
        snprintf(last, sizeof last, "r%d", i);
        cr_assert(flow_is_live(c, last), "%s isn't next", last);
        cr_expect(flow_waiting(c) == 19 - i);
    }
}

Test(admit, nobody_overtakes_who_waits) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1");
    for (int i = 0; i < 200; i++) // none of these can be placed
        flow_post(c, "KVROUTE.SELECT p u%d IDS 1 1 WAIT 1000000 AMONG 1 nobody", i);
    for (int i = 0; i < 200; i++)
        flow_collect(c);
    flow_expect_waiting(c, "KVROUTE.SELECT p r IDS 1 1 WAIT 1000000");
    static const char *const commands[] = {"KVROUTE.RELEASE p x", "KVROUTE.SELECT p late IDS 1 1",
                                           "KVROUTE.SELECT p later IDS 1 1 WAIT 1000000",
                                           "KVROUTE.REQUEST GET p late"};
    const struct flow_reply *r = flow_transaction(c, commands, 4);
    flow_retry_of(&r->items[1], "NOROOM");
    cr_expect(flow_map_int(&r->items[2], "waiting") == 1);
    flow_wait_live(c, "r"); // those who can't be placed don't keep it up
    cr_expect(!flow_is_live(c, "later") && flow_waiting(c) == 201);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    flow_wait_live(c, "later");
}

// One that only its blocks keep out isn't passed over for ever by smaller ones.
Test(admit, a_large_one_gets_its_instance_in_the_end) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 MAXBLOCKS 100 ACCEPT 100");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w CAPACITY 8");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 4 1 2 3 4");
    flow_expect_waiting(c, "KVROUTE.SELECT p large IDS 7 11 12 13 14 15 16 17 WAIT 1000000");
    // At first those behind it pass.
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p s IDS 3 21 22 23 WAIT 1000000");
    cr_assert(r->kind == FLOW_REPLY_ARRAY);
    support_sleep_ms(300); // longer than ACCEPT
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p t IDS 1 31");
    flow_expect_waiting(c, "KVROUTE.SELECT p t IDS 1 31 WAIT 1000000");
    flow_expect_int(c, 2, "KVROUTE.RELEASE p a s");
    flow_wait_live(c, "large");
}

// ---- Being told ----------------------------------------------------------------------------------

static void expect_message(struct flow_conn *sub, const char *channel, const char *text) {
    const struct flow_reply *r = flow_collect(sub);
    cr_assert(r->count == 3);
    cr_expect_str_eq(r->items[0].bytes, "message");
    cr_expect_str_eq(r->items[1].bytes, channel);
    cr_expect_str_eq(r->items[2].bytes, text);
}

Test(admit, its_id_is_published) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn, *sub = flow_server_connect(s, 2);
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_call(sub, "SUBSCRIBE one");
    flow_call(sub, "SUBSCRIBE two");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1 NOTIFY one");
    flow_expect_waiting(c, "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000 NOTIFY one");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000000 NOTIFY one");
    flow_expect_waiting(c, "KVROUTE.SELECT p silent IDS 1 1 WAIT 1000000");
    flow_expect_waiting(c, "KVROUTE.SELECT p d IDS 1 1 WAIT 1000000 NOTIFY one");
    // Another channel, and nothing else changes; the same again is no change.
    int64_t version = flow_pool_info(c, "p", "version");
    const struct flow_reply *r =
        flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 5 NOTIFY two");
    cr_expect(flow_map_int(r, "position") == 1);
    flow_expect_version(c, "p", version + 1);
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 5 NOTIFY two");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 5");
    flow_expect_version(c, "p", version + 1);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    expect_message(sub, "one", "a");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p a");
    expect_message(sub, "two", "b");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p b");
    cr_assert(flow_is_live(c, "silent"));
    flow_expect_int(c, 1, "KVROUTE.RELEASE p silent");
    expect_message(sub, "one", "d");
}

// ---- Coming for it -------------------------------------------------------------------------------

Test(admit, the_owner_asks_again_and_gets_the_booking) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1 ACCEPT 600000");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1");
    const char *command = "KVROUTE.SELECT p a IDS 2 1 2 WAIT 1000000 LEASE 1000000";
    flow_expect_waiting(c, command);
    support_sleep_ms(20);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    int64_t version = flow_pool_info(c, "p", "version");
    const struct flow_reply *r = flow_expect_booked(c, command);
    cr_expect_str_eq(flow_map_str(r, "worker"), "w");
    cr_expect(flow_map_int(r, "repeat") == 1 && flow_map_int(r, "waited") >= 20);
    cr_expect(flow_map_int(r, "blocks") == 2);
    int64_t waited = flow_map_int(r, "waited");
    cr_expect(flow_map_int(r, "version") == version + 1, "the coming is a change");
    r = flow_expect_booked(c, command);
    cr_expect(flow_map_int(r, "waited") == waited && flow_map_int(r, "version") == version + 1);
    cr_expect(flow_pool_info(c, "p", "admitted") == 1);
}

// What its owner does first, and what the lease is before and afterwards.
static void expect_comes(struct flow_conn *c, const char *how) {
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000 LEASE 90000000");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    int64_t left = flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p a"), "lease_left");
    cr_expect(left > 0 && left <= 600000, "%s: until then it is ACCEPT, not %d", how, (int)left);
    int64_t version = flow_pool_info(c, "p", "version");
    cr_assert(flow_call(c, how)->kind != FLOW_REPLY_ERROR);
    flow_expect_version(c, "p", version + 1);
    left = flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p a"), "lease_left");
    cr_expect(left > 600000, "%s: its own lease begins, not %d", how, (int)left);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p a");
}

Test(admit, its_own_lease_begins_when_the_owner_comes) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1 ACCEPT 600000");
    expect_comes(c, "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000 LEASE 90000000");
    expect_comes(c, "KVROUTE.SELECT p a IDS 0");
    expect_comes(c, "KVROUTE.UPDATE p a");
    expect_comes(c, "KVROUTE.UPDATE p a PREFILLED");
    expect_comes(c, "KVROUTE.CLAIM p a w 0 IDS 1 1");
    // A choice that books at once needs no coming.
    flow_expect_booked(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000000 LEASE 90000000");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p b"), "lease_left") > 600000);
}

Test(admit, a_booking_that_nobody_comes_for_ends) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1 ACCEPT 200");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1 LEASE 0");
    flow_expect_waiting(c, "KVROUTE.SELECT p lost IDS 1 1 WAIT 1000000 LEASE 0");
    flow_expect_waiting(c, "KVROUTE.SELECT p next IDS 1 1 WAIT 1000000 LEASE 0");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    flow_wait_waiting(c, 0); // the next is admitted in its place
    cr_expect(!flow_is_live(c, "lost"));
    cr_expect(flow_pool_info(c, "p", "expired_requests") >= 1);
    flow_wait_info(c, "requests", 0);
}
