// SPDX-License-Identifier: Apache-2.0
// What a router tells the pool of a request (its session, what is expected of it, and what came of it, which
// pools learn from), and what it passes on of what the pool expects: seen at a fake pool, with an
// engine that says just what a test wants.
#define _GNU_SOURCE // strcasestr
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"
#include "rtest_scripted_server.h"
#include "tests/client/fake_server.h"
#include "tests/support/support_home.h"

static struct server engine;
static struct fake_server *fake;
static struct fake_lies lies;
static struct bufferevent *open_stream; // of an answer that goes on

#define STREAM_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define STREAM_CHUNKED STREAM_HEAD "Transfer-Encoding: chunked\r\n\r\n"
#define STREAM_PIECE "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"
#define STREAM_USAGE                                                                               \
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":37}}\n\n"

static void plain(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    server_say(to, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 65\r\n"
                   "X-Kvroute-Expected: 99\r\n\r\n"
                   "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":37}}");
}

static void stream(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    server_say(to, STREAM_CHUNKED);
    server_say_chunk(to, STREAM_PIECE);
    server_say_chunk(to, STREAM_PIECE STREAM_PIECE);
    server_say_chunk(to, STREAM_USAGE "data: [DONE]\n\n");
    server_say(to, "0\r\n\r\n");
}

// Three pieces, and no end.
static void goes_on(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    server_say(to, STREAM_CHUNKED);
    server_say_chunk(to, STREAM_PIECE);
    server_say_chunk(to, STREAM_PIECE STREAM_PIECE);
    open_stream = to;
}

// An engine that has nothing to say yet but that it is there.
static void is_alive(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    server_say(to, STREAM_CHUNKED);
    server_say_chunk(to, ": alive\n\n");
    open_stream = to;
}

static void down(void) {
    server_close(&engine);
    rtest_clients_close();
    rtest_cluster_down();
    if (fake) fake_stop(fake);
}

static void up(void (*serve)(struct server *, size_t, struct bufferevent *), bool old,
               const char *const *more) {
    const char *flags[20] = {"--pool", FAKE_POOL " blocks=text", "--learn", "0"};
    size_t n = 4;
    rtest_clients_open();
    server_open(&engine, rtest_callers.base, serve);
    fake = fake_start(FAKE_TCP);
    lies = (struct fake_lies){.old = old, .addr = engine.address};
    fake_lie(fake, &lies);
    fake_url(fake, "deadline=5000", rtest_fleet.url, sizeof rtest_fleet.url);
    while (more && *more)
        flags[n++] = *more++;
    flags[n] = NULL;
    rtest_router(0, flags);
    rtest_await_ready(0);
}

static struct rtest_client call(const char *path, const char *headers, const char *body) {
    return rtest_client_call(rtest_port(), path, headers, body);
}

static const char *said(const char *name) {
    static char all[1000];
    fake_said(fake, name, all, sizeof all);
    return all;
}

// Until the last command of that name has this in it.
static void await_said(const char *name, const char *what) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !strstr(said(name), what);
         rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end, "\"%s\" isn't in \"%s\"", what, said(name));
}

static void await_end(void) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; fake_live(fake); rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end, "something stays booked");
}

// A request that is answered, to its end in the pool.
static void served(const char *path, const char *body) {
    struct rtest_client c = call(path, NULL, body);
    cr_assert(c.status == 200 && c.complete);
    rtest_client_free(&c);
    await_end();
}

// ---- Sessions and lengths ------------------------------------------------------------------------

struct hint {
    const char *path, *headers, *body, *want; // at the end of SELECT; NULL: none of SESSION and OSL
};

static void check_hints(const struct hint *hints, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct rtest_client c = call(hints[i].path ? hints[i].path : "/v1/chat/completions",
                                     hints[i].headers, hints[i].body);
        const char *all = said("KVROUTE.SELECT"), *want = hints[i].want;
        cr_assert(c.status == 200, "%zu: %d", i, c.status);
        if (want)
            cr_expect(strlen(all) > strlen(want) && !strcmp(all + strlen(all) - strlen(want), want),
                      "%zu: \"%s\" doesn't end with \"%s\"", i, all, want);
        else
            cr_expect(!strstr(all, "SESSION") && !strstr(all, "OSL"), "%zu: %s", i, all);
        rtest_client_free(&c);
    }
}

