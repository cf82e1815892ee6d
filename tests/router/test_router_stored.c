// SPDX-License-Identifier: Apache-2.0
// Responses that engines keep: whoever asks for one, at whatever router, gets it from the engine that has it.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/router/proxy/router_stored.h"
#include "rtest_fleet.h"
#include "rtest_scripted_server.h"

enum { STORED_ENGINES = 3 };

static void up(void) {
    rtest_fleet_up(STORED_ENGINES, "--time-scale 0 --responses-store", 2, NULL);
}

static int port_of(int router) {
    return rtest_fleet.routers[router].port;
}

static struct rtest_client create(int router, const char *more) {
    char body[400];
    snprintf(body, sizeof body, "{\"input\":\"one two three\",\"max_output_tokens\":3%s}", more);
    struct rtest_client who = rtest_client_call(port_of(router), "/v1/responses", NULL, body);
    cr_assert(who.complete);
    return who;
}

// The id in an answer, whole or as events; static.
static const char *id_of(struct rtest_client *who) {
    static char id[100];
    char *text = rtest_client_text(who), *at = strstr(text, "\"id\":\"resp_");
    cr_assert(who->status == 200 && at, "%d %.300s", who->status, text);
    cr_assert_eq(sscanf(at, "\"id\":\"%99[^\"]\"", id), 1);
    free(text);
    return id;
}

static struct rtest_client get(int router, const char *id, const char *more, const char *body) {
    char path[200];
    snprintf(path, sizeof path, "/v1/responses/%s%s", id, more);
    return rtest_client_call(port_of(router), path, NULL, body);
}

// Who answers for this id with this status; static.
static const char *who_answers(int router, const char *id, int status) {
    static char worker[140];
    struct rtest_client who = get(router, id, "", NULL);
    cr_assert_eq(who.status, status, "%s: %d", id, who.status);
    snprintf(worker, sizeof worker, "%s", who.worker);
    rtest_client_free(&who);
    return worker;
}

// The pool knows of it soon after the answer has begun.
static void await_session(const char *id) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; rtest_clients_run(2)) {
        redisReply *r = rtest_command("KVROUTE.SESSION GET kvroute %s", id);
        bool there = r && r->elements;
        freeReplyObject(r);
        if (there) return;
        cr_assert(kvr_clock_ms() < end, "%s is no session", id);
    }
}

Test(stored, any_router_knows_where, .fini = rtest_fleet_down, .timeout = 60) {
    static const char *const ways[] = {"", ",\"stream\":true"};
    up();
    for (int i = 0; i < 8; i++) {
        struct rtest_client made = create(i % 2, ways[i / 2 % 2]);
        const char *id = id_of(&made);
        await_session(id);
        cr_expect_str_eq(who_answers(!(i % 2), id, 200), made.worker, "%s", id);
        rtest_client_free(&made);
    }
    rtest_await(rtest_nothing_booked, "what names a session is released");
}

Test(stored, the_next_turn_goes_there, .fini = rtest_fleet_down, .timeout = 60) {
    up();
    for (int i = 0; i < 6; i++) {
        char more[200];
        struct rtest_client first = create(0, "");
        const char *id = id_of(&first);
        await_session(id);
        snprintf(more, sizeof more, ",\"previous_response_id\":\"%s\"", id);
        struct rtest_client next = create(1, more);
        cr_expect(next.status == 200 && !strcmp(next.worker, first.worker), "%d", next.status);
        // Also when the pool has forgotten it.
        freeReplyObject(rtest_command("KVROUTE.SESSION DEL kvroute %s", id));
        struct rtest_client other = create(1, more);
        cr_expect(other.status == 200 && !strcmp(other.worker, first.worker), "%d", other.status);
        cr_expect_str_eq(who_answers(1, id, 200), first.worker);
        rtest_client_free(&first);
        rtest_client_free(&next);
        rtest_client_free(&other);
    }
}

Test(stored, what_nobody_has, .fini = rtest_fleet_down, .timeout = 60) {
    up();
    struct rtest_client none = get(0, "resp_none", "", NULL),
                        cancel = get(0, "resp_none", "/cancel", "{}"),
                        next = create(0, ",\"previous_response_id\":\"resp_none\""),
                        unkept = create(0, ",\"store\":false");
    cr_expect(none.status == 404 && cancel.status == 404 && next.status == 404);
    cr_expect(rtest_answer_has(&none, "resp_none") || rtest_answer_has(&none, "error"));
    cr_expect(*none.worker, "an engine says so");
    who_answers(0, id_of(&unkept), 404);
    redisReply *r = rtest_command("KVROUTE.SESSION LIST kvroute");
    cr_expect(r->elements == 2 && r->element[1]->elements == 0, "no session was made");
    freeReplyObject(r);
    rtest_client_free(&none);
    rtest_client_free(&cancel);
    rtest_client_free(&next);
    rtest_client_free(&unkept);
}

// The others say that they don't have it.
Test(stored, whose_worker_is_gone, .fini = rtest_fleet_down, .timeout = 60) {
    up();
    cr_assert_eq(rtest_integer("KVROUTE.WORKER SET kvroute ghost ADDR http://127.0.0.1:1"), 1);
    cr_assert_eq(rtest_integer("KVROUTE.CLAIM kvroute r ghost 0 IDS 0 SESSION resp_ghost"), 1);
    cr_assert_eq(rtest_integer("KVROUTE.WORKER DEL kvroute ghost"), 1);
    struct rtest_client who = get(0, "resp_ghost", "", NULL),
                        next = create(0, ",\"previous_response_id\":\"resp_ghost\"");
    cr_expect(who.status == 404 && *who.worker, "%d", who.status);
    cr_expect(next.status == 404 && *next.worker, "%d", next.status);
    rtest_client_free(&who);
    rtest_client_free(&next);
}

