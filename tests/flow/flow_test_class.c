// SPDX-License-Identifier: Apache-2.0
// Classes and flows: their commands, the order they give to those who wait, and the limits they set.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_queue.h"
#include "tests/support/support_home.h"

TestSuite(class, .fini = flow_harness_end, .timeout = 120);
TestSuite(tenant, .fini = flow_harness_end, .timeout = 120);

// The map in an array of maps whose `field` is `name`.
static const struct flow_reply *row_named(const struct flow_reply *rows, const char *field,
                                          const char *name) {
    for (size_t i = 0; i < rows->count; i++)
        if (strcmp(flow_map_str(&rows->items[i], field), name) == 0) return &rows->items[i];
    cr_assert(false, "no %s %s", field, name);
    return NULL;
}

static const struct flow_reply *class_row(struct flow_conn *c, const char *name) {
    return row_named(flow_call(c, "KVROUTE.CLASS LIST p"), "class", name);
}

static const struct flow_reply *flow_row(struct flow_conn *c, const char *name) {
    const struct flow_reply *r = flow_call(c, "KVROUTE.FLOW LIST p 0 COUNT 10000");
    cr_assert_str_eq(r->items[0].bytes, "0");
    return row_named(&r->items[1], "flow", name);
}

// ---- Commands ------------------------------------------------------------------------------------

Test(class, set_del_list) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *both[] = {s->conn, flow_server_connect(s, 3)};
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_int(c, 0, "KVROUTE.CLASS SET p default WEIGHT 2"); // it always exists
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p batch PRIORITY -5 WEIGHT 0.25 WAITING 3 ROOM 80");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p art");
    flow_expect_int(c, 0, "KVROUTE.CLASS SET p art PRIORITY 100");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1 CLASS art");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p x"), "class"), "art");
    for (int i = 0; i < 3; i++)
        flow_expect_waiting(c, "KVROUTE.SELECT p b%d IDS 4 1 2 3 4 OSL 6 WAIT 1000000 CLASS batch",
                            i);
    // Over its own limit.
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p b4 IDS 1 1 WAIT 1000000 CLASS batch");
    flow_expect_waiting(c, "KVROUTE.SELECT p d IDS 1 1 WAIT 1000000");
    support_sleep_ms(5);
    for (int i = 0; i < 2; i++) {
        const struct flow_reply *rows = flow_call(both[i], "KVROUTE.CLASS LIST p");
        cr_assert(rows->count == 3);
        flow_expect_fields(&rows->items[0], "class priority weight waiting tokens oldest admitted "
                                            "refused max_waiting room");
        const struct flow_reply *r = class_row(both[i], "batch");
        cr_expect(flow_map_int(r, "priority") == -5 && flow_map_real(r, "weight") == 0.25);
        cr_expect(flow_map_get(r, "weight")->kind == (i ? FLOW_REPLY_DOUBLE : FLOW_REPLY_BULK));
        cr_expect(flow_map_int(r, "waiting") == 3 && flow_map_int(r, "tokens") == 30);
        cr_expect(flow_map_int(r, "oldest") >= 5 && flow_map_int(r, "refused") == 1);
        cr_expect(flow_map_int(r, "max_waiting") == 3 && flow_map_int(r, "room") == 80);
        r = class_row(both[i], "default");
        cr_expect(flow_map_int(r, "priority") == 0 && flow_map_real(r, "weight") == 2);
        cr_expect(flow_map_int(r, "waiting") == 1 && flow_map_int(r, "room") == 100);
        cr_expect(flow_map_int(class_row(both[i], "art"), "oldest") == 0);
    }
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    cr_expect(flow_map_int(class_row(c, "default"), "admitted") == 1);
    flow_expect_error(c, "ERR", "KVROUTE.CLASS DEL p batch"); // requests of it wait
    flow_expect_error(c, "ERR", "KVROUTE.CLASS DEL p default");
    flow_expect_int(c, 0, "KVROUTE.CLASS DEL p nosuch");
    flow_expect_int(c, 1, "KVROUTE.CLASS DEL p art");
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p y IDS 1 1 CLASS art");
    flow_expect_int(c, 3, "KVROUTE.RELEASE p b0 b1 b2");
    flow_expect_int(c, 1, "KVROUTE.CLASS DEL p batch");
    cr_expect(flow_call(c, "KVROUTE.CLASS LIST p")->count == 1);
    cr_expect(flow_call(c, "KVROUTE.CLASS HELP")->count >= 6);
    cr_expect(flow_call(c, "KVROUTE.FLOW HELP")->count >= 6);
}

