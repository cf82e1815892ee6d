// SPDX-License-Identifier: Apache-2.0
// What a collector is told of requests, and what engines are told of their traces.
#define _GNU_SOURCE // strcasestr
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "rtest_collector.h"
#include "rtest_pairs.h"
#include "rtest_scripted_server.h"
#include "rtest_waiting.h"
#include "tests/support/support_home.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"
static const char sampled[] = "traceparent: 00-" TRACE "-" PARENT "-01\r\n";

static struct server engine;

static void spans_down(void) {
    if (engine.base) server_close(&engine);
    rtest_fleet_down();
    rtest_collector_close();
}

static void bring_up(int engines, const char *options, const char *ratio) {
    rtest_collector_open();
    rtest_fleet_up(engines, options, 1,
                   (const char *[]){"--otlp", rtest_collector_url(), "--trace_ratio", ratio,
                                    "--service_name", "door", NULL});
}

static struct rtest_client ask(const char *headers, const char *body) {
    struct rtest_client who =
        rtest_client_call(rtest_port(), "/v1/chat/completions", headers, body);
    cr_assert(who.complete && who.status == 200, "%d", who.status);
    return who;
}

static void ask_well(const char *headers, const char *body) {
    struct rtest_client who = ask(headers, body);
    rtest_client_free(&who);
}

// Times as the collector gets them; all are of one clock.
static long long time_of(const json_t *span, const char *member) {
    return atoll(rtest_span_text(span, member));
}

// Every span is of this trace, has a name, a parent that is there (but the first), and is within that one's time.
static void check_tree(const json_t *spans, const char *trace, const char *parent) {
    const json_t *span;
    size_t i, roots = 0;
    json_array_foreach(spans, i, span) {
        const char *name = rtest_span_text(span, "name"), *above;
        above = rtest_span_text(span, "parentSpanId");
        cr_assert_str_eq(rtest_span_text(span, "traceId"), trace, "%s", name);
        cr_assert_eq(strlen(rtest_span_text(span, "spanId")), 16);
        long long began = time_of(span, "startTimeUnixNano"),
                  end = time_of(span, "endTimeUnixNano");
        cr_assert(began > 1700000000000000000 && began <= end, "%s", name);
        if (!strcmp(above, parent)) {
            roots++;
            cr_assert_eq(json_integer_value(json_object_get(span, "kind")), 2);
            continue;
        }
        const json_t *upper = rtest_span_of_id(spans, above);
        cr_assert(upper, "%s has no parent", name);
        cr_assert(began >= time_of(upper, "startTimeUnixNano") &&
                      end <= time_of(upper, "endTimeUnixNano"),
                  "%s goes beyond %s", name, rtest_span_text(upper, "name"));
    }
    cr_assert_eq(roots, 1);
}

static void expect(const json_t *span, const char *key, const char *value) {
    const char *is = rtest_span_attribute(span, key);
    cr_assert(span && !strcmp(is, value), "%s of %s is %s, not %s", key,
              rtest_span_text(span, "name"), is, value);
}

static bool is_well(const json_t *span) {
    return !json_object_get(span, "status") && !*rtest_span_attribute(span, "error.type");
}

// ---- A request -----------------------------------------------------------------------------------

static const char whole[] =
    "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"s3cret words\"}],"
    "\"max_tokens\":5,\"temperature\":0.5,\"top_p\":0.25,\"seed\":7,\"user\":\"me\"}";
static const char stream[] =
    "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"s3cret words\"}],"
    "\"max_tokens\":5,\"stream\":true,\"stream_options\":{\"include_usage\":true}}";

static void check_engine_span(const json_t *call, bool streams) {
    char port[12];
    snprintf(port, sizeof port, "%d", rtest_fleet.engines[0].port);
    cr_assert_str_eq(rtest_span_text(call, "name"), "chat mock");
    cr_assert_eq(json_integer_value(json_object_get(call, "kind")), 3);
    cr_assert(is_well(call));
    expect(call, "gen_ai.operation.name", "chat");
    expect(call, "gen_ai.request.model", "mock");
    expect(call, "gen_ai.request.max_tokens", "5");
    expect(call, "gen_ai.request.temperature", streams ? "" : "0.5");
    expect(call, "gen_ai.request.top_p", streams ? "" : "0.25");
    expect(call, "gen_ai.request.seed", streams ? "" : "7");
    expect(call, "gen_ai.request.stream", streams ? "true" : "");
    expect(call, "gen_ai.response.model", "mock");
    expect(call, "gen_ai.response.finish_reasons", "[length]");
    expect(call, "gen_ai.usage.output_tokens", "5");
    expect(call, "server.address", "127.0.0.1");
    expect(call, "server.port", port);
    cr_assert(*rtest_span_attribute(call, "gen_ai.provider.name"));
    cr_assert(*rtest_span_attribute(call, "gen_ai.response.id"));
    cr_assert(atoi(rtest_span_attribute(call, "gen_ai.usage.input_tokens")) > 0);
    cr_assert_eq(*rtest_span_attribute(call, "gen_ai.response.time_to_first_chunk") != 0, streams);
}