#define CHAT_BODY "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

Test(booking, sessions, .fini = down) {
    char long_header[400], long_body[400], x300[301];
    memset(x300, 'x', 300);
    x300[300] = 0;
    snprintf(long_header, sizeof long_header, "X-Session-ID: %s\r\n", x300);
    snprintf(long_body, sizeof long_body, CHAT_BODY ",\"user\":\"%s\"}", x300);
    // One name, wherever it is said: XXH3-128 of it.
    const char *hashed = " SESSION 125237ea2ad7bc7aa5d1b4607dc83554";
    const struct hint hints[] = {
        {NULL, NULL, CHAT_BODY "}", NULL},
        {NULL, "X-Session-ID: chat 7\r\n", CHAT_BODY "}", " SESSION chat 7"},
        {NULL, "x-smg-routing-key: k\r\n", CHAT_BODY "}", " SESSION k"},
        {NULL, "session_id: s\r\n", CHAT_BODY "}", " SESSION s"},
        {NULL, "X-Conversation-ID: c\r\n", CHAT_BODY ",\"user\":\"u\"}", " SESSION c"},
        {NULL, "X-Session-ID: \r\nconversation_id: c\r\n", CHAT_BODY "}", " SESSION c"},
        {NULL, NULL, CHAT_BODY ",\"user\":\"u\"}", " SESSION u"},
        {NULL, NULL, CHAT_BODY ",\"user\":\"u\",\"prompt_cache_key\":\"p\"}", " SESSION p"},
        {NULL, NULL, CHAT_BODY ",\"prompt_cache_key\":\"p\",\"session_id\":\"s\"}", " SESSION s"},
        {NULL, NULL, CHAT_BODY ",\"user\":7,\"session_id\":\"\",\"prompt_cache_key\":null}", NULL},
        {"/v1/completions", NULL, "{\"prompt\":\"x\",\"user\":\"u\"}", " SESSION u"},
        {"/v1/embeddings", NULL, "{\"input\":\"x\",\"user\":\"u\"}", " OSL 1"},
        {"/v1/embeddings", "X-Session-ID: e\r\n", "{\"input\":\"x\"}", " OSL 1 SESSION e"},
        {NULL, long_header, CHAT_BODY "}", hashed},
        {NULL, NULL, long_body, hashed},
    };
    up(plain, false, NULL);
    check_hints(hints, sizeof hints / sizeof *hints);
}

Test(booking, sessions_by_other_names, .fini = down) {
    static const struct hint hints[] = {
        {NULL, "X-Session-ID: a\r\n", CHAT_BODY ",\"user\":\"u\"}", NULL},
        {NULL, "x-mine: a\r\n", CHAT_BODY ",\"user\":\"u\"}", " SESSION a"},
        {NULL, NULL, CHAT_BODY ",\"metadata\":{\"chat\":{\"id\":\"m\"}}}", " SESSION m"},
        {NULL, NULL, CHAT_BODY ",\"metadata\":[1]}", NULL},
    };
    up(plain, false,
       (const char *[]){"--session_headers", "X-Mine", "--session_fields", "metadata.chat.id",
                        NULL});
    check_hints(hints, sizeof hints / sizeof *hints);
}

Test(booking, sessions_by_no_name, .fini = down) {
    static const struct hint hints[] = {
        {NULL, "X-Session-ID: a\r\n", CHAT_BODY ",\"user\":\"u\"}", NULL}};
    up(plain, false, (const char *[]){"--session_headers", "", "--session_fields=", NULL});
    check_hints(hints, 1);
}

