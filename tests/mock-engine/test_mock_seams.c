// SPDX-License-Identifier: Apache-2.0
// Streams that go on at another engine: what comes there is what would have come, chunk by chunk, and
// what real engines lose at a seam is lost.
#define _GNU_SOURCE // asprintf
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "mock_process.h"
#include "mock_sse.h"

// Two engines that answer alike.
struct seam {
    struct mock_process first, second;
};

static struct seam start(const char *options) {
    char all[300];
    snprintf(all, sizeof all, "--answers=ids %s", options);
    return (struct seam){mock_process_start(all), mock_process_start(all)};
}

static void end(struct seam *s) {
    mock_process_end(&s->first, SIGTERM);
    mock_process_end(&s->second, SIGTERM);
}

static struct mock_sse complete(const struct mock_process *p, json_t *prompt, size_t max,
                                const char *more) {
    char *ids = json_dumps(prompt, JSON_COMPACT | JSON_ENCODE_ANY), *body;
    cr_assert(asprintf(&body,
                       "{\"prompt\":%s,\"max_tokens\":%zu,\"stream\":true,\"return_token_ids\":true"
                       "%s}",
                       ids, max, more) > 0);
    struct mock_sse s = mock_sse_post(p, "/v1/completions", body);
    free(ids);
    free(body);
    json_decref(prompt);
    return s;
}

// prompt: of the ids that stand for the messages, or NULL.
static struct mock_sse chat(const struct mock_process *p, json_t *prompt, const char *more) {
    char *ids = prompt ? json_dumps(prompt, JSON_COMPACT) : NULL, *body;
    cr_assert(asprintf(&body,
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"tell me of the sea\"}],"
                       "\"stream\":true,\"return_token_ids\":true%s%s%s%s}",
                       ids ? ",\"kv_transfer_params\":{\"prompt_token_ids\":" : "", ids ? ids : "",
                       ids ? "}" : "", more) > 0);
    struct mock_sse s = mock_sse_post(p, "/v1/chat/completions", body);
    free(ids);
    free(body);
    json_decref(prompt);
    return s;
}

// Choice by choice: text, token ids and how it ends.
static void check_rest(const struct mock_sse *whole, size_t from, const struct mock_sse *rest) {
    size_t n = json_array_size(whole->chunks);
    cr_assert(json_array_size(rest->chunks) == n - from, "%zu chunks after %zu of %zu",
              json_array_size(rest->chunks), from, n);
    for (size_t i = from; i < n; i++) {
        char *want = json_dumps(mock_sse_choice(whole, i), JSON_COMPACT);
        char *got = json_dumps(mock_sse_choice(rest, i - from), JSON_COMPACT);
        cr_assert_str_eq(got, want);
        free(want);
        free(got);
    }
}

static size_t ids_at(const struct mock_sse *s, size_t chunk) {
    return json_array_size(json_object_get(mock_sse_choice(s, chunk), "token_ids"));
}

// ---- What goes on --------------------------------------------------------------------------------

Test(seams, a_completion_goes_on_after_every_token_with_text) {
    struct seam s = start("--end-every=0");
    struct mock_sse whole = complete(&s.first, json_string("hello you there"), 120, "");
    size_t cuts = 0, textless = 0;
    for (size_t i = 0; i + 1 < json_array_size(whole.chunks); i++) {
        if (!*mock_sse_text(&whole, i)) {
            textless++;
            continue;
        }
        struct mock_sse rest = complete(&s.second, mock_sse_ids(&whole, i), 120 - (i + 1), "");
        check_rest(&whole, i + 1, &rest);
        mock_sse_free(&rest);
        cuts++;
    }
    cr_assert(cuts > 60 && textless > 10, "%zu cuts, %zu tokens without text", cuts, textless);
    mock_sse_free(&whole);
    end(&s);
}

Test(seams, usage_counts_from_the_seam) {
    struct seam s = start("--end-every=0");
    const char *usage = ",\"stream_options\":{\"include_usage\":true}";
    struct mock_sse whole = complete(&s.first, json_string("a b c"), 20, usage);
    size_t cut = 9;
    while (!*mock_sse_text(&whole, cut))
        cut++;
    struct mock_sse rest = complete(&s.second, mock_sse_ids(&whole, cut), 20 - (cut + 1), usage);
    json_int_t prompt = 0, made = 0;
    cr_assert(json_unpack(rest.usage, "{s:I,s:I}", "prompt_tokens", &prompt, "completion_tokens",
                          &made) == 0);
    cr_assert((size_t)prompt == 3 + cut + 1 && (size_t)made == 20 - (cut + 1));
    mock_sse_free(&whole);
    mock_sse_free(&rest);
    end(&s);
}

