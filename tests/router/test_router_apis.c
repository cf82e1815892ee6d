// SPDX-License-Identifier: Apache-2.0
// Every API of engines through a router: the answer is the engine's, the second one finds where its prompt is, and what
// the engine says of tokens is what the log says. Errors of the router's own have the API's form.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"
#include "rtest_scripted_server.h"
#include "tests/support/support_home.h"

enum { RTEST_BLOCK = 16 };

#define API_TEN "one two three four five six seven eight nine ten "
#define API_WORDS API_TEN API_TEN API_TEN API_TEN API_TEN
#define API_TURN "{\"role\":\"user\",\"content\":\"" API_WORDS "\"}"
#define API_FORM                                                                                   \
    "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nsound\r\n"    \
    "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nmock\r\n--B--\r\n"
#define API_FORM_TYPE "Content-Type: multipart/form-data; boundary=B\r\n"
#define API_OF_ANY 3

static const struct rtest_api {
    unsigned kinds; // 1: vLLM, 2: SGLang
    const char *path, *headers, *body;
    const char *has;       // in each answer
    const char *stream;    // that makes it one, behind the body's beginning; NULL: it can't be one
    const char *ends_with; // then
    bool shares, writes;   // the second one finds the first one's blocks; tokens are told
} apis[] = {
    {API_OF_ANY, "/v1/chat/completions", NULL, "{\"max_tokens\":9,\"messages\":[" API_TURN "]}",
     "\"choices\"", "\"stream\":true,\"stream_options\":{\"include_usage\":true},",
     "data: [DONE]\n\n", true, true},
    {API_OF_ANY, "/v1/messages", "X-Api-Key: any\r\n",
     "{\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"be\"}],\"messages\":[" API_TURN
     "]}",
     "\"usage\"", "\"stream\":true,", "\"type\":\"message_stop\"}\n\n", true, true},
    {API_OF_ANY, "/v1/responses", NULL,
     "{\"max_output_tokens\":9,\"instructions\":\"be\",\"input\":\"" API_WORDS "\"}", "output_text",
     "\"stream\":true,", "}\n\n", true, true},
    {API_OF_ANY, "/v1/responses", NULL, "{\"max_output_tokens\":9,\"input\":[" API_TURN "]}",
     "output_text", "\"stream\":true,", "}\n\n", true, true},
    {2, "/generate", NULL,
     "{\"text\":\"" API_WORDS "\",\"sampling_params\":{\"max_new_tokens\":9}}", "meta_info",
     "\"stream\":true,", "data: [DONE]\n\n", true, true},
    {2, "/generate", NULL,
     "{\"input_ids\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19],"
     "\"sampling_params\":{\"max_new_tokens\":9}}",
     "meta_info", "\"stream\":true,", "data: [DONE]\n\n", true, true},
    {API_OF_ANY, "/v1/audio/transcriptions", API_FORM_TYPE, API_FORM, "\"text\"", NULL, NULL, false,
     false},
    {1, "/v1/audio/translations", API_FORM_TYPE, API_FORM, "\"text\"", NULL, NULL, false, false},
    {API_OF_ANY, "/v1/rerank", NULL, "{\"query\":\"a b\",\"documents\":[\"c\",\"d\"]}", "\"index\"",
     NULL, NULL, false, false},
    {1, "/rerank", NULL, "{\"query\":\"a b\",\"documents\":[\"c\",\"d\"]}", "\"results\"", NULL,
     NULL, false, false},
    {1, "/v2/rerank", NULL, "{\"query\":\"a b\",\"documents\":[\"c\",\"d\"]}", "\"results\"", NULL,
     NULL, false, false},
    {1, "/score", NULL, "{\"text_1\":\"a b\",\"text_2\":[\"c\",\"d\"]}", "\"score\"", NULL, NULL,
     false, false},
    {1, "/v1/score", NULL, "{\"text_1\":\"a b\",\"text_2\":[\"c\",\"d\"]}", "\"score\"", NULL, NULL,
     false, false},
    {2, "/v1/score", NULL, "{\"query\":\"a b\",\"items\":[\"c\"],\"label_token_ids\":[1,2]}",
     "\"scores\"", NULL, NULL, false, false},
    {API_OF_ANY, "/classify", NULL, "{\"input\":\"a b c\"}", "", NULL, NULL, false, false},
    {1, "/pooling", NULL, "{\"input\":\"a b c\"}", "\"data\"", NULL, NULL, false, false},
    {1, "/v2/embed", NULL,
     "{\"texts\":[\"a b c\"],\"input_type\":\"x\",\"embedding_types\":[\"float\"]}", "embeddings",
     NULL, NULL, false, false},
    {API_OF_ANY, "/tokenize", NULL, "{\"prompt\":\"a b c\"}", "\"tokens\"", NULL, NULL, false,
     false},
    {API_OF_ANY, "/detokenize", NULL, "{\"tokens\":[100,101]}", "", NULL, NULL, false, false},
    {API_OF_ANY, "/v1/messages/count_tokens", NULL, "{\"messages\":[" API_TURN "]}",
     "\"input_tokens\"", NULL, NULL, false, false},
    {1, "/version", NULL, NULL, "version", NULL, NULL, false, false},
    {API_OF_ANY, "/ping", NULL, NULL, "", NULL, NULL, false, false},
};