static void check_request(const json_t *spans, bool streams, const char *id) {
    const json_t *own = rtest_span(spans, "POST /v1/chat/completions", 0),
                 *select = rtest_span(spans, "select", 0), *relay = rtest_span(spans, "relay", 0);
    check_tree(spans, TRACE, PARENT);
    cr_assert(is_well(own) && is_well(select) && is_well(relay));
    expect(own, "http.request.method", "POST");
    expect(own, "http.route", "/v1/chat/completions");
    expect(own, "url.path", "/v1/chat/completions");
    expect(own, "http.response.status_code", "200");
    expect(own, "kvroute.request", id);
    expect(own, "kvroute.pool", "kvroute");
    cr_assert_eq(json_integer_value(json_object_get(select, "kind")), 1);
    expect(select, "kvroute.pool", "kvroute");
    expect(select, "kvroute.repeat", "false");
    expect(select, "kvroute.waited_ms", "0");
    cr_assert(*rtest_span_attribute(select, "kvroute.policy"));
    cr_assert(*rtest_span_attribute(select, "kvroute.worker"));
    cr_assert(*rtest_span_attribute(select, "kvroute.blocks"));
    cr_assert(*rtest_span_attribute(select, "kvroute.overlap"));
    check_engine_span(rtest_span(spans, "chat", 0), streams);
    char *text = json_dumps(spans, 0);
    cr_assert(!strstr(text, "s3cret") && !strstr(text, "content"), "%s", text);
    free(text);
}

Test(spans, of_a_request, .fini = spans_down) {
    bring_up(1, "--time-scale 0", "0");
    for (int streams = 0; streams < 2; streams++) {
        rtest_collector_close();
        rtest_end_router(0);
        rtest_collector_open();
        rtest_fleet_routers(1, 1,
                            (const char *[]){"--otlp", rtest_collector_url(), "--trace_ratio", "0",
                                             "--service_name", "door", NULL});
        ask_well(NULL, streams ? stream : whole); // none of it is sampled
        struct rtest_client who = ask(sampled, streams ? stream : whole);
        json_t *spans = rtest_spans(4), *resource = rtest_resource();
        cr_assert_eq(json_array_size(spans), 4);
        check_request(spans, streams, who.id);
        cr_assert_str_eq(rtest_attribute(resource, "service.name"), "door");
        json_decref(resource);
        json_decref(spans);
        rtest_client_free(&who);
    }
    cr_assert_eq(rtest_router_metric(0, "spans_total{outcome=\"sent\"}"), 4);
    cr_assert_eq(rtest_router_metric(0, "spans_waiting"), 0);
    rtest_end_router(0);
    rtest_expect_log(0, "\"trace_id\":\"" TRACE "\"", true);
}

// Whatever is refused or asked beside inference; machines' questions have none.
Test(spans, of_other_requests, .fini = spans_down) {
    bring_up(1, "--time-scale 0", "1");
    for (int i = 0; i < 3; i++) {
        static const char *const quiet[] = {"/healthz", "/metrics", "/v1/status"};
        cr_assert(rtest_is_served(rtest_get(rtest_port(), quiet[i])));
    }
    struct support_response r =
        rtest_post(rtest_port(), "/v1/chat/completions", "{\"model\":\"x\"}");
    cr_assert_eq(r.status, 404);
    support_response_free(&r);
    cr_assert(rtest_is_served(rtest_get(rtest_port(), "/v1/models")));
    json_t *spans = rtest_spans(2);
    cr_assert_eq(json_array_size(spans), 2);
    const json_t *refused = rtest_span(spans, "POST", 0);
    expect(refused, "kvroute.code", "NOPOOL");
    expect(refused, "http.response.status_code", "404");
    cr_assert(!*rtest_span_text(refused, "parentSpanId") && is_well(refused));
    cr_assert(rtest_span(spans, "GET /v1/models", 0));
    json_decref(spans);
}

