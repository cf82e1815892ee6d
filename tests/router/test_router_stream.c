// SPDX-License-Identifier: Apache-2.0
// What passes through is what came, and what breaks off ends with an event.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/proxy/router_stream.h"

#define SSE_EVENT(text) "data: {\"text\":\"" text "\"}\n\n"
#define SSE_USAGE "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\": 41}}\n\n"

// Passes `text` through in pieces of `piece` bytes; returns all that came out.
static char *pass(struct router_stream *s, const char *text, size_t piece, bool ends) {
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
    size_t n = strlen(text);
    for (size_t at = 0; at < n; at += piece) {
        evbuffer_add_reference(in, text + at, piece < n - at ? piece : n - at, NULL, NULL);
        cr_assert(router_stream_pass(s, in, out) && evbuffer_get_length(in) == 0);
        char *so_far = (char *)evbuffer_pullup(out, -1);
        size_t m = evbuffer_get_length(out);
        cr_assert(!m || !s->events || so_far[m - 1] == '\n');
    }
    if (ends)
        router_stream_end(s, out);
    else
        router_stream_break(s, out, "ENGINE", "gone");
    n = evbuffer_get_length(out);
    char *all = calloc(1, n + 1);
    evbuffer_remove(out, all, n);
    evbuffer_free(in);
    evbuffer_free(out);
    return all;
}

Test(stream, nothing_is_changed) {
    static const char *const texts[] = {SSE_EVENT("a") SSE_EVENT("b") SSE_USAGE "data: [DONE]\n\n",
                                        "data:{}\r\n\r\n: comment\nid: 1\ndata: {}\n\n",
                                        "no events at all",
                                        "data: {\"unfinished\":",
                                        "\n\n\n",
                                        "data: x\ndata: {\n\n"};
    static const int64_t tokens[] = {41, 2, 0, 1, 0, 1};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t piece = 1; piece <= strlen(texts[i]); piece++)
            for (int events = 0; events < 2; events++) {
                struct router_stream s;
                router_stream_begin(&s, events, ROUTER_ANSWER_OPENAI);
                char *out = pass(&s, texts[i], piece, true);
                cr_assert_str_eq(out, texts[i]);
                if (events) cr_assert(router_stream_tokens(&s) == tokens[i], "%zu %zu", i, piece);
                router_stream_free(&s);
                free(out);
            }
}

#define SSE_BREAK                                                                                  \
    "data: {\"error\":{\"message\":\"gone\",\"type\":\"upstream_error\",\"code\":\"ENGINE\"}}\n\n"