// ---- What the log says of a request --------------------------------------------------------------

static json_t *find_line(char *log, const char *id) {
    for (char *at = log, *end; (end = strchr(at, '\n')); at = end + 1) {
        json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
        const char *is = json_string_value(json_object_get(line, "id"));
        if (is && !strcmp(is, id)) return line;
        json_decref(line);
    }
    return NULL;
}

static json_t *log_of(const struct rtest_client *who) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; rtest_clients_run(2)) {
        char *log = rtest_log(0);
        json_t *line = find_line(log, who->id);
        free(log);
        if (line) return line;
        cr_assert(kvr_clock_ms() < end, "%s isn't in the log", who->id);
    }
}

static json_int_t number_of(const json_t *line, const char *name) {
    const json_t *n = json_object_get(line, name);
    return n ? json_integer_value(n) : -1;
}

// ---- Each of them --------------------------------------------------------------------------------

static struct rtest_client call(const struct rtest_api *a, bool stream) {
    char body[4000];
    if (!a->body) return rtest_client_call(rtest_port(), a->path, a->headers, NULL);
    snprintf(body, sizeof body, "%.1s%s%s", a->body, stream ? a->stream : "", a->body + 1);
    return rtest_client_call(rtest_port(), a->path, a->headers, stream ? body : a->body);
}

// What was found is what the engine had.
static void check_shared(const struct rtest_api *a, const struct rtest_client *who,
                         const json_t *line, bool again) {
    json_int_t overlap = number_of(line, "overlap"), cached = number_of(line, "cached");
    if (!a->shares || !again) return;
    cr_expect(overlap > 0 && overlap * RTEST_BLOCK == cached, "%s: %lld blocks, %lld tokens",
              a->path, (long long)overlap, (long long)cached);
    cr_expect_eq(strtoll(who->overlap, NULL, 10), overlap);
}

static void check(const struct rtest_api *a, bool stream, bool again) {
    struct rtest_client who = call(a, stream);
    char *text = rtest_client_text(&who);
    cr_assert(who.status == 200 && who.complete, "%s: %d %.300s", a->path, who.status, text);
    cr_expect(strstr(text, a->has), "%s: %.300s", a->path, text);
    cr_expect_eq(stream, !strncmp(who.type, "text/event-stream", 17), "%s: %s", a->path, who.type);
    size_t n = strlen(text), m = stream ? strlen(a->ends_with) : 0;
    cr_expect(n >= m && !strcmp(text + n - m, stream ? a->ends_with : ""), "%s: %.300s", a->path,
              text);
    json_t *line = log_of(&who);
    cr_expect_str_eq(json_string_value(json_object_get(line, "path")), a->path);
    if (a->writes) cr_expect_eq(number_of(line, "output"), 9, "%s: %.300s", a->path, text);
    if (stream) cr_expect(json_object_get(line, "first_ms"), "%s", a->path);
    check_shared(a, &who, line, again);
    json_decref(line);
    free(text);
    rtest_client_free(&who);
}

static void check_all(unsigned kind, const char *engine, const char *pool) {
    rtest_fleet_up(2, engine, 1, (const char *[]){"--pool", pool, "--learn", "100", NULL});
    for (size_t i = 0; i < sizeof apis / sizeof *apis; i++) {
        if (!(apis[i].kinds & kind)) continue;
        check(&apis[i], false, false);
        check(&apis[i], false, true);
        if (apis[i].stream) check(&apis[i], true, true);
    }
    rtest_await(rtest_nothing_booked, "all is released");
}

#define POOL "kvroute blocks=tokenize"