Test(spans, of_a_prompt_that_an_engine_cuts_up, .fini = spans_down) {
    rtest_collector_open();
    rtest_fleet_up(1, "--time-scale 0", 1,
                   (const char *[]){"--otlp", rtest_collector_url(), "--pool",
                                    "kvroute blocks=tokenize", NULL});
    ask_well(sampled, whole);
    json_t *spans = rtest_spans(5);
    check_tree(spans, TRACE, PARENT);
    const json_t *tokenize = rtest_span(spans, "tokenize", 0),
                 *select = rtest_span(spans, "select", 0);
    cr_assert(tokenize && is_well(tokenize));
    cr_assert_leq(time_of(tokenize, "endTimeUnixNano"), time_of(select, "startTimeUnixNano"));
    json_decref(spans);
}

Test(spans, of_each_api, .fini = spans_down) {
    static const struct {
        const char *path, *body, *name;
        bool input, output;
    } apis[] = {
        {"/v1/completions", "{\"model\":\"mock\",\"prompt\":\"a b\",\"max_tokens\":3}",
         "text_completion mock", true, true},
        {"/v1/embeddings", "{\"model\":\"mock\",\"input\":\"a b\"}", "embeddings mock", true,
         false},
        {"/v1/messages",
         "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
         "\"max_tokens\":3}",
         "chat mock", true, true},
        {"/v1/messages",
         "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
         "\"max_tokens\":3,\"stream\":true}",
         "chat mock", true, true},
        {"/v1/responses", "{\"model\":\"mock\",\"input\":\"a\",\"max_output_tokens\":3}",
         "chat mock", true, true},
        {"/tokenize", "{\"model\":\"mock\",\"prompt\":\"a b\"}", "tokenize mock", false, false},
    };
    size_t n = 0;
    bring_up(1, "--time-scale 0", "0");
    for (size_t i = 0; i < sizeof apis / sizeof *apis; i++) {
        struct rtest_client who =
            rtest_client_call(rtest_port(), apis[i].path, sampled, apis[i].body);
        cr_assert(who.complete && who.status == 200, "%s: %d", apis[i].path, who.status);
        rtest_client_free(&who);
        json_t *spans = rtest_spans(n + 3);
        size_t all = json_array_size(spans);
        const json_t *own = json_array_get(spans, all - 1), *call = NULL;
        for (size_t k = n; k < all; k++)
            if (json_integer_value(json_object_get(json_array_get(spans, k), "kind")) == 3)
                call = json_array_get(spans, k);
        n = all;
        expect(own, "url.path", apis[i].path);
        cr_assert_str_eq(rtest_span_text(call, "name"), apis[i].name);
        cr_assert(is_well(call) && is_well(own));
        cr_assert_eq(*rtest_span_attribute(call, "gen_ai.usage.input_tokens") != 0, apis[i].input,
                     "%s", apis[i].path);
        cr_assert_eq(!strcmp(rtest_span_attribute(call, "gen_ai.usage.output_tokens"), "3"),
                     apis[i].output, "%s", apis[i].path);
        json_decref(spans);
    }
}

// ---- Engines that fail ---------------------------------------------------------------------------

Test(spans, each_try_has_its_own, .fini = spans_down) {
    bring_up(2, "--time-scale 0", "0");
    rtest_fault(0, "kind=fail&status=503");
    rtest_fault(1, "kind=fail&status=503");
    struct rtest_client who =
        rtest_client_call(rtest_port(), "/v1/chat/completions", sampled, whole);
    cr_assert_eq(who.status, 503);
    rtest_client_free(&who);
    json_t *spans = rtest_spans(6);
    for (size_t i = 0; i < 2; i++) {
        const json_t *call = rtest_span(spans, "chat mock", i);
        expect(call, "error.type", "503");
        expect(call, "http.response.status_code", "503");
        cr_assert_eq(json_integer_value(json_object_get(json_object_get(call, "status"), "code")),
                     2);
    }
    expect(rtest_span(spans, "POST", 0), "error.type", "503");
    expect(rtest_span(spans, "POST", 0), "kvroute.tries", "2");
    check_tree(spans, TRACE, PARENT);
    json_decref(spans);
}

