// SPDX-License-Identifier: Apache-2.0
// Engines that fail: who gets another engine, what clients see otherwise, and who is blamed.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"

static bool engine_answers(void) {
    return rtest_engine_metric(0, "num_requests_running") >= 0;
}

// Before the first byte: the client sees one good answer.
Test(failure, an_engine_fails_before_it_answers, .fini = rtest_fleet_down) {
    static const char *const faults[] = {"kind=reset", "kind=reset&gently=1",
                                         "kind=fail&status=500", "kind=fail&status=503",
                                         "kind=refuse&ms=300"};
    rtest_fleet_up(2, "--time-scale 0", 1, NULL);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        for (int stream = 0; stream < 2; stream++) {
            rtest_await(engine_answers, "an engine that refused doesn't answer again");
            rtest_fault(0, faults[i]);
            // Of two requests one goes to the first engine.
            for (int k = 0; k < 2; k++) {
                struct rtest_client who = rtest_ask(0, "a b c", 5, stream);
                cr_assert(who.status == 200 && who.complete, "%s: %d", faults[i], who.status);
                cr_assert(!rtest_answer_has(&who, "error"));
                rtest_client_free(&who);
            }
        }
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    for (int k = 0; k < 4; k++) {
        rtest_ask_well(0, "a b c", 5, k & 1);
    }
    rtest_await(rtest_nothing_booked, "something stays booked");
    rtest_expect_log(0, "\"tries\":2", true);
}

// A full queue is one engine's: another is asked, once, and neither is blamed.
Test(failure, an_engine_has_too_much_to_do, .fini = rtest_fleet_down) {
    static const char *const faults[] = {"kind=fail&n=1000&status=429",
                                         "kind=fail&n=1000&status=408"};
    static const int statuses[] = {429, 408};
    rtest_fleet_up(2, "--time-scale 0", 1, NULL);
    for (int i = 0; i < 2; i++) {
        rtest_fault(0, faults[i]);
        for (int k = 0; k < 4; k++) {
            rtest_ask_well(0, "a b c", 5, k & 1);
        }
        rtest_fault(1, faults[i]);
        struct rtest_client who = rtest_ask(0, "a b c", 5, false);
        cr_assert(who.status == statuses[i] && who.complete, "%s: %d", faults[i], who.status);
        rtest_client_free(&who);
        rtest_fault(1, "kind=clear");
    }
    rtest_await(rtest_nothing_booked, "something stays booked");
    cr_assert(rtest_failed_tries(0) == 0 && rtest_pool_info("kvroute", "open_circuits") == 0);
}

static long long failures(int engine) {
    redisReply *r =
        rtest_command("KVROUTE.WORKER GET kvroute 127.0.0.1:%d", rtest_fleet.engines[engine].port);
    long long n = -1;
    for (size_t i = 0; r && i + 1 < r->elements; i += 2)
        if (!strcmp(r->element[i]->str, "failures")) n = r->element[i + 1]->integer;
    if (r) freeReplyObject(r);
    return n;
}

static bool the_first_is_open(void) {
    return rtest_pool_info("kvroute", "open_circuits") == 1;
}

static bool none_is_open(void) {
    return rtest_pool_info("kvroute", "open_circuits") == 0;
}

// Engines that are paused end what they have as if it were complete: three such in a row, and nobody goes there
// until one of them has come to its end.
Test(failure, an_engine_aborts_what_it_has, .fini = rtest_fleet_down) {
    rtest_fleet_up(2, "--time-scale 0", 1, NULL);
    for (int stream = 0; stream < 2; stream++) {
        rtest_fault(0, "kind=abort&n=1000000&tokens=2");
        for (int k = 0; k < 8; k++) {
            struct rtest_client who = rtest_ask(0, "a b c", 5, stream);
            cr_assert(who.status == 200 && who.complete, "%d", who.status);
            rtest_client_free(&who);
        }
        rtest_await(the_first_is_open, "it isn't left out");
        rtest_fault(0, "kind=clear");
        for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !none_is_open() && kvr_clock_ms() < end;)
            rtest_ask_well(0, "a b c", 5, stream);
        cr_assert(none_is_open(), "it stays left out");
    }
    rtest_await(rtest_nothing_booked, "something stays booked");
}

static bool the_first_is_blamed(void) {
    return failures(0) == 1;
}

