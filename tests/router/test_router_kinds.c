// SPDX-License-Identifier: Apache-2.0
// What of the bodies of each API matters for a choice: what two turns share, how long they are, which model a form is
// for, and which paths pass.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/front/router_pass.h"
#include "client/router/prompt/router_form.h"
#include "client/router/prompt/router_json.h"
#include "client/router/prompt/router_prompt.h"
#include "rtest_prompt.h"

static const struct router_prompt_config as_text = {.way = ROUTER_PROMPT_TEXT, .block_size = 2},
                                         as_ids = {.way = ROUTER_PROMPT_IDS, .block_size = 4},
                                         asking = {.way = ROUTER_PROMPT_TOKENIZE, .block_size = 4};

// ---- What two turns share ------------------------------------------------------------------------

#define LONG "0123456789abcdef0123456789abcdef"

// `next` begins as `first` does for at least so many blocks of 8 bytes; `other` doesn't even for one.
static const struct kinds_turns {
    enum router_prompt_kind kind;
    size_t blocks;
    const char *first, *next, *other;
} turns[] = {
    {ROUTER_PROMPT_MESSAGES, 8,
     "{\"system\":[{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: a=1\"},"
     "{\"type\":\"text\",\"text\":\"" LONG "\",\"cache_control\":{\"type\":\"ephemeral\"}}],"
     "\"messages\":[{\"role\":\"user\",\"content\":\"" LONG "\"}]}",
     "{\"messages\":[{\"content\":[{\"type\":\"text\",\"text\":\"" LONG
     "\"}],\"role\":\"user\"},{\"role\":\"assistant\",\"content\":\"b\"}],"
     "\"system\":[{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: a=2\"},"
     "{\"type\":\"text\",\"text\":\"" LONG "\"}]}",
     "{\"system\":\"x" LONG "\",\"messages\":[{\"role\":\"user\",\"content\":\"" LONG "\"}]}"},
    // The mark for the cache moves on with each turn.
    {ROUTER_PROMPT_MESSAGES, 8,
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
     "\"t\","
     "\"content\":\"" LONG LONG "\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
     "\"t\","
     "\"content\":\"" LONG LONG "\"}]},{\"role\":\"assistant\",\"content\":\"x\"}]}",
     "{\"messages\":[{\"role\":\"assistant\",\"content\":\"" LONG "\"}]}"},
    {ROUTER_PROMPT_RESPONSES, 8, "{\"instructions\":\"" LONG "\",\"input\":\"" LONG "\"}",
     "{\"input\":[{\"role\":\"user\",\"content\":\"" LONG "\"},{\"type\":\"function_call\","
     "\"id\":\"fc_1\",\"name\":\"f\",\"arguments\":\"{}\"}],\"instructions\":\"" LONG "\"}",
     "{\"input\":\"" LONG "\"}"},
    {ROUTER_PROMPT_RESPONSES, 4,
     "{\"input\":[{\"type\":\"reasoning\",\"id\":\"a\",\"status\":\"x\",\"summary\":\"" LONG
     "\"}]}",
     "{\"input\":[{\"type\":\"reasoning\",\"id\":\"b\",\"summary\":\"" LONG "\"},"
     "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"x\"}]}]}",
     "{\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":\"" LONG "\"}]}"},
    {ROUTER_PROMPT_GENERATE, 4, "{\"text\":\"" LONG "\"}", "{\"text\":\"" LONG LONG "\"}",
     "{\"text\":\"x" LONG "\"}"},
    {ROUTER_PROMPT_RERANK, 4, "{\"query\":\"" LONG "\",\"documents\":[\"a\",\"b\"]}",
     "{\"query\":\"" LONG "\",\"documents\":[\"c\"]}", "{\"query\":\"x" LONG "\"}"},
    {ROUTER_PROMPT_SCORE, 4, "{\"text_1\":\"" LONG "\",\"text_2\":[\"a\"]}",
     "{\"text_1\":\"" LONG "\",\"text_2\":\"b\"}", "{\"text_1\":\"x" LONG "\"}"},
    {ROUTER_PROMPT_SCORE, 4, "{\"query\":\"" LONG "\",\"items\":[\"a\"]}",
     "{\"queries\":[\"" LONG "\",\"x\"],\"documents\":[\"a\",\"b\"]}",
     "{\"query\":\"" LONG "\",\"items\":[\"a\"],\"item_first\":true}"},
    {ROUTER_PROMPT_POOLING, 4, "{\"input\":\"" LONG "\"}", "{\"texts\":[\"" LONG "\",\"x\"]}",
     "{\"input\":\"x" LONG "\"}"},
    {ROUTER_PROMPT_POOLING, 4, "{\"messages\":[{\"role\":\"user\",\"content\":\"" LONG "\"}]}",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"" LONG "\"},{\"role\":\"user\"}]}",
     "{\"messages\":[{\"role\":\"tool\",\"content\":\"" LONG "\"}]}"},
    {ROUTER_PROMPT_BATCH, 4, "{\"messages\":[[{\"role\":\"user\",\"content\":\"" LONG "\"}]]}",
     "{\"messages\":[[{\"role\":\"user\",\"content\":\"" LONG "\"}],[{\"role\":\"x\"}]]}",
     "{\"messages\":[[],[{\"role\":\"user\",\"content\":\"" LONG "\"}]]}"},
};

