// SPDX-License-Identifier: Apache-2.0
// Answers by token ids: what they bring, how they end, and what is refused.
#define _GNU_SOURCE // asprintf
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mock_process.h"
#include "mock_sse.h"

static json_t *ask(const struct mock_process *p, const char *path, const char *body) {
    struct support_response r = mock_http_post(p, path, body);
    json_t *answer = json_loads(r.body, 0, NULL);
    cr_assert(r.status == 200 && answer, "%d %s", r.status, r.body);
    support_response_free(&r);
    return answer;
}

static const json_t *first_choice(const json_t *answer) {
    return json_array_get(json_object_get(answer, "choices"), 0);
}

// A whole answer has what its stream has.
Test(ids, a_stream_and_a_whole_answer_are_the_same) {
    struct mock_process p = mock_process_start("--answers=ids --reasoning");
    struct mock_sse s =
        mock_sse_post(&p, "/v1/chat/completions",
                      "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,"
                      "\"return_token_ids\":true}");
    json_t *whole = ask(&p, "/v1/chat/completions",
                        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                        "\"return_token_ids\":true}");
    const json_t *message = json_object_get(first_choice(whole), "message");
    char *content = mock_sse_join(&s, "content"), *thought = mock_sse_join(&s, "reasoning");
    cr_assert_str_eq(json_string_value(json_object_get(message, "content")), content);
    cr_assert_str_eq(json_string_value(json_object_get(message, "reasoning")), thought);
    cr_assert(*content && *thought);
    json_t *ids = json_copy(json_object_get(whole, "prompt_token_ids"));
    json_t *streamed = mock_sse_ids(&s, json_array_size(s.chunks) - 1);
    json_array_extend(ids, json_object_get(first_choice(whole), "token_ids"));
    cr_assert(json_equal(ids, streamed));
    json_decref(ids), json_decref(streamed), json_decref(whole);
    free(content), free(thought);
    mock_sse_free(&s);
    mock_process_end(&p, SIGTERM);
}

Test(ids, words_of_the_prompt_have_ids_in_either_kind_of_answer) {
    static const char *const options[] = {"", "--answers=ids"};
    for (size_t i = 0; i < 2; i++) {
        struct mock_process p = mock_process_start(options[i]);
        struct mock_sse s = mock_sse_post(&p, "/v1/completions",
                                          "{\"prompt\":\"a b c\",\"max_tokens\":9,\"stream\":true,"
                                          "\"return_token_ids\":true}");
        json_t *tokens = ask(&p, "/tokenize", "{\"prompt\":\"a b c\"}");
        cr_assert(json_equal(s.prompt, json_object_get(tokens, "tokens")));
        json_t *all = mock_sse_ids(&s, 8);
        cr_assert(json_array_size(all) == 12);
        json_decref(all), json_decref(tokens);
        mock_sse_free(&s);
        mock_process_end(&p, SIGTERM);
    }
}

Test(ids, without_asking_there_are_none) {
    struct mock_process p = mock_process_start("--answers=ids --reasoning");
    static const char *const bodies[] = {
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true}",
        // A parser that keeps its thoughts to itself keeps the ids, too.
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,"
        "\"return_token_ids\":true,\"include_reasoning\":false}"};
    for (size_t i = 0; i < 2; i++) {
        struct support_response r = mock_http_post(&p, "/v1/chat/completions", bodies[i]);
        cr_assert(r.status == 200 && !strstr(r.body, "token_ids"));
        cr_assert((strstr(r.body, "\"reasoning\":") != NULL) == (i == 0));
        support_response_free(&r);
    }
    mock_process_end(&p, SIGTERM);
}