// A request may be what its engines fail of: no more than two get it, and only when the second one
// answers is the first to blame.
Test(failure, a_request_that_engines_fail_of, .fini = rtest_fleet_down) {
    static const char *const faults[] = {"kind=fail&n=1&status=500", "kind=reset"};
    static const int statuses[] = {500, 502};
    // Nothing but requests is to meet the faults.
    rtest_fleet_up(4, "--time-scale 0", 1, (const char *[]){"--learn", "0", "--check", "0", NULL});
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 4; k++)
            rtest_fault(k, faults[i]);
        struct rtest_client who = rtest_ask(0, "a b c", 5, false);
        cr_assert(who.status == statuses[i] && who.complete, "%d", who.status);
        cr_assert(rtest_failed_tries(0) == 2 * (i + 1), "%d tries", rtest_failed_tries(0));
        rtest_client_free(&who);
        rtest_await(rtest_nothing_booked, "something stays booked");
        for (int k = 0; k < 4; k++) {
            cr_assert(failures(k) == 0, "engine %d is blamed", k);
            rtest_fault(k, "kind=clear");
        }
    }
    rtest_fault(0, "kind=fail&n=1&status=500");
    while (rtest_failed_tries(0) == 4) { // until one comes to it
        rtest_ask_well(0, "a b c", 5, false);
    }
    rtest_await(the_first_is_blamed, "nobody is blamed");
}