// Until it ends by itself, thoughts and all.
static void check_chat(const char *options, const char *more, size_t *reasoning, size_t *content) {
    struct seam s = start(options);
    struct mock_sse whole = chat(&s.first, NULL, more);
    for (size_t i = 0; i + 1 < json_array_size(whole.chunks); i++) {
        const json_t *delta = json_object_get(mock_sse_choice(&whole, i), "delta");
        if (!*mock_sse_text(&whole, i)) continue;
        if (json_object_get(delta, "tool_calls")) break;
        *reasoning += json_object_get(delta, "reasoning") != NULL;
        *content += json_object_get(delta, "content") != NULL;
        struct mock_sse rest = chat(&s.second, mock_sse_ids(&whole, i), more);
        check_rest(&whole, i + 1, &rest);
        mock_sse_free(&rest);
    }
    mock_sse_free(&whole);
    end(&s);
}

Test(seams, a_chat_goes_on_within_and_after_its_thought) {
    size_t reasoning = 0, content = 0;
    check_chat("--reasoning", "", &reasoning, &content);
    cr_assert(reasoning >= 2 && content >= 2, "%zu, %zu", reasoning, content);
}

Test(seams, a_chat_goes_on_before_it_calls_a_tool) {
    size_t reasoning = 0, content = 0;
    check_chat("--reasoning --end-every=0", ",\"tools\":[{\"type\":\"function\"}]", &reasoning,
               &content);
    cr_assert(reasoning >= 2 && content >= 2, "%zu, %zu", reasoning, content);
}

Test(seams, chunks_of_several_tokens_go_on_too) {
    struct seam s = start("--end-every=0 --stream-interval=4");
    struct mock_sse whole = complete(&s.first, json_string("four at a time"), 50, "");
    struct mock_sse alone = complete(&s.second, json_string("four at a time"), 50, "");
    check_rest(&whole, 0, &alone);
    cr_assert(ids_at(&whole, 0) == 1 && ids_at(&whole, 1) == 4 && ids_at(&whole, 2) == 4);
    char *text = mock_sse_join(&whole, "text");
    size_t sent = 0, at = 0, cuts = 0;
    for (size_t i = 0; i + 1 < json_array_size(whole.chunks); i++) {
        sent += ids_at(&whole, i);
        at += strlen(mock_sse_text(&whole, i));
        json_t *ids = mock_sse_ids(&whole, i);
        char *list = json_dumps(ids, JSON_COMPACT), *body;
        cr_assert(asprintf(&body, "{\"tokens\":%s}", list) > 0);
        struct support_response r = mock_http_post(&s.second, "/detokenize", body);
        cr_assert(r.status == 200);
        bool whole_text = !strstr(r.body, "\xef\xbf\xbd") && !strstr(r.body, "\\ufffd");
        support_response_free(&r);
        free(list);
        free(body);
        if (!whole_text) {
            json_decref(ids);
            continue;
        }
        struct mock_sse rest = complete(&s.second, ids, 50 - sent, "");
        char *more = mock_sse_join(&rest, "text");
        cr_assert_str_eq(more, text + at);
        free(more);
        mock_sse_free(&rest);
        cuts++;
    }
    cr_assert(cuts > 3);
    free(text);
    mock_sse_free(&whole);
    mock_sse_free(&alone);
    end(&s);
}

// ---- What doesn't --------------------------------------------------------------------------------

// After a token that brought no text because a character isn't whole.
Test(seams, a_prompt_leaks_after_half_a_character) {
    struct seam s = start("--end-every=0");
    struct mock_sse whole = complete(&s.first, json_string("secret words"), 200, "");
    size_t leaks = 0;
    for (size_t i = 0; i + 2 < json_array_size(whole.chunks) && leaks < 5; i++) {
        if (*mock_sse_text(&whole, i) || !*mock_sse_text(&whole, i + 1)) continue;
        struct mock_sse rest = complete(&s.second, mock_sse_ids(&whole, i), 1, "");
        const char *text = mock_sse_text(&rest, 0), *next = mock_sse_text(&whole, i + 1);
        size_t n = strlen(text), tail = strlen(next);
        cr_assert(n >= tail && strcmp(text + n - tail, next) == 0);
        bool half = (unsigned char)*next >= 0x80;
        if (half) cr_assert(n > tail && strncmp(text, " #", 2) == 0, "%s", text);
        leaks += half;
        mock_sse_free(&rest);
    }
    cr_assert(leaks == 5);
    mock_sse_free(&whole);
    end(&s);
}