Test(ids, an_answer_ends_by_itself_unless_it_is_told_not_to) {
    struct mock_process p = mock_process_start("--answers=ids --end-every=4");
    static const struct {
        const char *more, *finish;
        json_int_t least, most;
    } cases[] = {
        {"", "stop", 1, 199},
        {",\"min_tokens\":150", "stop", 151, 199},
        {",\"ignore_eos\":true", "length", 200, 200},
        {",\"min_tokens\":200", "length", 200, 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *body;
        json_int_t made = 0;
        cr_assert(asprintf(&body, "{\"prompt\":\"x y\",\"max_tokens\":200%s}", cases[i].more) > 0);
        json_t *a = ask(&p, "/v1/completions", body);
        json_unpack(a, "{s:{s:I}}", "usage", "completion_tokens", &made);
        cr_expect_str_eq(json_string_value(json_object_get(first_choice(a), "finish_reason")),
                         cases[i].finish);
        cr_expect(made >= cases[i].least && made <= cases[i].most, "%s: %d", cases[i].more,
                  (int)made);
        json_decref(a);
        free(body);
    }
    mock_process_end(&p, SIGTERM);
}

Test(ids, stop_strings_end_an_answer) {
    struct mock_process p = mock_process_start("--answers=ids --end-every=0");
    json_t *plain = ask(&p, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":40}");
    const char *text = json_string_value(json_object_get(first_choice(plain), "text"));
    const char *word = strchr(text + 1, ' ');
    cr_assert(word);
    size_t before = (size_t)(word - text);
    for (int i = 0; i < 4; i++) {
        char *body;
        bool included = i % 2, stream = i / 2;
        cr_assert(asprintf(&body,
                           "{\"prompt\":\"x\",\"max_tokens\":40,\"stop\":[\"zzzz\",\"%.3s\"],"
                           "\"include_stop_str_in_output\":%s,\"stream\":%s}",
                           word, included ? "true" : "false", stream ? "true" : "false") > 0);
        struct mock_sse s = {0};
        json_t *a = NULL;
        char *got;
        const char *reason;
        if (stream) {
            s = mock_sse_post(&p, "/v1/completions", body);
            got = mock_sse_join(&s, "text");
            reason = mock_sse_finish(&s);
        } else {
            a = ask(&p, "/v1/completions", body);
            got = strdup(json_string_value(json_object_get(first_choice(a), "text")));
            reason = json_string_value(json_object_get(first_choice(a), "finish_reason"));
            cr_expect(json_object_get(first_choice(a), "stop_reason") != NULL);
        }
        size_t n = before + (included ? 3 : 0);
        cr_expect(strlen(got) == n && strncmp(got, text, n) == 0, "%s of %s", got, text);
        cr_expect_str_eq(reason, "stop");
        free(got), free(body);
        json_decref(a);
        if (stream) mock_sse_free(&s);
    }
    json_decref(plain);
    mock_process_end(&p, SIGTERM);
}

Test(ids, several_choices_are_several_answers) {
    struct mock_process p = mock_process_start("--answers=ids --end-every=0");
    json_t *a = ask(&p, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":30,\"n\":3}");
    const json_t *choices = json_object_get(a, "choices");
    json_int_t made = 0;
    json_unpack(a, "{s:{s:I}}", "usage", "completion_tokens", &made);
    cr_assert(json_array_size(choices) == 3 && made == 90);
    for (size_t i = 1; i < 3; i++)
        cr_assert(!json_equal(json_object_get(json_array_get(choices, 0), "text"),
                              json_object_get(json_array_get(choices, i), "text")));
    json_decref(a);
    struct support_response r = mock_http_post(
        &p, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":5,\"n\":2,\"stream\":true}");
    cr_assert(r.complete && strstr(r.body, "{\"index\":1,") && strstr(r.body, "data: [DONE]\n\n"));
    support_response_free(&r);
    cr_assert(mock_metric(&p, "kv_cache_usage_perc") == 0);
    mock_process_end(&p, SIGTERM);
}

Test(ids, logprobs_are_of_each_token) {
    struct mock_process p = mock_process_start("--answers=ids --end-every=0");
    json_t *a = ask(&p, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":7,\"logprobs\":1}");
    const json_t *l = json_object_get(first_choice(a), "logprobs");
    cr_assert(json_array_size(json_object_get(l, "token_logprobs")) == 7);
    cr_assert(json_integer_value(json_array_get(json_object_get(l, "text_offset"), 0)) == 0);
    json_decref(a);
    struct mock_sse s = mock_sse_post(&p, "/v1/chat/completions",
                                      "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                                      "\"max_tokens\":6,\"logprobs\":true,\"stream\":true}");
    cr_assert(json_array_size(s.chunks) == 6);
    for (size_t i = 0; i < 6; i++) {
        l = json_object_get(mock_sse_choice(&s, i), "logprobs");
        cr_assert(json_array_size(json_object_get(l, "content")) == 1);
    }
    mock_sse_free(&s);
    mock_process_end(&p, SIGTERM);
}

Test(ids, an_answer_has_the_id_that_it_is_asked_for) {
    struct mock_process p = mock_process_start("--answers=ids");
    struct support_response r =
        mock_http(&p, "POST", "/v1/completions", "X-Request-Id: me-1\r\n", "{\"prompt\":\"x\"}");
    cr_assert(r.status == 200 && strstr(r.body, "\"id\":\"cmpl-me-1\""));
    support_response_free(&r);
    mock_process_end(&p, SIGTERM);
}

Test(ids, usage_can_be_in_every_chunk) {
    struct mock_process p = mock_process_start("--answers=ids --end-every=0");
    struct mock_sse s =
        mock_sse_post(&p, "/v1/completions",
                      "{\"prompt\":\"x\",\"max_tokens\":5,\"stream\":true,\"stream_options\":{"
                      "\"include_usage\":true,\"continuous_usage_stats\":true}}");
    for (size_t i = 0; i < 5; i++) {
        json_int_t made = 0;
        json_unpack(json_array_get(s.chunks, i), "{s:{s:I}}", "usage", "completion_tokens", &made);
        cr_assert((size_t)made == i + 1);
    }
    mock_sse_free(&s);
    mock_process_end(&p, SIGTERM);
}

Test(ids, a_tool_is_called_and_told_of_in_pieces) {
    struct mock_process p = mock_process_start("--answers=ids --end-every=0");
    json_t *a = ask(&p, "/v1/chat/completions",
                    "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{}],"
                    "\"tool_choice\":\"required\"}");
    const char *name = NULL, *arguments = NULL;
    cr_assert(json_unpack(a, "{s:[{s:{s:[{s:{s:s,s:s}}]}}]}", "choices", "message", "tool_calls",
                          "function", "name", &name, "arguments", &arguments) == 0);
    json_t *read = json_loads(arguments, 0, NULL);
    cr_assert_str_eq(name, "lookup");
    cr_assert(json_is_object(read), "%s", arguments);
    json_decref(read);
    struct support_response r =
        mock_http_post(&p, "/v1/chat/completions",
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{}],"
                       "\"tool_choice\":\"required\",\"stream\":true}");
    cr_assert(strstr(r.body, "\"name\":\"lookup\",\"arguments\":\"\"}"));
    cr_assert(strstr(r.body, "\"finish_reason\":\"tool_calls\""));
    support_response_free(&r);
    json_decref(a);
    mock_process_end(&p, SIGTERM);
}

