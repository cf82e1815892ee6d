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
                router_stream_begin(&s, events);
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
            router_stream_begin(&s, true);
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
    router_stream_begin(&s, true);
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
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct router_stream s;
        router_stream_begin(&s, false);
        free(pass(&s, cases[i].text, 3, true));
        cr_assert(router_stream_tokens(&s) == cases[i].n, "%zu", i);
        router_stream_free(&s);
    }
}
