// SPDX-License-Identifier: Apache-2.0
// A router before an engine that a test plays byte by byte: what the engine gets, what comes back, and
// when.
#define _GNU_SOURCE // strcasestr
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <kvroute/hash.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"
#include "rtest_scripted_server.h"

#define RESPONSE_OK "HTTP/1.1 200 OK\r\n"
#define RESPONSE_EVENTS                                                                            \
    RESPONSE_OK "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define SHORT_PROMPT "{\"prompt\":\"a b c\",\"stream\":true}"

static struct server engine;
static struct bufferevent *line; // to the router, of the latest request

static void down(void) {
    rtest_end_router(0);
    rtest_cluster_down();
    rtest_clients_run(5); // the engine sees the router go
    server_close(&engine);
    rtest_clients_close();
}

static void up(void (*serve)(struct server *, size_t, struct bufferevent *), const char *words,
               const char *pool) {
    char flag[120];
    const char *flags[] = {"--learn", "0", "--check", "0", "--engine", flag, pool ? "--pool" : NULL,
                           pool,      NULL};
    rtest_clients_open();
    server_open(&engine, rtest_callers.base, serve);
    snprintf(flag, sizeof flag, "%s %s", engine.address, words);
    if (!rtest_fleet.redis.pid) rtest_redis();
    rtest_router(0, flags);
    rtest_await_ready(0);
}

// Probes are answered, and no test's requests.
static void remember(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    if (!strncmp(e->head, "GET /health ", 12)) {
        e->requests--;
        server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    line = to;
}

static void await_request(size_t n) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; engine.requests < n; rtest_clients_run(1))
        cr_assert(kvr_clock_ms() < end, "no request");
}

static void await_bytes(struct rtest_client *who, size_t n) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; evbuffer_get_length(who->answer) < n;
         rtest_clients_run(1))
        cr_assert(kvr_clock_ms() < end && who->call, "nothing comes");
}

static bool text_is(struct rtest_client *who, const char *want) {
    char *text = rtest_client_text(who);
    bool same = !strcmp(text, want);
    if (!same) cr_log_error("%s", text);
    free(text);
    return same;
}

// A request is answered as it should be. overlap NULL: whatever it is.
static void expect_ok(const char *headers, const char *overlap) {
    struct rtest_client who =
        rtest_client_call(rtest_port(), "/v1/completions", headers, SHORT_PROMPT);
    cr_assert(who.status == 200 && who.complete && text_is(&who, "ok"));
    if (overlap) cr_assert_str_eq(who.overlap, overlap);
    rtest_client_free(&who);
}

static void say_ok(struct bufferevent *to) {
    server_say(to, RESPONSE_OK "Content-Length: 2\r\n\r\nok");
}

static bool asks_for_tokens(const struct server *e) {
    return !strncmp(e->head, "POST /tokenize ", 15);
}

// ---- Heads ---------------------------------------------------------------------------------------

static void with_headers(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    server_say(to, RESPONSE_OK
               "X-Engine: one\r\nX-Engine: two\r\nX-Kvroute-Worker: other\r\nConnection: "
               "x-hop\r\nX-Hop: 1\r\nX-Request-Id: other\r\nContent-Length: 2\r\n\r\nok");
}

enum { RTEST_LONG_TYPE = 180, RTEST_LONG_HEADER = 6000 };

static char *line_of(const char *name, char fill, int n) {
    char *text = malloc((size_t)n + 40);
    int at = sprintf(text, "%s: a/", name);
    memset(text + at, fill, (size_t)n);
    text[at + n] = 0;
    return text;
}

static void with_long_headers(struct server *e, size_t n, struct bufferevent *to) {
    char *type = line_of("Content-Type", 't', RTEST_LONG_TYPE);
    char *more = line_of("X-Long", 'x', RTEST_LONG_HEADER);
    (void)e;
    (void)n;
    server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
    server_say(to, type);
    server_say(to, "\r\n");
    server_say(to, more);
    server_say(to, "\r\nX-Last: 1\r\n\r\nok");
    free(type);
    free(more);
}

Test(engine, long_headers_come_whole, .fini = down) {
    up(with_long_headers, "name=w1", NULL);
    char *type = line_of("Content-Type", 't', RTEST_LONG_TYPE);
    char *more = line_of("X-Long", 'x', RTEST_LONG_HEADER);
    int fd = support_http_connect(rtest_port());
    support_http_request(fd, "POST", "/v1/completions", NULL, SHORT_PROMPT);
    struct support_response r = rtest_clients_answer(fd, false);
    cr_assert(r.status == 200 && !strcmp(r.body, "ok"));
    cr_assert(strstr(r.head, type) && strstr(r.head, more), "%s", r.head);
    cr_assert(support_response_has(&r, "X-Last: 1"));
    support_response_free(&r);
    close(fd);
    free(type);
    free(more);
}

