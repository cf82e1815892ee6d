// SPDX-License-Identifier: Apache-2.0
// The engine as a client sees it: answers byte by byte, the cache, queues, and what isn't HTTP at all.
#define _GNU_SOURCE // memmem, asprintf
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "mock_memory.h"
#include "mock_process.h"
#include "mock_tokens.h"
#include "tests/support/support_home.h"

// A text of n words, each a token, that begins with the given one.
static char *words(const char *first, size_t n) {
    char *text = mock_take(n * MOCK_WORD_SIZE + 32, 1);
    size_t len = (size_t)sprintf(text, "%s", first);
    for (size_t i = 1; i < n; i++)
        len += mock_answer_word(5, i, text + len);
    return text;
}

static uint64_t seed_of_text(const char *text) {
    struct mock_tokens t = {0};
    mock_tokens_text(&t, text, strlen(text));
    uint64_t seed = mock_answer_seed(&t);
    mock_tokens_free(&t);
    return seed;
}

static char *completion_body(const char *prompt, size_t n, const char *more) {
    char *body;
    cr_assert(asprintf(&body, "{\"prompt\":\"%s\",\"max_tokens\":%zu%s}", prompt, n, more) > 0);
    return body;
}

static json_int_t cached_of(const struct mock_process *p, const char *path, const char *body) {
    struct support_response r = mock_http_post(p, path, body);
    json_t *answer = json_loads(r.body, 0, NULL);
    cr_assert(r.status == 200 && answer, "%d %s", r.status, r.body);
    json_int_t n = -1;
    cr_assert(json_unpack(answer, "{s:{s:{s:I}}}", "usage", "prompt_tokens_details",
                          "cached_tokens", &n) == 0);
    json_decref(answer);
    support_response_free(&r);
    return n;
}

// ---- Answers -------------------------------------------------------------------------------------

Test(http, a_stream_is_what_the_prompt_says) {
    struct mock_process p = mock_process_start("");
    char want[40000], word[MOCK_WORD_SIZE];
    const char *prompt = "tell me all about it";
    uint64_t seed = seed_of_text(prompt);
    size_t len = 0, n = 40;
    for (size_t i = 0; i < n; i++) {
        mock_answer_word(seed, i, word);
        len += (size_t)sprintf(
            want + len,
            "data: {\"id\":\"cmpl-%016" PRIx64
            "\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"mock\","
            "\"choices\":[{\"index\":0,\"text\":\"%s\",\"logprobs\":null,\"finish_reason\":%s}]}"
            "\n\n",
            seed, word, i + 1 < n ? "null" : "\"length\"");
    }
    sprintf(want + len, "data: [DONE]\n\n");
    char *body = completion_body(prompt, n, ",\"stream\":true");
    for (int i = 0; i < 3; i++) {
        struct support_response r = mock_http_post(&p, "/v1/completions", body);
        cr_assert(r.status == 200);
        cr_assert_str_eq(r.body, want);
        support_response_free(&r);
    }
    free(body);
    mock_process_end(&p, SIGTERM);
}

Test(http, a_whole_answer_has_the_stream_s_words) {
    struct mock_process p = mock_process_start("");
    char want[200 * MOCK_WORD_SIZE];
    size_t len = 0;
    for (size_t i = 0; i < 100; i++)
        len += mock_answer_word(seed_of_text("hello"), i, want + len);
    char *body = completion_body("hello", 100, "");
    struct support_response r = mock_http_post(&p, "/v1/completions", body);
    json_t *answer = json_loads(r.body, 0, NULL), *usage = NULL;
    const char *text = NULL;
    cr_assert(json_unpack(answer, "{s:[{s:s}],s:o}", "choices", "text", &text, "usage", &usage) ==
              0);
    cr_assert_str_eq(text, want);
    cr_assert(json_integer_value(json_object_get(usage, "prompt_tokens")) == 1);
    cr_assert(json_integer_value(json_object_get(usage, "completion_tokens")) == 100);
    json_decref(answer);
    support_response_free(&r);
    free(body);
    mock_process_end(&p, SIGTERM);
}