Test(stored, whose_engine_is_dead, .fini = rtest_fleet_down, .timeout = 60) {
    up();
    struct rtest_client made = create(0, "");
    char id[100];
    snprintf(id, sizeof id, "%s", id_of(&made));
    await_session(id);
    for (int i = 0; i < STORED_ENGINES; i++)
        if (strtol(strchr(made.worker, ':') + 1, NULL, 10) == rtest_fleet.engines[i].port)
            rtest_kill(&rtest_fleet.engines[i], SIGKILL);
    struct rtest_client dead = get(0, id, "", NULL);
    cr_expect(dead.status == 502 || dead.status == 503, "%d", dead.status);
    rtest_client_free(&dead);
    rtest_client_free(&made);
}

// ---- Engines that a test plays -------------------------------------------------------------------

static struct server one;
static char last_head[200];

static void play(struct server *s, size_t n, struct bufferevent *to) {
    (void)n;
    if (!strncmp(s->head, "GET /health ", 12)) {
        server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    snprintf(last_head, sizeof last_head, "%.*s", (int)strcspn(s->head, "\r"), s->head);
    server_say(to,
               "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
}

static void one_down(void) {
    rtest_end_router(0);
    rtest_cluster_down();
    rtest_clients_run(5); // the engine sees the router go
    server_close(&one);
    rtest_clients_close();
}

static void one_up(const char *pass) {
    char flag[100];
    rtest_clients_open();
    server_open(&one, rtest_callers.base, play);
    snprintf(flag, sizeof flag, "%s name=w1", one.address);
    rtest_redis();
    rtest_router(0, (const char *[]){"--learn", "0", "--check", "0", "--engine", flag, "--pass",
                                     pass, NULL});
    rtest_await_ready(0);
}

// What reaches the engine is just that; "": nothing does.
static void expect_passes(const char *method, const char *path, const char *headers,
                          const char *body, int status) {
    char want[200];
    *last_head = 0;
    int fd = support_http_connect(rtest_port());
    support_http_request(fd, method, path, headers, body);
    struct support_response r = rtest_clients_answer(fd, !strcmp(method, "HEAD"));
    cr_expect_eq(r.status, status, "%s %s: %d", method, path, r.status);
    snprintf(want, sizeof want, "%s %s HTTP/1.1", method, path);
    cr_expect_str_eq(last_head, status == 200 ? want : "");
    support_response_free(&r);
    close(fd);
}

Test(stored, whatever_method_it_is_asked_with, .fini = one_down) {
    one_up("/v1/realtime /custom");
    expect_passes("DELETE", "/v1/responses/resp_1", NULL, NULL, 200);
    expect_passes("GET", "/v1/responses/resp_1?stream=true&starting_after=3", NULL, NULL, 200);
    expect_passes("POST", "/v1/responses/resp_1/cancel", NULL, "", 200);
    expect_passes("PUT", "/v1/responses/resp_1", NULL, "{}", 405);
    expect_passes("GET", "/v1/responses/", NULL, NULL, 404);
    expect_passes("PATCH", "/custom/x?y=1", "Content-Type: text/plain\r\n", "not JSON", 200);
    expect_passes("GET", "/v1/realtime", NULL, NULL, 200);
    expect_passes("GET", "/v1/other", NULL, NULL, 404);
    expect_passes("POST", "/customs", NULL, "{}", 404);
    expect_passes("DELETE", "/custom/../sleep", NULL, NULL, 404);
    expect_passes("DELETE", "/custom/%73leep", NULL, NULL, 404);
    expect_passes("GET", "/v1/responses/..", NULL, NULL, 404);
    expect_passes("GET", "/v1/responses/x%2f..%2f..%2Fmetrics", NULL, NULL, 404);
    expect_passes("DELETE", "/v1/responses/resp%5f1", NULL, NULL, 404);
    expect_passes("POST", "/v1/responses/..%5c/cancel", NULL, "", 404);
}

Test(stored, ids) {
    static const struct {
        enum router_prompt_kind kind;
        const char *path, *body, *id; // NULL: none
    } cases[] = {
        {ROUTER_PROMPT_STORED, "/v1/responses/resp_1", "{}", "resp_1"},
        {ROUTER_PROMPT_STORED, "/v1/responses/resp_1/cancel", "{}", "resp_1"},
        {ROUTER_PROMPT_RESPONSES, "/v1/responses", "{\"previous_response_id\":\"a\"}", "a"},
        {ROUTER_PROMPT_RESPONSES, "/v1/responses", "{\"previous_response_id\":null}", NULL},
        {ROUTER_PROMPT_RESPONSES, "/v1/responses", "{\"previous_response_id\":\"\"}", NULL},
        {ROUTER_PROMPT_CHAT, "/v1/responses/x", "{\"previous_response_id\":\"a\"}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *body = json_loads(cases[i].body, 0, NULL);
        char *id = router_stored_id(cases[i].kind, cases[i].path, body);
        cr_expect(!id == !cases[i].id && (!id || !strcmp(id, cases[i].id)), "%zu: %s", i, id);
        free(id);
        json_decref(body);
    }
}
