// SPDX-License-Identifier: Apache-2.0
// Routers, mock engines and the real module: what pools learn from the traffic that routers pass on, and
// where sessions go.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crowd.h"
#include "stand.h"
#include "tests/support/home.h"

enum { ENGINES = 2, REQUESTS = 12 };

static struct stand s;
static struct crowd crowd;

static void down(void) {
    crowd_close(&crowd);
    stand_down(&s);
}

static void up(void) {
    static char urls[ENGINES][60];
    const char *flags[2 * ENGINES + 1];
    crowd_open(&crowd);
    stand_redis(&s);
    for (int i = 0; i < ENGINES; i++) {
        stand_engine(&s, i, "--no-events --time-scale 10");
        snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d", s.engines[i].port);
        flags[2 * i] = "--engine";
        flags[2 * i + 1] = urls[i];
    }
    flags[2 * ENGINES] = NULL;
    stand_router(&s, 0, flags);
    stand_await_ready(&s, 0);
}

static void ask(int number, bool stream) {
    char body[200];
    snprintf(body, sizeof body,
             "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"question %d of "
             "many\"}],\"max_tokens\":30,\"stream\":%s}",
             number, stream ? "true" : "false");
    struct caller c = call_once(&crowd, s.routers[0].port, "/v1/chat/completions", NULL, body);
    cr_assert(c.status == 200 && c.complete);
    caller_free(&c);
}

// The most that any worker has of it.
static double most(const char *field) {
    json_t *a = http_json(http_get(s.routers[0].port, "/v1/workers"), 200), *w;
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

static double sample(const char *name) {
    struct response r = http_get(s.routers[0].port, "/metrics");
    char line[100];
    snprintf(line, sizeof line, "\nkvroute_router_%s ", name);
    const char *at = strstr(r.body, line);
    double value = at ? atof(at + strlen(line)) : -1;
    response_free(&r);
    return value;
}

static void await_most(const char *field) {
    for (int64_t end = now_ms() + PATIENCE_MS; most(field) <= 0; sleep_ms(50))
        cr_assert(now_ms() < end, "%s isn't learnt", field);
}

Test(learning, streams_teach_times, .fini = down) {
    up();
    for (int i = 0; i < REQUESTS; i++)
        ask(i, true);
    stand_await_released(&s, "kvroute");
    await_most("ttft");
    await_most("tpot");
    // Only the first ones weren't foretold.
    cr_expect(sample("ttft_error_ratio_count") >= REQUESTS / 2);
    cr_expect(sample("ttft_predicted_seconds_sum") > 0);
    json_t *a = http_json(http_post(s.routers[0].port, "/v1/select", "{\"text\":\"x\"}"), 200);
    cr_expect(json_number_value(json_object_get(a, "ttft")) > 0);
    cr_expect(json_number_value(json_object_get(a, "tpot")) > 0);
    json_decref(a);
}

// Nobody has seen the first token of a whole answer, so it teaches nothing of times.
Test(learning, whole_answers_teach_no_times, .fini = down) {
    up();
    for (int i = 0; i < REQUESTS; i++)
        ask(i, false);
    stand_await_released(&s, "kvroute");
    redisReply *r = stand_say(&s, "KVROUTE.SCORE kvroute IDS 1 1");
    cr_assert(r && r->type == REDIS_REPLY_ARRAY && r->elements == ENGINES);
    bool seen = false;
    for (size_t i = 0; i + 1 < r->element[0]->elements; i += 2) {
        if (strcmp(r->element[0]->element[i]->str, "ttft") != 0) continue;
        cr_expect_str_eq(r->element[0]->element[i + 1]->str, "-1");
        seen = true;
    }
    cr_expect(seen);
    freeReplyObject(r);
    cr_expect(sample("ttft_error_ratio_count") == 0);
}

Test(learning, sessions_are_the_pools, .fini = down) {
    up();
    struct caller c = call_once(&crowd, s.routers[0].port, "/v1/completions",
                                "X-Session-ID: chat 7\r\n", "{\"prompt\":\"x\",\"max_tokens\":3}");
    cr_assert(c.status == 200 && c.complete);
    redisReply *r = stand_say(&s, "KVROUTE.SESSION GET kvroute %s", "chat 7");
    cr_assert(r && r->type == REDIS_REPLY_ARRAY && r->elements >= 4);
    cr_expect_str_eq(r->element[2]->str, "worker");
    cr_expect_str_eq(r->element[3]->str, c.worker);
    freeReplyObject(r);
    caller_free(&c);
}
