// SPDX-License-Identifier: Apache-2.0
// The proxy when all is well: clients get what engines send, byte for byte, whatever the clients do.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"

enum { RELAYED_STREAMS = 90 };

Test(relay, streams_are_what_engines_sent, .fini = rtest_fleet_down) {
    static struct rtest_client who[RELAYED_STREAMS];
    char text[60], *bodies[RELAYED_STREAMS];
    rtest_fleet_up(4, "--time-scale 0", 3, NULL);
    for (int i = 0; i < RELAYED_STREAMS; i++) {
        snprintf(text, sizeof text, "question number %d", i);
        bodies[i] = rtest_chat(text, 20 + i * 3, true);
        rtest_client_start(&who[i], rtest_fleet.routers[i % 3].port, "/v1/chat/completions", NULL,
                           bodies[i]);
    }
    rtest_clients_finish();
    for (int i = 0; i < RELAYED_STREAMS; i++)
        cr_assert(*who[i].worker && *who[i].id && rtest_answer_ends(&who[i], "data: [DONE]\n\n"));
    rtest_check_answers(who, bodies, RELAYED_STREAMS, -1);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

Test(relay, whole_answers_and_refusals_are_the_engines, .fini = rtest_fleet_down) {
    static const char *const paths[] = {"/v1/completions", "/v1/embeddings", "/v1/completions",
                                        "/v1/chat/completions", "/v1/completions"};
    static const char *const bodies[] = {
        "{\"prompt\":\"a b c\",\"max_tokens\":50}", "{\"input\":[\"a\",\"b\"]}",
        "{\"prompt\":{},\"max_tokens\":5}", "{\"messages\":[],\"stream\":true}",
        "{\"prompt\":[1,2,3],\"max_tokens\":3,\"stream\":true}"};
    static const int statuses[] = {200, 200, 400, 400, 200};
    rtest_fleet_up(1, "--time-scale 0", 1, NULL);
    for (size_t i = 0; i < 5; i++) {
        struct rtest_client a =
            rtest_client_call(rtest_fleet.engines[0].port, paths[i], NULL, bodies[i]);
        struct rtest_client b = rtest_client_call(rtest_port(), paths[i], NULL, bodies[i]);
        cr_assert(b.complete && b.status == statuses[i] && a.status == b.status, "%zu", i);
        cr_assert(rtest_same_answer(&a, &b), "%zu", i);
        rtest_client_free(&a);
        rtest_client_free(&b);
    }
    struct support_response r = rtest_get(rtest_port(), "/v1/models");
    cr_assert(r.status == 200 && strstr(r.body, "\"id\":\"mock\""));
    support_response_free(&r);
    cr_assert_str_eq(rtest_error_code(rtest_post(rtest_port(), "/v1/completions", "[1]"), 400),
                     "BADREQUEST");
    rtest_await(rtest_nothing_booked, "something stays booked");
}

static bool engines_are_idle(void) {
    for (int i = 0; i < RTEST_ENGINES; i++)
        if (rtest_fleet.engines[i].pid && (rtest_engine_metric(i, "num_requests_running") ||
                                           rtest_engine_metric(i, "num_requests_waiting")))
            return false;
    return true;
}

static bool nothing_runs(void) {
    return engines_are_idle() && rtest_nothing_booked();
}

Test(relay, clients_that_leave_end_the_engines_work, .fini = rtest_fleet_down) {
    static struct rtest_client who[30];
    char *bodies[30];
    rtest_fleet_up(2, "--decode-speed 20 --time-scale 1", 1, NULL);
    rtest_slow_streams(who, 30, bodies, 1, 3000); // for longer than anything here waits
    for (int i = 0; i < 30; i++)
        rtest_client_leave(&who[i]);
    rtest_await(nothing_runs, "an engine goes on for nobody");
    // Also those that leave before anything has come.
    rtest_fault(0, "kind=hang-engine");
    rtest_fault(1, "kind=hang-engine");
    for (int i = 0; i < 30; i++) {
        rtest_client_free(&who[i]);
        rtest_client_start(&who[i], rtest_port(), "/v1/chat/completions", NULL, bodies[i]);
    }
    rtest_clients_run(100);
    for (int i = 0; i < 30; i++) {
        rtest_client_leave(&who[i]);
        rtest_client_free(&who[i]);
        free(bodies[i]);
    }
    rtest_fault(0, "kind=clear");
    rtest_fault(1, "kind=clear");
    rtest_await(nothing_runs, "an engine goes on for nobody");
}

// A client that takes nothing: the engine waits, and the router's memory stays as it was.
Test(relay, slow_clients_cost_no_memory, .fini = rtest_fleet_down) {
    enum { SLOW = 8 };
    static struct rtest_client who[SLOW];
    char *bodies[SLOW];
    rtest_fleet_up(1, "--time-scale 0 --blocks 40000 --max-model-len 40000", 1, NULL);
    long before = rtest_memory(0, "VmRSS");
    for (int i = 0; i < SLOW; i++) {
        bodies[i] = rtest_chat("tell me everything", 30000, true);
        rtest_client_start(&who[i], rtest_port(), "/v1/chat/completions", NULL, bodies[i]);
    }
    for (int i = 0; i < SLOW; i++)
        h1_call_pause(who[i].call);
    rtest_clients_run(1500);
    long after = rtest_memory(0, "VmRSS");
    cr_assert(getenv("ASAN_OPTIONS") || after - before < 8192, "%ld kB, then %ld", before, after);
    cr_assert(rtest_engine_metric(0, "num_requests_running") >= 0);
    for (int i = 0; i < SLOW; i++)
        h1_call_resume(who[i].call);
    rtest_clients_finish();
    rtest_check_answers(who, bodies, SLOW, -1);
    rtest_await(rtest_nothing_booked, "something stays booked");
}