Test(engine, headers_both_ways, .fini = down) {
    up(with_headers, "name=w1", NULL);
    int fd = support_http_connect(rtest_port());
    rtest_say(fd, "POST /v1/completions?a=b HTTP/1.1\r\nHost: router\r\nX-Request-Id: mine\r\n"
                  "Content-Type: application/json\r\ntraceparent: 00-1-2-01\r\n"
                  "X-Session-Id: s 1\r\nAuthorization: Bearer key\r\n"
                  "Connection: keep-alive, X-Secret, upgrade\r\nX-Secret: 1\r\n"
                  "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nAccept-Encoding: gzip\r\n"
                  "X-data-parallel-rank: 7\r\nContent-Length: 18\r\n\r\n{\"prompt\": \"a b\" }");
    struct support_response r = rtest_clients_answer(fd, false);
    cr_assert(r.status == 200 && r.complete && !strcmp(r.body, "ok"));
    cr_assert(support_response_has(&r, "X-Engine: one") &&
              support_response_has(&r, "X-Engine: two"));
    cr_assert(support_response_has(&r, "X-Kvroute-Worker: w1") &&
              support_response_has(&r, "X-Request-Id: mine"));
    cr_assert(support_response_has(&r, "X-Kvroute-Overlap: 0"));
    cr_assert(!strcasestr(r.head, "x-hop") && !strcasestr(r.head, "other"));
    static const char *const passed[] = {"POST /v1/completions?a=b HTTP/1.1\r\n",
                                         "\r\ntraceparent: 00-1-2-01\r\n",
                                         "\r\nX-Session-Id: s 1\r\n",
                                         "\r\nAuthorization: Bearer key\r\n",
                                         "\r\nX-Request-Id: mine\r\n",
                                         "\r\nX-data-parallel-rank: 0\r\n",
                                         "\r\nContent-Length: 18\r\n"};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        cr_assert(strcasestr(engine.head, passed[i]), "%s in %s", passed[i], engine.head);
    static const char *const not_passed[] = {"x-secret", "gzip",  "rank: 7",     "keep-alive",
                                             "h2c",      "http2", "Host: router"};
    for (size_t i = 0; i < sizeof not_passed / sizeof *not_passed; i++)
        cr_assert(!strcasestr(engine.head, not_passed[i]), "%s", engine.head);
    support_response_free(&r);
    close(fd);
}

Test(engine, ranks_are_said, .fini = down) {
    struct rtest_client a, b;
    up(remember, "ranks=2", NULL);
    rtest_client_start(&a, rtest_port(), "/v1/completions", NULL, SHORT_PROMPT);
    await_request(1);
    struct bufferevent *first = line;
    bool zero = strstr(engine.head, "X-data-parallel-rank: 0\r\n") != NULL;
    rtest_client_start(&b, rtest_port(), "/v1/completions", NULL, "{\"prompt\":\"x y z\"}");
    await_request(2);
    cr_assert(strstr(engine.head, zero ? "rank: 1\r\n" : "rank: 0\r\n"));
    server_say(first, RESPONSE_OK "Content-Length: 0\r\n\r\n");
    server_say(line, RESPONSE_OK "Content-Length: 0\r\n\r\n");
    rtest_clients_finish();
    cr_assert(a.complete && b.complete);
    rtest_client_free(&a);
    rtest_client_free(&b);
}

// What is odd, but no reason to leave anything out.
static void with_many_headers(struct server *e, size_t n, struct bufferevent *to) {
    static char text[20000];
    (void)e;
    (void)n;
    int at = snprintf(text, sizeof text,
                      RESPONSE_OK "Content-Type: application/json; a=\"%0200d\"\r\n", 7);
    for (int i = 0; i < 150; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "X-Engine-%d: %0100d\r\n", i, i);
    snprintf(text + at, sizeof text - (size_t)at, "Content-Length: 2\r\n\r\nok");
    server_say(to, text);
}

