// SPDX-License-Identifier: Apache-2.0
// Requests that wait for room in a real pool's queue: who is served and when, and what the others are told.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_waiting.h"
#include "tests/support/support_home.h"

static const char *const patient[] = {"--wait", "600000", NULL};

static double metric(int router, const char *name) {
    return rtest_router_metric(router, name);
}

// ---- Waiting -------------------------------------------------------------------------------------

Test(router_queue, served_when_there_is_room, .fini = rtest_waiting_down) {
    struct rtest_client a, b;
    rtest_waiting_up(1, 1, patient);
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", NULL);
    rtest_waiting_await_waiting(1);
    cr_assert_not(rtest_waiting_is_held("b"));
    rtest_waiting_answer("a");
    rtest_waiting_await_held("b");
    rtest_waiting_answer("b");
    cr_assert_eq(metric(0, "class_requests_total{class=\"default\",outcome=\"booked\"}"), 1);
    cr_assert_eq(metric(0, "class_requests_total{class=\"default\",outcome=\"waited\"}"), 1);
    cr_assert_eq(metric(0, "waited_seconds_count{class=\"default\"}"), 1);
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_expect(&b, 200, NULL);
    cr_assert_str_eq(a.waited, "0");
    cr_assert(*b.waited && !strcmp(b.worker, "w0"), "%s at %s", b.waited, b.worker);
    rtest_await(rtest_nothing_booked, "something stays booked");
    rtest_end_router(0);
    rtest_expect_log(0, "\"waited_ms\":", true);
}

// What may not wait is told when to come back.
Test(router_queue, refused_where_it_may_not_wait, .fini = rtest_waiting_down) {
    struct rtest_client a, b;
    rtest_waiting_up(1, 1, NULL);
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", NULL);
    rtest_waiting_expect(&b, 503, "NOROOM");
    cr_assert_geq(atoi(b.retry_after), 1, "%s", b.retry_after);
    cr_assert_str_eq(b.waited, "0");
    cr_assert_eq(metric(0, "class_requests_total{class=\"default\",outcome=\"refused\"}"), 1);
    rtest_waiting_answer("a");
    rtest_waiting_expect(&a, 200, NULL);
    // It is told when to come back: that isn't a request that failed.
    json_t *status = rtest_json(rtest_get(rtest_port(), "/v1/status"), 200), *problem;
    size_t i;
    json_array_foreach(json_object_get(status, "problems"), i, problem)
        cr_expect_str_neq(json_string_value(json_object_get(problem, "what")), "failed_requests");
    json_decref(status);
}

Test(router_queue, refused_when_its_time_is_over, .fini = rtest_waiting_down) {
    struct rtest_client a, b;
    rtest_waiting_up(1, 1, (const char *[]){"--class_wait", "default:200", NULL});
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", NULL);
    rtest_waiting_expect(&b, 503, "NOROOM");
    cr_assert_geq(atoi(b.retry_after), 1);
    cr_assert_gt(atoi(b.waited), 0);
    rtest_waiting_await_waiting(0);
    cr_assert_eq(rtest_waiting_seen("b"), 0u);
    rtest_waiting_answer("a");
    rtest_waiting_expect(&a, 200, NULL);
}

