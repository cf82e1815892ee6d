// SPDX-License-Identifier: Apache-2.0
// What gateways, frontends and people are told of the queue: would it be admitted, SELECT with waiting over HTTP,
// who waits, and that docs/openapi.json describes it.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_schema.h"
#include "rtest_waiting.h"
#include "tests/support/support_home.h"

static json_t *document;

static void down(void) {
    rtest_waiting_down();
    json_decref(document);
}

static void up(int engines, const char *const *more) {
    document = rtest_schema_load();
    rtest_waiting_up(engines, 1, more);
}

static void check(const char *path, const char *method, int status, const json_t *body) {
    char text[12], why[200] = "";
    snprintf(text, sizeof text, "%d", status);
    const json_t *schema = rtest_schema_of(document, path, method, text);
    cr_assert(schema && rtest_schema_fits(document, schema, body, why, sizeof why), "%s %s: %s",
              path, text, why);
}

static json_t *post_as(const char *token, const char *path, const char *text, int status) {
    char headers[200];
    snprintf(headers, sizeof headers, "Content-Type: application/json\r\n%s%s%s",
             *token ? "Authorization: Bearer " : "", token, *token ? "\r\n" : "");
    struct support_response r =
        support_http(rtest_port(), "POST", path, headers, text, RTEST_WAIT_MS);
    if (status == 429 || status == 503)
        cr_assert(strstr(r.head, "\r\nRetry-After: "), "%s", r.head);
    json_t *answer = rtest_json(r, status);
    check(path, "post", status, answer);
    return answer;
}

static json_t *admit(const char *text, int status) {
    return post_as("", "/kvroute/admit", text, status);
}

static json_int_t number_of(const json_t *o, const char *name) {
    const json_t *n = json_object_get(o, name);
    cr_assert(json_is_integer(n), "no %s", name);
    return json_integer_value(n);
}

static void expect_code(json_t *answer, const char *code) {
    cr_assert_str_eq(rtest_text(json_object_get(answer, "error"), "code"), code);
    json_decref(answer);
}

// The pool's queue as the router tells it; the test fails if the form isn't the document's. To be freed.
static json_t *queue(const char *query) {
    char path[60];
    snprintf(path, sizeof path, "/kvroute/queue%s", query);
    json_t *all = rtest_json(rtest_get(rtest_port(), path), 200);
    check("/kvroute/queue", "get", 200, all);
    json_t *pool = json_array_get(json_object_get(all, "pools"), 0);
    cr_assert_str_eq(rtest_text(pool, "pool"), "kvroute");
    json_t *q = json_incref(json_object_get(pool, "queue"));
    json_decref(all);
    return q;
}

// Until the router has seen that so many wait.
static void await_seen(json_int_t waiting) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; rtest_clients_run(5)) {
        json_t *q = queue("");
        bool seen = number_of(q, "waiting") == waiting &&
                    (json_int_t)json_array_size(json_object_get(q, "first")) == waiting;
        json_decref(q);
        if (seen) return;
        cr_assert(kvr_clock_ms() < end, "the router doesn't see that %d wait", (int)waiting);
    }
}

// ---- /kvroute/admit ------------------------------------------------------------------------------

static const char lengths[] = "{\"prompt_tokens\":100,\"max_tokens\":50}";

Test(router_admit, room_or_none, .fini = down) {
    struct rtest_client a, b;
    up(1, (const char *[]){"--wait", "600000", NULL});
    long long version = rtest_pool_info("kvroute", "version");
    json_t *told = admit(lengths, 200);
    cr_assert(json_is_true(json_object_get(told, "admitted")));
    cr_assert_str_eq(rtest_text(told, "class"), "default");
    json_decref(told);
    cr_assert_eq(rtest_pool_info("kvroute", "version"), version, "it isn't only a question");
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    expect_code(admit(lengths, 503), "NOROOM");
    rtest_waiting_start(&b, 0, "b", NULL);
    rtest_waiting_await_waiting(1);
    expect_code(admit(lengths, 503), "NOROOM");
    cr_assert_eq(rtest_pool_info("kvroute", "refused"), 0);
    rtest_waiting_answer("a");
    rtest_waiting_await_held("b");
    rtest_waiting_answer("b");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_expect(&b, 200, NULL);
    rtest_await(rtest_nothing_booked, "something stays booked");
    json_decref(admit(lengths, 200));
}

