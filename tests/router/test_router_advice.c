// SPDX-License-Identifier: Apache-2.0
// Advice: what a frontend is told, that it is what the pool says, and that docs/openapi.json
// describes it.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/router/front/router_front.h"
#include "rtest_cluster.h"
#include "rtest_schema.h"
#include "tests/support/support_home.h"

static json_t *document;

static void down(void) {
    rtest_cluster_down();
    json_decref(document);
}

static void say_ok(const char *command) {
    redisReply *r = rtest_command(command);
    cr_assert(r && r->type != REDIS_REPLY_ERROR, "%s: %s", command, r ? r->str : "no server");
    freeReplyObject(r);
}

static void up_with(const char *const *more) {
    document = rtest_schema_load();
    rtest_redis();
    say_ok("KVROUTE.CREATE demo BLOCKSIZE 4");
    say_ok("KVROUTE.WORKER SET demo w1 ADDR http://10.0.0.1:8000");
    say_ok("KVROUTE.WORKER SET demo w2 ADDR http://10.0.0.2:8000 RANKS 2 CAPACITY 100");
    say_ok("KVROUTE.EVENT demo w1 0 1 1 STORED - IDS 8 1 2 3 4 5 6 7 8");
    rtest_router(0, more);
    rtest_await_ready(0);
}

static void up(void) {
    up_with((const char *[]){"--pool", "demo models=llama", NULL});
}

static void check(const char *path, const char *method, int status, const json_t *body) {
    char text[12], why[200] = "";
    snprintf(text, sizeof text, "%d", status);
    const json_t *schema = rtest_schema_of(document, path, method, text);
    cr_assert(schema, "no schema for %s %s %s", method, path, text);
    cr_assert(rtest_schema_fits(document, schema, body, why, sizeof why), "%s %s: %s", path, text,
              why);
}

// Posts, checks request and answer against the document, and returns the answer.
static json_t *post(const char *path, const char *text, int status) {
    json_error_t error;
    char why[200] = "";
    json_t *request = json_loads(text, 0, &error);
    const json_t *schema = rtest_schema_of(document, path, "post", NULL);
    cr_assert(request && schema, "%s", text);
    if (status == 200)
        cr_assert(rtest_schema_fits(document, schema, request, why, sizeof why), "%s: %s", text,
                  why);
    json_decref(request);
    json_t *answer = rtest_json(rtest_post(rtest_port(), path, text), status);
    check(path, "post", status, answer);
    return answer;
}

static long long number_of(const json_t *o, const char *name) {
    const json_t *n = json_object_get(o, name);
    cr_assert(json_is_number(n) || json_is_boolean(n), "no %s", name);
    return json_is_boolean(n) ? json_is_true(n) : (long long)json_number_value(n);
}

Test(advice, a_request_from_choice_to_end, .fini = down) {
    up();
    json_t *a = post("/v1/select",
                     "{\"model\":\"llama\",\"request\":\"r1\",\"tokens\":[1,2,3,4,5,6,7,8,9],"
                     "\"osl\":20}",
                     200);
    cr_assert_str_eq(rtest_text(a, "worker"), "w1");
    cr_assert_str_eq(rtest_text(a, "address"), "http://10.0.0.1:8000");
    cr_assert(number_of(a, "overlap") == 2 && number_of(a, "cached") == 8);
    cr_assert(number_of(a, "blocks") == 2 && !number_of(a, "repeat"));
    json_decref(a);
    a = post("/v1/select", "{\"pool\":\"demo\",\"request\":\"r1\",\"hashes\":[]}", 200);
    cr_assert(number_of(a, "repeat"));
    json_decref(a);
    a = post("/v1/update", "{\"pool\":\"demo\",\"request\":\"r1\",\"prefilled\":true,\"output\":3}",
             200);
    cr_assert(number_of(a, "live"));
    json_decref(a);
    redisReply *r = rtest_command("KVROUTE.REQUEST GET demo r1");
    cr_assert(r && r->type == REDIS_REPLY_ARRAY);
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        if (!strcmp(r->element[i]->str, "output")) cr_assert_eq(r->element[i + 1]->integer, 3);
        if (!strcmp(r->element[i]->str, "prefilled")) cr_assert_eq(r->element[i + 1]->integer, 1);
        if (!strcmp(r->element[i]->str, "osl")) cr_assert_eq(r->element[i + 1]->integer, 20);
    }
    freeReplyObject(r);
    a = post("/v1/release", "{\"pool\":\"demo\",\"requests\":[\"r1\",\"r2\"]}", 200);
    cr_assert_eq(number_of(a, "released"), 1);
    json_decref(a);
    cr_assert_eq(rtest_pool_info("demo", "requests"), 0);
    a = post("/v1/update", "{\"pool\":\"demo\",\"request\":\"r1\"}", 200);
    cr_assert(!number_of(a, "live"));
    json_decref(a);
}

