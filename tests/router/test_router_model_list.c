// SPDX-License-Identifier: Apache-2.0
// Engines whose answers to a router's own questions are late, large, or never end.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"
#include "rtest_scripted_server.h"

enum { LIST_MODELS = 3000, LIST_FILLING = 200, LIST_PATIENCE_MS = 2000, LIST_ENGINES = 150 };

static struct server odd, good;
static size_t asked;    // of odd, for its models
static size_t most;     // connections at a time
static size_t filling;  // bytes of each entry of its list
static bool stuck;      // its answers begin, and don't end
static char *long_list; // what it says

static void say_odd(struct server *e, size_t n, struct bufferevent *to) {
    bool models = !strncmp(e->head, "GET /v1/models ", 15);
    bool tokens = !strncmp(e->head, "POST /tokenize ", 15);
    (void)n;
    asked += models;
    if (e->connections - e->closed > most) most = e->connections - e->closed;
    if (models && !stuck)
        server_say_whole(to, long_list);
    else if (stuck && (models || tokens))
        server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{");
    else
        server_say_whole(to, "ok");
}

static void say_good(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    server_say_whole(to, !strncmp(e->head, "GET ", 4) ? "{\"data\":[{\"id\":\"good\"}]}" : "ok");
}

// LIST_MODELS of them, with ids m0, m1, …
static void write_list(void) {
    size_t room = LIST_MODELS * (filling + 60) + 20;
    char *at = long_list = malloc(room);
    at += sprintf(at, "{\"data\":[");
    for (int i = 0; i < LIST_MODELS; i++)
        at += sprintf(at, "%s{\"id\":\"m%d\",\"more\":\"%0*d\"}", i ? "," : "", i, (int)filling, 0);
    sprintf(at, "]}");
}

// Two engines and a router that often asks.
static void up(bool sticks, size_t bytes) {
    static char pool[] = "kvroute blocks=tokenize";
    stuck = sticks;
    filling = bytes;
    write_list();
    rtest_clients_open();
    server_open(&odd, rtest_callers.base, say_odd);
    server_open(&good, rtest_callers.base, say_good);
    rtest_redis();
    rtest_router(0, (const char *[]){"--engine", odd.address, "--engine", good.address, "--pool",
                                     pool, "--learn", "50", NULL});
    rtest_await_ready(0);
}

static void down(void) {
    server_close(&odd);
    server_close(&good);
    free(long_list);
    rtest_fleet_down();
}

static bool has_closed(void) {
    return asked >= 3 && odd.closed >= 2;
}

static void expect_answer(const char *path, const char *body, int status, const char *text) {
    struct rtest_client who = rtest_client_call(rtest_port(), path, NULL, body);
    cr_assert(who.status == status, "%s: %d", path, who.status);
    cr_assert(rtest_answer_has(&who, text), "%s", path);
    rtest_client_free(&who);
}

static bool good_is_known(void) {
    char *log = rtest_log(0);
    bool is = strstr(log, "serves 1 model") != NULL;
    free(log);
    return is;
}

// Neither its own questions nor clients wait for it, and others are asked all the same.
Test(model_list, engines_that_never_end, .fini = down) {
    up(true, 0);
    rtest_await(good_is_known, "the other isn't asked");
    rtest_await(has_closed, "it is waited for");
    cr_assert(most <= 6, "%zu connections at a time", most); // kept ones among them
    for (int i = 0; i < 2; i++) {                            // whoever is asked first
        expect_answer("/v1/models", NULL, 200, "\"good\"");
        expect_answer("/v1/completions", "{\"model\":\"new\",\"prompt\":\"x\"}", 200, "ok");
    }
}

static struct bufferevent *late; // whom `odd` hasn't answered yet

static void say_late(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    if (!strncmp(e->head, "GET /v1/models ", 15))
        late = to;
    else
        server_say_whole(to, "ok");
}

static bool is_late(void) {
    return late != NULL;
}

// Else whoever answers first would get all requests that come meanwhile.
Test(model_list, a_router_is_ready_when_all_have_been_asked, .fini = down) {
    rtest_clients_open();
    server_open(&odd, rtest_callers.base, say_late);
    server_open(&good, rtest_callers.base, say_good);
    rtest_redis();
    int64_t began = kvr_clock_ms();
    rtest_router(0, (const char *[]){"--engine", odd.address, "--engine", good.address, NULL});
    rtest_await(is_late, "it isn't asked");
    rtest_await(good_is_known, "the other isn't asked");
    int code = rtest_readyz(0, "\"starting\"");
    if (kvr_clock_ms() - began < LIST_PATIENCE_MS) cr_expect_eq(code, 503);
    if (!odd.closed) server_say_whole(late, "{\"data\":[{\"id\":\"good\"}]}");
    rtest_await_ready(0);
}

static bool all_are_asked(void) {
    return good.requests >= LIST_ENGINES;
}

// More than are asked at a time: each is asked, and once.
Test(model_list, of_many_engines, .fini = down) {
    rtest_clients_open();
    server_open(&odd, rtest_callers.base, say_late);
    server_open(&good, rtest_callers.base, say_good);
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute PREDICT 600000"));
    for (int i = 0; i < LIST_ENGINES; i++)
        cr_assert_eq(rtest_integer("KVROUTE.WORKER SET kvroute w%d ADDR %s", i, good.address), 1);
    rtest_router(0, (const char *[]){"--learn", "600000", NULL});
    rtest_await_ready(0);
    rtest_await(all_are_asked, "some aren't asked");
    rtest_clients_run(300); // some turns of the checks
    cr_expect_eq(good.requests, LIST_ENGINES);
}

static bool all_are_known(void) {
    char *log = rtest_log(0);
    bool is = strstr(log, "serves 3000 models") != NULL;
    free(log);
    return is;
}

// It is read beside the loop; nothing of it is lost, and its order stays.
Test(model_list, large, .fini = down) {
    up(false, LIST_FILLING);
    rtest_await(all_are_known, "it isn't read");
    rtest_await(good_is_known, "the other isn't asked");
    struct rtest_client who = rtest_client_call(rtest_port(), "/v1/models", NULL, NULL);
    char *text = rtest_client_text(&who);
    json_t *answer = json_loads(text, 0, NULL), *model;
    const json_t *data = json_object_get(answer, "data");
    int next = 0;
    size_t i;
    cr_assert(who.status == 200 && json_array_size(data) == LIST_MODELS + 1);
    json_array_foreach(data, i, model) {
        char id[20];
        snprintf(id, sizeof id, "m%d", next);
        const char *is = json_string_value(json_object_get(model, "id"));
        if (!strcmp(is, "good")) continue;
        cr_assert_str_eq(is, id);
        cr_assert(json_string_length(json_object_get(model, "more")) == LIST_FILLING);
        next++;
    }
    json_decref(answer);
    free(text);
    rtest_client_free(&who);
    expect_answer("/v1/completions", "{\"model\":\"m2999\",\"prompt\":\"x\"}", 200, "ok");
    expect_answer("/v1/models/m2999", NULL, 200, "{\"id\":\"m2999\"");
    expect_answer("/v1/models/%6D29%39%39", NULL, 200, "{\"id\":\"m2999\"");
    expect_answer("/v1/models/m2999%00", NULL, 404, "NOTFOUND");
    expect_answer("/v1/models/org/m2999%", NULL, 404, "NOTFOUND");
    expect_answer("/v1/models/", NULL, 404, "NOTFOUND");
    expect_answer("/v1/completions", "{\"model\":\"m3000\",\"prompt\":\"x\"}", 404, "NOPOOL");
}

static bool was_asked_often(void) {
    return asked >= 3;
}

// Then it is as if it had said nothing.
Test(model_list, too_large, .fini = down) {
    up(false, 2 * LIST_FILLING);
    rtest_await(was_asked_often, "it isn't asked");
    rtest_await(good_is_known, "the other isn't asked");
    cr_assert(!all_are_known());
    expect_answer("/v1/completions", "{\"model\":\"m2999\",\"prompt\":\"x\"}", 200, "ok");
    for (int i = 0; i < 2; i++)
        expect_answer("/v1/models", NULL, 200,
                      "{\"object\":\"list\",\"data\":[{\"id\":\"good\"}]}");
}