// The next turn of a chat finds the last one in the cache, the answer included.
Test(http, a_chat_goes_on_where_it_was) {
    struct mock_process p = mock_process_start("--block-size=4");
    struct support_response r =
        mock_http_post(&p, "/v1/chat/completions",
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"a b c d e f\"}],"
                       "\"max_tokens\":21,\"model\":\"mock\"}");
    json_t *answer = json_loads(r.body, 0, NULL);
    const char *text = NULL;
    char *body;
    cr_assert(json_unpack(answer, "{s:[{s:{s:s}}]}", "choices", "message", "content", &text) == 0);
    cr_assert(asprintf(&body,
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"a b c d e f\"},"
                       "{\"role\":\"assistant\",\"content\":\"%s\"},{\"role\":\"user\",\"content\":"
                       "[{\"type\":\"text\",\"text\":\"go on\"}]}],\"max_completion_tokens\":1}",
                       text) > 0);
    // The prompt was 9 tokens; of the 21 that followed the last one is never computed.
    cr_assert(cached_of(&p, "/v1/chat/completions", body) == 28);
    free(body);
    json_decref(answer);
    support_response_free(&r);
    mock_process_end(&p, SIGTERM);
}

Test(http, chat_streams_begin_with_the_role_and_end_with_usage) {
    struct mock_process p = mock_process_start("");
    struct support_response r =
        mock_http_post(&p, "/v1/chat/completions",
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                       "\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    cr_assert(r.status == 200);
    cr_assert(strstr(r.body, "\"delta\":{\"role\":\"assistant\",\"content\":\"\"}") <
              strstr(r.body, "\n"));
    cr_assert(strstr(r.body, "\"finish_reason\":\"stop\"}]}\n\n"));
    cr_assert(strstr(r.body, "\"choices\":[],\"usage\":{\"prompt_tokens\":4,"));
    cr_assert_str_eq(r.body + r.n - 14, "data: [DONE]\n\n");
    support_response_free(&r);
    mock_process_end(&p, SIGTERM);
}

// ---- The cache -----------------------------------------------------------------------------------

Test(http, the_second_request_hits) {
    struct mock_process p = mock_process_start("--lora ad");
    char *prompt = words("one", 100), *body = completion_body(prompt, 1, "");
    char *salted = completion_body(prompt, 1, ",\"cache_salt\":\"s\"");
    char *adapted = completion_body(prompt, 1, ",\"model\":\"ad\"");
    const char *bodies[] = {body, salted, adapted};
    for (size_t i = 0; i < 3; i++) {
        cr_assert(cached_of(&p, "/v1/completions", bodies[i]) == 0);
        cr_assert(cached_of(&p, "/v1/completions", bodies[i]) == 96);
    }
    cr_assert(mock_metric(&p, "prefix_cache_queries_total") == 600);
    cr_assert(mock_metric(&p, "prefix_cache_hits_total") == 288);
    free(prompt), free(body), free(salted), free(adapted);
    mock_process_end(&p, SIGTERM);
}

Test(http, never_more_blocks_than_there_are) {
    struct mock_process p = mock_process_start("--blocks=20 --block-size=4");
    for (size_t i = 0; i < 60; i++) {
        char first[20];
        sprintf(first, "p%zu", i % 7);
        char *prompt = words(first, 10 + i % 11), *body = completion_body(prompt, 1 + i % 30, "");
        mock_http_expect(&p, "/v1/completions", body, 200);
        free(prompt), free(body);
        json_t *cache = mock_http_json(&p, "/mock/cache");
        json_t *row = json_array_get(json_object_get(cache, "ranks"), 0);
        cr_assert(json_integer_value(json_object_get(row, "copies")) <= 20);
        cr_assert(json_array_size(json_object_get(row, "blocks")) <= 20);
        cr_assert(json_integer_value(json_object_get(row, "used")) == 0);
        json_decref(cache);
    }
    char *long_one = words("x", 80), *body = completion_body(long_one, 10, "");
    mock_http_expect(&p, "/v1/completions", body, 400);
    free(long_one), free(body);
    mock_process_end(&p, SIGTERM);
}

// ---- Queues --------------------------------------------------------------------------------------

static int begin(const struct mock_process *p, const char *body) {
    char *head;
    int fd = mock_http_open(p);
    cr_assert(asprintf(&head,
                       "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(body), body) > 0);
    support_http_send(fd, head, strlen(head));
    free(head);
    return fd;
}

static void wait_metric(const struct mock_process *p, const char *name, double value) {
    int64_t deadline = kvr_clock_ms() + MOCK_PATIENCE_MS;
    while (mock_metric(p, name) != value) {
        cr_assert(kvr_clock_ms() < deadline, "%s never was %g", name, value);
        support_sleep_ms(2);
    }
}

Test(http, who_finds_no_place_waits) {
    struct mock_process p = mock_process_start("--max-running=2");
    int fds[5];
    mock_order_fault(&p, "kind=hang-engine");
    for (size_t i = 0; i < 5; i++)
        fds[i] = begin(&p, "{\"prompt\":\"x y z\",\"max_tokens\":5}");
    // The first began its step alone, before the others came.
    wait_metric(&p, "num_requests_waiting", 4);
    cr_assert(mock_metric(&p, "num_requests_running") == 1);
    mock_order_fault(&p, "kind=clear");
    for (size_t i = 0; i < 5; i++) {
        char *text = mock_http_read(fds[i], "\"usage\"", NULL, NULL);
        cr_assert(strstr(text, "200 OK"));
        free(text);
        close(fds[i]);
    }
    mock_process_end(&p, SIGTERM);
}

// A prompt that another one's steps compute meanwhile: it finds there what is done when its turn comes.
Test(http, what_waits_is_looked_up_when_it_begins) {
    struct mock_process p = mock_process_start("--max-batch-tokens=16 --block-size=16");
    char body[600] = "{\"max_tokens\":3,\"prompt\":[1";
    for (int i = 2; i <= 64; i++)
        snprintf(body + strlen(body), 8, ",%d", i);
    strcat(body, "]}");
    mock_order_fault(&p, "kind=hang-engine");
    int first = begin(&p, body), second = begin(&p, body);
    wait_metric(&p, "num_requests_waiting", 1);
    mock_order_fault(&p, "kind=clear");
    char *text = mock_http_read(first, "cached_tokens\":0}", NULL, NULL);
    cr_assert(strstr(text, "cached_tokens\":0}"), "%s", text);
    free(text);
    text = mock_http_read(second, "cached_tokens\":48}", NULL, NULL);
    cr_assert(strstr(text, "cached_tokens\":48}"), "%s", text);
    free(text);
    close(first);
    close(second);
    mock_process_end(&p, SIGTERM);
}

// For who measures: which engine it was, and how long its steps took.
Test(http, tells_its_name_and_its_pace) {
    struct mock_process p =
        mock_process_start("--fingerprint=e7 --time-scale=10 --decode-speed=100");
    struct support_response r =
        mock_http_post(&p, "/v1/completions",
                       "{\"prompt\":\"x\",\"max_tokens\":11,\"stream\":true,"
                       "\"stream_options\":{\"include_usage\":true}}");
    cr_assert(r.status == 200 && strstr(r.body, "],\"system_fingerprint\":\"e7\",\"usage\""));
    support_response_free(&r);
    r = mock_http_get(&p, "/metrics");
    double planned = 0, taken = 0;
    const char *at = strstr(r.body, "\nmock:step_seconds_planned_total{");
    if (at) sscanf(strchr(at, '}'), "} %lf", &planned);
    at = strstr(r.body, "\nmock:step_seconds_total{");
    if (at) sscanf(strchr(at, '}'), "} %lf", &taken);
    cr_assert(planned > 0.00999 && planned < 0.0102 && taken > 0, "%g %g", planned, taken);
    support_response_free(&r);
    mock_process_end(&p, SIGTERM);
}

Test(http, who_goes_is_forgotten) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=hang-engine");
    int stream = begin(&p, "{\"prompt\":\"x\",\"max_tokens\":5000,\"stream\":true}");
    int whole = begin(&p, "{\"prompt\":\"y\",\"max_tokens\":5000}");
    wait_metric(&p, "num_requests_waiting", 1);
    close(stream);
    close(whole);
    wait_metric(&p, "num_requests_waiting", 0);
    wait_metric(&p, "num_requests_running", 0);
    mock_order_fault(&p, "kind=clear");
    cr_assert(mock_metric(&p, "kv_cache_usage_perc") == 0);
    mock_http_expect(&p, "/v1/completions", "{\"prompt\":\"z\"}", 200);
    mock_process_end(&p, SIGTERM);
}

// Some close, some reset, at any point of an answer; what is left is an engine that does nothing.
Test(http, who_goes_in_the_middle_is_forgotten) {
    struct mock_process p = mock_process_start("--time-scale=20 --max-running=5 --blocks=500");
    unsigned random = 3;
    for (size_t i = 0; i < 300; i++) {
        struct linger now = {.l_onoff = 1};
        int fd = begin(&p, i % 3 ? "{\"prompt\":\"x\",\"max_tokens\":300,\"stream\":true}"
                                 : "{\"prompt\":\"x y z\",\"max_tokens\":4}");
        if (rand_r(&random) % 2) free(mock_http_read(fd, i % 3 ? "data: " : "200", NULL, NULL));
        if (rand_r(&random) % 2) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fd);
    }
    wait_metric(&p, "num_requests_waiting", 0);
    wait_metric(&p, "num_requests_running", 0);
    cr_assert(mock_metric(&p, "kv_cache_usage_perc") == 0);
    mock_process_end(&p, SIGTERM);
}

Test(http, ranks_are_chosen_by_header_or_load) {
    struct mock_process p = mock_process_start("--ranks=3");
    struct support_response r = mock_http(&p, "POST", "/v1/completions",
                                          "X-data-parallel-rank: 2\r\n", "{\"prompt\":\"x\"}");
    cr_assert(r.status == 200);
    support_response_free(&r);
    r = mock_http(&p, "POST", "/v1/completions", "X-data-parallel-rank: 3\r\n",
                  "{\"prompt\":\"x\"}");
    cr_assert(r.status == 400);
    support_response_free(&r);
    json_t *cache = mock_http_json(&p, "/mock/cache");
    for (size_t i = 0; i < 3; i++) {
        json_t *row = json_array_get(json_object_get(cache, "ranks"), i);
        cr_assert((json_integer_value(json_object_get(row, "steps")) > 0) == (i == 2));
    }
    json_decref(cache);
    mock_process_end(&p, SIGTERM);
}

// ---- Everything else -----------------------------------------------------------------------------

Test(http, what_else_there_is) {
    struct mock_process p = mock_process_start("--lora ad --ranks=2 --block-size=8");
    static const struct {
        const char *path, *body, *want;
    } cases[] = {
        {"/health", NULL, ""},
        {"/v1/models", NULL, "\"id\":\"ad\""},
        {"/v1/models", NULL, "\"parent\":\"mock\""},
        {"/v1/models", NULL, "\"parent\":null"},
        {"/server_info", NULL, "\"block_size\":8,\"dp_size\":2"},
        {"/is_paused", NULL, "\"is_paused\":false"},
        {"/is_sleeping", NULL, "\"is_sleeping\":false"},
        {"/kv_event_sources", NULL, "\"publisher\":\"zmq\",\"endpoint\":\"tcp://*:"},
        {"/metrics", NULL, "\nvllm:cache_config_info{block_size=\"8\","},
        {"/tokenize", "{\"prompt\":\"a b c\"}", "\"count\":3"},
        {"/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"a b\"}]}", "\"count\":5"},
        {"/v1/embeddings", "{\"input\":\"a b\"}", "\"prompt_tokens\":2"},
        {"/v1/completions", "{\"prompt\":[1,2,4294967295]}", "\"prompt_tokens\":3"},
        {"/v1/completions", "{\"prompt\":[[1,2]]}", "\"prompt_tokens\":2"},
        {"/reset_prefix_cache", "", "true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct support_response r =
            mock_http(&p, cases[i].body ? "POST" : "GET", cases[i].path, "", cases[i].body);
        cr_assert(r.status == 200 && strstr(r.body, cases[i].want), "%s: %d %s", cases[i].path,
                  r.status, r.body);
        support_response_free(&r);
    }
    mock_process_end(&p, SIGTERM);
}

// What an engine tells of itself depends on whose it is, and vLLM's on how it was started.
Test(http, what_an_engine_tells_of_itself) {
    static const struct {
        const char *options;
        int sources, ready, info, paused; // status of each path
    } kinds[] = {
        {"", 200, 404, 200, 200},
        {"--no-dev-mode", 200, 404, 404, 404},
        {"--schema=sglang", 404, 200, 200, 404},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct mock_process p = mock_process_start(kinds[i].options);
        mock_http_expect_get(&p, "/kv_event_sources", kinds[i].sources);
        mock_http_expect_get(&p, "/ready", kinds[i].ready);
        mock_http_expect_get(&p, "/server_info", kinds[i].info);
        mock_http_expect_get(&p, "/is_paused", kinds[i].paused);
        mock_process_end(&p, SIGTERM);
    }
    struct mock_process p = mock_process_start("--ranks=2 --no-replay");
    json_t *all = mock_http_json(&p, "/kv_event_sources");
    cr_assert(json_object_size(all) == 2);
    json_t *one = json_object_get(all, "1");
    const char *port = strrchr(p.events[1], ':'), *told;
    told = json_string_value(json_object_get(one, "endpoint"));
    cr_assert(told && strcmp(strrchr(told, ':'), port) == 0, "%s", told);
    cr_assert(json_is_null(json_object_get(one, "replay_endpoint")));
    json_decref(all);
    mock_process_end(&p, SIGTERM);
    p = mock_process_start("--no-events");
    all = mock_http_json(&p, "/kv_event_sources");
    cr_assert(json_is_object(all) && json_object_size(all) == 0);
    json_decref(all);
    mock_process_end(&p, SIGTERM);
}

Test(http, what_isnt_asked_well_is_refused) {
    struct mock_process p = mock_process_start("");
    static const struct {
        const char *path, *body;
        int status;
    } cases[] = {
        {"/v1/completions", "", 400},
        {"/v1/completions", "{", 400},
        {"/v1/completions", "[]", 400},
        {"/v1/completions", "{}", 400},
        {"/v1/completions", "{\"prompt\":\"\"}", 400},
        {"/v1/completions", "{\"prompt\":[]}", 400},
        {"/v1/completions", "{\"prompt\":[-1]}", 400},
        {"/v1/completions", "{\"prompt\":[4294967296]}", 400},
        {"/v1/completions", "{\"prompt\":[1.5]}", 400},
        {"/v1/completions", "{\"prompt\":[\"a\",\"b\"]}", 400},
        {"/v1/completions", "{\"prompt\":[[[1]]]}", 400},
        {"/v1/completions", "{\"prompt\":{}}", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":0}", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":-5}", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":9223372036854775807}", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":\"7\"}", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"stream\":1}", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"n\":2}", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"cache_salt\":\"\"}", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"stream_options\":{\"include_usage\":\"x\"}}", 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"model\":\"other\"}", 404},
        {"/v1/completions", "{\"prompt\":\"a\",\"model\":7}", 404},
        {"/v1/completions", "{\"prompt\":\"\xff\"}", 400},
        {"/v1/chat/completions", "{\"messages\":[]}", 400},
        {"/v1/chat/completions", "{\"messages\":\"x\"}", 400},
        {"/v1/chat/completions", "{\"messages\":[1]}", 400},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":[{}]}]}", 400},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":4}]}", 400},
        {"/v1/embeddings", "{\"input\":{}}", 400},
        {"/v1/embeddings", "{}", 400},
        {"/tokenize", "{}", 400},
        {"/mock/fault", "", 400},
        {"/mock/fault?kind=drop&n=x", "", 400},
        {"/mock/fault?kind=drop&rank=-1", "", 400},
        {"/mock/fault?kind=fail&status=200", "", 400},
        {"/mock/fault?kind=drop&what=1", "", 400},
        {"/mock/fault?&&&=&%zz", "", 400},
        {"/mock/batch?rank=9", "", 400},
        {"/health", "", 405},
        {"/nowhere", "", 404},
        {"/v1/completions/", "{\"prompt\":\"a\"}", 404},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        mock_http_expect(&p, cases[i].path, cases[i].body, cases[i].status);
    char *deep = mock_take(400001, 1);
    memset(deep, '[', 400000);
    mock_http_expect(&p, "/v1/completions", deep, 400);
    free(deep);
    mock_http_expect(&p, "/v1/completions", "{\"prompt\":\"a\"}", 200);
    mock_process_end(&p, SIGTERM);
}

Test(http, what_isnt_http_at_all) {
    struct mock_process p = mock_process_start("");
    static const char *const garbage[] = {
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "BREW /coffee HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02",
        "GET http://[::1 HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: x\r\nnot a header\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"prompt\":",
        "CONNECT x:1 HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        // Two at once: the second comes while the first is being answered.
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"prompt\":\"x\"}"
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"prompt\":\"y\"}"
        "rubbish",
    };
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        int fd = mock_http_open(&p);
        support_http_send(fd, garbage[i], strlen(garbage[i]));
        support_sleep_ms(5);
        support_http_send(fd, garbage[i], strlen(garbage[i]));
        support_sleep_ms(5);
        close(fd);
        mock_http_expect(&p, "/v1/completions", "{\"prompt\":\"a\"}", 200);
    }
    mock_process_end(&p, SIGTERM);
}