Test(seams, the_rest_of_a_call_comes_as_text) {
    struct seam s = start("--end-every=0");
    const char *more = ",\"tools\":[{\"type\":\"function\"}],\"tool_choice\":\"required\"";
    struct mock_sse whole = chat(&s.first, NULL, more);
    size_t cut = 0;
    while (!*mock_sse_text(&whole, cut))
        cut++;
    cr_assert_str_eq(mock_sse_finish(&whole), "tool_calls");
    struct mock_sse rest = chat(&s.second, mock_sse_ids(&whole, cut + 1), more);
    char *content = mock_sse_join(&rest, "content");
    cr_assert(strstr(content, "\"}}</tool_call>"), "%s", content);
    free(content);
    cr_assert_str_eq(mock_sse_finish(&rest), "stop");
    mock_sse_free(&whole);
    mock_sse_free(&rest);
    end(&s);
}

static bool goes_on_alike(const struct seam *s, const char *more) {
    struct mock_sse whole = complete(&s->first, json_string("is it the same"), 40, more);
    size_t cut = 15;
    while (!*mock_sse_text(&whole, cut))
        cut++;
    struct mock_sse rest = complete(&s->second, mock_sse_ids(&whole, cut), 40 - (cut + 1), more);
    char *all = mock_sse_join(&whole, "text"), *end = mock_sse_join(&rest, "text");
    size_t n = strlen(all), tail = strlen(end);
    bool alike = tail <= n && strcmp(all + n - tail, end) == 0;
    free(all);
    free(end);
    mock_sse_free(&whole);
    mock_sse_free(&rest);
    return alike;
}

Test(seams, seeds_and_penalties_begin_anew) {
    struct seam s = start("--end-every=0");
    cr_expect(goes_on_alike(&s, ""));
    cr_expect(goes_on_alike(&s, ",\"repetition_penalty\":1.2"));
    cr_expect(goes_on_alike(&s, ",\"seed\":7,\"temperature\":0"));
    cr_expect(!goes_on_alike(&s, ",\"seed\":7"));
    cr_expect(!goes_on_alike(&s, ",\"presence_penalty\":0.5"));
    cr_expect(!goes_on_alike(&s, ",\"frequency_penalty\":0.5"));
    end(&s);
}

// Text that was cut into tokens anew isn't what the answer was made of.
Test(seams, going_on_by_text_is_not_exact) {
    struct seam s = start("--end-every=0");
    struct mock_sse whole = chat(&s.first, NULL, ",\"max_tokens\":60");
    char *text = mock_sse_join(&whole, "content"), *body;
    size_t n = strlen(text);
    json_t *quoted = json_string(text);
    char *dump = json_dumps(quoted, JSON_ENCODE_ANY);
    cr_assert(asprintf(&body,
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"tell me of the sea\"},"
                       "{\"role\":\"assistant\",\"content\":%s}],\"continue_final_message\":true,"
                       "\"add_generation_prompt\":false}",
                       dump) > 0);
    struct support_response r = mock_http_post(&s.second, "/tokenize", body);
    json_t *tokens = json_loads(r.body, 0, NULL);
    json_t *ids = mock_sse_ids(&whole, json_array_size(whole.chunks) - 1);
    cr_assert(r.status == 200 && n > 0);
    cr_assert(!json_equal(json_object_get(tokens, "tokens"), ids));
    // But the beginning is: all that the template made.
    for (size_t i = 0; i < json_array_size(whole.prompt); i++)
        cr_assert(json_equal(json_array_get(json_object_get(tokens, "tokens"), i),
                             json_array_get(whole.prompt, i)));
    support_response_free(&r);
    json_decref(tokens);
    json_decref(ids);
    json_decref(quoted);
    free(dump), free(text), free(body);
    mock_sse_free(&whole);
    end(&s);
}

Test(seams, stop_strings_are_not_seen_across_a_seam) {
    struct seam s = start("--end-every=0");
    struct mock_sse whole = complete(&s.first, json_string("do stop"), 60, "");
    size_t cut = 10;
    // The last word before the cut and the first after it make the stop string.
    while (strlen(mock_sse_text(&whole, cut)) < 3 || strlen(mock_sse_text(&whole, cut + 1)) < 3)
        cut++;
    char more[100];
    snprintf(more, sizeof more, ",\"stop\":\"%s%.2s\"", mock_sse_text(&whole, cut) + 1,
             mock_sse_text(&whole, cut + 1));
    struct mock_sse stopped = complete(&s.first, json_string("do stop"), 60, more);
    cr_assert_str_eq(mock_sse_finish(&stopped), "stop");
    struct mock_sse rest = complete(&s.second, mock_sse_ids(&whole, cut), 60 - (cut + 1), more);
    cr_assert_str_eq(mock_sse_finish(&rest), "length");
    mock_sse_free(&whole);
    mock_sse_free(&stopped);
    mock_sse_free(&rest);
    end(&s);
}
