// SPDX-License-Identifier: Apache-2.0
// A trace of one request, without a router: ids, sampling, and what becomes of spans when memory runs out.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/http1/h1_client.h"
#include "client/router/router.h"
#include "client/router/trace/router_trace.h"
#include "rtest_collector.h"
#include "tests/support/support_alloc.h"

static struct router router;
static struct support_alloc memory;
static struct kvr_alloc allocator;
static const struct router_route route = {.path = "/v1/completions"};

static struct router_exchange exchange(const char *parent) {
    static struct h1_header headers[2] = {{"host", "door:80"}};
    headers[1] = (struct h1_header){"traceparent", parent};
    return (struct router_exchange){.router = &router,
                                    .route = &route,
                                    .h1 = {.head = {.verb = "POST",
                                                    .path = "/v1/completions",
                                                    .headers = headers,
                                                    .n_headers = parent ? 2 : 1},
                                           .status = 200,
                                           .began_us = kvr_clock_us()},
                                    .record = {.id = "an-id", .first_us = -1}};
}

static void open_tracer(const char *otlp, const char *ratio) {
    char error[300];
    unsetenv("OTEL_TRACES_SAMPLER");
    router.base = event_base_new();
    snprintf(router.config.otlp, sizeof router.config.otlp, "%s", otlp);
    snprintf(router.config.trace_ratio, sizeof router.config.trace_ratio, "%s", ratio);
    allocator = support_alloc_use(&memory);
    router.tracer = router_tracer_new(&router, &allocator, error, sizeof error);
    cr_assert(router.tracer, "%s", error);
}

static void close_tracer(void) {
    router_tracer_free(router.tracer);
    h1_loop_free(router.base);
    support_alloc_check_freed(&memory, "traces");
}

TestSuite(trace, .fini = close_tracer);

Test(trace, the_ratio_is_of_those_without_a_parent) {
    size_t n = 0, seen = 0;
    open_tracer("http://127.0.0.1:1", "0.25");
    for (int i = 0; i < 4000; i++) {
        struct router_exchange x = exchange(NULL);
        router_trace_begin(&x);
        n += x.trace != NULL;
        router_trace_end(&x);
    }
    cr_assert(n > 800 && n < 1200, "%zu of 4000", n);
    for (int i = 0; i < 100; i++) {
        struct router_exchange no =
            exchange("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        router_trace_begin(&no);
        struct router_exchange yes =
            exchange("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        router_trace_begin(&yes);
        cr_assert(yes.trace && !no.trace);
        cr_assert_str_eq(router_trace_id(&yes), "0af7651916cd43dd8448eb211c80319c");
        cr_assert_str_eq(router_trace_id(&no), "");
        seen++;
        router_trace_end(&yes);
    }
    struct router_exporter_stats s;
    router_exporter_stats(router_tracer_exporter(router.tracer), &s);
    cr_assert_eq(s.spans, n + seen);
}

// One with children, some of them with much to say.
static void make_spans(struct router_trace *t, int n) {
    char long_text[600];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    for (int i = 0; i < n; i++) {
        struct router_span s = router_span_begin(t);
        struct router_span_form form = {.kind = ROUTER_SPAN_INTERNAL, .name = "select"};
        struct router_trace_text *a = router_span_end(t, &s, &form);
        cr_assert_eq(s.id, 0);
        router_attribute_text(a, "a", long_text);
        router_attribute_number(a, "n", i);
        router_span_close(t, i & 1 ? "wrong" : NULL);
    }
}

// What is there of a trace is JSON, however much of it found no memory; nothing leaks.
static size_t check_without_memory(uint64_t fail_at, bool from) {
    struct router_exporter_stats before, after;
    const struct router_exporter *e = router_tracer_exporter(router.tracer);
    router_exporter_stats(e, &before);
    memory.fail_at = memory.calls + fail_at;
    memory.fail_from = from;
    struct router_exchange x = exchange(NULL);
    router_trace_begin(&x);
    if (x.trace) {
        make_spans(x.trace, 4);
        char *text = calloc(1, x.trace->spans.n + 3);
        snprintf(text, x.trace->spans.n + 3, "[%.*s]", (int)x.trace->spans.n,
                 x.trace->spans.n ? x.trace->spans.p : "");
        json_t *all = json_loads(text, 0, NULL);
        cr_assert(json_array_size(all) == x.trace->n_spans, "%s", text);
        json_decref(all);
        free(text);
    }
    router_trace_end(&x);
    memory.fail_at = 0;
    router_exporter_stats(e, &after);
    size_t added = after.spans - before.spans, dropped = (size_t)(after.dropped - before.dropped);
    cr_assert(added + dropped == 5 || (!added && dropped == 1), "%zu and %zu", added, dropped);
    return added;
}

Test(trace, without_memory) {
    open_tracer("http://127.0.0.1:1", "1");
    uint64_t at = 1;
    while (check_without_memory(at, false) != 5 || at < 8)
        cr_assert_lt(at++, 100);
    for (at = 1; at < 10; at++)
        check_without_memory(at, true);
}

// However often a stream goes elsewhere: its spans are so many bytes, and its own is always among them.
Test(trace, one_is_bounded) {
    open_tracer("http://127.0.0.1:1", "1");
    struct router_exchange x = exchange(NULL);
    router_trace_begin(&x);
    make_spans(x.trace, 2000);
    cr_assert(x.trace->n_spans > 100 && x.trace->n_spans < 2000);
    cr_assert_lt(x.trace->spans.n, ROUTER_TRACE_TEXT_MAX);
    unsigned n = x.trace->n_spans;
    router_trace_end(&x);
    struct router_exporter_stats s;
    router_exporter_stats(router_tracer_exporter(router.tracer), &s);
    cr_assert(s.spans == n + 1 && s.dropped == 2000 - n);
}

Test(trace, there_are_none) {
    open_tracer("none", "1");
    struct router_exchange x = exchange("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    char line[ROUTER_TRACEPARENT_LINE];
    bool state;
    router_trace_begin(&x);
    cr_assert(!x.trace && !router_trace_renews(&x, line, &state));
    router_trace_end(&x);
}
