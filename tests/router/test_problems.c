// SPDX-License-Identifier: Apache-2.0
// What /v1/status says is wrong, about real servers, engines and routers; and what it says when nothing is.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"
#include "rtest_schema.h"
#include "tests/support/support_home.h"

static json_t *status_of(int router) {
    return rtest_json(rtest_get(rtest_fleet.routers[router].port, "/v1/status"), 200);
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

// The problem of that kind with that in its text; NULL: there is none.
static const json_t *problem_of(const json_t *status, const char *what, const char *part) {
    size_t i;
    const json_t *p;
    json_array_foreach(json_object_get(status, "problems"), i, p) {
        if (!strcmp(text_of(p, "what"), what) && strstr(text_of(p, "text"), part)) return p;
    }
    return NULL;
}

static bool is_checked(const json_t *status, const char *text) {
    size_t i;
    const json_t *line;
    json_array_foreach(json_object_get(status, "checked"), i, line) {
        if (strstr(json_string_value(line), text)) return true;
    }
    return false;
}

static void give_up(const json_t *status, const char *want) {
    char *text = json_dumps(json_object_get(status, "problems"), 0);
    char *checked = json_dumps(json_object_get(status, "checked"), 0);
    cr_assert_fail("no %s in %s, %s", want, text, checked);
}

// Until router 0 says so. Returns its status, to be freed.
static json_t *await_problem(const char *what, const char *part) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(100)) {
        json_t *status = status_of(0);
        if (problem_of(status, what, part)) return status;
        if (kvr_clock_ms() > end) give_up(status, part);
        json_decref(status);
    }
}

static json_t *await_checked(const char *text) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(100)) {
        json_t *status = status_of(0);
        if (is_checked(status, text)) return status;
        if (kvr_clock_ms() > end) give_up(status, text);
        json_decref(status);
    }
}

static void expect_problem(const json_t *status, const char *what, const char *part,
                           const char *level) {
    const json_t *p = problem_of(status, what, part);
    if (!p) give_up(status, part);
    cr_expect_str_eq(text_of(p, "level"), level);
}

static const json_t *first_pool(const json_t *status) {
    return json_array_get(json_object_get(status, "pools"), 0);
}

static const json_t *redis_of(const json_t *status) {
    return json_object_get(first_pool(status), "redis");
}

static void fits_its_schema(const json_t *status) {
    char why[300] = "";
    json_t *document = rtest_schema_load();
    cr_expect(rtest_schema_fits(document, rtest_schema_of(document, "/v1/status", "get", "200"),
                                status, why, sizeof why),
              "%s", why);
    json_decref(document);
}

static void engine_name(int i, char out[40]) {
    snprintf(out, 40, "127.0.0.1:%d", rtest_fleet.engines[i].port);
}