Test(booking, lengths_that_are_expected, .fini = down) {
    static const struct hint hints[] = {
        {NULL, NULL, CHAT_BODY ",\"max_tokens\":500}", NULL},
        {NULL, NULL, CHAT_BODY ",\"max_completion_tokens\":500,\"n\":3}", NULL},
        {NULL, "X-Kvroute-OSL: 70\r\n", CHAT_BODY ",\"max_tokens\":500}", " OSL 70"},
        {NULL, "X-Kvroute-OSL: -70\r\n", CHAT_BODY "}", NULL},
        {NULL, "X-Kvroute-OSL: 7x\r\n", CHAT_BODY "}", NULL},
        {NULL, "X-Kvroute-OSL: 99999999999999999999\r\n", CHAT_BODY "}", NULL},
        {NULL, NULL, CHAT_BODY ",\"nvext\":{\"agent_hints\":{\"osl\":60}}}", " OSL 60"},
        {NULL, NULL, CHAT_BODY ",\"max_tokens\":50,\"ignore_eos\":true,\"n\":2}", " OSL 100"},
    };
    up(plain, false, NULL);
    check_hints(hints, sizeof hints / sizeof *hints);
    // It is between the client and the router.
    struct rtest_client c =
        call("/v1/chat/completions", "X-Kvroute-OSL: 70\r\nX-Session-ID: s\r\n", CHAT_BODY "}");
    cr_assert(engine.head && !strcasestr(engine.head, "x-kvroute-osl"));
    cr_assert(strcasestr(engine.head, "x-session-id: s"));
    rtest_client_free(&c);
}

// A module that knows no sessions isn't told of any, and its requests are served as ever.
Test(booking, an_older_module, .fini = down) {
    static const struct hint hints[] = {{NULL, "X-Session-ID: chat 7\r\n", CHAT_BODY "}", NULL}};
    up(plain, true, NULL);
    check_hints(hints, 1);
    struct support_response r = rtest_post(rtest_port(), "/v1/select", "{}");
    json_t *a = rtest_json(r, 200);
    cr_expect(json_integer_value(json_object_get(a, "expected")) == 2);
    cr_expect(json_number_value(json_object_get(a, "ttft")) == -1);
    json_decref(a);
    cr_assert_str_eq(
        rtest_error_code(rtest_post(rtest_port(), "/v1/select", "{\"session\":\"s\"}"), 400),
        "REFUSED");
}

// ---- What came of it -----------------------------------------------------------------------------

// The commands about requests so far, each by its name and what it says: "SELECT UPDATE … RELEASE".
static void check_order(const char *first, const char *second) {
    static char story[100000];
    fake_story(fake, NULL, story, sizeof story);
    const char *a = NULL, *b = NULL;
    for (const char *at = story; (at = strstr(at, first)); at++)
        a = at;
    for (const char *at = story; (at = strstr(at, second)); at++)
        b = at;
    cr_assert(a && b && a < b, "%s isn't before %s:\n%s", first, second, story);
}

static char *await_log(const char *what) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(20)) {
        char *log = rtest_log(0);
        if (strstr(log, what)) return log;
        free(log);
        cr_assert(kvr_clock_ms() < end, "%s isn't in the log", what);
    }
}

Test(booking, a_streams_tokens_before_its_end, .fini = down) {
    up(stream, false, NULL);
    served("/v1/chat/completions", CHAT_BODY ",\"stream\":true}");
    await_said("KVROUTE.UPDATE", " OUTPUT 37"); // the engine's count, not that of its pieces
    check_order("UPDATE", "RELEASE");
}

Test(booking, the_first_token_when_it_comes, .fini = down) {
    up(goes_on, false, NULL);
    struct rtest_client c;
    rtest_client_start(&c, rtest_port(), "/v1/chat/completions", NULL,
                       CHAT_BODY ",\"stream\":true}");
    await_said("KVROUTE.UPDATE", " PREFILLED");
    cr_assert(fake_live(fake) == 1);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         evbuffer_get_length(c.answer) < 3 * strlen(STREAM_PIECE); rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end, "the pieces don't come");
    // A client that leaves has had three tokens.
    rtest_client_leave(&c);
    await_end();
    await_said("KVROUTE.UPDATE", " OUTPUT 3");
    check_order("UPDATE", "RELEASE");
    rtest_client_free(&c);
}

Test(booking, a_comment_is_no_token, .fini = down) {
    up(is_alive, false, NULL);
    struct rtest_client c;
    rtest_client_start(&c, rtest_port(), "/v1/chat/completions", NULL,
                       CHAT_BODY ",\"stream\":true}");
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !c.heard; rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end, "the comment doesn't come");
    cr_assert_str_empty(said("KVROUTE.UPDATE"));
    server_say_chunk(open_stream, STREAM_PIECE);
    await_said("KVROUTE.UPDATE", " PREFILLED OUTPUT 1");
    rtest_client_leave(&c);
    await_end();
    rtest_client_free(&c);
}

