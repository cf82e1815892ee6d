// SPDX-License-Identifier: Apache-2.0
// Routers and Redis servers that die, refuse or stand still under the proxy's streams.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"

enum { OUTAGE_ENGINES = 4 };

static void fault_engines(const char *query) {
    for (int i = 0; i < OUTAGE_ENGINES; i++)
        rtest_fault(i, query);
}

// Streams that flow, for 50 tokens a second, but come to their end only when the engines' faults are cleared, however
// long what is done meanwhile takes.
static void start_streams(struct rtest_client *who, size_t n, char **bodies, int tokens) {
    char query[60];
    snprintf(query, sizeof query, "kind=stall&n=%zu&after=%d", n, tokens / 2);
    fault_engines(query);
    rtest_slow_streams(who, n, bodies, 3, tokens);
    fault_engines("kind=stall&n=0"); // those that come later have an end
}

// What is under way is booked again, while it is under way.
static void all_are_booked(void) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         rtest_pool_info("kvroute", "requests") < (long long)rtest_callers.open;
         rtest_clients_run(20))
        cr_assert(kvr_clock_ms() < end);
    cr_assert(rtest_callers.open > 0, "all was over before it was booked");
}

// Others' streams don't notice; the engines' calls of the dead one end at once, its bookings with
// their leases.
Test(outage, a_router_dies, .fini = rtest_fleet_down) {
    static struct rtest_client who[60];
    char *bodies[60];
    rtest_redis();
    rtest_fleet_up(OUTAGE_ENGINES, "--decode-speed 50 --time-scale 1", 3,
                   (const char *[]){"--lease", "1500", "--deadline", "5000", NULL});
    rtest_slow_streams(who, 60, bodies, 3, 100);
    fault_engines("kind=hang-engine"); // so that none is over but those that have nobody
    rtest_kill(&rtest_fleet.routers[1], SIGKILL);
    int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
    while (rtest_engine_metric(0, "num_requests_running") +
               rtest_engine_metric(1, "num_requests_running") +
               rtest_engine_metric(2, "num_requests_running") +
               rtest_engine_metric(3, "num_requests_running") >
           40)
        cr_assert(kvr_clock_ms() < end, "engines go on for the dead router");
    cr_assert(rtest_pool_info("kvroute", "requests") >= 40);
    fault_engines("kind=clear");
    rtest_clients_finish();
    rtest_check_answers(who, bodies, 60, 1);
    rtest_await(rtest_nothing_booked, "bookings outlive their leases");
}