Test(advice, options_reach_the_pool, .fini = down) {
    up();
    json_t *a = post("/v1/score",
                     "{\"tokens\":[1,2,3,4,5,6,7,8],\"exclude\":[\"w1\"],\"policy\":\"delay\","
                     "\"overlap_weight\":2,\"prefill_weight\":0.5,\"requests_weight\":1,"
                     "\"temperature\":0}",
                     200);
    json_t *scores = json_object_get(a, "scores");
    cr_assert_eq(json_array_size(scores), 2);
    cr_assert_str_eq(rtest_text(json_array_get(scores, 0), "worker"), "w2");
    json_decref(a);
    // Hashes, tokens of an adapter, and those who are meant.
    a = post("/v1/score", "{\"tokens\":[1,2,3,4],\"lora\":\"x\",\"among\":[\"w1\"]}", 200);
    scores = json_object_get(a, "scores");
    cr_assert(json_array_size(scores) == 1);
    cr_assert_eq(number_of(json_array_get(scores, 0), "overlap"), 0);
    json_decref(a);
    redisReply *r = rtest_command("KVROUTE.HASH 4 IDS 4 1 2 3 4");
    char body[200];
    snprintf(body, sizeof body, "{\"hashes\":[\"%s\"],\"among\":[\"w1\"]}", r->element[0]->str);
    freeReplyObject(r);
    a = post("/v1/score", body, 200);
    cr_assert_eq(number_of(json_array_get(json_object_get(a, "scores"), 0), "overlap"), 1);
    json_decref(a);
    // Without an id of its own the request has that of the call.
    struct support_response w = support_http(rtest_port(), "POST", "/v1/select",
                                             "Content-Type: application/json\r\n"
                                             "X-Request-Id: call-7\r\n",
                                             "{}", RTEST_WAIT_MS);
    a = rtest_json(w, 200);
    cr_assert_str_eq(rtest_text(a, "request"), "call-7");
    json_decref(a);
}

// Of its id the caller gets back what it said, whatever has to be escaped in it.
Test(advice, ids_with_odd_bytes, .fini = down) {
    static const char *const ids[] = {"a\"b", "\\",          "tab\there",        "line\n",
                                      "\x7f", "caf\xc3\xa9", "\xf0\x9f\x98\x80", " "};
    up();
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        json_t *question = json_pack("{s:s,s:[]}", "request", ids[i], "hashes");
        char *text = json_dumps(question, JSON_COMPACT);
        json_t *a = post("/v1/select", text, 200);
        cr_assert_str_eq(rtest_text(a, "request"), ids[i]);
        cr_assert(json_is_real(json_object_get(a, "cost")) &&
                  json_is_real(json_object_get(a, "ttft")));
        json_decref(a);
        json_decref(question);
        free(text);
    }
}

