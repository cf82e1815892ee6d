// SPDX-License-Identifier: Apache-2.0
// The APIs beside chats and completions: the same answers in their shapes.
#define _GNU_SOURCE // asprintf
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "mock_memory.h"
#include "mock_process.h"
#include "mock_tokens.h"
#include "tests/support/support_home.h"

static json_t *read_answer(struct support_response r, int status) {
    json_t *answer = json_loadb(r.body, r.n, 0, NULL);
    cr_assert(r.status == status && answer, "%d %s", r.status, r.body);
    support_response_free(&r);
    return answer;
}

static json_t *ask(const struct mock_process *p, const char *path, const char *body) {
    return read_answer(mock_http_post(p, path, body), 200);
}

// The data of all events, whose types must be what `event:` says.
static json_t *events_of(const struct mock_process *p, const char *path, const char *body) {
    struct support_response r = mock_http_post(p, path, body);
    json_t *all = json_array();
    cr_assert(r.status == 200 && r.complete, "%d %s", r.status, r.body);
    for (char *at = r.body, *end; (end = strstr(at, "\n\n")); at = end + 2) {
        char type[60] = "";
        *end = 0;
        cr_assert(sscanf(at, "event: %59s", type) == 1, "%s", at);
        json_t *data = json_loads(strstr(at, "\ndata: ") + 7, 0, NULL);
        cr_assert_str_eq(json_string_value(json_object_get(data, "type")), type);
        json_array_append_new(all, data);
    }
    support_response_free(&r);
    return all;
}

// What is at a path as "response.usage.input_tokens" or "output.0.id"; fails the test if nothing is.
static const json_t *at(const json_t *from, const char *path) {
    char copy[120], *rest = copy, *name;
    snprintf(copy, sizeof copy, "%s", path);
    while ((name = strsep(&rest, ".")))
        from = json_is_array(from) ? json_array_get(from, strtoul(name, NULL, 10))
                                   : json_object_get(from, name);
    cr_assert(from, "no %s", path);
    return from;
}

static json_int_t number_at(const json_t *from, const char *path) {
    return json_integer_value(at(from, path));
}

static void expect_text(const json_t *from, const char *path, const char *want) {
    const char *is = json_string_value(at(from, path));
    cr_assert(is && strcmp(is, want) == 0, "%s: %s instead of %s", path, is ? is : "no text", want);
}

static json_t *last(json_t *events) {
    return json_array_get(events, json_array_size(events) - 1);
}

// The texts under this path of all events of a type, joined.
static char *join(json_t *events, const char *type, const char *path) {
    char *out = mock_take(100000, 1);
    json_t *event;
    size_t i;
    json_array_foreach(
        events, i, event) if (strcmp(json_string_value(json_object_get(event, "type")), type) == 0)
        strcat(out, json_string_value(at(event, path)));
    return out;
}

// The types in their order, each once where it comes several times in a row, without the first `skip` bytes.
static char *order_of(json_t *events, size_t skip) {
    char *out = mock_take(10000, 1);
    const char *before = "";
    json_t *event;
    size_t i;
    json_array_foreach(events, i, event) {
        const char *type = json_string_value(json_object_get(event, "type"));
        if (strcmp(type, before) != 0) strcat(strcat(out, type + skip), " ");
        before = type;
    }
    return out;
}

// The words that a chat's prompt gives: the text of a system message, or NULL, and of the user's.
static char *words_of(bool marked, const char *system, const char *user, size_t n) {
    struct mock_tokens t = {0};
    const char *const said[][2] = {{"system", system}, {"user", user}};
    if (marked) mock_tokens_add(&t, MOCK_BEGIN_OF_TEXT);
    for (size_t i = 0; i < 2; i++) {
        if (!said[i][1]) continue;
        mock_tokens_role(&t, said[i][0]);
        mock_tokens_text(&t, said[i][1], strlen(said[i][1]));
        mock_tokens_add(&t, MOCK_END_OF_MESSAGE);
    }
    mock_tokens_role(&t, "assistant");
    char *out = mock_take(n + 1, MOCK_WORD_SIZE);
    for (size_t i = 0, len = 0; i < n; i++)
        len += mock_answer_word(mock_answer_seed(&t), i, out + len);
    mock_tokens_free(&t);
    return out;
}

