// SPDX-License-Identifier: Apache-2.0
// Routers, mock engines and the real module: what pools learn from the traffic that routers pass on, and
// where sessions go.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"
#include "tests/support/support_home.h"

enum { LEARNING_ENGINES = 2, LEARNING_REQUESTS = 12 };

// A prompt takes tens of milliseconds, by the engine's timer: pools measure in whole ones, and learn nothing from a
// first token of the millisecond of its booking. And every choice is the pool's, however late it comes: one that the
// router makes by itself foretells nothing.
static void up(void) {
    rtest_fleet_up(LEARNING_ENGINES, "--prefill-speed 300 --decode-speed 500", 1,
                   (const char *[]){"--deadline", "15000", NULL});
}

static void ask(int number, bool stream) {
    char text[60];
    snprintf(text, sizeof text, "question %d of many", number);
    rtest_ask_well(0, text, 30, stream);
}

// The most that any worker has of it.
static double most(const char *field) {
    json_t *a = rtest_json(rtest_get(rtest_port(), "/v1/workers"), 200), *w;
    const json_t *pool = json_array_get(json_object_get(a, "pools"), 0);
    double found = -1;
    size_t i;
    json_array_foreach(json_object_get(pool, "workers"), i, w) {
        double value = json_number_value(json_object_get(w, field));
        if (value > found) found = value;
    }
    json_decref(a);
    return found;
}

static void await_most(const char *field) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; most(field) <= 0; support_sleep_ms(50))
        cr_assert(kvr_clock_ms() < end, "%s isn't learnt", field);
}

Test(learning, streams_teach_times, .fini = rtest_fleet_down) {
    up();
    for (int i = 0; i < LEARNING_REQUESTS; i++)
        ask(i, true);
    rtest_await_released("kvroute");
    await_most("ttft");
    await_most("tpot");
    // Only the first one wasn't foretold: what an engine teaches, the fleet knows.
    cr_expect_eq(rtest_router_metric(0, "ttft_error_ratio_count"), LEARNING_REQUESTS - 1);
    cr_expect(rtest_router_metric(0, "ttft_predicted_seconds_sum") > 0);
    json_t *a = rtest_json(rtest_post(rtest_port(), "/v1/select", "{\"text\":\"x\"}"), 200);
    cr_expect(json_number_value(json_object_get(a, "ttft")) > 0);
    cr_expect(json_number_value(json_object_get(a, "tpot")) > 0);
    json_decref(a);
}

// Nobody has seen the first token of a whole answer, so it teaches nothing of times.
Test(learning, whole_answers_teach_no_times, .fini = rtest_fleet_down) {
    up();
    for (int i = 0; i < LEARNING_REQUESTS; i++)
        ask(i, false);
    rtest_await_released("kvroute");
    redisReply *r = rtest_command("KVROUTE.SCORE kvroute IDS 1 1");
    cr_assert(r && r->type == REDIS_REPLY_ARRAY && r->elements == LEARNING_ENGINES);
    bool seen = false;
    for (size_t i = 0; i + 1 < r->element[0]->elements; i += 2) {
        if (strcmp(r->element[0]->element[i]->str, "ttft") != 0) continue;
        cr_expect_str_eq(r->element[0]->element[i + 1]->str, "-1");
        seen = true;
    }
    cr_expect(seen);
    freeReplyObject(r);
    cr_expect(rtest_router_metric(0, "ttft_error_ratio_count") == 0);
}

Test(learning, sessions_are_the_pools, .fini = rtest_fleet_down) {
    up();
    struct rtest_client c =
        rtest_client_call(rtest_port(), "/v1/completions", "X-Session-ID: chat 7\r\n",
                          "{\"prompt\":\"x\",\"max_tokens\":3}");
    cr_assert(c.status == 200 && c.complete);
    redisReply *r = rtest_command("KVROUTE.SESSION GET kvroute %s", "chat 7");
    cr_assert(r && r->type == REDIS_REPLY_ARRAY && r->elements >= 4);
    cr_expect_str_eq(r->element[2]->str, "worker");
    cr_expect_str_eq(r->element[3]->str, c.worker);
    freeReplyObject(r);
    rtest_client_free(&c);
}
