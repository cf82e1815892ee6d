// SPDX-License-Identifier: Apache-2.0
// Many streams, and engines that are killed under them or are to be emptied: no client sees anything of it.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"

enum { SURVIVORS = 50, SURVIVAL_ENGINES = 4, SURVIVAL_REFERENCE = 6 };

static const char options[] =
    "--no-events --answers ids --end-every 0 --decode-speed 100 --time-scale 1";

static struct rtest_client who[SURVIVORS];
static char *bodies[SURVIVORS], ids[SURVIVORS][40];

static void bring_up(int engines, const char *const *flags) {
    rtest_fleet_up(engines, options + 12, 1, flags);
}

static void start_streams(int tokens) {
    for (int i = 0; i < SURVIVORS; i++) {
        char text[40];
        snprintf(text, sizeof text, "question number %d", i);
        snprintf(ids[i], sizeof ids[i], "X-Request-Id: s%d\r\n", i);
        bodies[i] = rtest_chat(text, tokens, true);
        rtest_client_start(&who[i], rtest_port(), "/v1/chat/completions", ids[i], bodies[i]);
    }
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_callers.talking < SURVIVORS;
         rtest_clients_run(10))
        cr_assert(kvr_clock_ms() < end, "%zu of %d", rtest_callers.talking, SURVIVORS);
}

// Byte by byte what an engine says that nobody kills.
static void check_streams(void) {
    static struct rtest_client want[SURVIVORS];
    rtest_clients_finish();
    rtest_engine(SURVIVAL_REFERENCE, "--no-events --answers ids --end-every 0 --time-scale 0");
    for (int i = 0; i < SURVIVORS; i++)
        rtest_client_start(&want[i], rtest_fleet.engines[SURVIVAL_REFERENCE].port,
                           "/v1/chat/completions", ids[i], bodies[i]);
    rtest_clients_finish();
    for (int i = 0; i < SURVIVORS; i++) {
        cr_assert(who[i].complete && !rtest_answer_has(&who[i], "error"), "stream %d is lost", i);
        cr_assert(rtest_same_answer(&who[i], &want[i]), "stream %d is another one", i);
        rtest_client_free(&who[i]);
        rtest_client_free(&want[i]);
        free(bodies[i]);
    }
    rtest_await(rtest_nothing_booked, "something stays booked");
}

static void restart(int engine) {
    rtest_kill(&rtest_fleet.engines[engine], SIGKILL);
    rtest_engine(engine, options);
}

Test(survival, engines_are_killed_one_after_the_other, .fini = rtest_fleet_down) {
    bring_up(SURVIVAL_ENGINES, (const char *[]){"--migrate", "8", "--probe", "100", NULL});
    start_streams(300);
    for (int k = 0; k < SURVIVAL_ENGINES; k++) {
        restart(k);
        rtest_clients_run(200);
    }
    check_streams();
}

Test(survival, all_engines_are_killed_at_once, .fini = rtest_fleet_down) {
    bring_up(SURVIVAL_ENGINES, (const char *[]){"--migrate", "8", "--probe", "100", NULL});
    start_streams(200);
    for (int k = 0; k < SURVIVAL_ENGINES; k++)
        rtest_kill(&rtest_fleet.engines[k], SIGKILL);
    rtest_clients_run(300);
    for (int k = 0; k < SURVIVAL_ENGINES; k++)
        rtest_engine(k, options);
    check_streams();
}

// The bookings that there are by what the server is told, until so many have ended: how many there are at the least
// from the first one on.
static int fewest_bookings(redisContext *monitor, int ends) {
    int now = 0, fewest = 1;
    for (void *reply; ends && redisGetReply(monitor, &reply) == REDIS_OK;) {
        const char *said = ((redisReply *)reply)->str;
        bool begins = strstr(said, "\"KVROUTE.SELECT\""),
             done = strstr(said, "\"KVROUTE.RELEASE\"");
        now += begins - done;
        ends -= done;
        if (done && ends && now < fewest) fewest = now;
        freeReplyObject(reply);
    }
    return fewest;
}

// Whoever looks at the pool never misses a stream that goes on.
Test(survival, the_next_booking_is_there_before_the_last_one_ends, .fini = rtest_fleet_down) {
    struct rtest_client stream;
    rtest_fleet_up(2, "--answers ids --end-every 0 --time-scale 0", 1, NULL);
    redisContext *monitor = redisConnectUnix(rtest_fleet.redis.socket);
    redisReply *r = redisCommand(monitor, "MONITOR");
    cr_assert(r && r->type == REDIS_REPLY_STATUS);
    freeReplyObject(r);
    for (int i = 0; i < 2; i++)
        rtest_fault(i, "kind=stall&after=5");
    char *body = rtest_chat("a question", 9, true);
    rtest_client_start(&stream, rtest_port(), "/v1/chat/completions", NULL, body);
    while (!stream.heard)
        rtest_clients_run(5);
    char first[40];
    snprintf(first, sizeof first, "127.0.0.1:%d", rtest_fleet.engines[0].port);
    int dead = strcmp(stream.worker, first) != 0;
    rtest_kill(&rtest_fleet.engines[dead], SIGKILL);
    rtest_fault(!dead, "kind=clear");
    rtest_clients_finish();
    cr_assert(stream.complete && !rtest_answer_has(&stream, "error"));
    rtest_client_free(&stream);
    free(body);
    cr_expect(fewest_bookings(monitor, 2) == 1);
    redisFree(monitor);
}

static bool first_is_empty(void) {
    return rtest_engine_metric(0, "num_requests_running") == 0;
}

Test(survival, a_worker_that_drains_loses_its_streams_in_time, .fini = rtest_fleet_down) {
    bring_up(2, (const char *[]){"--refresh", "100", NULL});
    start_streams(1000);
    redisReply *r = rtest_command("KVROUTE.WORKER SET kvroute 127.0.0.1:%d STATE draining DRAIN 1",
                                  rtest_fleet.engines[0].port);
    cr_assert(r && r->type != REDIS_REPLY_ERROR);
    freeReplyObject(r);
    rtest_await(first_is_empty, "the draining engine keeps its streams");
    cr_assert(rtest_callers.open == SURVIVORS, "it was the end of them");
    check_streams();
    struct support_response page = rtest_get(rtest_port(), "/metrics");
    cr_assert(strstr(page.body, "streams_continued_total{pool=\"kvroute\",why=\"drain\"}"));
    support_response_free(&page);
}

// A frozen engine takes no connections away: it is silent, and probes say that it is dead.
Test(survival, an_engine_stands_still_under_its_streams, .fini = rtest_fleet_down) {
    bring_up(2, (const char *[]){"--probe", "100", NULL});
    start_streams(200);
    rtest_kill(&rtest_fleet.engines[0], SIGSTOP);
    check_streams();
    rtest_kill(&rtest_fleet.engines[0], SIGCONT);
}