Test(tenant, set_del_list) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t");
    flow_expect_int(c, 0, "KVROUTE.FLOW SET p t WEIGHT 2.5 REQUESTS 7 RATE 100");
    const struct flow_reply *r = flow_row(c, "t");
    flow_expect_fields(r, "flow weight max_requests rate burst requests waiting left");
    cr_expect(flow_map_real(r, "weight") == 2.5 && flow_map_int(r, "max_requests") == 7);
    cr_expect(flow_map_int(r, "rate") == 100 && flow_map_int(r, "burst") == 100);
    cr_expect(flow_map_int(r, "left") == 100, "the bucket begins full");
    flow_expect_int(c, 0, "KVROUTE.FLOW SET p t BURST 5000");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 0 ISL 30 FLOW t");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 0 ISL 30 WAIT 1000000 FLOW t");
    flow_expect_waiting(c, "KVROUTE.SELECT p d IDS 0 ISL 30 WAIT 1000000 FLOW other");
    r = flow_row(c, "t");
    cr_expect(flow_map_int(r, "requests") == 1 && flow_map_int(r, "waiting") == 1);
    cr_expect(flow_map_int(r, "burst") == 5000);
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p a"), "flow"), "t");
    flow_expect_int(c, 1, "KVROUTE.FLOW DEL p t");
    flow_expect_int(c, 0, "KVROUTE.FLOW DEL p t");
    flow_expect_int(c, 0, "KVROUTE.FLOW DEL p nosuch");
    flow_expect_int(c, 3, "KVROUTE.RELEASE p a b d");
    cr_expect(flow_call(c, "KVROUTE.FLOW LIST p")->items[1].count == 0);
    // Many, in the way of SCAN.
    for (int i = 0; i < 500; i++)
        flow_expect_int(c, 1, "KVROUTE.FLOW SET p f%d", i);
    size_t seen = 0;
    char cursor[32] = "0";
    do {
        r = flow_call(c, "KVROUTE.FLOW LIST p %s COUNT 20", cursor);
        seen += r->items[1].count;
        snprintf(cursor, sizeof cursor, "%s", r->items[0].bytes);
    } while (strcmp(cursor, "0") != 0);
    cr_expect(seen >= 500);
}

// ---- Order ---------------------------------------------------------------------------------------

// Admits n one after the other and counts those whose id begins with `letter`.
static int admitted_of(struct flow_conn *c, int n, char letter) {
    int count = 0;
    char id[32];
    for (int i = 0; i < n; i++) {
        snprintf(id, sizeof id, "%s", flow_queue_id(c, 0));
        flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
        cr_assert(flow_is_live(c, id), "the queue shows %s first", id);
        flow_expect_int(c, 1, "KVROUTE.CLAIM p x w 0 IDS 0"); // takes the room again
        flow_expect_int(c, 1, "KVROUTE.RELEASE p %s", id);
        count += *id == letter;
    }
    return count;
}

Test(class, higher_priority_first) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p high PRIORITY 10");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p low PRIORITY -10");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 0");
    for (int i = 0; i < 10; i++) {
        flow_expect_waiting(c, "KVROUTE.SELECT p l%d IDS 1 1 WAIT 1000000 CLASS low", i);
        flow_expect_waiting(c, "KVROUTE.SELECT p d%d IDS 1 1 WAIT 1000000", i);
        flow_expect_waiting(c, "KVROUTE.SELECT p h%d IDS 1 1 WAIT 1000000 CLASS high", i);
    }
    cr_expect(admitted_of(c, 10, 'h') == 10);
    flow_expect_waiting(c, "KVROUTE.SELECT p h IDS 1 1 WAIT 1000000 CLASS high");
    cr_expect(admitted_of(c, 1, 'h') == 1, "it came last and goes first");
    cr_expect(admitted_of(c, 10, 'd') == 10);
    cr_expect(admitted_of(c, 10, 'l') == 10);
}

Test(class, equal_priorities_share_by_weight) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p four WEIGHT 4");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p one WEIGHT 1");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 0");
    for (int i = 0; i < 100; i++) {
        flow_expect_waiting(c, "KVROUTE.SELECT p f%d IDS 0 ISL 100 WAIT 1000000 CLASS four", i);
        flow_expect_waiting(c, "KVROUTE.SELECT p o%d IDS 0 ISL 100 WAIT 1000000 CLASS one", i);
    }
    int four = admitted_of(c, 50, 'f');
    cr_expect(four >= 39 && four <= 41, "%d of 50", four);
}

Test(tenant, flows_share_tokens_by_weight) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 1");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p three WEIGHT 3");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 0");
    // The one comes with requests ten times as large: by tokens, three to one for the other.
    for (int i = 0; i < 100; i++)
        flow_expect_waiting(c, "KVROUTE.SELECT p s%d IDS 0 ISL 10 WAIT 1000000 FLOW three", i);
    for (int i = 0; i < 20; i++)
        flow_expect_waiting(c, "KVROUTE.SELECT p l%d IDS 0 ISL 100 WAIT 1000000 FLOW plain", i);
    int small = admitted_of(c, 62, 's'); // 60 of 10 tokens and 2 of 100
    cr_expect(small >= 59 && small <= 61, "%d of 62", small);
}