static void command(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void command(const char *format, ...) {
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    redisReply *r = rtest_command(text);
    cr_assert(r && r->type != REDIS_REPLY_ERROR, "%s: %s", text, r ? r->str : "no answer");
    freeReplyObject(r);
}

// ---- Nothing is wrong ----------------------------------------------------------------------------

Test(problems, all_is_well, .fini = rtest_fleet_down, .timeout = 120) {
    rtest_redis();
    rtest_sentinel();
    rtest_fleet_up(2, "--time-scale 0", 2, NULL);
    json_decref(await_checked("1 of 1 replica in step."));
    json_t *status = await_checked("2 routers are at work");
    cr_expect_eq(json_array_size(json_object_get(status, "problems")), 0);
    cr_expect(is_checked(status, "2 of 2 workers can be chosen."));
    cr_expect(is_checked(status, "1 of 1 replica in step."));
    fits_its_schema(status);

    // Each knows itself and the other, by the same names.
    json_t *other = status_of(1);
    const json_t *names = json_object_get(redis_of(status), "routers");
    cr_assert_eq(json_array_size(names), 2);
    bool seen[2] = {false, false};
    for (size_t i = 0; i < 2; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        seen[0] |= !strcmp(name, text_of(status, "name"));
        seen[1] |= !strcmp(name, text_of(other, "name"));
    }
    cr_expect(seen[0] && seen[1]);
    json_decref(other);
    json_decref(status);

    // A replica that was there is missed; one that never was is worth a note.
    support_redis_end(&rtest_fleet.replica, SIGKILL);
    status = await_problem("replica_lost", "0 replicas left of 1");
    expect_problem(status, "replica_lost", "Redis", "warning");
    cr_expect(!problem_of(status, "no_replica", ""));
    json_decref(status);

    // A router that is gone is gone from the list.
    rtest_kill(&rtest_fleet.routers[1], SIGKILL);
    json_decref(await_checked("1 router is at work"));
}

// ---- Engines -------------------------------------------------------------------------------------

Test(problems, engines_that_are_dead, .fini = rtest_fleet_down, .timeout = 120) {
    char name[40];
    rtest_fleet_up(2, "--time-scale 0", 1, NULL);
    json_t *status = await_problem("no_replica", "no replica");
    cr_expect_eq(json_array_size(json_object_get(status, "problems")), 1);
    json_decref(status);

    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    for (int i = 0; i < 4; i++)
        rtest_ask_well(0, "a b c", 2, false);
    engine_name(0, name);
    status = await_problem("circuit_open", name);
    const json_t *p = problem_of(status, "circuit_open", name);
    cr_expect_str_eq(text_of(p, "worker"), name);
    cr_expect_str_eq(text_of(p, "pool"), "kvroute");
    cr_expect(json_integer_value(json_object_get(p, "since_ms")) >= 0);
    expect_problem(status, "circuit_open", "doesn't answer", "bad");
    cr_expect(is_checked(status, "1 of 2 workers can be chosen."));
    // The worst comes first.
    cr_expect(p == json_array_get(json_object_get(status, "problems"), 0));
    fits_its_schema(status);
    json_decref(status);

    rtest_kill(&rtest_fleet.engines[1], SIGKILL);
    for (int i = 0; i < 4; i++) {
        struct rtest_client who = rtest_ask(0, "a b c", 2, false);
        cr_expect(who.status >= 500);
        rtest_client_free(&who);
    }
    status = await_problem("none_ready", "none of its 2 workers is ready");
    json_decref(status);
    // What came to nothing is counted when its five seconds are over.
    status = await_problem("failed_requests", "in the last minute failed here");
    expect_problem(status, "failed_requests", "4 of 8 requests", "bad");
    json_decref(status);
}

// While Redis is away the router knows by itself.
Test(problems, redis_is_away, .fini = rtest_fleet_down, .timeout = 120) {
    char name[40];
    rtest_fleet_up(2, "--time-scale 0", 1, NULL);
    json_decref(await_checked("1 router is at work"));
    rtest_kill_redis(SIGKILL);
    json_t *status = await_problem("redis_away", "Redis is away (Connection refused)");
    expect_problem(status, "redis_away", "chooses alone", "bad");
    cr_expect_str_eq(text_of(first_pool(status), "why"), "no primary");
    cr_expect(!is_checked(status, "at work") && !problem_of(status, "no_replica", ""));
    json_decref(status);
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    for (int i = 0; i < 6; i++)
        rtest_ask_well(0, "a b c", 2, false);
    engine_name(0, name);
    status = await_problem("no_answer", name);
    expect_problem(status, "no_answer", "doesn't answer this router", "bad");
    json_decref(status);
}

// ---- Workers as the pool has them ----------------------------------------------------------------

Test(problems, workers_that_expire_or_leave, .fini = rtest_cluster_down, .timeout = 120) {
    rtest_redis();
    command("KVROUTE.CREATE kvroute");
    rtest_router(0, NULL);
    json_t *status = await_problem("no_workers", "Pool kvroute has no workers");
    expect_problem(status, "no_workers", "", "bad");
    json_decref(status);
    command("KVROUTE.WORKER SET kvroute astray ADDR 10.0.0.1:1");
    json_decref(await_checked("1 of 1 worker can be chosen."));
    rtest_expect_log(0, "nothing can be sent to worker astray", true);
    command("KVROUTE.WORKER DEL kvroute astray");
    command("KVROUTE.WORKER SET kvroute stays ADDR http://10.0.0.1:1");
    command("KVROUTE.WORKER SET kvroute leaves ADDR http://10.0.0.1:2 STATE DRAINING");
    for (int i = 0; i < 15; i++)
        command("KVROUTE.WORKER SET kvroute gone-%d ADDR http://10.0.0.2:%d TTL 100", i, i + 1);
    status = await_problem("expired", "3 more workers have expired, too.");
    expect_problem(status, "expired", "Worker gone-0 has expired", "bad");
    expect_problem(status, "leaving", "Worker leaves is leaving", "note");
    cr_expect(!problem_of(status, "none_ready", "") && !problem_of(status, "no_workers", ""));
    cr_expect(is_checked(status, "1 of 17 workers can be chosen."));
    fits_its_schema(status);
    json_decref(status);
    for (int i = 0; i < 15; i++)
        command("KVROUTE.WORKER DEL kvroute gone-%d", i);
    json_decref(await_checked("1 of 2 workers can be chosen."));
}

// A user who may not ask is told that it isn't known, and all else works.
Test(problems, what_a_user_may_not_ask, .fini = rtest_fleet_down, .timeout = 120) {
    rtest_redis();
    command("ACL SETUSER plain on >secret ~kvroute resetchannels -@all +kvroute.select "
            "+kvroute.info +kvroute.worker +kvroute.create +kvroute.update +kvroute.release "
            "+ping +role +client|setname +client|id");
    snprintf(rtest_fleet.url, sizeof rtest_fleet.url, "redis://plain:secret@127.0.0.1:%d",
             rtest_fleet.redis.port);
    rtest_fleet_up(1, "--time-scale 0", 1, NULL);
    json_t *status = await_checked("replicas are not known");
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         strcmp(text_of(redis_of(status), "routers_unknown"), "DENIED") != 0;
         status = status_of(0)) {
        cr_assert(kvr_clock_ms() < end, "%s", text_of(redis_of(status), "routers_unknown"));
        json_decref(status);
        support_sleep_ms(50);
    }
    cr_expect_str_eq(text_of(redis_of(status), "replicas_unknown"), "DENIED");
    cr_expect_eq(json_array_size(json_object_get(status, "problems")), 0);
    json_decref(status);
    rtest_ask_well(0, "a b c", 2, true);
}