// Good requests with some bytes changed, moved or lost.
Test(http, damaged_requests_end_nothing) {
    struct mock_process p = mock_process_start("--block-size=4 --blocks=50");
    static const char *const good[] = {
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 45\r\n\r\n"
        "{\"prompt\":\"x y z\",\"max_tokens\":3,\"stream\":true}",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 48\r\n\r\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a b\"}]}",
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "10\r\n{\"prompt\":[1,2]}\r\n0\r\n\r\n",
        "POST /mock/fault?kind=duplicate&n=2&rank=0 HTTP/1.0\r\n\r\n",
        "GET /mock/cache HTTP/1.1\r\nHost: x\r\nX-data-parallel-rank: 0\r\n\r\n",
    };
    unsigned random = 11;
    for (size_t i = 0; i < 600; i++) {
        char text[300];
        size_t len = strlen(good[i % 5]);
        memcpy(text, good[i % 5], len);
        for (unsigned k = rand_r(&random) % 4; k > 0; k--)
            text[rand_r(&random) % len] = (char)rand_r(&random);
        if (rand_r(&random) % 3 == 0) len = rand_r(&random) % len;
        int fd = mock_http_open(&p);
        support_http_send(fd, text, len);
        if (i % 5 == 4) support_sleep_ms(1);
        close(fd);
    }
    mock_http_expect(&p, "/v1/completions", "{\"prompt\":\"a\"}", 200);
    mock_process_end(&p, SIGTERM);
}