Test(stream, wherever_it_breaks_whole_events_come_before_the_error) {
    static const struct {
        const char *in, *out;
    } cases[] = {
        {SSE_EVENT("a"), SSE_EVENT("a") SSE_BREAK},
        {SSE_EVENT("a") "data: {\"text\":", SSE_EVENT("a") SSE_BREAK},
        {SSE_EVENT("a") "data: {}\n", SSE_EVENT("a") "data: {}\n\n" SSE_BREAK},
        {"data: {}\r\n", "data: {}\r\n\n" SSE_BREAK},
        {"data: {}\r\n\r\n", "data: {}\r\n\r\n" SSE_BREAK},
        {"data", SSE_BREAK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece <= strlen(cases[i].in); piece++) {
            struct router_stream s;
            router_stream_begin(&s, true, ROUTER_ANSWER_OPENAI);
            char *out = pass(&s, cases[i].in, piece, false);
            cr_assert_str_eq(out, cases[i].out, "%zu in pieces of %zu", i, piece);
            router_stream_free(&s);
            free(out);
        }
}

Test(stream, a_line_without_end_is_not_kept) {
    struct router_stream s;
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
    char *text = malloc(10000);
    memset(text, 'x', 10000);
    router_stream_begin(&s, true, ROUTER_ANSWER_OPENAI);
    for (int i = 0; i < 100; i++) {
        evbuffer_add(in, text, 10000);
        cr_assert(router_stream_pass(&s, in, out));
        cr_assert(!s.held || evbuffer_get_length(s.held) <= ROUTER_STREAM_MAX_HELD);
    }
    router_stream_end(&s, out);
    cr_assert(evbuffer_get_length(out) == 1000000);
    router_stream_free(&s);
    evbuffer_free(in);
    evbuffer_free(out);
    free(text);
}

Test(stream, an_abort_that_looks_well) {
    static const struct {
        const char *text;
        bool aborted;
    } cases[] = {
        {"{\"finish_reason\":\"abort\"}", true},
        {"{\"choices\":[{\"text\":\"a\",\"finish_reason\" : \"abort\",\"x\":1}],"
         "\"usage\":{\"completion_tokens\":7}}",
         true},
        {"{\"finish_reason\":\"stop\"}", false},
        {"{\"meta_info\":{\"finish_reason\":{\"type\":\"abort\"}}}", true},
        {"{\"finish_reason\":{\"type\":\"stop\"},\"type\":\"abort\"}", false},
        {"{\"finish_reason\":null,\"x\":\"abort\"}", false},
        {"{\"finish_reason\":[\"abort\"]}", false},
        {"{\"finish_reason\":\"aborted\"}", false},
        {"{\"finish_reason\":\"abort", false},
        {"{\"x\":\"abort\",\"abort\":\"finish_reason\"}", false},
        {"{\"text\":\"\\\"finish_reason\\\":\\\"abort\\\"\"}", false},
        {"{\"finish_reason\":\"finish_reason\",\"x\":\"abort\"}", false},
        {"{\"finish_reason\":\"completion_tokens\",\"completion_tokens\":3}", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 4; piece++) {
            struct router_stream s;
            router_stream_begin(&s, false, ROUTER_ANSWER_OPENAI);
            free(pass(&s, cases[i].text, piece, true));
            cr_expect_eq(router_stream_aborted(&s), cases[i].aborted, "%s", cases[i].text);
            router_stream_free(&s);
        }
}

#define MSG(type, more) "event: " type "\ndata: {\"type\":\"" type "\"" more "}\n\n"
#define MSG_BEGIN                                                                                  \
    MSG("message_start",                                                                           \
        ",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}")
#define MSG_DELTA                                                                                  \
    MSG("content_block_delta",                                                                     \
        ",\"delta\":{\"type\":\"text_delta\",\"text\":\"say \\\"type\\\":\"}")
#define MSG_END                                                                                    \
    MSG("message_delta", ",\"usage\":{\"output_tokens\":5,\"cache_read_input_tokens\":4}")
#define RESP_BEGIN                                                                                 \
    MSG("response.created", ",\"response\":{\"id\":\"resp_1\",\"store\":true,\"usage\":null}")
#define RESP_DELTA MSG("response.output_text.delta", ",\"item_id\":\"i\",\"delta\":\"x\"")
#define RESP_END                                                                                   \
    MSG("response.completed", ",\"response\":{\"id\":\"resp_1\",\"store\":false,\"usage\":{"       \
                              "\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":8}," \
                              "\"output_tokens\":3}}")

// Messages say it by having no reason, where they end; what a client can make an answer say doesn't count.
Test(stream, an_abort_in_other_forms) {
    static const struct {
        const char *text;
        enum router_answer_form form;
        bool aborted;
    } cases[] = {
        {MSG("message_start", ",\"message\":{\"stop_reason\":null}"), ROUTER_ANSWER_MESSAGES,
         false},
        {MSG("message_delta", ",\"delta\":{\"stop_reason\":null}"), ROUTER_ANSWER_MESSAGES, true},
        {MSG("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}"),
         ROUTER_ANSWER_MESSAGES, false},
        {"{\"input\":{\"finish_reason\":\"abort\"}}", ROUTER_ANSWER_MESSAGES, false},
        {MSG("response.created", ",\"response\":{\"metadata\":{\"finish_reason\":\"abort\"}}"),
         ROUTER_ANSWER_RESPONSES, false},
        {MSG("response.created",
             ",\"response\":{\"tools\":[{\"finish_reason\":{\"type\":\"abort\"}}]}"),
         ROUTER_ANSWER_RESPONSES, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 4; piece++) {
            struct router_stream s;
            router_stream_begin(&s, true, cases[i].form);
            free(pass(&s, cases[i].text, piece, true));
            cr_expect_eq(router_stream_aborted(&s), cases[i].aborted, "%s", cases[i].text);
            router_stream_free(&s);
        }
}

// Of what comes before text nothing is a token, and no end is missed.
Test(stream, events_of_other_forms) {
    static const struct {
        enum router_answer_form form;
        const char *text;
        uint64_t events;
        int64_t tokens, input, cached;
        bool complete;
        const char *id;
    } cases[] = {
        {ROUTER_ANSWER_MESSAGES, MSG_BEGIN, 0, 1, 7, -1, false, ""},
        {ROUTER_ANSWER_MESSAGES, MSG_BEGIN MSG("ping", "") MSG_DELTA MSG_DELTA, 2, 2, 7, -1, false,
         ""},
        {ROUTER_ANSWER_MESSAGES, MSG_BEGIN MSG_DELTA MSG_END MSG("message_stop", ""), 1, 5, 7, 4,
         true, ""},
        {ROUTER_ANSWER_MESSAGES, MSG_BEGIN MSG("error", ",\"error\":{}"), 0, 1, 7, -1, true, ""},
        {ROUTER_ANSWER_RESPONSES, RESP_BEGIN MSG("response.in_progress", ""), 0, 0, -1, -1, false,
         "resp_1"},
        {ROUTER_ANSWER_RESPONSES, RESP_BEGIN RESP_DELTA RESP_DELTA, 2, 2, -1, -1, false, "resp_1"},
        {ROUTER_ANSWER_RESPONSES, RESP_BEGIN RESP_DELTA RESP_END, 1, 3, 9, 8, true, "resp_1"},
        {ROUTER_ANSWER_OPENAI, "data: {\"a\":1}\n\n", 1, 1, -1, -1, true, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece <= strlen(cases[i].text); piece++) {
            struct router_stream s;
            router_stream_begin(&s, true, cases[i].form);
            char *out = pass(&s, cases[i].text, piece, true);
            cr_expect_str_eq(out, cases[i].text);
            cr_expect(s.n_events == cases[i].events && router_stream_tokens(&s) == cases[i].tokens,
                      "%zu: %d events, %d tokens", i, (int)s.n_events,
                      (int)router_stream_tokens(&s));
            cr_expect(s.input == cases[i].input && s.cached == cases[i].cached, "%zu", i);
            cr_expect_eq(router_stream_complete(&s), cases[i].complete, "%zu", i);
            cr_expect_str_eq(s.id, cases[i].id);
            router_stream_free(&s);
            free(out);
        }
}

Test(stream, breaks_in_other_forms) {
    static const struct {
        enum router_answer_form form;
        const char *error;
    } cases[] = {
        {ROUTER_ANSWER_MESSAGES, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
                                 "\"api_error\",\"message\":\"gone (ENGINE)\"}}\n\n"},
        {ROUTER_ANSWER_RESPONSES, "event: error\ndata: {\"type\":\"error\",\"message\":\"gone\","
                                  "\"code\":\"ENGINE\",\"param\":null}\n\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct router_stream s;
        router_stream_begin(&s, true, cases[i].form);
        char *out = pass(&s, "event: x\ndata: {\"half\":", 3, false);
        cr_expect(strstr(out, "event: x\n\n") == out && strstr(out, cases[i].error), "%s", out);
        router_stream_free(&s);
        free(out);
    }
}

Test(stream, tokens_as_the_engine_counts_them) {
    static const struct {
        const char *text;
        int64_t n;
    } cases[] = {
        {"{\"usage\":{\"completion_tokens\":7}}", 7},
        {"{\"completion_tokens\":1,\"x\":{\"completion_tokens\":12345}}", 12345},
        {"{\"completion_tokens\":null}", -1},
        {"{\"completion_tokens\":", -1},
        {"", -1},
        {"{\"usage\": {\"completion_tokens\" : 37\n}, \"text\": \"long\"}", 37},
        {"{\"completion_tokens\":9,\"text\":\"say \\\"completion_tokens\\\":5 now\"}", 9},
        {"{\"text\":\"completion_tokens\",\"n\":5}", -1},
        {"{\"xcompletion_tokens\":1,\"completion_tokens_details\":{\"n\":2}}", -1},
        {"\"not JSON\n{\"completion_tokens\":4}", 4},
        {"{\"finish_reason\":\"completion_tokens\",\"completion_tokens\":3}", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct router_stream s;
        router_stream_begin(&s, false, ROUTER_ANSWER_OPENAI);
        free(pass(&s, cases[i].text, 3, true));
        cr_assert(router_stream_tokens(&s) == cases[i].n, "%zu", i);
        router_stream_free(&s);
    }
}