Test(router_admit, nobody_to_go_to, .fini = down) {
    up(0, (const char *[]){"--wait", "1000", NULL});
    expect_code(admit(lengths, 503), "NOWORKER");
}

static bool knows_half(void) {
    json_t *q = queue(""), *c;
    size_t i;
    bool knows = false;
    json_array_foreach(json_object_get(q, "classes"), i, c) knows |=
        !strcmp(rtest_text(c, "class"), "half") && number_of(c, "room") == 50;
    json_decref(q);
    return knows;
}

static bool sees_one_request(void) {
    return rtest_router_metric(0, "pool_requests{pool=\"kvroute\"}") == 1;
}

// A class that keeps off the last slots.
Test(router_admit, a_class_with_less_room, .fini = down) {
    struct rtest_client a;
    up(1, (const char *[]){"--wait", "1000", NULL});
    rtest_waiting_say("KVROUTE.ALTER kvroute MAXREQUESTS 2");
    rtest_waiting_say("KVROUTE.CLASS SET kvroute half ROOM 50");
    rtest_await(knows_half, "the router doesn't see the class");
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_await(sees_one_request, "the router doesn't see the request");
    json_decref(admit(lengths, 200));
    expect_code(admit("{\"prompt_tokens\":1,\"class\":\"half\"}", 503), "NOROOM");
    rtest_waiting_answer("a");
    rtest_waiting_expect(&a, 200, NULL);
}

Test(router_admit, a_flow_with_limits, .fini = down) {
    up(1, NULL);
    rtest_waiting_say("KVROUTE.FLOW SET kvroute acme RATE 10 BURST 1000");
    for (int i = 0; i < 2500; i++) // it isn't the first one
        rtest_waiting_say("KVROUTE.FLOW SET kvroute f%d REQUESTS 1", i);
    json_decref(admit("{\"prompt_tokens\":900,\"osl\":100,\"flow\":\"acme\"}", 200));
    rtest_waiting_say("KVROUTE.CLAIM kvroute x w0 0 IDS 1 1 ISL 600 FLOW acme");
    rtest_waiting_say("KVROUTE.RELEASE kvroute x");
    json_decref(admit("{\"prompt_tokens\":100,\"flow\":\"acme\"}", 200));
    expect_code(admit("{\"prompt_tokens\":900,\"osl\":100,\"flow\":\"acme\"}", 429), "LIMITED");
    json_decref(admit("{\"prompt_tokens\":900,\"osl\":100,\"flow\":\"nobody\"}", 200));
}