Test(booking, an_engine_that_breaks_off, .fini = down) {
    up(goes_on, false, NULL);
    struct rtest_client c;
    rtest_client_start(&c, rtest_port(), "/v1/chat/completions", NULL,
                       CHAT_BODY ",\"stream\":true}");
    await_said("KVROUTE.UPDATE", " PREFILLED");
    server_end(open_stream, true);
    rtest_clients_finish();
    await_end();
    await_said("KVROUTE.UPDATE", " OUTPUT 3");
    check_order("UPDATE", "RELEASE");
    rtest_client_free(&c);
}

// Nobody has seen the first token of a whole answer: its length is all that is known.
Test(booking, a_whole_answers_tokens, .fini = down) {
    up(plain, false, NULL);
    served("/v1/chat/completions", CHAT_BODY "}");
    await_said("KVROUTE.UPDATE", " OUTPUT 37");
    cr_assert(!strstr(said("KVROUTE.UPDATE"), "PREFILLED"));
    check_order("UPDATE", "RELEASE");
    free(await_log("\"output\":37"));
    cr_expect(rtest_router_metric(0, "output_tokens_total") == 37);
}

static void refuses(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    server_say(to, "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
                   "Content-Length: 27\r\n\r\n{\"completion_tokens\": 37  }");
}

// An engine that has refused a request has computed nothing.
Test(booking, nothing_of_a_refusal, .fini = down) {
    up(refuses, false, NULL);
    struct rtest_client c = call("/v1/chat/completions", NULL, CHAT_BODY "}");
    cr_assert(c.status == 400 && c.complete);
    rtest_client_free(&c);
    await_end();
    cr_assert_str_empty(said("KVROUTE.UPDATE"));
}

static void says_no_usage(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    server_say(to, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n"
                   "{\"choices\":[{\"text\":\"0123456789 01234\"}]}");
}

// Then bytes are counted; what an embedding tells is that its prompt was computed.
Test(booking, an_answer_without_usage, .fini = down) {
    up(says_no_usage, false, NULL);
    served("/v1/chat/completions", CHAT_BODY "}");
    await_said("KVROUTE.UPDATE", " OUTPUT 10");
    served("/v1/embeddings", "{\"input\":\"x\"}");
    const char *all = said("KVROUTE.UPDATE");
    cr_assert(strlen(all) > 9 && !strcmp(all + strlen(all) - 9, " OUTPUT 1"), "%s", all);
}

// ---- What is expected ----------------------------------------------------------------------------

Test(booking, predictions_beside_what_it_was, .fini = down) {
    up(stream, false, NULL);
    struct rtest_client c =
        call("/v1/chat/completions", "X-Request-Id: mine\r\n", CHAT_BODY ",\"stream\":true}");
    cr_assert(c.status == 200 && !strcmp(c.expected, "3") && !strcmp(c.overlap, "2"));
    rtest_client_free(&c);
    await_end();
    char *log = await_log("\"id\":\"mine\""), *line = strstr(log, "\"id\":\"mine\"");
    cr_assert(strstr(line, "\"overlap\":2,\"expected\":3,"), "%s", line);
    const char *ttft = strstr(line, "\"ttft_ms\":"), *first = strstr(line, "\"first_ms\":");
    cr_assert(ttft && first && strstr(line, "\"ttft_predicted_ms\":125.500"), "%s", line);
    // From the choice on it took no longer than from the request's arrival.
    double actual = atof(ttft + 10);
    cr_assert(actual <= atof(first + 11), "%s", line);
    cr_expect(rtest_router_metric(0, "ttft_seconds_count") == 1);
    cr_expect(rtest_router_metric(0, "ttft_predicted_seconds_count") == 1);
    cr_expect(rtest_router_metric(0, "ttft_predicted_seconds_sum") == 0.1255);
    cr_expect(rtest_router_metric(0, "ttft_error_ratio_count") == 1);
    double off = actual > 125.5 ? actual - 125.5 : 125.5 - actual, want = off / actual;
    double got = rtest_router_metric(0, "ttft_error_ratio_sum");
    cr_expect(got > want * 0.9 - 0.01 && got < want * 1.1 + 0.01, "%f instead of %f", got, want);
    cr_expect(rtest_router_metric(0, "expected_blocks_total") == 3);
    free(log);
}