// ---- Responses -----------------------------------------------------------------------------------

Test(apis, responses_in_events) {
    static const char body[] =
        "{\"input\":\"one two three four five\",\"instructions\":\"be brief\","
        "\"max_output_tokens\":9,\"stream\":true}";
    struct mock_process p = mock_process_start("--block-size=4");
    char *want = words_of(true, "be brief", "one two three four five", 9);
    for (json_int_t cached = 0; cached <= 12; cached += 12) {
        json_t *events = events_of(&p, "/v1/responses", body), *event;
        size_t i;
        json_array_foreach(events, i, event)
            cr_assert(number_at(event, "sequence_number") == (json_int_t)i);
        char *order = order_of(events, strlen("response."));
        cr_assert_str_eq(order, "created in_progress output_item.added content_part.added "
                                "output_text.delta output_text.done content_part.done "
                                "output_item.done completed ");
        char *text = join(events, "response.output_text.delta", "delta");
        cr_assert_str_eq(text, want);
        const json_t *end = last(events);
        expect_text(end, "response.output.0.content.0.text", want);
        expect_text(end, "response.status", "incomplete");
        expect_text(end, "response.incomplete_details.reason", "max_output_tokens");
        cr_assert(number_at(end, "response.usage.input_tokens") == 13);
        cr_assert(number_at(end, "response.usage.output_tokens") == 9);
        cr_assert(number_at(end, "response.usage.input_tokens_details.cached_tokens") == cached);
        json_decref(events);
        free(order), free(text);
    }
    free(want);
    mock_process_end(&p, SIGTERM);
}

Test(apis, items_are_messages) {
    struct mock_process p = mock_process_start("");
    json_t *answer = ask(&p, "/v1/responses",
                         "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
                         "\"text\":\"hello\"}]}],\"max_output_tokens\":4}");
    char *want = words_of(true, NULL, "hello", 4);
    expect_text(answer, "output.0.content.0.text", want);
    expect_text(answer, "object", "response");
    json_decref(answer);
    free(want);
    mock_http_expect(&p, "/v1/responses", "{\"input\":[{\"type\":\"computer_call\"}]}", 400);
    mock_http_expect(&p, "/v1/responses", "{\"input\":7}", 400);
    mock_http_expect(&p, "/v1/responses", "{\"input\":\"x\",\"background\":true}", 400);
    mock_http_expect(&p, "/v1/responses", "{\"input\":\"x\",\"previous_response_id\":\"resp_1\"}",
                     404);
    mock_process_end(&p, SIGTERM);
}

Test(apis, a_store_has_the_turn_before) {
    static const char first[] = "{\"input\":\"a b c d e f g h\",\"instructions\":\"s\","
                                "\"max_output_tokens\":8}";
    struct mock_process p = mock_process_start("--responses-store --block-size=4");
    json_t *one = ask(&p, "/v1/responses", first), *other = ask(&p, "/v1/responses", first);
    const char *id = json_string_value(at(one, "id"));
    cr_assert(strcmp(id, json_string_value(at(other, "id"))) != 0);
    char *body, *path, *cancel;
    cr_assert(asprintf(&path, "/v1/responses/%s", id) > 0);
    cr_assert(asprintf(&cancel, "%s/cancel", path) > 0);
    cr_assert(asprintf(&body,
                       "{\"input\":\"go on\",\"instructions\":\"s\",\"max_output_tokens\":1,"
                       "\"previous_response_id\":\"%s\"}",
                       id) > 0);
    json_t *kept = mock_http_json(&p, path);
    cr_assert(json_equal(kept, one));
    mock_http_expect(&p, cancel, "", 400);
    mock_http_expect(&p, "/v1/responses/resp_0/cancel", "", 404);
    // 15 tokens asked, 8 said, of which the last one is never computed: five blocks.
    json_t *next = ask(&p, "/v1/responses", body);
    cr_assert(number_at(next, "usage.input_tokens_details.cached_tokens") == 20);
    cr_assert(number_at(next, "usage.input_tokens") == 15 + 8 + 1 + 4 + 1);
    mock_order_fault(&p, "kind=restart");
    mock_http_expect_get(&p, path, 404);
    json_decref(one), json_decref(other), json_decref(kept), json_decref(next);
    free(body), free(path), free(cancel);
    mock_process_end(&p, SIGTERM);
}