// After it: a stream ends with an event that says so, whatever else is visibly broken.
Test(failure, an_engine_fails_within_its_answer, .fini = rtest_fleet_down) {
    rtest_fleet_up(1, "--decode-speed 200 --time-scale 1", 1, NULL);
    for (int gently = 0; gently < 2; gently++) {
        rtest_fault(0, gently ? "kind=cut&tokens=4&gently=1" : "kind=cut&tokens=4");
        struct rtest_client who = rtest_ask(0, "a b c", 50, true),
                            all = rtest_ask(0, "a b c", 50, true);
        char *text = rtest_client_text(&who), *whole = rtest_client_text(&all),
             *error = strstr(text, "data: {\"error\":");
        cr_assert(who.status == 200 && who.complete && error);
        cr_assert(rtest_answer_ends(&who, "\"code\":\"ENGINE\"}}\n\n"));
        cr_assert(error > text && !strncmp(text, whole, (size_t)(error - text)));
        cr_assert(all.complete && !rtest_answer_has(&all, "error"));
        free(text);
        free(whole);
        rtest_client_free(&who);
        rtest_client_free(&all);
    }
    struct rtest_client who;
    char *body = rtest_chat("a long story", 1000, true);
    rtest_client_start(&who, rtest_port(), "/v1/chat/completions", NULL, body);
    while (!who.heard)
        rtest_clients_run(5);
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    rtest_clients_finish();
    cr_assert(who.complete && rtest_answer_ends(&who, "\"code\":\"ENGINE\"}}\n\n"));
    rtest_client_free(&who);
    free(body);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// An overload isn't multiplied: beyond the budget nobody is tried twice.
Test(failure, retries_have_a_budget, .fini = rtest_fleet_down) {
    static const char *const flags[] = {"--retry_percent", "10", "--retry_burst", "5", NULL};
    rtest_fleet_up(3, "--time-scale 0", 1, flags);
    for (int i = 0; i < 3; i++)
        rtest_fault(i, "kind=fail&n=1000&status=503");
    for (int i = 0; i < 100; i++) {
        struct rtest_client who = rtest_ask(0, "a b c", 5, false);
        cr_assert(who.status == 503 && who.complete);
        cr_assert(rtest_answer_has(&who, "a fault on request"));
        rtest_client_free(&who);
    }
    int tries = rtest_failed_tries(0);
    cr_assert(tries >= 105 && tries <= 116, "%d tries", tries);
}

// ---- Circuits ------------------------------------------------------------------------------------

static bool first_engine_serves(void) {
    struct rtest_client who = rtest_ask(0, "a b c", 2, false);
    char port[20];
    snprintf(port, sizeof port, ":%d", rtest_fleet.engines[0].port);
    bool served = strstr(who.worker, port) != NULL;
    cr_assert(who.status == 200);
    rtest_client_free(&who);
    return served;
}

// A dead engine costs a few tries, and then none, whatever router they come through, until it answers
// again.
Test(failure, a_dead_engine_is_left_alone, .fini = rtest_fleet_down) {
    static const char *const flags[] = {"--probe", "200", NULL};
    rtest_fleet_up(2, "--time-scale 0", 2, flags);
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    for (int i = 0; i < 80; i++) {
        rtest_ask_well(i / 40, "a b c", 2, i & 1);
    }
    cr_assert(rtest_failed_tries(0) >= 1 && rtest_failed_tries(0) <= 4, "%d tries",
              rtest_failed_tries(0));
    cr_assert(rtest_failed_tries(1) == 0, "%d tries", rtest_failed_tries(1));
    rtest_expect_log(0, "fails: it can't be reached", true);
    rtest_engine(0, "--no-events --time-scale 0");
    rtest_await(first_engine_serves, "the engine isn't chosen any more");
    cr_assert(rtest_pool_info("kvroute", "open_circuits") == 0);
}

// It takes connections and says nothing: what waits there is taken elsewhere when the probes know it.
Test(failure, an_engine_stands_still, .fini = rtest_fleet_down) {
    enum { WAITING_CLIENTS = 12 };
    static struct rtest_client who[WAITING_CLIENTS];
    rtest_fleet_up(2, "--time-scale 0", 1, NULL);
    rtest_kill(&rtest_fleet.engines[0], SIGSTOP);
    char *body = rtest_chat("a b c", 2, false);
    for (int i = 0; i < WAITING_CLIENTS; i++)
        rtest_client_start(&who[i], rtest_port(), "/v1/chat/completions", NULL, body);
    rtest_clients_finish();
    for (int i = 0; i < WAITING_CLIENTS; i++) {
        cr_assert(who[i].status == 200 && who[i].complete, "%d", who[i].status);
        rtest_client_free(&who[i]);
    }
    cr_assert(rtest_failed_tries(0) > 0 && rtest_pool_info("kvroute", "open_circuits") == 1);
    free(body);
    rtest_kill(&rtest_fleet.engines[0], SIGCONT);
    rtest_await(first_engine_serves, "the engine isn't chosen any more");
}

static bool a_circuit_is_open(void) {
    return rtest_pool_info("kvroute", "open_circuits") == 1;
}

static bool no_circuit_is_open(void) {
    return rtest_pool_info("kvroute", "open_circuits") == 0;
}

// Nobody has asked it anything yet.
Test(failure, an_idle_engine_stands_still, .fini = rtest_fleet_down) {
    static const char *const flags[] = {"--check", "100",           "--probe", "100", "--failures",
                                        "2",       "--retry_burst", "0",       NULL};
    rtest_fleet_up(2, "--time-scale 0", 1, flags);
    rtest_kill(&rtest_fleet.engines[0], SIGSTOP);
    rtest_await(a_circuit_is_open, "nobody looks after the engine");
    rtest_expect_log(0, "fails: it doesn't answer", true);
    for (int i = 0; i < 6; i++) {
        rtest_ask_well(0, "a b c", 2, i & 1);
    }
    cr_assert(rtest_failed_tries(0) == 0, "%d tries", rtest_failed_tries(0));
    rtest_kill(&rtest_fleet.engines[0], SIGCONT);
    rtest_await(no_circuit_is_open, "it stays open");
    rtest_await(first_engine_serves, "the engine isn't chosen any more");
}

// One that computes for long without a word is asked whether it lives, and left in peace.
Test(failure, an_engine_takes_its_time, .fini = rtest_fleet_down) {
    rtest_fleet_up(2, "--decode-speed 10 --time-scale 1", 1, NULL);
    rtest_ask_well(0, "a b c", 40, false);
    cr_assert(rtest_failed_tries(0) == 0 && failures(0) == 0 && failures(1) == 0);
    rtest_expect_log(0, "\"tries\"", false);
}

// Which of the engines is asked what they serve is a matter of chance; who is dead isn't one of it.
Test(failure, models_while_an_engine_is_dead, .fini = rtest_fleet_down) {
    rtest_fleet_up(3, "--time-scale 0", 1, NULL);
    rtest_kill(&rtest_fleet.engines[1], SIGKILL);
    for (int i = 0; i < 6; i++) {
        struct support_response r = rtest_get(rtest_port(), "/v1/models");
        cr_assert(r.status == 200 && strstr(r.body, "\"id\":\"mock\""), "%d %s", r.status, r.body);
        support_response_free(&r);
    }
    struct support_response r = rtest_get(rtest_port(), "/health");
    cr_assert(r.status == 200 && !strcmp(r.body, "ok\n"));
    support_response_free(&r);
}