Test(booking, an_engine_cant_say_what_is_expected, .fini = down) {
    up(plain, false, NULL);
    struct rtest_client c = call("/v1/chat/completions", NULL, CHAT_BODY "}"); // it says 99
    cr_assert(c.status == 200 && !strcmp(c.expected, "3"), "%s", c.expected);
    rtest_client_free(&c);
}

Test(booking, no_prediction_no_error, .fini = down) {
    up(stream, true, NULL);
    struct rtest_client c =
        call("/v1/chat/completions", "X-Request-Id: mine\r\n", CHAT_BODY ",\"stream\":true}");
    cr_assert(c.status == 200 && !strcmp(c.expected, "2"), "%s", c.expected);
    rtest_client_free(&c);
    char *log = await_log("\"id\":\"mine\""), *line = strstr(log, "\"id\":\"mine\"");
    cr_assert(strstr(line, "\"ttft_ms\":") && !strstr(line, "ttft_predicted_ms"), "%s", line);
    cr_expect(rtest_router_metric(0, "ttft_seconds_count") == 0);
    cr_expect(rtest_router_metric(0, "ttft_error_ratio_count") == 0);
    cr_expect(rtest_router_metric(0, "time_to_first_token_seconds_count") == 1);
    free(log);
}

Test(booking, advice, .fini = down) {
    up(plain, false, NULL);
    json_t *a = rtest_json(rtest_post(rtest_port(), "/v1/select",
                                      "{\"request\":\"r\",\"osl\":70,\"session\":\"chat 7\","
                                      "\"with\":[\"zone=a\",\"gpu\"],\"without\":[\"old\"]}"),
                           200);
    cr_expect_str_eq(said("KVROUTE.SELECT"),
                     "KVROUTE.SELECT pool r HASHES … OSL 70 SESSION chat 7 WITH 2 zone=a gpu "
                     "WITHOUT 1 old");
    cr_expect(json_integer_value(json_object_get(a, "expected")) == 3);
    cr_expect(json_number_value(json_object_get(a, "ttft")) == 125.5);
    cr_expect(json_number_value(json_object_get(a, "tpot")) == 17.25);
    json_decref(a);
    a = rtest_json(rtest_post(rtest_port(), "/v1/score", "{\"session\":\"s\"}"), 200);
    const json_t *best = json_array_get(json_object_get(a, "scores"), 0);
    const json_t *next = json_array_get(json_object_get(a, "scores"), 1);
    cr_expect(json_integer_value(json_object_get(best, "expected")) == 3);
    cr_expect(json_number_value(json_object_get(best, "ttft")) == 125.5);
    cr_expect(json_number_value(json_object_get(next, "tpot")) == -1);
    cr_expect(json_is_true(json_object_get(best, "room")));
    cr_expect(json_is_false(json_object_get(next, "room")));
    json_decref(a);
    cr_assert_str_eq(rtest_error_code(rtest_post(rtest_port(), "/v1/select", "{\"with\":[]}"), 400),
                     "BADREQUEST");
}

Test(booking, workers, .fini = down) {
    up(plain, false, NULL);
    json_t *a = rtest_json(rtest_get(rtest_port(), "/v1/workers"), 200);
    const json_t *pool = json_array_get(json_object_get(a, "pools"), 0);
    const json_t *w = json_array_get(json_object_get(pool, "workers"), 0);
    const json_t *v = json_array_get(json_object_get(pool, "workers"), 1);
    cr_expect(json_integer_value(json_object_get(pool, "expected_blocks")) == 3);
    cr_expect(json_number_value(json_object_get(w, "ttft")) == 250.5);
    cr_expect(json_number_value(json_object_get(w, "tpot")) == 20);
    cr_expect(json_number_value(json_object_get(w, "speed")) == 0.5);
    cr_expect(json_number_value(json_object_get(v, "ttft")) == -1);
    const char *label = json_string_value(json_array_get(json_object_get(w, "labels"), 1));
    cr_expect(label && !strcmp(label, "gpu=big"));
    json_decref(a);
}