static char *status_of(const struct mock_process *p, const char *id) {
    char path[100];
    snprintf(path, sizeof path, "/v1/responses/%s", id);
    json_t *response = mock_http_json(p, path);
    char *status = mock_copy_text(json_string_value(at(response, "status")));
    json_decref(response);
    return status;
}

static void await_status(const struct mock_process *p, const char *id, const char *want) {
    int64_t deadline = kvr_clock_ms() + MOCK_PATIENCE_MS;
    for (bool is = false; !is; support_sleep_ms(2)) {
        char *status = status_of(p, id);
        is = strcmp(status, want) == 0;
        cr_assert(is || kvr_clock_ms() < deadline, "%s instead of %s", status, want);
        free(status);
    }
}

Test(apis, in_the_background) {
    static const char body[] = "{\"input\":\"hello\",\"background\":true,"
                               "\"max_output_tokens\":20}";
    struct mock_process p = mock_process_start("--responses-store");
    char path[100];
    json_t *first = ask(&p, "/v1/responses", body);
    expect_text(first, "status", "in_progress");
    await_status(&p, json_string_value(at(first, "id")), "incomplete");
    json_decref(first);
    // One that is made no further is cancelled, and one that a life ends is gone with it.
    mock_order_fault(&p, "kind=hang-engine");
    json_t *second = ask(&p, "/v1/responses", body), *third = ask(&p, "/v1/responses", body);
    snprintf(path, sizeof path, "/v1/responses/%s/cancel", json_string_value(at(second, "id")));
    for (int i = 0; i < 2; i++) {
        json_t *cancelled = ask(&p, path, "");
        expect_text(cancelled, "status", "cancelled");
        json_decref(cancelled);
    }
    snprintf(path, sizeof path, "/v1/responses/%s", json_string_value(at(third, "id")));
    mock_http_expect_get(&p, path, 200);
    mock_order_fault(&p, "kind=restart");
    mock_http_expect_get(&p, path, 404);
    mock_order_fault(&p, "kind=clear");
    json_decref(second), json_decref(third);
    json_decref(ask(&p, "/v1/responses", body));
    mock_process_end(&p, SIGTERM);
}

// ---- Messages ------------------------------------------------------------------------------------

Test(apis, messages_in_events) {
    static const char body[] =
        "{\"max_tokens\":7,\"stream\":true,\"system\":[{\"type\":\"text\",\"text\":"
        "\"x-anthropic-billing-header: %d\"},{\"type\":\"text\",\"text\":\"be brief\"}],"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one two three"
        " four\"}]}]}";
    struct mock_process p = mock_process_start("--block-size=4");
    char *want = words_of(false, "be brief", "one two three four", 7);
    for (int i = 0; i < 2; i++) {
        char *asked;
        cr_assert(asprintf(&asked, body, i) > 0);
        json_t *events = events_of(&p, "/v1/messages", asked);
        char *order = order_of(events, 0),
             *text = join(events, "content_block_delta", "delta.text");
        cr_assert_str_eq(order, "message_start content_block_start content_block_delta "
                                "content_block_stop message_delta message_stop ");
        cr_assert_str_eq(text, want);
        const json_t *end = json_array_get(events, json_array_size(events) - 2);
        cr_assert(number_at(json_array_get(events, 0), "message.usage.input_tokens") == 11);
        expect_text(end, "delta.stop_reason", "max_tokens");
        cr_assert(number_at(end, "usage.output_tokens") == 7);
        cr_assert(number_at(end, "usage.cache_read_input_tokens") == i * 8);
        json_decref(events);
        free(asked), free(order), free(text);
    }
    free(want);
    mock_process_end(&p, SIGTERM);
}