Test(engine, many_headers_both_ways, .fini = down) {
    static char text[16000];
    up(with_many_headers, "", NULL);
    int fd = support_http_connect(rtest_port());
    int at =
        snprintf(text, sizeof text,
                 "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n");
    for (int i = 0; i < 196; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "X-Mine-%d: %050d\r\n", i, i);
    snprintf(text + at, sizeof text - (size_t)at, "Content-Length: 16\r\n\r\n{\"prompt\":\"abc\"}");
    rtest_say(fd, text);
    struct support_response r = rtest_clients_answer(fd, false);
    cr_assert(r.status == 200 && r.complete && !strcmp(r.body, "ok"), "%d", r.status);
    for (int i = 0; i < 150; i++) {
        snprintf(text, sizeof text, "X-Engine-%d: %0100d", i, i);
        cr_assert(support_response_has(&r, text), "%s", text);
    }
    snprintf(text, sizeof text, "Content-Type: application/json; a=\"%0200d\"", 7);
    cr_assert(support_response_has(&r, text));
    for (int i = 0; i < 196; i++) {
        snprintf(text, sizeof text, "\r\nX-Mine-%d: %050d\r\n", i, i);
        cr_assert(strcasestr(engine.head, text), "%s", text);
    }
    support_response_free(&r);
    close(fd);
}

// ---- Bodies --------------------------------------------------------------------------------------

Test(engine, pieces_come_at_once, .fini = down) {
    struct rtest_client who;
    up(remember, "", NULL);
    rtest_client_start(&who, rtest_port(), "/v1/completions", NULL, SHORT_PROMPT);
    await_request(1);
    server_say(line, RESPONSE_EVENTS);
    for (int i = 0; i < 5; i++) {
        server_say_chunk(line, "data: {}\n\n");
        await_bytes(&who, (size_t)(i + 1) * 10); // before the next one is sent
        cr_assert(evbuffer_get_length(who.answer) == (size_t)(i + 1) * 10);
    }
    server_say_chunk(line, "data: {\"half");
    rtest_clients_run(50);
    cr_assert(evbuffer_get_length(who.answer) == 50);
    server_say_chunk(line, "\":1}\n\n");
    server_say(line, "0\r\n\r\n");
    rtest_clients_finish();
    cr_assert(who.complete && text_is(&who, "data: {}\n\ndata: {}\n\ndata: {}\n\ndata: {}\n\ndata: "
                                            "{}\n\ndata: {\"half\":1}\n\n"));
    rtest_client_free(&who);
    cr_assert(rtest_is_served(rtest_get(rtest_port(), "/metrics")));
}

static void takes_anything(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    say_ok(to);
}

// What only engines can read, they get, byte by byte.
Test(engine, odd_bodies_go_as_they_came, .fini = down) {
    static const char *const bodies[] = {
        "\xef\xbb\xbf{\"prompt\":\"x\"}", "{\"prompt\":\"x\",\"seed\":18446744073709551615}",
        "{\"prompt\":\"cut \\ud83d\"}", "{\"prompt\":\"x\",\"temperature\":NaN}"};
    up(takes_anything, "", NULL);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct rtest_client who =
            rtest_client_call(rtest_port(), "/v1/completions", NULL, bodies[i]);
        size_t n = strlen(bodies[i]);
        cr_assert(who.status == 200 && engine.requests == i + 1, "%s: %d", bodies[i], who.status);
        cr_assert(engine.body_bytes == n && engine.body_sum == XXH3_64bits(bodies[i], n));
        rtest_client_free(&who);
    }
    struct rtest_client who = rtest_client_call(rtest_port(), "/v1/completions", NULL, "{\"a\":}");
    cr_assert(who.status == 400 && engine.requests == 4);
    rtest_client_free(&who);
}

#define BREAK_EVENT                                                                                \
    "data: {\"error\":{\"message\":\"the engine broke off in the middle of its answer\","          \
    "\"type\":\"upstream_error\",\"code\":\"ENGINE\"}}\n\n"