Test(advice, refusals_change_nothing, .fini = down) {
    static const struct {
        const char *path, *body;
        int status;
        const char *code;
    } wrong[] = {
        {"/v1/select", "", 400, "BADREQUEST"},
        {"/v1/select", "{", 400, "BADREQUEST"},
        {"/v1/select", "[]", 400, "BADREQUEST"},
        {"/v1/select", "{} x", 400, "BADREQUEST"},
        {"/v1/select", "{\"tokens\":[1],\"tokens\":[2]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"token\":[1]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"tokens\":1}", 400, "BADREQUEST"},
        {"/v1/select", "{\"tokens\":[-1]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"tokens\":[4294967296]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"tokens\":[1.5]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"tokens\":[1],\"hashes\":[]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"hashes\":[\"xyz\"]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"hashes\":[\"-123456789abcdef\"]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"hashes\":[],\"lora\":\"x\"}", 400, "BADREQUEST"},
        {"/v1/select", "{\"isl\":-1}", 400, "BADREQUEST"},
        {"/v1/select", "{\"isl\":1e3}", 400, "BADREQUEST"},
        {"/v1/select", "{\"isl\":9223372036854775807}", 400, "BADREQUEST"},
        {"/v1/select", "{\"isl\":9223372036854775808}", 400, "BADREQUEST"},
        {"/v1/select", "{\"among\":[]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"among\":[\"\"]}", 400, "BADREQUEST"},
        {"/v1/select", "{\"among\":\"w1\"}", 400, "BADREQUEST"},
        {"/v1/select", "{\"temperature\":-1}", 400, "BADREQUEST"},
        {"/v1/select", "{\"temperature\":\"1\"}", 400, "BADREQUEST"},
        {"/v1/select", "{\"policy\":\"none\"}", 400, "REFUSED"},
        {"/v1/select", "{\"request\":\"a\\u0000b\"}", 400, "BADREQUEST"},
        {"/v1/select", "{\"request\":\"\377\"}", 400, "BADREQUEST"},
        {"/v1/select", "{\"pool\":\"none\"}", 404, "NOPOOL"},
        {"/v1/select", "{\"model\":\"none\"}", 404, "NOPOOL"},
        {"/v1/select", "{\"among\":[\"none\"]}", 503, "NOWORKER"},
        {"/v1/score", "{\"request\":\"r\"}", 400, "BADREQUEST"},
        {"/v1/update", "{}", 400, "BADREQUEST"},
        {"/v1/update", "{\"request\":\"r\",\"prefilled\":1}", 400, "BADREQUEST"},
        {"/v1/update", "{\"request\":\"r\",\"tokens\":[]}", 400, "BADREQUEST"},
        {"/v1/report", "{\"worker\":\"w1\"}", 400, "BADREQUEST"},
        {"/v1/report", "{\"ok\":true}", 400, "BADREQUEST"},
        {"/v1/report", "{\"worker\":\"none\",\"ok\":true}", 503, "NOWORKER"},
        {"/v1/release", "{}", 400, "BADREQUEST"},
        {"/v1/release", "{\"requests\":[1]}", 400, "BADREQUEST"},
    };
    up();
    long long version = rtest_pool_info("demo", "version");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct support_response r = rtest_post(rtest_port(), wrong[i].path, wrong[i].body);
        const char *code = rtest_error_code(r, wrong[i].status);
        cr_assert_str_eq(code, wrong[i].code, "%s: %s", wrong[i].body, code);
    }
    struct support_response r = rtest_post(rtest_port(), "/v1/select", "{\"policy\":\"none\"}");
    cr_assert(strstr(r.body, "POLICY: no such policy"), "%s", r.body);
    support_response_free(&r);
    char id[400] = "{\"request\":\"";
    memset(id + 12, 'x', 257);
    strcpy(id + 12 + 257, "\"}");
    cr_assert_str_eq(rtest_error_code(rtest_post(rtest_port(), "/v1/select", id), 400),
                     "BADREQUEST");
    cr_assert_eq(rtest_pool_info("demo", "version"), version);
}