// Nobody waits for a client that has left, and what was to be booked for him isn't.
Test(router_queue, a_client_that_leaves_waits_no_more, .fini = rtest_waiting_down) {
    struct rtest_client a, b, c;
    rtest_waiting_up(1, 1, patient);
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", NULL);
    rtest_waiting_await_waiting(1);
    rtest_waiting_start(&c, 0, "c", NULL);
    rtest_waiting_await_waiting(2);
    rtest_client_leave(&b);
    rtest_client_free(&b);
    rtest_waiting_await_waiting(1);
    rtest_waiting_answer("a");
    rtest_waiting_await_held("c");
    rtest_waiting_answer("c");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_expect(&c, 200, NULL);
    cr_assert_eq(rtest_waiting_seen("b"), 0u);
    cr_assert_eq(metric(0, "class_requests_total{class=\"default\",outcome=\"left\"}"), 1);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

static bool is_refused_at_the_door(void) {
    return rtest_pool_info("kvroute", "waiting") == 0;
}

// A router that leaves ends what has open, and sends those who wait to another one.
Test(router_queue, a_router_that_leaves_waits_no_more, .fini = rtest_waiting_down) {
    struct rtest_client a, b;
    rtest_waiting_up(1, 1, (const char *[]){"--wait", "600000", "--deadline", "1000", NULL});
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", NULL);
    rtest_waiting_await_waiting(1);
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    rtest_waiting_expect(&b, 503, "DRAINING");
    cr_assert(*b.retry_after);
    rtest_await(is_refused_at_the_door, "it still waits");
    rtest_waiting_answer("a");
    rtest_waiting_expect(&a, 200, NULL);
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    cr_assert_eq(rtest_waiting_seen("b"), 0u);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// ---- Classes and flows ---------------------------------------------------------------------------

// Two routers ask one queue: who came last goes first if his class does.
Test(router_queue, classes_over_two_routers, .fini = rtest_waiting_down) {
    struct rtest_client a, slow, quick, other;
    rtest_waiting_up(1, 2,
                     (const char *[]){"--wait", "600000", "--priorities", "chat:0 batch:10", NULL});
    rtest_waiting_say("KVROUTE.CLASS SET kvroute batch PRIORITY -10");
    rtest_waiting_say("KVROUTE.CLASS SET kvroute chat PRIORITY 10");
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start_body(&slow, 0, "slow", NULL, "{\"prompt\":[1],\"priority\":10}");
    rtest_waiting_await_waiting(1);
    rtest_waiting_start(&other, 1, "other", NULL);
    rtest_waiting_await_waiting(2);
    rtest_waiting_start(&quick, 1, "quick", "X-Kvroute-Class: chat\r\n");
    rtest_waiting_await_waiting(3);
    static const char *const order[] = {"a", "quick", "other", "slow"};
    struct rtest_client *all[] = {&a, &quick, &other, &slow};
    for (int i = 0; i < 4; i++) {
        rtest_waiting_await_held(order[i]);
        for (int k = i + 1; k < 4; k++)
            cr_assert_not(rtest_waiting_is_held(order[k]), "%s before %s", order[k], order[i]);
        rtest_waiting_answer(order[i]);
        rtest_waiting_expect(all[i], 200, NULL);
    }
}

// A class that the pool doesn't know is `default`: no way around the queue, and nothing is chosen without it.
Test(router_queue, an_unknown_class_waits_like_others, .fini = rtest_waiting_down) {
    struct rtest_client a, b;
    rtest_waiting_up(1, 1, patient);
    rtest_waiting_start(&a, 0, "a", "X-Kvroute-Class: nobody-has-it\r\n");
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", "X-Kvroute-Class: nobody-has-it\r\n");
    rtest_waiting_await_waiting(1);
    cr_assert_not(rtest_waiting_is_held("b"));
    rtest_waiting_answer("a");
    rtest_waiting_await_held("b");
    rtest_waiting_answer("b");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_expect(&b, 200, NULL);
    cr_assert_eq(metric(0, "degraded_selects_total"), 0);
    cr_assert_eq(metric(0, "class_requests_total{class=\"default\",outcome=\"waited\"}"), 1);
}

// A tenant over what he may: 429 with the time, whatever he says of himself; others are served.
Test(router_queue, a_tenant_over_his_limits, .fini = rtest_waiting_down) {
    struct rtest_client a, b, c;
    rtest_waiting_up(
        1, 1,
        (const char *[]){"--flow_header", "X-Kvroute-Flow", "--token_file",
                         rtest_write("tokens", "flow=acme t-acme\nflow=globex t-globex\n"
                                               "operator t-operator\n"),
                         NULL});
    rtest_waiting_say("KVROUTE.ALTER kvroute MAXREQUESTS 10");
    rtest_waiting_say("KVROUTE.FLOW SET kvroute acme RATE 1 BURST 3");
    rtest_waiting_start(&a, 0, "a", "Authorization: Bearer t-acme\r\n");
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", "Authorization: Bearer t-acme\r\nX-Kvroute-Flow: globex\r\n");
    rtest_waiting_expect(&b, 429, "LIMITED");
    cr_assert_geq(atoi(b.retry_after), 1);
    rtest_waiting_start(&c, 0, "c", "Authorization: Bearer t-globex\r\n");
    rtest_waiting_await_held("c");
    rtest_waiting_answer("a");
    rtest_waiting_answer("c");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_expect(&c, 200, NULL);
}

// ---- What fails meanwhile ------------------------------------------------------------------------

// An engine fails with a request while no other has room: it is booked anew, and waits.
Test(router_queue, a_retry_waits_for_another_engine, .fini = rtest_waiting_down) {
    struct rtest_client a, b;
    rtest_waiting_up(2, 1, patient);
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", NULL);
    rtest_waiting_await_held("b");
    rtest_waiting_break("a");
    rtest_waiting_await_waiting(1);
    rtest_waiting_answer("b");
    rtest_waiting_await_held("a");
    rtest_waiting_answer("a");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_expect(&b, 200, NULL);
    cr_assert_eq(rtest_waiting_seen("a"), 2u);
    cr_assert_str_eq(a.worker, b.worker);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// The pool is gone: who waits is served by what the router knows, and nobody is lost.
Test(router_queue, redis_dies_while_one_waits, .fini = rtest_waiting_down) {
    struct rtest_client a, b;
    rtest_waiting_up(1, 1, (const char *[]){"--wait", "600000", "--deadline", "3000", NULL});
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", NULL);
    rtest_waiting_await_waiting(1);
    rtest_kill_redis(SIGKILL);
    rtest_waiting_await_held("b");
    rtest_waiting_answer("a");
    rtest_waiting_answer("b");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_expect(&b, 200, NULL);
    cr_assert_eq(metric(0, "degraded_selects_total"), 1);
}

// A user who may only book: its requests wait all the same, though nobody tells it and it sees little of the queue.
Test(router_queue, a_user_who_may_only_book, .fini = rtest_waiting_down) {
    struct rtest_client a, b;
    rtest_redis();
    rtest_waiting_say("ACL SETUSER plain on >secret ~kvroute resetchannels -@all +kvroute.select "
                      "+kvroute.info +kvroute.worker +kvroute.update +kvroute.release +ping +role "
                      "+client|setname +client|id");
    snprintf(rtest_fleet.url, sizeof rtest_fleet.url, "redis://plain:secret@127.0.0.1:%d",
             rtest_fleet.redis.port);
    rtest_waiting_up(1, 1, patient);
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", NULL);
    rtest_waiting_await_waiting(1);
    rtest_waiting_answer("a");
    rtest_waiting_await_held("b");
    rtest_waiting_answer("b");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_expect(&b, 200, NULL);
    cr_assert_eq(metric(0, "degraded_selects_total"), 0);
}

// The primary is killed and its replica takes its place: who waits keeps his, and is served once.
Test(router_queue, a_failover_while_some_wait, .fini = rtest_waiting_down, .timeout = 300) {
    struct rtest_client a, all[6];
    static const char *const ids[] = {"w0", "w1", "w2", "w3", "w4", "w5"};
    rtest_redis();
    rtest_sentinel();
    rtest_waiting_up(1, 2, patient);
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    for (int i = 0; i < 6; i++) {
        rtest_waiting_start(&all[i], i % 2, ids[i], NULL);
        rtest_waiting_await_waiting(i + 1);
    }
    redisReply *r = rtest_command("WAIT 1 %d", RTEST_WAIT_MS);
    cr_assert(r && r->type == REDIS_REPLY_INTEGER && r->integer == 1);
    freeReplyObject(r);
    rtest_kill_redis(SIGKILL);
    rtest_fleet.failed_over = true;
    rtest_waiting_answer("a");
    rtest_waiting_expect(&a, 200, NULL);
    for (int i = 0; i < 6; i++) {
        rtest_waiting_await_held(ids[i]);
        for (int k = i + 1; k < 6; k++)
            cr_assert_not(rtest_waiting_is_held(ids[k]), "%s before %s", ids[k], ids[i]);
        rtest_waiting_answer(ids[i]);
        rtest_waiting_expect(&all[i], 200, NULL);
        cr_assert_eq(rtest_waiting_seen(ids[i]), 1u);
    }
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// A router is killed: what waited through it ends with its time, or with ACCEPT once it is admitted.
Test(router_queue, a_router_is_killed_while_one_waits, .fini = rtest_waiting_down) {
    struct rtest_client a, b, c;
    rtest_waiting_up(1, 2, (const char *[]){"--wait", "600000", "--lease", "2000", NULL});
    rtest_waiting_say("KVROUTE.ALTER kvroute ACCEPT 500");
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 1, "b", NULL);
    rtest_waiting_await_waiting(1);
    rtest_waiting_start(&c, 0, "c", NULL);
    rtest_waiting_await_waiting(2);
    rtest_kill(&rtest_fleet.routers[1], SIGKILL);
    rtest_waiting_answer("a");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_await_held("c");
    rtest_waiting_answer("c");
    rtest_waiting_expect(&c, 200, NULL);
    rtest_clients_finish();
    rtest_client_free(&b);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// ---- From nothing --------------------------------------------------------------------------------

static double wanted(void) {
    struct support_response r = rtest_get(rtest_port(), "/metrics");
    static const char name[] = "\nkvroute_instances_wanted{pool=\"kvroute\"} ";
    const char *at = strstr(r.body, name);
    double n = at ? atof(at + sizeof name - 1) : -1;
    support_response_free(&r);
    return n;
}

static bool wants_some(void) {
    return wanted() >= 1;
}

static bool wants_none(void) {
    return wanted() == 0;
}

// No instance at all: the router is ready, a request waits, an instance is wanted, and gets it when it comes.
Test(router_queue, a_pool_that_begins_with_no_instance, .fini = rtest_waiting_down) {
    struct rtest_client a;
    rtest_waiting_up(0, 1, patient);
    cr_assert(wants_none());
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_waiting(1);
    rtest_await(wants_some, "no instance is wanted");
    rtest_waiting_worker(0);
    rtest_waiting_await_held("a");
    rtest_waiting_answer("a");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_await(wants_none, "an instance is still wanted");
}

// Where nothing may wait, a router without workers isn't ready, as before.
Test(router_queue, without_waiting_no_worker_is_not_ready, .fini = rtest_waiting_down) {
    rtest_clients_open();
    rtest_redis();
    rtest_waiting_say("KVROUTE.CREATE kvroute");
    rtest_router(0, NULL);
    struct support_response r = rtest_get(rtest_port(), "/readyz");
    cr_assert_eq(r.status, 503);
    support_response_free(&r);
}