Test(spans, the_next_try_is_another_one, .fini = spans_down) {
    bring_up(2, "--time-scale 0", "0");
    rtest_fault(0, "kind=fail&n=1000&status=500");
    json_t *spans;
    size_t n = 0;
    for (int i = 0; i < 2; i++)
        ask_well(sampled, whole);
    spans = rtest_spans(10); // one of the two had two tries
    for (size_t i = 0; i < 3; i++) {
        const json_t *call = rtest_span(spans, "chat mock", i);
        cr_assert(call);
        bool failed = *rtest_span_attribute(call, "error.type");
        n += failed;
        if (!failed) continue;
        const json_t *next = rtest_span(spans, "chat mock", i + 1);
        expect(call, "error.type", "500");
        expect(call, "kvroute.try", "1");
        expect(next, "kvroute.try", "2");
        cr_assert(is_well(next));
        cr_assert_str_neq(rtest_span_attribute(call, "kvroute.worker"),
                          rtest_span_attribute(next, "kvroute.worker"));
    }
    cr_assert_eq(n, 1);
    json_decref(spans);
}

// Each of the two breaks once.
Test(spans, of_a_stream_that_goes_on, .fini = spans_down) {
    rtest_collector_open();
    rtest_fleet_up(2, "--answers ids --time-scale 0", 1,
                   (const char *[]){"--otlp", rtest_collector_url(), "--migrate", "2", NULL});
    rtest_fault(0, "kind=cut&tokens=3");
    rtest_fault(1, "kind=cut&tokens=3");
    ask_well(sampled, "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"a b\"}],"
                      "\"max_tokens\":12,\"stream\":true}");
    json_t *spans = rtest_spans(10);
    check_tree(spans, TRACE, PARENT);
    for (size_t i = 0; i < 3; i++) {
        const json_t *call = rtest_span(spans, "chat mock", i);
        const json_t *link = json_array_get(json_object_get(call, "links"), 0);
        cr_assert(call && rtest_span(spans, "select", i) && rtest_span(spans, "relay", i));
        cr_assert_str_eq(rtest_span_text(link, "spanId"),
                         i ? rtest_span_text(rtest_span(spans, "chat mock", i - 1), "spanId") : "");
        expect(call, "error.type", i < 2 ? "broken" : "");
        expect(call, "kvroute.left", i < 2 ? "broken" : "");
        expect(call, "kvroute.continues", i ? "broken" : "");
    }
    cr_assert(is_well(rtest_span(spans, "POST", 0)));
    expect(rtest_span(spans, "POST", 0), "kvroute.continued", "2");
    json_decref(spans);
}

Test(spans, of_a_client_that_leaves, .fini = spans_down) {
    bring_up(1, "--decode-speed 20 --time-scale 1", "0");
    struct rtest_client who;
    char *body = rtest_chat("slow", 400, true);
    rtest_client_start(&who, rtest_port(), "/v1/chat/completions", sampled, body);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !who.heard; rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end);
    rtest_client_leave(&who);
    rtest_clients_run(10);
    rtest_client_free(&who);
    free(body);
    json_t *spans = rtest_spans(4);
    expect(rtest_span(spans, "chat", 0), "error.type", "cancelled");
    expect(rtest_span(spans, "POST", 0), "error.type", "client_gone");
    json_decref(spans);
}

// ---- Two engines, and a queue --------------------------------------------------------------------

Test(spans, of_a_pair, .fini = spans_down) {
    rtest_collector_open();
    const char *flags[] = {"--otlp", rtest_collector_url(), "--trace_ratio", "1", NULL};
    struct rtest_pairs plan = {.kind = "nixl", .prefills = 1, .decodes = 1, .flags = flags};
    rtest_pairs_up(&plan);
    struct rtest_client who = rtest_pairs_ask(rtest_port(), "/v1/chat/completions", "a b", true);
    cr_assert(who.complete && who.status == 200 && *who.prefill);
    json_t *spans = rtest_spans(6);
    check_tree(spans, rtest_span_text(json_array_get(spans, 0), "traceId"), "");
    const json_t *prefill = rtest_span(spans, "prefill", 0), *own = rtest_span(spans, "POST", 0);
    size_t below = 0;
    for (size_t i = 0; i < 2; i++) {
        const json_t *call = rtest_span(spans, "chat", i);
        const char *parent = rtest_span_text(call, "parentSpanId");
        cr_assert(is_well(call));
        below += !strcmp(parent, rtest_span_text(prefill, "spanId"));
        cr_assert(!strcmp(parent, rtest_span_text(prefill, "spanId")) ||
                  !strcmp(parent, rtest_span_text(own, "spanId")));
    }
    cr_assert_eq(below, 1);
    expect(prefill, "kvroute.worker", who.prefill);
    expect(rtest_span(spans, "select", 0), "kvroute.prefill_worker", who.prefill);
    json_decref(spans);
    rtest_client_free(&who);
}