Test(ids, an_abort_looks_well) {
    struct mock_process p = mock_process_start("--answers=ids --end-every=0");
    mock_order_fault(&p, "kind=abort&n=1&tokens=3");
    struct mock_sse s =
        mock_sse_post(&p, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":9,\"stream\":true}");
    cr_assert(s.done && json_array_size(s.chunks) == 3);
    cr_assert_str_eq(mock_sse_finish(&s), "abort");
    mock_sse_free(&s);
    mock_process_end(&p, SIGTERM);
}

Test(ids, what_a_real_engine_refuses_is_refused) {
    static const char hi[] = "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]";
    static const struct {
        bool sglang, chat;
        const char *more;
        int status;
    } cases[] = {
        {false, false, "\"max_tokens\":3,\"min_tokens\":4", 400},
        {false, false, "\"stream_options\":{\"include_usage\":true}", 400},
        {true, false, "\"stream_options\":{\"include_usage\":true}", 200},
        {false, false, "\"max_tokens\":0", 400},
        {false, false, "\"n\":9", 400},
        {false, false, "\"stop\":\"\"", 400},
        {false, false, "\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]", 400},
        {false, false, "\"kv_transfer_params\":7", 400},
        {false, true, "\"kv_transfer_params\":{\"prompt_token_ids\":[7]}", 200},
        {false, true, "\"kv_transfer_params\":{\"prompt_token_ids\":[999999]}", 400},
        {false, true, "\"kv_transfer_params\":{\"prompt_token_ids\":\"x\"}", 400},
        {true, true, "\"input_ids\":[7,8,9]", 200},
        {true, true, "\"return_token_ids\":true,\"stream\":true", 400},
        {false, true, "\"continue_final_message\":true,\"add_generation_prompt\":true", 400},
        {false, true, "\"continue_final_message\":true", 200},
    };
    struct mock_process engines[] = {mock_process_start("--answers=ids"),
                                     mock_process_start("--answers=ids --schema=sglang")};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *body;
        const char *path = cases[i].chat ? "/v1/chat/completions" : "/v1/completions";
        cr_assert(
            asprintf(&body, "{%s,%s}", cases[i].chat ? hi : "\"prompt\":\"x\"", cases[i].more) > 0);
        mock_http_expect(&engines[cases[i].sglang], path, body, cases[i].status);
        free(body);
    }
    for (size_t i = 0; i < 2; i++)
        mock_process_end(&engines[i], SIGTERM);
}