Test(advice, strange_json_takes_no_memory, .fini = down) {
    up();
    enum { LONG_BODY = 12 << 20 };
    char *body = malloc(LONG_BODY + 1);
    static const char *const pieces[] = {"[],", "{\"a\":", "1,", "[", "\"\","};
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        size_t n = strlen(pieces[k]), at = (size_t)sprintf(body, "{\"tokens\":[");
        for (; at + n < LONG_BODY; at += n)
            memcpy(body + at, pieces[k], n);
        body[at] = 0;
        cr_assert_str_eq(rtest_error_code(rtest_post(rtest_port(), "/v1/select", body), 400),
                         "BADREQUEST");
        struct support_response r = rtest_post(rtest_port(), "/v1/completions", body);
        cr_assert_eq(r.status, 400);
        support_response_free(&r);
    }
    free(body);
    long peak = rtest_memory(0, "VmHWM");
    if (!getenv("ASAN_OPTIONS")) cr_assert_lt(peak, 160 << 10, "%ld kB", peak);
}

Test(advice, reports_open_circuits, .fini = down) {
    up();
    for (int i = 0; i < 3; i++) {
        json_t *a = post("/v1/report", "{\"worker\":\"w1\",\"ok\":false}", 200);
        cr_assert_str_eq(rtest_text(a, "circuit"), i < 2 ? "closed" : "open");
        json_decref(a);
    }
    json_t *a = post("/v1/select", "{\"tokens\":[1,2,3,4,5,6,7,8,9]}", 200);
    cr_assert_str_eq(rtest_text(a, "worker"), "w2");
    json_decref(a);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(20)) {
        a = rtest_json(rtest_get(rtest_port(), "/v1/workers"), 200);
        check("/v1/workers", "get", 200, a);
        json_t *w = json_array_get(
            json_object_get(json_array_get(json_object_get(a, "pools"), 0), "workers"), 0);
        bool open = strcmp(rtest_text(w, "circuit"), "open") == 0;
        json_decref(a);
        if (open) break;
        cr_assert(kvr_clock_ms() < end);
    }
    a = post("/v1/report", "{\"worker\":\"w1\",\"ok\":true}", 200);
    cr_assert_str_eq(rtest_text(a, "circuit"), "closed");
    json_decref(a);
}

Test(advice, workers_and_status, .fini = down) {
    up();
    json_t *a = rtest_json(rtest_get(rtest_port(), "/v1/workers"), 200);
    check("/v1/workers", "get", 200, a);
    json_t *workers = json_object_get(json_array_get(json_object_get(a, "pools"), 0), "workers");
    cr_assert_eq(json_array_size(workers), 2);
    cr_assert_eq(number_of(json_array_get(workers, 0), "device_blocks"), 2);
    cr_assert_eq(number_of(json_array_get(workers, 1), "ranks"), 2);
    json_decref(a);
    a = rtest_json(rtest_get(rtest_port(), "/v1/status"), 200);
    check("/v1/status", "get", 200, a);
    json_decref(a);
    a = rtest_json(rtest_get(rtest_port(), "/readyz"), 200);
    check("/readyz", "get", 200, a);
    json_decref(a);
}

Test(advice, names_that_are_no_text, .fini = down) {
    up();
    redisReply *r = rtest_command("KVROUTE.WORKER SET demo %b ADDR %b", "\377\"\n", (size_t)3,
                                  "\001\200", (size_t)2);
    freeReplyObject(r);
    json_t *a = post("/v1/select", "{\"exclude\":[\"w1\",\"w2\"]}", 200);
    cr_assert_str_eq(rtest_text(a, "worker"), "?\"\n");
    json_decref(a);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(50)) {
        a = rtest_json(rtest_get(rtest_port(), "/v1/workers"), 200);
        size_t n = json_array_size(
            json_object_get(json_array_get(json_object_get(a, "pools"), 0), "workers"));
        json_decref(a);
        if (n == 3) break;
        cr_assert(kvr_clock_ms() < end);
    }
}