Test(outage, redis_dies_under_open_streams, .fini = rtest_fleet_down) {
    static struct rtest_client who[200];
    char *bodies[200];
    rtest_fleet_up(OUTAGE_ENGINES, "--decode-speed 50 --time-scale 1", 3, NULL);
    start_streams(who, 200, bodies, 200);
    rtest_kill_redis(SIGKILL);
    // New ones find an engine all the same.
    for (int i = 0; i < 6; i++) {
        struct rtest_client late = rtest_ask(i % 3, "is anybody there", 5, true);
        cr_assert(late.status == 200 && late.complete &&
                  rtest_answer_ends(&late, "data: [DONE]\n\n"));
        rtest_client_free(&late);
    }
    struct support_response r = rtest_get(rtest_port(), "/readyz");
    cr_assert(strstr(r.body, "degraded"), "%s", r.body);
    support_response_free(&r);
    rtest_redis(); // empty
    all_are_booked();
    fault_engines("kind=clear");
    rtest_clients_finish();
    rtest_check_answers(who, bodies, 200, -1);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

static bool readyz_says(const char *text) {
    return rtest_readyz(0, text) == 200;
}

static bool refuses_for_oom(void) {
    return readyz_says("\"why\":\"OOM\"");
}

static bool refuses_for_type(void) {
    return readyz_says("\"why\":\"WRONGTYPE\"");
}

static bool is_degraded(void) {
    return readyz_says("\"degraded\"");
}

static bool is_ready(void) {
    return readyz_says("\"ready\"");
}

static bool log_says_it_was_degraded(void) {
    char *log = rtest_log(0);
    bool says = strstr(log, "it refuses bookings: OOM") && strstr(log, "\"degraded\":true");
    free(log);
    return says;
}

// Redis is there and takes nothing: inference goes on, and everybody can see why it is degraded.
Test(outage, redis_refuses, .fini = rtest_fleet_down) {
    static const struct {
        const char *on, *off;
        bool (*seen)(void);
    } cases[] = {
        {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", refuses_for_oom},
        {"SET kvroute x", "DEL kvroute", refuses_for_type},
    };
    rtest_fleet_up(2, "--time-scale 0", 1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        freeReplyObject(rtest_command(cases[i].on));
        rtest_ask_well(0, "a b c", 5, false); // heartbeats are taken also by a full server
        rtest_await(cases[i].seen, "the refusal isn't seen");
        for (int k = 0; k < 4; k++) {
            rtest_ask_well(0, "a b c", 5, k & 1);
        }
        freeReplyObject(rtest_command(cases[i].off));
        struct rtest_client who = rtest_ask(0, "a b c", 5, false); // it takes bookings again
        cr_assert(who.status == 200);
        rtest_client_free(&who);
        rtest_await(is_ready, "it stays degraded");
    }
    rtest_await(log_says_it_was_degraded, "the log doesn't say so");
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// Its engines are in its own settings.
Test(outage, a_router_starts_without_redis, .fini = rtest_fleet_down) {
    char url[60];
    const char *const flags[] = {"--engine", url, NULL};
    rtest_clients_open();
    rtest_redis();
    rtest_kill_redis(SIGKILL);
    rtest_engine(0, "--no-events --time-scale 0");
    snprintf(url, sizeof url, "http://127.0.0.1:%d", rtest_fleet.engines[0].port);
    rtest_router(0, flags);
    rtest_await(is_degraded, "it doesn't begin without Redis");
    cr_assert(readyz_says("\"why\":\"no primary\""));
    struct support_response r = rtest_post(rtest_port(), "/kvroute/select", "{\"text\":\"a\"}");
    cr_expect(strstr(r.body, "the pool can't be asked: Connection refused"), "%s", r.body);
    cr_expect_str_eq(rtest_error_code(r, 504), "TIMEOUT");
    for (int k = 0; k < 4; k++) {
        rtest_ask_well(0, "a b c", 5, k & 1);
    }
    rtest_redis();
    rtest_await_ready(0);
    rtest_ask_well(0, "a b c", 5, false);
    rtest_await(rtest_nothing_booked, "something stays booked");
    rtest_expect_log(0, "it answers again", true);
}

// The primary dies, and its replica takes over: not one of 200 open streams notices, all of them are
// booked there, and what comes meanwhile is served.
Test(outage, the_primary_dies_under_open_streams, .fini = rtest_fleet_down) {
    static struct rtest_client who[200];
    char *bodies[200];
    rtest_redis();
    rtest_sentinel();
    rtest_fleet_up(OUTAGE_ENGINES, "--decode-speed 50 --time-scale 1", 3, NULL);
    start_streams(who, 200, bodies, 350);
    rtest_kill_redis(SIGKILL);
    rtest_fleet.failed_over = true;
    for (int i = 0; i < 30; i++) {
        struct rtest_client late = rtest_ask(i % 3, "is anybody there", 2, true);
        cr_assert(late.status == 200 && late.complete &&
                  rtest_answer_ends(&late, "data: [DONE]\n\n"));
        rtest_client_free(&late);
        rtest_clients_run(50);
    }
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_integer("DEL nothing") < 0;
         rtest_clients_run(20))
        cr_assert(kvr_clock_ms() < end, "the replica isn't promoted");
    all_are_booked();
    fault_engines("kind=clear");
    rtest_clients_finish();
    rtest_check_answers(who, bodies, 200, -1);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// What the pool is still to be told can't be told: the router waits a little, and ends well.
Test(outage, leaves_while_redis_stands_still, .fini = rtest_fleet_down) {
    rtest_fleet_up(1, "--time-scale 0", 1, NULL);
    rtest_kill_redis(SIGSTOP);
    rtest_ask_well(0, "a b c", 2, true);
    rtest_end_router(0);
    rtest_kill_redis(SIGCONT);
}

// A lease that is shorter than the answer is renewed.
Test(outage, a_booking_lives_as_long_as_its_stream, .fini = rtest_fleet_down) {
    rtest_fleet_up(1, "--decode-speed 30 --time-scale 1", 1,
                   (const char *[]){"--lease", "3000", "--deadline", "5000", NULL});
    struct rtest_client who;
    char *body = rtest_chat("a b c", 250, true);
    rtest_client_start(&who, rtest_port(), "/v1/chat/completions", NULL, body);
    while (!who.heard)
        rtest_clients_run(5);
    for (int64_t began = kvr_clock_ms(); kvr_clock_ms() - began < 7000; rtest_clients_run(50))
        cr_assert(rtest_pool_info("kvroute", "requests") == 1, "gone after %d ms",
                  (int)(kvr_clock_ms() - began));
    rtest_clients_finish();
    cr_assert(who.complete && rtest_pool_info("kvroute", "expired_requests") == 0);
    rtest_client_free(&who);
    free(body);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// The pool's own, where the setting says so.
Test(outage, a_lease_of_the_pool_s, .fini = rtest_fleet_down) {
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute PREDICT 600000 LEASE 1500"));
    rtest_fleet_up(1, "--decode-speed 30 --time-scale 1", 1,
                   (const char *[]){"--lease", "0", "--deadline", "5000", NULL});
    struct rtest_client who;
    char *body = rtest_chat("a b c", 110, true);
    rtest_client_start(&who, rtest_port(), "/v1/chat/completions", NULL, body);
    while (!who.heard)
        rtest_clients_run(5);
    rtest_kill(&rtest_fleet.routers[0], SIGKILL);
    rtest_await(rtest_nothing_booked, "a booking outlives its lease");
    rtest_client_free(&who);
    free(body);
}

static char booked_id[400];

static bool one_is_booked(void) {
    redisReply *r = rtest_command("KVROUTE.REQUEST LIST kvroute 0 COUNT 1000");
    const redisReply *ids = r && r->elements == 2 ? r->element[1] : NULL;
    bool one = ids && ids->elements == 1;
    if (one) snprintf(booked_id, sizeof booked_id, "%s", ids->element[0]->str);
    if (r) freeReplyObject(r);
    return one;
}

// An engine that computes a long prompt says nothing for several leases; and what the pool has forgotten
// meanwhile, it is told again.
Test(outage, a_booking_waits_for_the_first_token, .fini = rtest_fleet_down) {
    rtest_fleet_up(1, "--prefill-speed 60 --time-scale 1", 1,
                   (const char *[]){"--lease", "3000", "--deadline", "5000", NULL});
    struct rtest_client who;
    char *text = calloc(1, 2000), *body;
    for (int i = 0; i < 450; i++)
        strcat(text, "a ");
    body = rtest_chat(text, 100, true);
    rtest_client_start(&who, rtest_port(), "/v1/chat/completions", NULL, body);
    rtest_await(one_is_booked, "nothing is booked");
    cr_assert(!who.heard);
    cr_assert_eq(rtest_integer("KVROUTE.RELEASE kvroute %s", booked_id), 1);
    rtest_await(one_is_booked, "it isn't booked again");
    cr_assert(!who.heard);
    while (!who.heard) {
        rtest_clients_run(20);
        cr_assert(rtest_pool_info("kvroute", "requests") == 1, "it is gone");
    }
    rtest_clients_finish();
    cr_assert(who.status == 200 && who.complete &&
              rtest_pool_info("kvroute", "expired_requests") == 0);
    rtest_client_free(&who);
    free(body);
    free(text);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

static bool three_are_known(void) {
    return rtest_router_metric(0, "pool_workers{pool=\"kvroute\"}") == 3;
}

// The pool can't say which engine is dead: then the router knows by itself.
Test(outage, an_engine_dies_while_redis_is_away, .fini = rtest_fleet_down) {
    // Without probes: nobody finds out before a request does.
    rtest_fleet_up(3, "--time-scale 0", 1, (const char *[]){"--check", "0", NULL});
    rtest_await(three_are_known, "the engines aren't registered");
    rtest_kill_redis(SIGKILL);
    rtest_kill(&rtest_fleet.engines[1], SIGKILL);
    for (int i = 0; i < 60; i++) {
        rtest_ask_well(0, "a b c", 2, i & 1);
    }
    cr_assert(rtest_failed_tries(0) >= 1 && rtest_failed_tries(0) <= 4, "%d tries",
              rtest_failed_tries(0));
    rtest_redis();
    rtest_await(rtest_nothing_booked, "something stays booked");
}