// ---- Held back -----------------------------------------------------------------------------------

static const char long_one[] = "{\"prompt\":\"x\",\"max_tokens\":9,\"stream\":true}";

static size_t events_in(const char *text) {
    size_t n = 0;
    for (; (text = strstr(text, "data: ")); text++)
        n++;
    return n;
}

Test(stalls, an_answer_hangs_before_its_headers_until_it_is_let_go) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=stall");
    int held = mock_http_begin(&p, "/v1/completions", "", long_one);
    mock_wait_metric(&p, "generation_tokens_total", 9);
    struct support_response r = support_http_response(held, false, 30);
    cr_assert(r.status == 0 && !r.n);
    support_response_free(&r);
    mock_http_expect(&p, "/v1/completions", long_one, 200); // the next one isn't held
    mock_order_fault(&p, "kind=clear");
    r = mock_http_finish(held);
    cr_assert(r.status == 200 && r.complete);
    support_response_free(&r);
    mock_process_end(&p, SIGTERM);
}

Test(stalls, a_stream_hangs_in_the_middle) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=stall&after=3");
    int fd = mock_http_begin(&p, "/v1/completions", "", long_one);
    mock_wait_metric(&p, "generation_tokens_total", 9);
    size_t n = 0;
    for (int quiet = 0; quiet < 3; quiet += n == 3) {
        char *text = support_http_read(fd, NULL, 20, NULL, NULL, NULL);
        n += events_in(text);
        cr_assert(n <= 3 && !strstr(text, "[DONE]"), "%s", text);
        free(text);
    }
    mock_order_fault(&p, "kind=clear");
    char *text = mock_http_read(fd, "[DONE]", NULL, NULL);
    cr_assert(events_in(text) == 7); // with [DONE]
    free(text);
    close(fd);
    mock_process_end(&p, SIGTERM);
}

Test(stalls, an_answer_can_be_late) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=stall&n=2&ms=20");
    mock_http_expect(&p, "/v1/completions", long_one, 200);
    mock_http_expect(&p, "/v1/completions", "{\"prompt\":\"x\"}", 200);
    mock_process_end(&p, SIGTERM);
}

Test(stalls, who_is_held_may_go) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=stall");
    int fd = mock_http_begin(&p, "/v1/completions", "", long_one);
    mock_wait_metric(&p, "generation_tokens_total", 9);
    close(fd);
    mock_order_fault(&p, "kind=clear");
    mock_http_expect(&p, "/v1/completions", long_one, 200);
    mock_process_end(&p, SIGTERM);
}

Test(stalls, a_full_queue_refuses) {
    struct mock_process p = mock_process_start("--max-running=1 --max-queued=1");
    mock_order_fault(&p, "kind=hang-engine");
    int running = mock_http_begin(&p, "/v1/completions", "", long_one);
    mock_wait_metric(&p, "num_requests_running", 1);
    int waiting = mock_http_begin(&p, "/v1/completions", "", long_one);
    mock_wait_metric(&p, "num_requests_waiting", 1);
    mock_http_expect(&p, "/v1/completions", long_one, 503);
    mock_order_fault(&p, "kind=clear");
    int fds[] = {running, waiting};
    for (size_t i = 0; i < 2; i++) {
        struct support_response r = mock_http_finish(fds[i]);
        cr_assert(r.status == 200 && r.complete);
        support_response_free(&r);
    }
    mock_process_end(&p, SIGTERM);
}