Test(advice, who_leaves_is_not_booked, .fini = down) {
    up();
    rtest_kill_redis(SIGSTOP);
    int fd = support_http_connect(rtest_port());
    rtest_say(fd, "POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                  "application/json\r\nContent-Length: 16\r\n\r\n"
                  "{\"request\":\"r9\"}");
    support_sleep_ms(50);
    close(fd);
    support_sleep_ms(50);
    rtest_kill_redis(SIGCONT);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(20)) {
        if (rtest_pool_info("demo", "selects") == 1 && rtest_pool_info("demo", "requests") == 0)
            break;
        cr_assert(kvr_clock_ms() < end, "%lld requests", rtest_pool_info("demo", "requests"));
    }
}

Test(advice, without_redis_it_goes_on, .fini = down) {
    up();
    support_sleep_ms(300); // the workers are known
    rtest_kill_redis(SIGKILL);
    json_t *a = post("/v1/select", "{\"request\":\"r1\",\"tokens\":[1,2,3,4]}", 200);
    cr_assert(number_of(a, "degraded") && number_of(a, "version") == -1);
    json_decref(a);
    a = rtest_json(rtest_get(rtest_port(), "/readyz"), 200);
    check("/readyz", "get", 200, a);
    cr_assert_str_eq(rtest_text(a, "status"), "degraded");
    json_decref(a);
    a = post("/v1/update", "{\"request\":\"r1\",\"prefilled\":true}", 200);
    cr_assert(number_of(a, "degraded"));
    json_decref(a);
    // Back, and empty: the pool is made anew, and the request is booked there.
    rtest_redis();
    say_ok("KVROUTE.CREATE demo BLOCKSIZE 4");
    say_ok("KVROUTE.WORKER SET demo w1 ADDR http://10.0.0.1:8000");
    say_ok("KVROUTE.WORKER SET demo w2 ADDR http://10.0.0.2:8000");
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_pool_info("demo", "requests") != 1;
         support_sleep_ms(20))
        cr_assert(kvr_clock_ms() < end);
    a = post("/v1/release", "{\"request\":\"r1\"}", 200);
    cr_assert_eq(number_of(a, "released"), 1);
    json_decref(a);
}

Test(advice, several_pools, .fini = down) {
    document = rtest_schema_load();
    rtest_redis();
    say_ok("KVROUTE.CREATE a");
    say_ok("KVROUTE.CREATE b");
    say_ok("KVROUTE.WORKER SET a wa");
    say_ok("KVROUTE.WORKER SET b wb");
    char file[200];
    snprintf(file, sizeof file, "%s/router.conf", support_home());
    FILE *f = fopen(file, "w");
    fputs("[router]\nrefresh = 50\n[pool a]\nmodels = small tiny\n[pool other]\nkey = b\n"
          "models = large\n",
          f);
    fclose(f);
    rtest_router(0, (const char *[]){"--config", file, NULL});
    rtest_await_ready(0);
    json_t *a = post("/v1/select", "{\"model\":\"tiny\"}", 200);
    cr_assert_str_eq(rtest_text(a, "worker"), "wa");
    json_decref(a);
    a = post("/v1/select", "{\"model\":\"large\"}", 200);
    cr_assert_str_eq(rtest_text(a, "worker"), "wb");
    json_decref(a);
    json_decref(post("/v1/select", "{}", 400));
    json_decref(post("/v1/select", "{\"model\":\"huge\"}", 404));
    // Another pool for it, without a restart; the one that goes finishes what it has.
    f = fopen(file, "w");
    fputs("[router]\nrefresh = 50\n[pool other]\nkey = b\nmodels = large tiny\n", f);
    fclose(f);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(20)) {
        a = post("/v1/select", "{\"model\":\"tiny\"}", 200);
        bool moved = strcmp(rtest_text(a, "worker"), "wb") == 0;
        json_decref(a);
        if (moved) break;
        cr_assert(kvr_clock_ms() < end);
    }
    // What is wrong changes nothing.
    f = fopen(file, "w");
    fputs("[pool x]\nmodels = tiny\nnonsense = 1\n", f);
    fclose(f);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    support_sleep_ms(200);
    json_decref(post("/v1/select", "{\"model\":\"tiny\"}", 200));
}