static void waiting_down(void) {
    rtest_waiting_down();
    rtest_collector_close();
}

Test(spans, of_waiting, .fini = waiting_down) {
    struct rtest_client a, b;
    rtest_collector_open();
    rtest_waiting_up(1, 1,
                     (const char *[]){"--wait", "600000", "--otlp", rtest_collector_url(), NULL});
    rtest_waiting_start(&a, 0, "a", NULL);
    rtest_waiting_await_held("a");
    rtest_waiting_start(&b, 0, "b", sampled);
    rtest_waiting_await_waiting(1);
    rtest_clients_run(20);
    rtest_waiting_answer("a");
    rtest_waiting_await_held("b");
    rtest_waiting_answer("b");
    rtest_waiting_expect(&a, 200, NULL);
    rtest_waiting_expect(&b, 200, NULL);
    json_t *spans = rtest_spans(9);
    const json_t *wait = rtest_span(spans, "wait", 0);
    cr_assert(wait && !rtest_span(spans, "wait", 1));
    const json_t *select = rtest_span_of_id(spans, rtest_span_text(wait, "parentSpanId"));
    cr_assert_str_eq(rtest_span_text(select, "name"), "select");
    cr_assert_str_eq(rtest_span_text(select, "traceId"), TRACE);
    expect(select, "kvroute.waited_ms", b.waited);
    json_decref(spans);
}

// ---- What engines are told -----------------------------------------------------------------------

static void answer_all(struct server *s, size_t n, struct bufferevent *to) {
    (void)s;
    (void)n;
    server_say(to,
               "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
}

static void line_of(const char *name, char out[200]) {
    char start[40];
    snprintf(start, sizeof start, "\r\n%s:", name);
    const char *at = strcasestr(engine.head, start);
    *out = 0;
    if (!at) return;
    at += strlen(start) + 1;
    snprintf(out, 200, "%.*s", (int)strcspn(at, "\r"), at);
}

static void start_router(const char *otlp, const char *ratio) {
    char url[80];
    snprintf(url, sizeof url, "%s", engine.address);
    if (rtest_fleet.routers[0].pid) rtest_end_router(0);
    rtest_router(0, (const char *[]){"--engine", url, "--learn", "0", "--check", "0", "--otlp",
                                     otlp, "--trace_ratio", ratio, NULL});
    rtest_await_ready(0);
}

// unchanged: as it came. Else trace NULL: a new one.
static const struct told_row {
    const char *parent, *state, *ratio;
    bool on, unchanged, keeps_state;
    const char *trace, *flags;
} told[] = {
    {"00-" TRACE "-" PARENT "-01", "a=1", "1", false, true, true, NULL, NULL},
    {"rubbish", "A", "1", false, true, true, NULL, NULL},
    {"00-" TRACE "-" PARENT "-00", "a=1", "1", true, true, true, NULL, NULL},
    {"00-" TRACE "-" PARENT "-01", "a=1", "0", true, false, true, TRACE, "01"},
    {"00-" TRACE "-" PARENT "-01", "A=1", "0", true, false, false, TRACE, "01"},
    {"rubbish", "a=1", "1", true, false, false, NULL, "01"},
    {"rubbish", "a=1", "0", true, false, false, NULL, "00"},
    {NULL, NULL, "1", true, false, false, NULL, "01"},
    {NULL, NULL, "0", true, false, false, NULL, "00"},
};

static void check_told(const struct told_row *c, size_t i) {
    char parent[200], state[200];
    line_of("traceparent", parent);
    line_of("tracestate", state);
    cr_assert_str_eq(state, c->keeps_state ? c->state : "", "%zu", i);
    if (c->unchanged) {
        cr_assert_str_eq(parent, c->parent, "%zu", i);
        return;
    }
    cr_assert(strlen(parent) == 55 && !strncmp(parent, "00-", 3), "%zu: %s", i, parent);
    cr_assert_str_eq(parent + 53, c->flags, "%zu", i);
    cr_assert_eq(!strncmp(parent + 3, TRACE, 32), c->trace != NULL, "%zu", i);
    cr_assert(strncmp(parent + 36, PARENT, 16) != 0, "%zu", i);
}

// If it is sampled, the engine's parent is the span of the call to it.
Test(spans, what_engines_are_told, .fini = spans_down) {
    char headers[300], parent[200], last[12] = "";
    rtest_collector_open();
    rtest_clients_open();
    server_open(&engine, rtest_callers.base, answer_all);
    rtest_redis();
    size_t n = 0;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        const struct told_row *c = &told[i];
        char now[12];
        snprintf(now, sizeof now, "%d %s", c->on, c->ratio);
        if (strcmp(now, last) != 0) start_router(c->on ? rtest_collector_url() : "none", c->ratio);
        memcpy(last, now, sizeof last);
        *headers = 0;
        if (c->parent)
            snprintf(headers, sizeof headers, "traceparent: %s\r\ntracestate: %s\r\n", c->parent,
                     c->state);
        struct rtest_client who =
            rtest_client_call(rtest_port(), "/v1/completions", headers, "{\"prompt\":[1,2]}");
        cr_assert_eq(who.status, 200);
        rtest_client_free(&who);
        check_told(c, i);
        if (!c->flags || strcmp(c->flags, "01") != 0) continue;
        n += 4;
        json_t *spans = rtest_spans(n);
        line_of("traceparent", parent);
        parent[52] = 0;
        const json_t *call = rtest_span_of_id(spans, parent + 36);
        cr_assert(call, "%zu: no span %s", i, parent + 36);
        cr_assert_str_eq(rtest_span_text(call, "name"), "text_completion");
        json_decref(spans);
    }
}