Test(engine, what_breaks_off, .fini = down) {
    static const struct {
        const char *head, *body;
        int status;
        bool complete;
        const char *out; // NULL: an error of the router's own
    } cases[] = {
        {RESPONSE_EVENTS, "6\r\ndata: \r\n", 502, true, NULL},
        {RESPONSE_EVENTS, "c\r\ndata: {}\n\nda\r\n", 200, true, "data: {}\n\n" BREAK_EVENT},
        {RESPONSE_EVENTS, "9\r\ndata: {}\n\r\n5\r\nxx", 200, true, "data: {}\n\n" BREAK_EVENT},
        {RESPONSE_OK "Content-Length: 10\r\n\r\n", "12345", 200, false, "12345"},
        {RESPONSE_OK "Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\n", 200, false, "12345"},
        {RESPONSE_OK "Transfer-Encoding: chunked\r\n\r\n", "", 502, true, NULL},
        {RESPONSE_OK, "", 502, true, NULL},
        {"nonsense\r\n\r\n", "", 502, true, NULL},
    };
    up(remember, "", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rtest_client who;
        rtest_client_start(&who, rtest_port(), "/v1/completions", NULL, SHORT_PROMPT);
        await_request(engine.requests + 1);
        server_say(line, cases[i].head);
        server_say(line, cases[i].body);
        if (cases[i].out) await_bytes(&who, 5);
        server_end(line, false);
        rtest_clients_finish();
        cr_assert(who.status == cases[i].status && who.complete == cases[i].complete, "%zu: %d %d",
                  i, who.status, who.complete);
        if (cases[i].out) cr_assert(text_is(&who, cases[i].out), "%zu", i);
        rtest_client_free(&who);
    }
}

static void tired(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    if (n % 2 == 1)
        server_end(to, false);
    else
        say_ok(to);
}

// Each kept connection ends when it is used again.
Test(engine, a_tired_connection_is_no_failure, .fini = down) {
    up(tired, "", NULL);
    for (int i = 0; i < 6; i++) {
        expect_ok(NULL, NULL);
    }
    rtest_expect_log(0, "\"tries\":2", false);
}

// ---- Tokens --------------------------------------------------------------------------------------

static void tokenizes(struct server *e, size_t n, struct bufferevent *to) {
    static const char ids[] = "{\"tokens\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}";
    char head[100];
    (void)n;
    if (!asks_for_tokens(e)) {
        say_ok(to);
        return;
    }
    snprintf(head, sizeof head, RESPONSE_OK "Content-Length: %zu\r\n\r\n", sizeof ids - 1);
    server_say(to, head);
    server_say(to, ids);
}

Test(engine, the_engine_s_tokens_are_the_blocks, .fini = down) {
    up(tokenizes, "", "kvroute blocks=tokenize");
    for (int i = 0; i < 2; i++) {
        expect_ok(NULL, i ? "1" : "0");
    }
    cr_assert(engine.requests == 4);
    redisReply *r =
        rtest_command("KVROUTE.SCORE kvroute IDS 16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16");
    cr_assert(r && r->elements == 1 && r->element[0]->elements > 7);
    cr_assert_str_eq(r->element[0]->element[6]->str, "overlap");
    cr_assert(r->element[0]->element[7]->integer == 1);
    freeReplyObject(r);
}

// Without PREDICT only what engines report counts, so they are asked without being told to.
Test(engine, what_engines_report_is_found, .fini = down) {
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 4"));
    up(tokenizes, "name=w1", NULL);
    cr_assert_eq(rtest_integer("KVROUTE.EVENT kvroute w1 0 1 1 STORED - IDS 12 1 2 3 4 5 6 7 8 9 "
                               "10 11 12"),
                 1);
    expect_ok(NULL, "3");
}

