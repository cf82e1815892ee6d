// SPDX-License-Identifier: Apache-2.0
// W3C Trace Context: what is read as one, and what isn't.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/router/trace/router_trace_text.h"
#include "client/router/trace/router_traceparent.h"
#include "tests/support/support_alloc.h"

#define ID "0123456789abcdef0123456789abcdef"

static struct h1_head head_of(struct h1_header *headers, size_t n) {
    return (struct h1_head){.headers = headers, .n_headers = n};
}

Test(traceparent, is_read_strictly) {
    static const struct {
        const char *value;
        bool good;
    } cases[] = {
        {"00-" ID "-0123456789abcdef-01", true},
        {"00-" ID "-0123456789abcdef-00", true},
        {"00-" ID "-0123456789abcdef-ff", true},
        {"01-" ID "-0123456789abcdef-01-more", true},
        {"cc-" ID "-0123456789abcdef-01", true},
        {"00-" ID "-0123456789abcdef-01-more", false},
        {"01-" ID "-0123456789abcdef-01more", false},
        {"ff-" ID "-0123456789abcdef-01", false},
        {"00-00000000000000000000000000000000-0123456789abcdef-01", false},
        {"00-" ID "-0000000000000000-01", false},
        {"00-0123456789ABCDEF0123456789abcdef-0123456789abcdef-01", false},
        {"00-" ID "-0123456789abcdeg-01", false},
        {"00-" ID "-0123456789abcdef-0", false},
        {"00-" ID "-0123456789abcdef-0x", false},
        {"0-" ID "-0123456789abcdef-011", false},
        {"00_" ID "-0123456789abcdef-01", false},
        {"", false},
        {"-", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct h1_header header = {"TraceParent", cases[i].value};
        struct h1_head h = head_of(&header, 1);
        struct router_trace_context c;
        cr_assert_eq(router_traceparent_read(&h, &c), cases[i].good, "%s", cases[i].value);
        if (!cases[i].good) continue;
        cr_assert(c.trace[0] == 0x0123456789abcdef && c.trace[1] == c.trace[0]);
        cr_assert(c.span == c.trace[0] && c.flags <= 1);
    }
}

Test(traceparent, there_is_one_or_none) {
    static const char value[] = "00-" ID "-0123456789abcdef-01";
    struct h1_header headers[] = {{"traceparent", value}, {"x", "y"}, {"TRACEPARENT", value}};
    struct h1_head one = head_of(headers, 2), two = head_of(headers, 3), none = head_of(headers, 0);
    struct router_trace_context c;
    char line[ROUTER_TRACEPARENT_LINE];
    cr_assert(!router_traceparent_read(&two, &c) && !router_traceparent_read(&none, &c));
    cr_assert(router_traceparent_read(&one, &c));
    router_traceparent_write(line, &c);
    cr_assert_str_eq(line, "traceparent: 00-" ID "-0123456789abcdef-01\r\n");
}

Test(traceparent, states) {
    static const struct {
        const char *value;
        bool good;
    } cases[] = {
        {"a=1", true},
        {"a=1,b=2 , c@d=x y", true},
        {"", true},
        {"a=1,,b=2", true},
        {"0tenant@sys=1", true},
        {"A=1", false},
        {"a", false},
        {"=1", false},
        {"a=", false},
        {"a=1=2", false},
        {"a=\x80", false},
        {"-a=1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct h1_header header = {"tracestate", cases[i].value};
        struct h1_head h = head_of(&header, 1);
        cr_assert_eq(router_tracestate_fits(&h), cases[i].good, "%s", cases[i].value);
    }
    char many[200] = "";
    for (int i = 0; i < 17; i++)
        strcat(many, "a=1,");
    struct h1_header twice[] = {{"tracestate", many}, {"tracestate", many}};
    struct h1_head h = head_of(twice, 1);
    cr_assert(router_tracestate_fits(&h));
    h = head_of(twice, 2);
    cr_assert_not(router_tracestate_fits(&h), "34 members");
}

// ---- Texts ---------------------------------------------------------------------------------------

static void check_text(struct router_trace_text *t, const char *want) {
    cr_assert(!t->failed && t->n == strlen(want) && !memcmp(t->p, want, t->n), "%.*s", (int)t->n,
              t->p);
    t->n = 0;
}

Test(trace_text, is_json_whatever_is_in_it) {
    struct support_alloc memory = {0};
    struct kvr_alloc alloc = support_alloc_use(&memory);
    struct router_trace_text t = {.alloc = &alloc};
    router_trace_text_quote(&t,
                            "a\"\\\n\xff"
                            "é\xc3",
                            8);
    check_text(&t, "\"a\\u0022\\u005c\\u000a\xef\xbf\xbd"
                   "é\xef\xbf\xbd\"");
    router_attribute_text(&t, "a", "b");
    router_attribute_text(&t, "none", "");
    router_attribute_number(&t, "n", 0);
    router_attribute_number(&t, "none", -1);
    router_attribute_flag(&t, "f", true);
    router_attribute_real(&t, "r", 0.25);
    router_attribute_real(&t, "none", 1e308 * 10);
    router_attribute_list(&t, "l", "x");
    check_text(&t,
               "{\"key\":\"a\",\"value\":{\"stringValue\":\"b\"}},"
               "{\"key\":\"n\",\"value\":{\"intValue\":\"0\"}},"
               "{\"key\":\"f\",\"value\":{\"boolValue\":true}},"
               "{\"key\":\"r\",\"value\":{\"doubleValue\":0.25}},"
               "{\"key\":\"l\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"x\"}]}}}");
    // A long value is cut, and not within a character.
    char many[3 * ROUTER_TRACE_VALUE_MAX];
    for (size_t i = 0; i + 3 <= sizeof many; i += 3)
        memcpy(many + i, "\xe2\x82\xac", 3);
    router_trace_text_quote(&t, many, sizeof many);
    cr_assert(t.n == 2 + ROUTER_TRACE_VALUE_MAX / 3 * 3);
    router_trace_text_free(&t);
    support_alloc_check_freed(&memory, "texts");
}

Test(trace_text, without_memory_it_says_so) {
    struct support_alloc memory = {.fail_at = 2};
    struct kvr_alloc alloc = support_alloc_use(&memory);
    struct router_trace_text t = {.alloc = &alloc};
    for (int i = 0; i < 100; i++)
        router_trace_text_add(&t, "0123456789", 10);
    cr_assert(t.failed && t.n == 10);
    router_trace_text_free(&t);
    memory = (struct support_alloc){0};
    t.failed = false;
    static const char piece[4096] = "";
    while (!t.failed)
        router_trace_text_add(&t, piece, sizeof piece);
    cr_assert_leq(t.n, ROUTER_TRACE_TEXT_MAX);
    router_trace_text_free(&t);
    support_alloc_check_freed(&memory, "texts");
}