Test(advice, engines_of_its_own, .fini = down) {
    document = rtest_schema_load();
    rtest_redis();
    rtest_router(0, (const char *[]){"--engine", "http://10.0.0.1:8000", "--engine",
                                     "http://10.0.0.2:8000/x name=second ranks=2", "--ttl", "2000",
                                     NULL});
    rtest_await_ready(0);
    json_t *a = post("/v1/select", "{\"exclude\":[\"second\"]}", 200);
    cr_assert_str_eq(rtest_text(a, "worker"), "10.0.0.1:8000");
    cr_assert_str_eq(rtest_text(a, "address"), "http://10.0.0.1:8000");
    json_decref(a);
    support_sleep_ms(3000); // longer than they live without being renewed
    a = post("/v1/select", "{\"exclude\":[\"10.0.0.1:8000\"]}", 200);
    cr_assert_str_eq(rtest_text(a, "worker"), "second");
    json_decref(a);
    // Nobody renews them any more, and nobody is chosen.
    rtest_kill(&rtest_fleet.routers[0], SIGKILL);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_pool_info("kvroute", "eligible") != 0;
         support_sleep_ms(20))
        cr_assert(kvr_clock_ms() < end);
}

Test(advice, text_in_pieces, .fini = down) {
    up();
    say_ok("KVROUTE.ALTER demo PREDICT 60000");
    char body[1000], text[601];
    for (int i = 0; i < 600; i++)
        text[i] = (char)('a' + i % 26);
    text[600] = 0;
    snprintf(body, sizeof body, "{\"request\":\"t1\",\"text\":\"%s\"}", text);
    json_t *a = post("/v1/select", body, 200);
    char first[130];
    snprintf(first, sizeof first, "%s", rtest_text(a, "worker"));
    cr_assert_gt(number_of(a, "blocks"), 1);
    cr_assert_eq(number_of(a, "overlap"), 0);
    json_decref(a);
    json_decref(post("/v1/update", "{\"request\":\"t1\",\"prefilled\":true}", 200));
    json_decref(post("/v1/release", "{\"request\":\"t1\"}", 200));
    text[590] = '!'; // its beginning is where it was sent
    snprintf(body, sizeof body, "{\"request\":\"t2\",\"text\":\"%s\"}", text);
    a = post("/v1/select", body, 200);
    cr_assert_str_eq(rtest_text(a, "worker"), first);
    cr_assert_gt(number_of(a, "overlap"), 0);
    json_decref(a);
    snprintf(body, sizeof body, "{\"text\":\"%s\",\"namespace\":\"x\"}", text);
    a = post("/v1/score", body, 200);
    cr_assert_eq(number_of(json_array_get(json_object_get(a, "scores"), 0), "overlap"), 0);
    json_decref(a);
}

// ---- The document --------------------------------------------------------------------------------

Test(advice, every_route_is_described) {
    document = rtest_schema_load();
    const json_t *paths = json_object_get(document, "paths");
    for (const struct router_route *t = router_routes; t->path; t++)
        cr_assert(json_object_get(paths, t->path), "%s isn't in openapi.json", t->path);
    json_decref(document);
}

Test(advice, examples_are_good) {
    document = rtest_schema_load();
    static const char *const names[] = {"/v1/select",      "/v1/update",    "/v1/release",
                                        "/v1/score",       "/v1/report",    "/kvroute/admit",
                                        "/kvroute/select", "/kvroute/score"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char why[200] = "";
        const json_t *o =
            json_object_get(json_object_get(json_object_get(document, "paths"), names[i]), "post");
        const json_t *content = json_object_get(
            json_object_get(json_object_get(o, "requestBody"), "content"), "application/json");
        cr_assert(rtest_schema_fits(document, rtest_schema_of(document, names[i], "post", NULL),
                                    json_object_get(content, "example"), why, sizeof why),
                  "%s: %s", names[i], why);
    }
    json_decref(document);
}