Test(apis, whole_messages) {
    struct mock_process p = mock_process_start("");
    json_t *answer = ask(&p, "/v1/messages",
                         "{\"max_tokens\":99,\"system\":\"s\",\"messages\":[{\"role\":\"user\","
                         "\"content\":\"hello you\"}]}");
    char *want = words_of(false, "s", "hello you", 99);
    expect_text(answer, "content.0.text", want);
    expect_text(answer, "role", "assistant");
    json_t *n = ask(&p, "/v1/messages/count_tokens",
                    "{\"system\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":"
                    "\"hello you\"}]}");
    cr_assert(number_at(n, "input_tokens") == number_at(answer, "usage.input_tokens"));
    json_decref(answer), json_decref(n);
    free(want);
    answer = read_answer(mock_http_post(&p, "/v1/messages", "{\"messages\":[]}"), 400);
    expect_text(answer, "type", "error");
    expect_text(answer, "error.message", "max_tokens is missing");
    json_decref(answer);
    mock_process_end(&p, SIGTERM);
}

// A thought, then a call, whose pieces make what a whole answer has.
Test(apis, thoughts_and_calls) {
    static const char body[] =
        "{\"max_tokens\":900,\"stream\":%s,\"tools\":[{\"name\":\"lookup\"}],"
        "\"tool_choice\":{\"type\":\"any\"},\"messages\":[{\"role\":\"user\","
        "\"content\":\"hello\"}]}";
    struct mock_process p = mock_process_start("--answers ids --reasoning");
    char *streamed, *whole;
    cr_assert(asprintf(&streamed, body, "true") > 0 && asprintf(&whole, body, "false") > 0);
    json_t *events = events_of(&p, "/v1/messages", streamed),
           *answer = ask(&p, "/v1/messages", whole);
    expect_text(answer, "content.0.type", "thinking");
    expect_text(answer, "content.1.type", "tool_use");
    expect_text(answer, "stop_reason", "tool_use");
    json_t *event, *kept = json_array();
    size_t i;
    json_array_foreach(events, i,
                       event) if (json_object_get(json_object_get(event, "delta"), "partial_json"))
        json_array_append(kept, event);
    char *arguments = join(kept, "content_block_delta", "delta.partial_json");
    json_t *input = json_loads(arguments, 0, NULL);
    cr_assert(input && json_equal(input, at(answer, "content.1.input")), "%s", arguments);
    json_decref(events), json_decref(answer), json_decref(kept), json_decref(input);
    free(streamed), free(whole), free(arguments);
    mock_process_end(&p, SIGTERM);
}

// What an engine aborts ends in whole messages, without a word for why.
Test(apis, aborted) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=abort&n=2&tokens=3");
    json_t *events = events_of(&p, "/v1/messages",
                               "{\"max_tokens\":9,\"stream\":true,\"messages\":[{\"role\":"
                               "\"user\",\"content\":\"x\"}]}");
    const json_t *end = json_array_get(events, json_array_size(events) - 2);
    cr_assert(json_is_null(at(end, "delta.stop_reason")));
    cr_assert(number_at(end, "usage.output_tokens") == 3);
    json_decref(events);
    events = events_of(&p, "/v1/responses", "{\"input\":\"x\",\"stream\":true}");
    expect_text(last(events), "response.status", "cancelled");
    json_decref(events);
    mock_order_fault(&p, "kind=fail&n=1");
    json_t *failed = read_answer(mock_http_post(&p, "/v1/messages", "{}"), 503);
    expect_text(failed, "type", "error");
    json_decref(failed);
    mock_process_end(&p, SIGTERM);
}