Test(apis, of_vllm, .fini = rtest_fleet_down, .timeout = 120) {
    check_all(1, "--time-scale 0", POOL);
}

Test(apis, of_sglang, .fini = rtest_fleet_down, .timeout = 120) {
    check_all(2, "--time-scale 0 --schema sglang", POOL);
}

Test(apis, of_engines_that_render, .fini = rtest_fleet_down, .timeout = 120) {
    check_all(1, "--time-scale 0 --render", POOL);
}

// Text is found again as text; what of it the engine had is another matter.
Test(apis, by_text, .fini = rtest_fleet_down, .timeout = 120) {
    rtest_fleet_up(2, "--time-scale 0", 1, NULL);
    for (size_t i = 0; i < sizeof apis / sizeof *apis; i++) {
        if (!(apis[i].kinds & 1) || !apis[i].writes) continue;
        struct rtest_client first = call(&apis[i], false), next = call(&apis[i], false);
        cr_assert(first.status == 200 && next.status == 200);
        cr_expect(strtoll(next.overlap, NULL, 10) > 0, "%s", apis[i].path);
        cr_expect_str_eq(first.worker, next.worker, "%s", apis[i].path);
        rtest_client_free(&first);
        rtest_client_free(&next);
    }
}

// ---- Engines that a test plays -------------------------------------------------------------------

static struct server api_servers[2];
static size_t api_calls;   // to both
static char *last_request; // its head