// ---- The last minutes ----------------------------------------------------------------------------

static int64_t sum_of(const json_t *status, const char *name) {
    int64_t sum = 0;
    size_t i;
    const json_t *n;
    json_array_foreach(json_object_get(json_object_get(status, "minutes"), name), i, n) {
        sum += json_integer_value(n);
    }
    return sum;
}

// Every figure ends up in a step, and once: streams are counted as they go and not again at their end.
Test(problems, the_last_minutes, .fini = rtest_fleet_down, .timeout = 120) {
    static const char prompt[] = "one two three four five six seven eight nine ten eleven twelve "
                                 "thirteen fourteen fifteen sixteen seventeen eighteen nineteen";
    rtest_fleet_up(1, "--decode-speed 200", 1, NULL);
    for (int i = 0; i < 3; i++)
        rtest_ask_well(0, prompt, 20, true);
    rtest_ask_well(0, prompt, 7, false);
    json_decref(rtest_json(rtest_get(rtest_port(), "/v1/models"), 200)); // asks for no worker
    json_t *status = status_of(0);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; sum_of(status, "requests") < 4;
         status = status_of(0)) {
        cr_assert(kvr_clock_ms() < end);
        json_decref(status);
        support_sleep_ms(200);
    }
    cr_expect_eq(sum_of(status, "requests"), 4);
    cr_expect_eq(sum_of(status, "failed"), 0);
    cr_expect(sum_of(status, "output_tokens") >= 67 && // without usage, events are counted
              (double)sum_of(status, "output_tokens") ==
                  rtest_router_metric(0, "output_tokens_total"));
    // The second one finds what the first one left.
    cr_expect(sum_of(status, "cached_tokens") > 0 &&
              sum_of(status, "cached_tokens") < sum_of(status, "prompt_tokens"));
    const json_t *minutes = json_object_get(status, "minutes");
    const json_t *p50 = json_object_get(minutes, "ttft_p50"),
                 *p95 = json_object_get(minutes, "ttft_p95");
    size_t with = 0;
    for (size_t i = 0; i < json_array_size(p50); i++) {
        double low = json_real_value(json_array_get(p50, i));
        with += low > 0;
        cr_expect(json_real_value(json_array_get(p95, i)) >= low);
    }
    cr_expect(with >= 1 && with <= 3, "of streams, in the steps that they fell into");
    fits_its_schema(status);
    json_decref(status);
}