// ROOM keeps a class off the last places.
Test(class, room_leaves_some_to_others) {
    struct flow_conn *c = flow_queue_start("MAXREQUESTS 4");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p batch ROOM 50");
    for (int i = 0; i < 2; i++)
        flow_expect_booked(c, "KVROUTE.SELECT p b%d IDS 1 1 CLASS batch", i);
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p b2 IDS 1 1 CLASS batch");
    flow_expect_waiting(c, "KVROUTE.SELECT p b2 IDS 1 1 CLASS batch WAIT 1000000");
    flow_expect_booked(c, "KVROUTE.SELECT p d0 IDS 1 1"); // others may, though one waits
    flow_expect_booked(c, "KVROUTE.SELECT p d1 IDS 1 1");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p d2 IDS 1 1");
    flow_expect_int(c, 2, "KVROUTE.RELEASE p d0 d1");
    cr_expect(!flow_is_live(c, "b2"));
    flow_expect_int(c, 1, "KVROUTE.RELEASE p b0");
    cr_expect(flow_is_live(c, "b2"));
}

// ---- Limits of flows -----------------------------------------------------------------------------

Test(tenant, at_most_so_many_live) {
    struct flow_conn *c = flow_queue_start("");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t REQUESTS 2");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 1 1 FLOW t");
    flow_expect_booked(c, "KVROUTE.SELECT p b IDS 1 1 FLOW t");
    flow_expect_refusal(c, "LIMITED", "KVROUTE.SELECT p d IDS 1 1 FLOW t");
    cr_expect(flow_pool_info(c, "p", "limited") == 1 && flow_pool_info(c, "p", "refused") == 0);
    flow_expect_waiting(c, "KVROUTE.SELECT p d IDS 1 1 FLOW t WAIT 1000000");
    flow_expect_waiting(c, "KVROUTE.SELECT p e IDS 1 1 FLOW t WAIT 1000000");
    flow_expect_booked(c, "KVROUTE.SELECT p other IDS 1 1"); // it holds nobody up
    flow_expect_booked(c, "KVROUTE.SELECT p free IDS 1 1 FLOW u WAIT 1000000");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p a");
    cr_expect(flow_is_live(c, "d") && !flow_is_live(c, "e"));
    flow_expect_int(c, 1, "KVROUTE.RELEASE p b");
    cr_expect(flow_is_live(c, "e"));
}

Test(tenant, a_rate_with_its_burst) {
    struct flow_conn *c = flow_queue_start("");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t RATE 1 BURST 3000");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 0 ISL 1000 OSL 1500 FLOW t");
    // 500 are left, and one comes each second: exact, but for the time that went by.
    int64_t ms = flow_expect_refusal(c, "LIMITED", "KVROUTE.SELECT p b IDS 0 ISL 2500 FLOW t");
    cr_expect(ms > 1900000 && ms <= 2000000, "%d ms", (int)ms);
    int64_t left = flow_map_int(flow_row(c, "t"), "left");
    cr_expect(left >= 500 && left <= 600);
    // One above the burst passes when the bucket is full and leaves it in debt.
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p big RATE 10 BURST 100");
    flow_expect_booked(c, "KVROUTE.SELECT p d IDS 0 ISL 100000 FLOW big");
    cr_expect(flow_map_int(flow_row(c, "big"), "left") < -90000);
    ms = flow_expect_refusal(c, "LIMITED", "KVROUTE.SELECT p e IDS 0 ISL 1 FLOW big");
    cr_expect(ms > 5000000 && ms <= 9991000, "%d ms", (int)ms);
    // A claim is charged, too, whatever there is.
    int64_t before = flow_map_int(flow_row(c, "big"), "left");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p f w 0 IDS 0 ISL 50000 FLOW big");
    left = flow_map_int(flow_row(c, "big"), "left");
    cr_expect(left < before - 40000, "%d left", (int)left);
}

// The timer lets those go on whose bucket has filled.
Test(tenant, a_limited_one_waits_for_its_bucket) {
    struct flow_conn *c = flow_queue_start("");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t RATE 1000 BURST 100");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 0 ISL 100 FLOW t");
    for (int i = 0; i < 5; i++)
        flow_call_kind(c, FLOW_REPLY_ARRAY,
                       "KVROUTE.SELECT p b%d IDS 0 ISL 100 FLOW t WAIT 1000000", i);
    flow_wait_waiting(c, 0);
    cr_expect(flow_pool_info(c, "p", "requests") == 6);
}

// Order within a flow is kept, also against those who come later.
Test(tenant, nobody_of_a_flow_overtakes_another) {
    struct flow_conn *c = flow_queue_start("");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t RATE 1 BURST 1000");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 0 ISL 900 FLOW t");
    flow_expect_waiting(c, "KVROUTE.SELECT p large IDS 0 ISL 1000 FLOW t WAIT 10000000");
    flow_expect_refusal(c, "LIMITED", "KVROUTE.SELECT p small IDS 0 ISL 1 FLOW t");
    flow_expect_waiting(c, "KVROUTE.SELECT p small IDS 0 ISL 1 FLOW t WAIT 10000000");
    flow_expect_booked(c, "KVROUTE.SELECT p other IDS 0 ISL 1 FLOW u");
}