static size_t shared_by(enum router_prompt_kind kind, const char *a, const char *b) {
    struct router_prompt p = rtest_prompt(kind, a, &as_text), q = rtest_prompt(kind, b, &as_text);
    size_t n = 0;
    while (n < p.n && n < q.n && p.hashes[n] == q.hashes[n])
        n++;
    router_prompt_free(&p);
    router_prompt_free(&q);
    return n;
}

Test(kinds, a_turn_begins_as_the_one_before) {
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        const struct kinds_turns *t = &turns[i];
        cr_expect_geq(shared_by(t->kind, t->first, t->next), t->blocks, "%zu: %zu", i,
                      shared_by(t->kind, t->first, t->next));
        cr_expect_eq(shared_by(t->kind, t->first, t->other), 0, "%zu", i);
    }
}

// ---- How long they are ---------------------------------------------------------------------------

Test(kinds, lengths) {
    static const struct {
        enum router_prompt_kind kind;
        const char *body;
        int64_t isl, osl;
    } cases[] = {
        {ROUTER_PROMPT_GENERATE,
         "{\"input_ids\":[1,2,3,4,5],\"sampling_params\":{\"max_new_tokens\":7,\"ignore_eos\":true}"
         "}",
         5, 7},
        {ROUTER_PROMPT_GENERATE, "{\"input_ids\":[[1,2,3],[4,5]]}", 5, 0},
        {ROUTER_PROMPT_GENERATE, "{\"text\":[\"12345678\",\"1234\"]}", 3, 0},
        {ROUTER_PROMPT_RESPONSES, "{\"input\":[],\"max_output_tokens\":9,\"min_tokens\":9}", 0, 9},
        {ROUTER_PROMPT_RERANK,
         "{\"query\":\"1234\",\"documents\":[\"12345678\",{\"text\":\"1234\"}]}", 5, 1},
        {ROUTER_PROMPT_SCORE, "{\"text_1\":[\"1234\",\"1234\"],\"text_2\":[\"1234\",\"1234\"]}", 4,
         1},
        {ROUTER_PROMPT_SCORE, "{\"query\":1,\"items\":{}}", 0, 1},
        {ROUTER_PROMPT_MESSAGES, "{\"messages\":7,\"system\":{},\"tools\":3}", 1, 0},
        {ROUTER_PROMPT_FORM, "{\"model\":\"m\"}", 0, 0},
        {ROUTER_PROMPT_QUESTION, "{}", 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct router_prompt p = rtest_prompt(cases[i].kind, cases[i].body, &as_ids);
        cr_expect(p.isl == cases[i].isl && p.osl == cases[i].osl, "%zu: %lld %lld", i,
                  (long long)p.isl, (long long)p.osl);
        router_prompt_free(&p);
    }
    // What it goes on from is elsewhere, so it has no beginning.
    struct router_prompt p =
        rtest_prompt(ROUTER_PROMPT_RESPONSES,
                     "{\"previous_response_id\":\"resp_1\",\"input\":\"" LONG "\"}", &as_text);
    cr_assert(p.n == 0 && p.isl >= 8 && !p.tokenize);
    router_prompt_free(&p);
}

// ---- What engines are asked for tokens with ------------------------------------------------------

static void check_question(enum router_prompt_kind kind, const char *body, const char *want,
                           bool plain) {
    json_t *read = rtest_body(body), *wanted = rtest_body(want);
    struct evbuffer *q = router_prompt_tokenize_request(kind, read);
    char why[100], *text;
    json_t *asked = router_json_parse(q, why, sizeof why);
    cr_expect(json_equal(asked, wanted), "%s", text = json_dumps(asked, JSON_SORT_KEYS));
    cr_expect_eq(router_prompt_is_plain(kind, read), plain, "%s", body);
    evbuffer_free(q);
    json_decref(asked);
    json_decref(read);
    json_decref(wanted);
}

Test(kinds, messages_as_chats) {
    check_question(
        ROUTER_PROMPT_MESSAGES,
        "{\"model\":\"m\",\"max_tokens\":5,\"system\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: 1\"},"
        "{\"type\":\"text\",\"text\":\"b\"}],\"tools\":[{\"name\":\"f\",\"description\":\"d\","
        "\"input_schema\":{\"type\":\"object\"}},{\"type\":\"web_search\"}],"
        "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":["
        "{\"type\":\"thinking\",\"thinking\":\"hm\"},{\"type\":\"text\",\"text\":\"c\"},"
        "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\","
        "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":\"r\"}]}]}",
        "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"messages\":["
        "{\"role\":\"system\",\"content\":\"ab\"},{\"role\":\"user\",\"content\":\"hi\"},"
        "{\"role\":\"assistant\",\"content\":\"c\",\"tool_calls\":[{\"id\":\"t1\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"t1\",\"content\":\"r\"}]}",
        true);
    check_question(ROUTER_PROMPT_MESSAGES,
                   "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]},{}]}",
                   "{\"messages\":[]}", false);
    check_question(ROUTER_PROMPT_MESSAGES, "{\"messages\":1,\"system\":2,\"tools\":[3]}",
                   "{\"messages\":[]}", true);
}

Test(kinds, responses_as_chats) {
    check_question(
        ROUTER_PROMPT_RESPONSES,
        "{\"instructions\":\"i\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
        "\"input_text\",\"text\":\"a\"}]},{\"type\":\"function_call\",\"call_id\":\"c\","
        "\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"c\","
        "\"output\":\"o\"}],\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]}",
        "{\"add_special_tokens\":true,\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
        "\"f\"}}],\"messages\":[{\"role\":\"system\",\"content\":\"i\"},{\"role\":\"user\","
        "\"content\":\"a\"},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
        "\"tool_call_id\":\"c\",\"content\":\"o\"}]}",
        true);
    check_question(ROUTER_PROMPT_RESPONSES, "{\"model\":\"m\",\"input\":\"x\"}",
                   "{\"model\":\"m\",\"add_special_tokens\":true,\"messages\":[{\"role\":\"user\","
                   "\"content\":\"x\"}]}",
                   true);
    check_question(ROUTER_PROMPT_RESPONSES,
                   "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]},7]}",
                   "{\"add_special_tokens\":true,\"messages\":[]}", false);
}

Test(kinds, others_that_are_asked_for) {
    check_question(ROUTER_PROMPT_GENERATE, "{\"text\":[\"a\",\"b\"]}", "{\"prompt\":\"a\"}", false);
    check_question(ROUTER_PROMPT_BATCH, "{\"messages\":[[{\"role\":\"user\"}],[]]}",
                   "{\"messages\":[{\"role\":\"user\"}]}", false);
    static const struct {
        enum router_prompt_kind kind;
        const char *body;
        bool asks;
    } cases[] = {
        {ROUTER_PROMPT_RERANK, "{\"query\":\"" LONG "\"}", false},
        {ROUTER_PROMPT_POOLING, "{\"messages\":[{\"role\":\"user\"}]}", false},
        {ROUTER_PROMPT_POOLING, "{\"input\":\"a\"}", true},
        {ROUTER_PROMPT_MESSAGES, "{\"messages\":[{\"role\":\"user\"}]}", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct router_prompt p = rtest_prompt(cases[i].kind, cases[i].body, &asking);
        cr_expect(p.tokenize == cases[i].asks && !p.n, "%zu", i);
        router_prompt_free(&p);
    }
}

// ---- Forms ---------------------------------------------------------------------------------------

#define PART(head, text) "--B\r\nContent-Disposition: form-data; " head "\r\n\r\n" text "\r\n"

Test(kinds, forms) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        {PART("name=\"model\"", "whisper") PART("name=\"stream\"", "true") "--B--\r\n",
         "{\"model\":\"whisper\",\"stream\":true}"},
        {PART("name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav", "\r\n--BB\r\n--C")
             PART("name=\"model\"", "m") "--B--",
         "{\"model\":\"m\"}"},
        {PART("filename=\"model\"; name=\"file\"", "m") "--B--", "{}"},
        {PART("xname=\"model\"", "m") "--B--", "{}"},
        {PART("name=\"model\"", "m") "no end of this part", "{}"},
        {PART("name=\"model\"", "") "--B--", "{\"model\":\"\"}"},
        {"--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm", "{}"},
        {"--B\r\n\r\n\r\n--B--", "{}"},
        {"--B\r\n\r\n--B--", "{}"},
        {"--B", "{}"},
        {"", "{}"},
        {"x", "{}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = 0; n <= strlen(cases[i].text); n++) {
            char *copy = malloc(n + 1); // so that a sanitizer sees its end
            memcpy(copy, cases[i].text, n);
            json_t *form = router_form_read(copy, n, "B"), *want = rtest_body(cases[i].want);
            if (n == strlen(cases[i].text)) cr_expect(json_equal(form, want), "%zu", i);
            json_decref(form);
            json_decref(want);
            free(copy);
        }
}

Test(kinds, boundaries) {
    static const struct {
        const char *type, *want; // NULL: none
    } cases[] = {
        {"multipart/form-data; boundary=abc", "abc"},
        {"Multipart/Form-Data; charset=x; BOUNDARY=\"a b\"; y=z", "a b"},
        {"multipart/form-data", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=\"abc", NULL},
        {"multipart/form-data; "
         "boundary=0123456789012345678901234567890123456789012345678901234567890"
         "12345678901",
         NULL},
        {"application/json", NULL},
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[ROUTER_FORM_MAX_BOUNDARY + 1];
        cr_expect_eq(router_form_boundary(cases[i].type, out), cases[i].want != NULL, "%zu", i);
        cr_expect_str_eq(out, cases[i].want ? cases[i].want : "", "%zu", i);
    }
}

// ---- Paths that pass -----------------------------------------------------------------------------

Test(kinds, paths_that_pass) {
    static const struct {
        const char *pass, *path;
        bool passes;
    } cases[] = {
        {"", "/v1/x", false},
        {"/v1/x", "/v1/x", true},
        {"/v1/x", "/v1/x/y", true},
        {"/v1/x", "/v1/xy", false},
        {"/v1/x/", "/v1/x/y", true},
        {"/a /b", "/b/c", true},
        {"*", "/cohere/v2/chat", true},
        {"*", "/metrics", false},
        {"*", "/sleep", false},
        {"*", "/v1/load_lora_adapter", false},
        {"* /sleep", "/sleep", true},
        {"/sleep", "/sleep", true},
        {"* /kvroute", "/kvroute/x", false},
        {"/v1", "/v1/../sleep", false},
        {"/v1", "/v1/%2e%2E/sleep", false},
        {"/v1", "/v1//x", false},
        {"*", "*", false},
        // An engine that decodes first reads /sleep.
        {"*", "/%73leep", false},
        {"*", "/sl%65ep", false},
        {"*", "/%5Fx", false},
        {"/v1", "/v1/x%00", false},
        {"/v1", "/v1/x%0d%0aX:y", false},
        {"/v1", "/v1/x%", false},
        {"/v1", "/v1/x%2", false},
        {"/v1", "/v1/x%g0", false},
        {"/v1", "/v1/x%252e", false},
        {"/v1", "/v1/x#y", false},
        {"/v1", "/v1/a%20b%3ac%c3%a9", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(router_pass_admits(cases[i].pass, cases[i].path), cases[i].passes, "%s: %s",
                     cases[i].pass, cases[i].path);
}
