// SPDX-License-Identifier: Apache-2.0
// Routers and Redis servers that die, refuse or stand still under the proxy's streams.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"

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
    redisReply *r = rtest_command("KVROUTE.CREATE kvroute PREDICT 600000 LEASE 1500");
    freeReplyObject(r);
    rtest_fleet_up(4, "--decode-speed 50 --time-scale 1", 3, NULL);
    rtest_slow_streams(who, 60, bodies, 3, 100);
    int64_t began = kvr_clock_ms();
    rtest_kill(&rtest_fleet.routers[1], SIGKILL);
    while (rtest_engine_metric(0, "num_requests_running") +
               rtest_engine_metric(1, "num_requests_running") +
               rtest_engine_metric(2, "num_requests_running") +
               rtest_engine_metric(3, "num_requests_running") >
           40)
        cr_assert(kvr_clock_ms() - began < 1000, "engines go on for the dead router");
    cr_assert(rtest_pool_info("kvroute", "requests") > 0);
    rtest_clients_finish();
    rtest_check_answers(who, bodies, 60, 1);
    rtest_await(rtest_nothing_booked, "bookings outlive their leases");
}

Test(outage, redis_dies_under_open_streams, .fini = rtest_fleet_down) {
    static struct rtest_client who[200];
    char *bodies[200];
    rtest_fleet_up(4, "--decode-speed 50 --time-scale 1", 3, NULL);
    rtest_slow_streams(who, 200, bodies, 3, 200);
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
    rtest_clients_finish();
    rtest_check_answers(who, bodies, 200, -1);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

static bool readyz_says(const char *text) {
    struct support_response r = rtest_get(rtest_port(), "/readyz");
    bool says = r.status == 200 && strstr(r.body, text);
    support_response_free(&r);
    return says;
}

static bool refuses_for_oom(void) {
    return readyz_says("\"why\":\"OOM\"");
}

static bool refuses_for_type(void) {
    return readyz_says("\"why\":\"WRONGTYPE\"");
}

static bool is_ready(void) {
    return readyz_says("\"ready\"");
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
    char *log = rtest_log(0);
    cr_assert(strstr(log, "it refuses bookings: OOM") && strstr(log, "\"degraded\":true"), "%s",
              log);
    free(log);
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
    cr_assert(readyz_says("\"degraded\"") && readyz_says("\"why\":\"no primary\""));
    for (int k = 0; k < 4; k++) {
        rtest_ask_well(0, "a b c", 5, k & 1);
    }
    rtest_redis();
    rtest_await_ready(0);
    rtest_ask_well(0, "a b c", 5, false);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// The primary dies, and its replica takes over: not one of 200 open streams notices, all of them are
// booked there, and what comes meanwhile is served.
Test(outage, the_primary_dies_under_open_streams, .fini = rtest_fleet_down) {
    static struct rtest_client who[200];
    char *bodies[200];
    rtest_redis();
    rtest_sentinel();
    rtest_fleet_up(4, "--decode-speed 50 --time-scale 1", 3, NULL);
    rtest_slow_streams(who, 200, bodies, 3, 350);
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
    rtest_clients_finish();
    rtest_check_answers(who, bodies, 200, -1);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// What the pool is still to be told can't be told: the router waits a little, and ends well.
Test(outage, leaves_while_redis_stands_still, .fini = rtest_fleet_down) {
    rtest_fleet_up(1, "--time-scale 0", 1, NULL);
    rtest_kill_redis(SIGSTOP);
    rtest_ask_well(0, "a b c", 2, true);
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    rtest_kill_redis(SIGCONT);
}

// A lease that is shorter than the answer is renewed.
Test(outage, a_booking_lives_as_long_as_its_stream, .fini = rtest_fleet_down) {
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute PREDICT 600000 LEASE 1500"));
    rtest_fleet_up(1, "--decode-speed 30 --time-scale 1", 1, NULL);
    struct rtest_client who;
    char *body = rtest_chat("a b c", 110, true);
    rtest_client_start(&who, rtest_port(), "/v1/chat/completions", NULL, body);
    while (!who.heard)
        rtest_clients_run(5);
    for (int64_t began = kvr_clock_ms(); kvr_clock_ms() - began < 3000; rtest_clients_run(50))
        cr_assert(rtest_pool_info("kvroute", "requests") == 1, "gone after %d ms",
                  (int)(kvr_clock_ms() - began));
    rtest_clients_finish();
    cr_assert(who.complete && rtest_pool_info("kvroute", "expired_requests") == 0);
    rtest_client_free(&who);
    free(body);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// The pool can't say which engine is dead: then the router knows by itself.
Test(outage, an_engine_dies_while_redis_is_away, .fini = rtest_fleet_down) {
    rtest_fleet_up(3, "--time-scale 0", 1, NULL);
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