Test(router_admit, whose_word_counts, .fini = down) {
    char file[200];
    snprintf(file, sizeof file, "%s/tokens", support_home());
    FILE *f = fopen(file, "w");
    fputs("class=batch flow=acme t-acme\nuser t-user\nfrontend flow=own t-front\noperator t-op\n",
          f);
    fclose(f);
    up(1, (const char *[]){"--token_file", file, NULL});
    static const struct {
        const char *token, *body, *class_name, *flow;
    } cases[] = {
        {"t-acme", "{\"class\":\"top\",\"flow\":\"x\"}", "batch", "acme"},
        {"t-user", "{\"class\":\"top\",\"flow\":\"x\"}", "top", ""}, // flow_header isn't set
        {"t-front", "{\"class\":\"top\",\"flow\":\"x\"}", "top", "x"},
        {"t-front", "{}", "default", "own"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *told = post_as(cases[i].token, "/kvroute/admit", cases[i].body, 200);
        cr_expect_str_eq(rtest_text(told, "class"), cases[i].class_name, "case %zu", i);
        cr_expect_str_eq(rtest_text(told, "flow"), cases[i].flow, "case %zu", i);
        json_decref(told);
    }
    json_decref(post_as("t-op", "/kvroute/admit", "{}", 403));
    rtest_kill(&rtest_fleet.routers[0], SIGKILL);
}

Test(router_admit, what_is_no_question, .fini = down) {
    up(1, NULL);
    static const char *const wrong[] = {
        "", "[]", "{\"tokens\":[1]}", "{\"prompt_tokens\":-1}", "{\"wait\":5}", "{\"class\":7}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_code(admit(wrong[i], 400), "BADREQUEST");
    expect_code(admit("{\"pool\":\"none\"}", 404), "NOPOOL");
    expect_code(admit("{\"model\":\"none\",\"pool\":\"none\"}", 404), "NOPOOL");
}

// Without Redis nothing waits and nothing is limited.
Test(router_admit, without_redis, .fini = down) {
    up(1, (const char *[]){"--deadline", "300", NULL});
    rtest_kill_redis(SIGKILL);
    json_t *told = admit("{\"prompt_tokens\":100,\"flow\":\"acme\"}", 200);
    cr_assert(json_is_true(json_object_get(told, "degraded")));
    json_decref(told);
}

// ---- SELECT over HTTP ----------------------------------------------------------------------------

static void select_start(struct rtest_client *who, const char *body) {
    rtest_client_start(who, rtest_port(), "/v1/select", NULL, body);
}

Test(router_admit, advice_waits, .fini = down) {
    struct rtest_client b;
    up(1, NULL);
    rtest_waiting_say("KVROUTE.CLASS SET kvroute batch PRIORITY -10");
    json_t *a = post_as("", "/v1/select", "{\"request\":\"a\"}", 200);
    cr_assert_eq(number_of(a, "waited"), 0);
    json_decref(a);
    expect_code(post_as("", "/v1/select", "{\"request\":\"b\"}", 503), "NOROOM");
    expect_code(post_as("", "/v1/select", "{\"request\":\"b\",\"class\":\"none\"}", 400),
                "REFUSED");
    select_start(&b, "{\"request\":\"b\",\"wait\":600000,\"class\":\"batch\",\"flow\":\"acme\"}");
    rtest_waiting_await_waiting(1);
    await_seen(1);
    json_t *q = queue("?count=1"), *first = json_array_get(json_object_get(q, "first"), 0);
    cr_assert_str_eq(rtest_text(first, "request"), "b");
    cr_assert_str_eq(rtest_text(first, "class"), "batch");
    cr_assert_str_eq(rtest_text(first, "flow"), "acme");
    json_decref(q);
    json_decref(post_as("", "/v1/release", "{\"request\":\"a\"}", 200));
    rtest_clients_finish();
    cr_assert_eq(b.status, 200);
    cr_assert(rtest_answer_has(&b, "\"waited\":") && rtest_answer_has(&b, "\"repeat\":false"));
    rtest_client_free(&b);
    cr_assert_eq(rtest_router_metric(0, "flow_requests_total{flow=\"acme\",outcome=\"waited\"}"),
                 1);
    json_decref(post_as("", "/v1/release", "{\"request\":\"b\"}", 200));
    cr_assert_eq(rtest_pool_info("kvroute", "requests"), 0);
}

// Who leaves waits no more; who releases what waits ends it, and its SELECT says so.
Test(router_admit, advice_that_nobody_waits_for, .fini = down) {
    struct rtest_client b, c;
    up(1, NULL);
    json_decref(post_as("", "/v1/select", "{\"request\":\"a\"}", 200));
    select_start(&b, "{\"request\":\"b\",\"wait\":600000}");
    rtest_waiting_await_waiting(1);
    rtest_client_leave(&b);
    rtest_client_free(&b);
    rtest_waiting_await_waiting(0);
    select_start(&c, "{\"request\":\"c\",\"wait\":600000}");
    rtest_waiting_await_waiting(1);
    json_t *r = post_as("", "/v1/release", "{\"request\":\"c\"}", 200);
    cr_assert_eq(number_of(r, "released"), 1);
    json_decref(r);
    rtest_waiting_expect(&c, 503, "RELEASED");
    json_decref(post_as("", "/v1/release", "{\"request\":\"a\"}", 200));
    cr_assert_eq(rtest_pool_info("kvroute", "requests"), 0);
}

// ---- Who waits -----------------------------------------------------------------------------------

Test(router_admit, who_waits, .fini = down) {
    struct rtest_client all[4];
    static const char *const ids[] = {"a", "b", "c", "d"};
    up(1, (const char *[]){"--wait", "600000", NULL});
    rtest_waiting_say("KVROUTE.CLASS SET kvroute other PRIORITY -10 WEIGHT 2.5 WAITING 7 ROOM 80");
    for (int i = 0; i < 4; i++) {
        rtest_waiting_start(&all[i], 0, ids[i], i == 1 ? "X-Kvroute-Class: other\r\n" : NULL);
        if (i)
            rtest_waiting_await_waiting(i);
        else
            rtest_waiting_await_held("a");
    }
    await_seen(3);
    json_t *q = queue("?count=2");
    cr_assert(json_is_true(json_object_get(q, "known")));
    cr_assert_eq(json_array_size(json_object_get(q, "first")), 2u);
    cr_assert_eq(json_array_size(json_object_get(q, "classes")), 2u);
    const json_t *last = json_array_get(json_object_get(q, "classes"), 1);
    cr_assert_str_eq(rtest_text(last, "class"), "other");
    cr_assert(number_of(last, "waiting") == 1 && number_of(last, "room") == 80);
    json_decref(q);
    q = queue("?count=0");
    cr_assert_eq(json_array_size(json_object_get(q, "first")), 0u);
    json_decref(q);
    cr_assert_eq(rtest_router_metric(0, "class_waiting{pool=\"kvroute\",class=\"other\"}"), 1);
    cr_assert_eq(rtest_router_metric(0, "pool_waiting{pool=\"kvroute\"}"), 3);
    cr_assert_eq(rtest_router_metric(0, "waiting_requests{pool=\"kvroute\"}"), 3);
    json_t *status = rtest_json(rtest_get(rtest_port(), "/v1/status"), 200);
    check("/v1/status", "get", 200, status);
    const json_t *pool = json_array_get(json_object_get(status, "pools"), 0);
    cr_assert_eq(number_of(json_object_get(pool, "queue"), "waiting"), 3);
    json_t *problem;
    size_t i;
    bool said = false;
    json_array_foreach(json_object_get(status, "problems"), i, problem) said |=
        !strcmp(rtest_text(problem, "what"), "waiting");
    cr_assert(said);
    json_decref(status);
    static const char *const order[] = {"a", "c", "d", "b"};
    for (int k = 0; k < 4; k++) {
        rtest_waiting_await_held(order[k]);
        rtest_waiting_answer(order[k]);
    }
    for (int k = 0; k < 4; k++)
        rtest_waiting_expect(&all[k], 200, NULL);
}

Test(router_admit, counts_that_are_none, .fini = down) {
    up(1, NULL);
    static const char *const wrong[] = {"?count=", "?count=51", "?count=-1", "?count=1x", "?n=1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char path[60];
        snprintf(path, sizeof path, "/kvroute/queue%s", wrong[i]);
        cr_expect_str_eq(rtest_error_code(rtest_get(rtest_port(), path), 400), "BADREQUEST", "%s",
                         path);
    }
    json_decref(queue("?count=50"));
}