static void cannot_tokenize(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    if (asks_for_tokens(e))
        server_say(to, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    else
        say_ok(to);
}

Test(engine, without_tokens_it_goes_on_without_blocks, .fini = down) {
    up(cannot_tokenize, "", "kvroute blocks=tokenize");
    // Asked once, and then not for a while.
    for (size_t i = 0; i < 3; i++) {
        expect_ok(NULL, NULL);
        cr_assert(engine.requests == 2 + i);
    }
    rtest_expect_log(0, "has no /tokenize", true);
    cr_assert(rtest_router_metric(0, "tokenize_total{outcome=\"none\"}") == 1);
}

static void knows_no_such_model(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    if (asks_for_tokens(e))
        server_say(to, "HTTP/1.1 404 No\r\nContent-Length: 76\r\n\r\n{\"error\":{\"message\":\"The "
                       "model `x` does not exist.\",\"type\":\"NotFoundError\"}}");
    else
        say_ok(to);
}

// One client's mistake: the next one's prompt is asked for all the same, with his own key.
Test(engine, an_unknown_model_is_no_missing_path, .fini = down) {
    up(knows_no_such_model, "", "kvroute blocks=tokenize");
    for (size_t i = 0; i < 3; i++) {
        expect_ok("Authorization: Bearer mine\r\n", NULL);
        cr_assert(engine.requests == 2 * (i + 1));
    }
    rtest_expect_log(0, "has no /tokenize", false);
}

static void only_tokenizes_with_a_key(struct server *e, size_t n, struct bufferevent *to) {
    if (strstr(e->head, "\r\nAuthorization: Bearer mine\r\n"))
        tokenizes(e, n, to);
    else
        server_say(to, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
}

Test(engine, tokens_need_a_key, .fini = down) {
    up(only_tokenizes_with_a_key, "", "kvroute blocks=tokenize");
    for (int i = 0; i < 2; i++) {
        expect_ok("Authorization: Bearer mine\r\n", i ? "1" : "0");
    }
}

static void never_tokenizes(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    if (!asks_for_tokens(e)) say_ok(to);
}

// It isn't asked again soon; what it is asked doesn't keep the request.
Test(engine, a_silent_tokenizer_is_left_out, .fini = down) {
    up(never_tokenizes, "", "kvroute blocks=tokenize");
    for (size_t i = 0; i < 2; i++) {
        expect_ok(NULL, NULL);
        cr_assert(engine.requests == 2 + i);
    }
    cr_assert(rtest_router_metric(0, "tokenize_total{outcome=\"failed\"}") == 1);
}

// The first token may be long in coming after the head.
Test(engine, a_head_is_not_yet_an_answer, .fini = down) {
    struct rtest_client who;
    up(remember, "", NULL);
    rtest_kill(&rtest_fleet.routers[0], SIGKILL);
    const char *const flags[] = {
        "--learn",           "0",   "--check",          "0",    "--engine", engine.address,
        "--silence_timeout", "300", "--answer_timeout", "5000", NULL};
    rtest_router(0, flags);
    rtest_await_ready(0);
    rtest_client_start(&who, rtest_port(), "/v1/completions", NULL, SHORT_PROMPT);
    await_request(1);
    server_say(line, RESPONSE_EVENTS);
    rtest_clients_run(800);
    cr_assert(who.call);
    server_say_chunk(line, "data: {}\n\n");
    await_bytes(&who, 1);
    rtest_clients_finish(); // the next one doesn't come
    cr_assert(who.complete && text_is(&who, "data: {}\n\n" BREAK_EVENT));
    rtest_client_free(&who);
    rtest_client_start(&who, rtest_port(), "/v1/completions", NULL, SHORT_PROMPT);
    await_request(2);
    server_say(line, RESPONSE_EVENTS);
    rtest_clients_finish();
    cr_assert(who.complete && who.status == 504);
    rtest_client_free(&who);
}

// ---- Probes --------------------------------------------------------------------------------------

// Gone for three calls, and then there again: without a path for its health, as it always was.
static void has_no_health(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    server_say(to, strncmp(e->head, "GET ", 4) ? RESPONSE_OK "Content-Length: 2\r\n\r\nok"
                                               : "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
}

static void wants_a_key(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    server_say(to, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
}

Test(engine, models_need_a_key, .fini = down) {
    up(wants_a_key, "", NULL);
    int fd = support_http_connect(rtest_port());
    rtest_say(fd, "GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer no\r\n\r\n");
    cr_assert_str_eq(rtest_error_code(rtest_clients_answer(fd, false), 401), "UNAUTHORIZED");
    cr_assert(strstr(engine.head, "\r\nAuthorization: Bearer no\r\n"));
    close(fd);
}

static long long open_circuits(void) {
    return rtest_pool_info("kvroute", "open_circuits");
}

Test(engine, without_a_health_path_it_comes_back, .fini = down) {
    char flag[80];
    const char *flags[] = {"--engine", flag, "--probe", "100", "--health", "/alive",
                           "--learn",  "0",  "--check", "0",   NULL};
    rtest_clients_open();
    server_open(&engine, rtest_callers.base, has_no_health);
    snprintf(flag, sizeof flag, "%s", engine.address);
    rtest_redis();
    rtest_router(0, flags);
    rtest_await_ready(0);
    server_shut(&engine, true);
    for (int i = 0; i < 3; i++) {
        struct rtest_client who =
            rtest_client_call(rtest_port(), "/v1/completions", NULL, SHORT_PROMPT);
        cr_assert(who.status == 502);
        rtest_client_free(&who);
    }
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; open_circuits() != 1; rtest_clients_run(10))
        cr_assert(kvr_clock_ms() < end, "its circuit stays closed");
    server_shut(&engine, false);
    await_request(1);
    cr_assert(!strncmp(engine.head, "GET /alive ", 11), "%s", engine.head);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; open_circuits() != 0; rtest_clients_run(10))
        cr_assert(kvr_clock_ms() < end, "its circuit stays open");
    expect_ok(NULL, NULL);
}