#define MESSAGES_BODY "{\"max_tokens\":9,\"stream\":true,\"messages\":[" API_TURN "]}"
#define API_BEGINS                                                                                 \
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{"             \
    "\"input_tokens\":5,\"output_tokens\":0}}}\n\n"
#define API_SAYS                                                                                   \
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":"     \
    "\"text_delta\",\"text\":\"a\"}}\n\n"
#define API_EVENTS                                                                                 \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

// The first call gets nothing, the second one an answer without its end.
static void half(struct server *s, size_t n, struct bufferevent *to) {
    (void)n;
    if (strncmp(s->head, "POST /v1/messages ", 18) != 0) {
        server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    free(last_request);
    last_request = strdup(s->head);
    if (!api_calls++) {
        server_end(to, false);
        return;
    }
    server_say(to, API_EVENTS);
    server_say_chunk(to, API_BEGINS);
    server_say_chunk(to, API_SAYS);
    server_say(to, "0\r\n\r\n");
}

static void played_up(const char *const *more) {
    char flags[2][100];
    rtest_clients_open();
    for (int i = 0; i < 2; i++) {
        server_open(&api_servers[i], rtest_callers.base, half);
        snprintf(flags[i], sizeof flags[i], "%s name=w%d", api_servers[i].address, i);
    }
    rtest_redis();
    const char *all[20] = {"--learn",  "0",      "--check",  "0",
                           "--engine", flags[0], "--engine", flags[1]};
    for (int i = 8; more && *more; i++)
        all[i] = *more++;
    rtest_router(0, all);
    rtest_await_ready(0);
}

static void played_down(void) {
    rtest_end_router(0);
    rtest_cluster_down();
    rtest_clients_run(5); // the engines see the router go
    for (int i = 0; i < 2; i++)
        server_close(&api_servers[i]);
    free(last_request);
    last_request = NULL;
    rtest_clients_close();
}

Test(apis, a_stream_that_breaks_says_so, .fini = played_down) {
    played_up(NULL);
    struct rtest_client who = rtest_client_call(rtest_port(), "/v1/messages", NULL, MESSAGES_BODY);
    char *text = rtest_client_text(&who);
    cr_assert(who.status == 200 && !strncmp(text, API_BEGINS API_SAYS, strlen(API_BEGINS API_SAYS)),
              "%s", text);
    cr_expect_str_eq(text + strlen(API_BEGINS API_SAYS),
                     "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\","
                     "\"message\":\"the engine broke off in the middle of its answer (ENGINE)\"}}"
                     "\n\n");
    json_t *line = log_of(&who);
    cr_expect(number_of(line, "tries") == 2 && number_of(line, "output") == 1);
    cr_expect_eq(number_of(line, "input"), 5);
    json_decref(line);
    free(text);
    rtest_client_free(&who);
    rtest_await(rtest_nothing_booked, "all is released");
}

static const char *token_file(void) {
    static char file[200];
    snprintf(file, sizeof file, "%s/tokens", support_home());
    FILE *f = fopen(file, "w");
    fputs("user api-secret\nfrontend other-secret\n", f);
    fclose(f);
    return file;
}

// Anthropic's form: its type; static.
static const char *error_type(const char *headers, const char *body, int status) {
    static char type[60];
    struct rtest_client who = rtest_client_call(rtest_port(), "/v1/messages", headers, body);
    char *text = rtest_client_text(&who);
    json_t *all = json_loads(text, 0, NULL), *error = json_object_get(all, "error");
    cr_expect_eq(who.status, status, "%d %s", who.status, text);
    cr_expect_str_eq(json_string_value(json_object_get(all, "type")), "error", "%s", text);
    cr_expect(json_string_length(json_object_get(error, "message")), "%s", text);
    cr_expect_str_eq(json_string_value(json_object_get(all, "request_id")), who.id);
    snprintf(type, sizeof type, "%s", json_string_value(json_object_get(error, "type")));
    json_decref(all);
    free(text);
    rtest_client_free(&who);
    return type;
}

Test(apis, keys_and_errors_as_anthropic_has_them, .fini = played_down) {
    static const char key[] = "X-Api-Key: api-secret\r\n";
    played_up((const char *[]){"--token_file", token_file(), NULL});
    cr_expect_str_eq(error_type(NULL, MESSAGES_BODY, 401), "authentication_error");
    cr_expect_str_eq(error_type("X-Api-Key: x\r\n", MESSAGES_BODY, 401), "authentication_error");
    cr_expect_str_eq(error_type("X-Api-Key: other-secret\r\n", "{}", 403), "permission_error");
    cr_expect_str_eq(error_type("Authorization: Bearer x\r\nX-Api-Key: api-secret\r\n", "{}", 401),
                     "authentication_error");
    cr_expect_str_eq(error_type(key, "[]", 400), "invalid_request_error");
    cr_expect_eq(api_calls, 0u);
    struct rtest_client who = rtest_client_call(rtest_port(), "/v1/messages", key, MESSAGES_BODY);
    cr_expect_eq(who.status, 200);
    cr_expect(last_request && !strstr(last_request, "secret"), "%s", last_request);
    rtest_client_free(&who);
}

// A body with a field that only engines know is theirs, for who may ask them.
Test(apis, two_kinds_of_scores, .fini = rtest_fleet_down) {
    static const struct {
        const char *path, *token, *body, *has;
        int status;
    } cases[] = {
        {"/v1/score", "api-secret", "{\"text_1\":\"a\",\"text_2\":\"b\"}", "\"score\"", 200},
        {"/v1/score", "api-secret", "{\"text\":\"a\"}", "of the class frontend", 403},
        {"/v1/score", "other-secret", "{\"text\":\"a\"}", "\"scores\"", 200},
        {"/v1/score", "other-secret", "{\"text_1\":\"a\",\"text_2\":\"b\"}", "of the class user",
         403},
        {"/v1/score", "other-secret", "[]", "BADREQUEST", 400},
        {"/kvroute/score", "other-secret", "{\"text\":\"a\"}", "\"scores\"", 200},
        {"/kvroute/score", "other-secret", "{\"text_1\":\"a\"}", "BADREQUEST", 400},
        {"/score", "api-secret", "{\"text_1\":\"a\",\"text_2\":\"b\"}", "\"score\"", 200},
    };
    rtest_fleet_up(1, "--time-scale 0", 1, (const char *[]){"--token_file", token_file(), NULL});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[100];
        snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", cases[i].token);
        struct rtest_client who =
            rtest_client_call(rtest_port(), cases[i].path, header, cases[i].body);
        char *text = rtest_client_text(&who);
        cr_expect(who.status == cases[i].status && strstr(text, cases[i].has), "%zu: %d %s", i,
                  who.status, text);
        free(text);
        rtest_client_free(&who);
    }
}

// Some is asked of a form before it is anybody's.
Test(apis, forms_that_are_none, .fini = rtest_fleet_down) {
    rtest_fleet_up(1, "--time-scale 0", 1, NULL);
    struct support_response r = rtest_post(rtest_port(), "/v1/audio/transcriptions", "{}");
    cr_expect_str_eq(rtest_error_code(r, 400), "BADREQUEST");
    struct rtest_client who =
        rtest_client_call(rtest_port(), "/v1/audio/transcriptions",
                          "Content-Type: multipart/form-data; boundary=B\r\n", "--B\r\nno form");
    cr_expect(who.status >= 400 && who.status < 500 && *who.worker, "the engine says so");
    rtest_client_free(&who);
}