// ---- Rendering -----------------------------------------------------------------------------------

Test(apis, rendering_tells_the_ids) {
    static const struct {
        const char *path, *body, *used;
    } rows[] = {
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"a b c\"}]}",
         "usage.prompt_tokens"},
        {"/v1/responses", "{\"input\":\"a b c\",\"instructions\":\"x y\"}", "usage.input_tokens"},
        {"/v1/messages",
         "{\"max_tokens\":3,\"messages\":[{\"role\":\"user\",\"content\":\"a b c\"}]}",
         "usage.input_tokens"},
    };
    struct mock_process p = mock_process_start("--render"), off = mock_process_start("");
    for (size_t i = 0; i < 3; i++) {
        char path[60];
        snprintf(path, sizeof path, "%s/render", rows[i].path);
        json_t *rendered = ask(&p, path, rows[i].body),
               *answer = ask(&p, rows[i].path, rows[i].body);
        size_t n = json_array_size(at(rendered, "token_ids"));
        cr_assert(n && (json_int_t)n == number_at(answer, rows[i].used));
        json_decref(rendered), json_decref(answer);
        mock_http_expect(&p, path, "{}", 400);
        mock_http_expect(&off, path, rows[i].body, 403);
    }
    json_t *several = ask(&p, "/v1/completions/render", "{\"prompt\":\"a b c\"}");
    cr_assert(json_array_size(at(several, "0.token_ids")) == 3);
    json_decref(several);
    mock_process_end(&p, SIGTERM);
    mock_process_end(&off, SIGTERM);
}

// ---- Scores and vectors --------------------------------------------------------------------------

Test(apis, scores_and_vectors) {
    static const struct {
        const char *path, *body, *there;
    } rows[] = {
        {"/v1/rerank", "{\"query\":\"q\",\"documents\":[\"a\",\"b\",\"c\"],\"top_n\":2}",
         "results.1.relevance_score"},
        {"/rerank", "{\"query\":\"q\",\"documents\":[\"a\"]}", "results.0.document.text"},
        {"/v2/rerank", "{\"query\":\"q\",\"documents\":[\"a\"]}", "usage.total_tokens"},
        {"/score", "{\"text_1\":\"q\",\"text_2\":[\"a\",\"b\"]}", "data.1.score"},
        {"/v1/score", "{\"queries\":[\"q\"],\"documents\":[\"a\",\"b\"]}", "data.1.score"},
        {"/classify", "{\"input\":[\"a\",\"b\"]}", "data.1.probs.1"},
        {"/pooling", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "data.0.data.7"},
        {"/v2/embed", "{\"texts\":[\"a\",\"b\"]}", "embeddings.float.1.7"},
        {"/v1/embeddings", "{\"input\":\"a\"}", "data.0.embedding.7"},
        {"/v1/embeddings", "{\"input\":[[300,301]],\"encoding_format\":\"base64\"}",
         "data.0.embedding"},
    };
    struct mock_process p = mock_process_start("");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *answer = ask(&p, rows[i].path, rows[i].body), *again;
        at(answer, rows[i].there);
        again = ask(&p, rows[i].path, rows[i].body);
        cr_assert(json_equal(answer, again), "%s", rows[i].path);
        json_decref(answer), json_decref(again);
        mock_http_expect(&p, rows[i].path, "{\"input\":{},\"texts\":1}", 400);
    }
    mock_http_expect_get(&p, "/ping", 200);
    mock_http_expect(&p, "/ping", "", 200);
    json_decref(mock_http_json(&p, "/version"));
    mock_process_end(&p, SIGTERM);
}