Test(http, an_engine_ends_in_the_middle_of_answers) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=hang-engine");
    int fds[] = {begin(&p, "{\"prompt\":\"x\"}"), begin(&p, "{\"prompt\":\"x\",\"stream\":true}")};
    wait_metric(&p, "num_requests_waiting", 1);
    mock_process_end(&p, SIGTERM);
    for (size_t i = 0; i < 2; i++) {
        free(mock_http_read(fds[i], NULL, NULL, NULL));
        close(fds[i]);
    }
}

Test(http, bytes_that_come_during_an_answer_wait) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=hang-engine");
    int fd = begin(&p, "{\"prompt\":\"x\",\"max_tokens\":9,\"stream\":true}");
    wait_metric(&p, "num_requests_running", 1);
    const char *second = "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n";
    support_http_send(fd, second, strlen(second));
    support_sleep_ms(20);
    mock_order_fault(&p, "kind=clear");
    char *text = mock_http_read(fd, "\"owned_by\"", NULL, NULL);
    cr_assert(strstr(text, "data: [DONE]"));
    free(text);
    close(fd);
    mock_process_end(&p, SIGTERM);
}

Test(http, steps_take_their_time) {
    struct mock_process p =
        mock_process_start("--time-scale=1 --decode-speed=100 --prefill-speed=1000");
    int64_t start = kvr_clock_ms();
    char *prompt = words("slow", 100), *body = completion_body(prompt, 11, "");
    mock_http_expect(&p, "/v1/completions", body, 200);
    cr_assert(kvr_clock_ms() - start >=
              190); // 100 ms for the prompt, 10 tokens of 10 ms after the first
    free(prompt), free(body);
    mock_process_end(&p, SIGTERM);
}