// ---- The collector -------------------------------------------------------------------------------

Test(spans, are_sent_before_a_router_leaves, .fini = spans_down) {
    bring_up(1, "--time-scale 0", "1");
    rtest_collector_hold(true);
    for (int i = 0; i < 5; i++)
        ask_well(NULL, whole);
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !rtest_collector_requests();
         rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end);
    rtest_collector_hold(false);
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    json_t *spans = rtest_spans(20);
    cr_assert_eq(json_array_size(spans), 20);
    json_decref(spans);
}

// Clients notice nothing, and a router that leaves doesn't wait.
Test(spans, nobody_takes_them, .fini = spans_down) {
    rtest_fleet_up(1, "--time-scale 0", 1, (const char *[]){"--otlp", "http://127.0.0.1:1", NULL});
    for (int i = 0; i < 20; i++)
        ask_well(NULL, i & 1 ? stream : whole);
    cr_assert_eq(rtest_router_metric(0, "spans_waiting"), 80);
}

// With SIGHUP there is a collector, and then there is none.
Test(spans, settings_change, .fini = spans_down) {
    char file[200], url[80];
    rtest_collector_open();
    rtest_clients_open();
    rtest_redis();
    rtest_engine(0, "--no-events --time-scale 0");
    snprintf(url, sizeof url, "http://127.0.0.1:%d", rtest_fleet.engines[0].port);
    support_path(file, sizeof file, "router.conf");
    for (int i = 0; i < 3; i++) {
        FILE *f = fopen(file, "w");
        fprintf(f, "[router]\notlp = %s\n[engine %s]\n", i == 1 ? rtest_collector_url() : "none",
                url);
        fclose(f);
        if (i)
            rtest_kill(&rtest_fleet.routers[0], SIGHUP);
        else
            rtest_router(0, (const char *[]){"--config", file, NULL});
        rtest_await_ready(0);
        char *log = NULL;
        for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; i; support_sleep_ms(5)) {
            int said = 0;
            log = rtest_log(0);
            for (const char *at = log; (at = strstr(at, "settings read")); at++)
                said++;
            free(log);
            if (said == i) break;
            cr_assert(kvr_clock_ms() < end);
        }
        ask_well(NULL, whole);
        json_t *spans = rtest_spans(i ? 4 : 0);
        cr_assert_eq(json_array_size(spans), i ? 4 : 0);
        json_decref(spans);
    }
}