// ---- SGLang --------------------------------------------------------------------------------------

Test(apis, generate_says_all_of_it_again) {
    struct mock_process p = mock_process_start("--schema=sglang");
    struct support_response r =
        mock_http_post(&p, "/generate",
                       "{\"text\":\"once upon\",\"sampling_params\":{\"max_new_tokens\":3},"
                       "\"stream\":true,\"rid\":\"r1\"}");
    json_t *whole = ask(&p, "/generate",
                        "{\"text\":\"once upon\",\"sampling_params\":{\"max_new_tokens\":3},"
                        "\"rid\":\"r1\"}");
    const char *before = "";
    size_t n = 0;
    for (char *chunk = r.body, *end; (end = strstr(chunk, "\n\n")); chunk = end + 2) {
        *end = 0;
        if (strcmp(chunk, "data: [DONE]") == 0) break;
        json_t *data = json_loads(chunk + 6, 0, NULL);
        const char *text = json_string_value(at(data, "text"));
        cr_assert(strncmp(text, before, strlen(before)) == 0);
        cr_assert(json_array_size(at(data, "output_ids")) == ++n);
        before = strstr(chunk, "\"text\":\"") + 8;
        *strchr(before, '"') = 0;
        if (n == 3) cr_assert(json_equal(data, whole), "%s", chunk);
        json_decref(data);
    }
    cr_assert(n == 3 && number_at(whole, "meta_info.prompt_tokens") == 2);
    expect_text(whole, "meta_info.id", "r1");
    expect_text(whole, "meta_info.finish_reason.type", "length");
    json_decref(whole);
    support_response_free(&r);
    mock_http_expect(&p, "/generate", "{\"text\":\"a\",\"input_ids\":[300]}", 400);
    mock_http_expect(&p, "/generate", "{}", 400);
    json_t *ranked = ask(&p, "/v1/rerank", "{\"query\":\"q\",\"documents\":[\"a\"]}");
    expect_text(ranked, "0.document", "a");
    json_decref(ranked);
    mock_process_end(&p, SIGTERM);
}

// ---- Files ---------------------------------------------------------------------------------------

static struct support_response send_form(const struct mock_process *p, const char *more) {
    char body[1000];
    snprintf(body, sizeof body,
             "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n"
             "Content-Type: audio/wav\r\n\r\nRIFF\r\n--x\r\n"
             "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nmock\r\n%s--b--\r\n",
             more);
    return mock_http(p, "POST", "/v1/audio/transcriptions",
                     "Content-Type: multipart/form-data; boundary=b\r\n", body);
}

Test(apis, what_is_heard_is_in_the_file) {
    struct mock_process p = mock_process_start("");
    json_t *whole = read_answer(send_form(&p, ""), 200);
    struct support_response r =
        send_form(&p, "--b\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n");
    char *text = mock_take(r.n + 1, 1);
    bool done = false;
    for (char *chunk = r.body, *end; (end = strstr(chunk, "\n\n")); chunk = end + 2) {
        *end = 0;
        done = strcmp(chunk, "data: [DONE]") == 0;
        json_t *data = done ? NULL : json_loads(chunk + 6, 0, NULL);
        if (data) strcat(text, json_string_value(at(data, "choices.0.delta.content")));
        json_decref(data);
    }
    cr_assert(done);
    expect_text(whole, "text", text);
    expect_text(whole, "usage.type", "duration");
    json_decref(whole);
    free(text);
    support_response_free(&r);
    r = mock_http_post(&p, "/v1/audio/transcriptions", "{}");
    cr_assert(r.status == 400);
    support_response_free(&r);
    r = mock_http(&p, "POST", "/v1/audio/transcriptions",
                  "Content-Type: multipart/form-data; boundary=b\r\n", "--b\r\nno end");
    cr_assert(r.status == 400);
    support_response_free(&r);
    mock_process_end(&p, SIGTERM);
}
