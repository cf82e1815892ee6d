// SPDX-License-Identifier: Apache-2.0
// The way of spans to a collector that is well, busy, choosy or dead; and the settings that say where it is.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/alloc.h"
#include "client/common/clock.h"
#include "client/http1/h1_client.h"
#include "client/router/router_config.h"
#include "client/router/trace/router_exporter.h"
#include "client/router/trace/router_trace_settings.h"
#include "rtest_authority.h"
#include "rtest_cluster.h"
#include "rtest_collector.h"
#include "rtest_http.h"
#include "rtest_scripted_server.h"
#include "tests/support/support_alloc.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

static struct event_base *base;
static struct router_config config;
static struct router_trace_settings settings;
static struct router_exporter *exporter;
static struct support_alloc memory;
static struct kvr_alloc allocator;

static void forget_environment(void) {
    static const char *const names[] = {"OTEL_EXPORTER_OTLP_ENDPOINT",
                                        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                                        "OTEL_EXPORTER_OTLP_PROTOCOL",
                                        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                                        "OTEL_EXPORTER_OTLP_CERTIFICATE",
                                        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                                        "OTEL_EXPORTER_OTLP_HEADERS",
                                        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                                        "OTEL_RESOURCE_ATTRIBUTES",
                                        "OTEL_SERVICE_NAME",
                                        "OTEL_SDK_DISABLED",
                                        "OTEL_TRACES_EXPORTER",
                                        "OTEL_TRACES_SAMPLER",
                                        "OTEL_TRACES_SAMPLER_ARG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

// False: it is refused, with the reason in *why.
static bool read_settings(char why[300]) {
    router_trace_settings_free(&settings);
    settings = (struct router_trace_settings){.instance = "this one",
                                              .headers.alloc = &kvr_alloc_default,
                                              .resource.alloc = &kvr_alloc_default};
    *why = 0;
    return router_trace_settings_read(&settings, &config, why, 300);
}

static void set_up(void) {
    forget_environment();
    settings.headers.alloc = settings.resource.alloc = &kvr_alloc_default;
}

static void point_at(const struct router_trace_settings *s) {
    char why[300];
    cr_assert(router_exporter_configure(exporter, s, why, sizeof why), "%s", why);
}

static void open_exporter(const char *url) {
    char why[300];
    snprintf(config.otlp, sizeof config.otlp, "%s", url);
    cr_assert(read_settings(why), "%s", why);
    base = event_base_new();
    allocator = support_alloc_use(&memory);
    exporter = router_exporter_new(base, &allocator);
    cr_assert(exporter);
    point_at(&settings);
}

static void tear_down(void) {
    router_exporter_free(exporter);
    if (base) h1_loop_free(base);
    support_alloc_check_freed(&memory, "the exporter");
    router_trace_settings_free(&settings);
    rtest_collector_close();
}

static struct router_exporter_stats stats(void) {
    struct router_exporter_stats s;
    router_exporter_stats(exporter, &s);
    return s;
}

// A span of this name, and of so many bytes more.
static bool add(const char *name, size_t more) {
    size_t n = strlen(name) + more + 40;
    char *text = calloc(1, n);
    int used = snprintf(text, n, "{\"name\":\"%s\",\"x\":\"%*s\"}", name, (int)more, "");
    bool added = router_exporter_add(exporter, text, (size_t)used, 1);
    free(text);
    return added;
}

static void turn(void) {
    struct timeval soon = kvr_timeval(5);
    event_base_loopexit(base, &soon);
    event_base_dispatch(base);
}

static void await_empty(void) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; stats().spans; turn())
        cr_assert(kvr_clock_ms() < end, "%zu spans wait", stats().spans);
}

TestSuite(exporter, .init = set_up, .fini = tear_down);

// ---- A collector ---------------------------------------------------------------------------------

Test(exporter, one_body_for_many) {
    rtest_collector_open();
    snprintf(
        config.otlp_headers, sizeof config.otlp_headers, "%s",
        rtest_write("headers", "# who we are\n\nAuthorization: Bearer s3cret\n X-Tenant:a b \n"));
    strcpy(config.resource_attributes, "place=here%20and%2Cthere,service.namespace=llm");
    open_exporter(rtest_collector_url());
    for (int i = 0; i < 100; i++)
        cr_assert(add(i ? "b" : "a", 0));
    await_empty();
    cr_assert(stats().sent == 100 && rtest_collector_requests() == 1);
    json_t *spans = rtest_spans(100), *resource = rtest_resource();
    cr_assert_str_eq(rtest_span_text(json_array_get(spans, 0), "name"), "a");
    cr_assert_str_eq(rtest_attribute(resource, "service.name"), "kvroute-router");
    cr_assert_str_eq(rtest_attribute(resource, "service.namespace"), "llm");
    cr_assert_str_eq(rtest_attribute(resource, "service.version"), KVROUTE_VERSION);
    cr_assert_str_eq(rtest_attribute(resource, "place"), "here and,there");
    cr_assert_str_eq(rtest_attribute(resource, "service.instance.id"), "this one");
    char *type = rtest_collector_header("Content-Type"),
         *token = rtest_collector_header("Authorization"),
         *tenant = rtest_collector_header("X-Tenant");
    cr_assert_str_eq(type, "application/json");
    cr_assert_str_eq(token, "Bearer s3cret");
    cr_assert_str_eq(tenant, "a b");
    free(type);
    free(token);
    free(tenant);
    json_decref(spans);
    json_decref(resource);
}

// Many go before the time has come, in bodies that aren't too large.
Test(exporter, full_bodies_go_at_once) {
    rtest_collector_open();
    open_exporter(rtest_collector_url());
    for (int i = 0; i < 2000; i++)
        cr_assert(add("a", 1500));
    await_empty();
    cr_assert(stats().sent == 2000 && rtest_collector_requests() >= 4);
    cr_assert_leq(rtest_collector_largest(), (size_t)(1 << 20) + 4096);
}

Test(exporter, busy_ones_are_asked_again) {
    static const char *const answers[] = {"429:1", "503:1", NULL};
    rtest_collector_open();
    rtest_collector_script(answers);
    open_exporter(rtest_collector_url());
    cr_assert(add("a", 0) && add("b", 0));
    await_empty();
    cr_assert(stats().sent == 2 && stats().requests == 3 && !stats().refused);
    json_t *spans = rtest_spans(2);
    cr_assert_eq(json_array_size(spans), 2);
    json_decref(spans);
}

Test(exporter, what_is_refused_is_not_sent_again) {
    static const char *const answers[] = {
        "400",
        "200{\"partialSuccess\":{\"rejectedSpans\":\"1\",\"errorMessage\":\"no\"}}",
        "200{\"partialSuccess\":{\"rejectedSpans\":99}}",
        "200{\"partialSuccess\":7}",
        "500",
        NULL};
    static const unsigned sent[] = {0, 1, 1, 3, 3}, refused[] = {2, 3, 5, 5, 7};
    rtest_collector_open();
    rtest_collector_script(answers);
    open_exporter(rtest_collector_url());
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(add("a", 0) && add("b", 0));
        await_empty();
        cr_assert(stats().sent == sent[i] && stats().refused == refused[i], "%u: %d, %d", i,
                  (int)stats().sent, (int)stats().refused);
    }
    cr_assert_eq(rtest_collector_requests(), 5);
}

// Halves, and halves of these; what is too large alone is lost.
Test(exporter, too_large_a_body_is_cut_up) {
    static const char *const answers[] = {"413", "413", NULL};
    static const char *const alone[] = {"413", NULL};
    rtest_collector_open();
    rtest_collector_script(answers);
    open_exporter(rtest_collector_url());
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (int i = 0; i < 8; i++)
        cr_assert(add(names[i], 1000));
    await_empty();
    cr_assert(stats().sent == 8 && !stats().refused);
    json_t *spans = rtest_spans(8);
    for (size_t i = 0; i < 8; i++)
        cr_assert_str_eq(rtest_span_text(json_array_get(spans, i), "name"), names[i]);
    cr_assert_eq(json_array_size(spans), 8);
    json_decref(spans);
    cr_assert_lt(rtest_collector_largest(), 4000);
    rtest_collector_script(alone);
    cr_assert(add("a", 100));
    await_empty();
    cr_assert_eq(stats().refused, 1);
}

// By its own authority; by the system's it isn't, and nothing is lost meanwhile.
Test(exporter, over_tls) {
    char why[300];
    rtest_issue(&(struct rtest_issue){.file = "ca"});
    rtest_issue(&(struct rtest_issue){.file = "door", .issuer = "ca", .names = "IP:127.0.0.1"});
    rtest_collector_open_tls(rtest_pem("door"), rtest_pem_key("door"));
    open_exporter(rtest_collector_url());
    cr_assert(add("a", 0) && add("b", 0));
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !stats().requests; turn())
        cr_assert(kvr_clock_ms() < end);
    for (int i = 0; i < 20; i++)
        turn();
    cr_assert(!stats().sent && stats().spans == 2);
    snprintf(config.otlp_ca, sizeof config.otlp_ca, "%s", rtest_pem("ca"));
    struct router_trace_settings old = settings;
    settings.headers.p = settings.resource.p = NULL;
    cr_assert(read_settings(why), "%s", why);
    point_at(&settings);
    router_trace_settings_free(&old);
    await_empty();
    cr_assert_eq(stats().sent, 2);
    strcpy(config.otlp_ca, "/nowhere/at/all");
    struct router_trace_settings wrong = settings;
    snprintf(wrong.ca, sizeof wrong.ca, "/nowhere/at/all");
    cr_assert(!router_exporter_configure(exporter, &wrong, why, sizeof why));
    cr_assert(!strncmp(why, "otlp_ca", 7) && strstr(why, "/nowhere/at/all"), "%s", why);
}

// ---- None ----------------------------------------------------------------------------------------

static void say_without_end(struct server *s, size_t n, struct bufferevent *to) {
    char much[4097];
    (void)s;
    (void)n;
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = 0;
    server_say(to, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20; i++)
        server_say_chunk(to, much);
}

// It has said that it took them; what else it says isn't listened to.
Test(exporter, an_answer_without_an_end) {
    static struct server endless;
    struct event_base *loop = event_base_new();
    server_open(&endless, loop, say_without_end);
    open_exporter(endless.address);
    cr_assert(add("a", 0));
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; stats().spans; turn()) {
        cr_assert(kvr_clock_ms() < end);
        event_base_loop(loop, EVLOOP_NONBLOCK);
    }
    cr_assert(stats().sent == 1 && stats().requests == 1);
    server_close(&endless);
    h1_loop_free(loop);
}

static void dead_url(char url[60]) {
    snprintf(url, 60, "http://127.0.0.1:%d", support_port());
}

Test(exporter, nobody_there_costs_a_bounded_queue) {
    char url[60];
    dead_url(url);
    open_exporter(url);
    size_t added = 0;
    while (add("a", 0))
        added++;
    cr_assert(added <= ROUTER_EXPORTER_SPANS && added > ROUTER_EXPORTER_SPANS / 2);
    for (int i = 0; i < 20; i++)
        turn();
    cr_assert(stats().requests <= 2, "%d attempts", (int)stats().requests);
    while (add("a", 20000))
        ;
    cr_assert_leq(stats().bytes, ROUTER_EXPORTER_BYTES);
    cr_assert_geq(stats().dropped, 2);
    point_at(NULL);
    cr_assert(!stats().spans && !stats().bytes && router_exporter_is_done(exporter));
    cr_assert(!add("a", 0));
}

Test(exporter, bytes_are_bounded_too) {
    char url[60];
    dead_url(url);
    open_exporter(url);
    while (add("a", 100000))
        ;
    cr_assert_leq(stats().bytes, ROUTER_EXPORTER_BYTES);
    cr_assert_lt(stats().spans, ROUTER_EXPORTER_SPANS);
}

static void await_done(void) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !router_exporter_is_done(exporter); turn())
        cr_assert(kvr_clock_ms() < end, "%zu spans wait", stats().spans);
}

Test(exporter, the_last_ones) {
    rtest_collector_open();
    open_exporter(rtest_collector_url());
    for (int i = 0; i < 1500; i++)
        cr_assert(add("a", 0));
    router_exporter_flush(exporter);
    cr_assert(add("b", 0));
    await_done();
    cr_assert_eq(stats().sent, 1501);
}

Test(exporter, the_last_ones_for_nobody) {
    char url[60];
    dead_url(url);
    open_exporter(url);
    for (int i = 0; i < 10; i++)
        cr_assert(add("a", 0));
    router_exporter_flush(exporter);
    await_done();
    cr_assert(stats().given_up == 10 && !stats().spans);
    cr_assert_not(add("a", 0));
}

Test(exporter, without_memory_spans_are_lost) {
    char url[60];
    dead_url(url);
    open_exporter(url);
    cr_assert(add("a", 0));
    memory.fail_at = memory.calls + 1;
    memory.fail_from = true;
    cr_assert(!add("b", 0) && stats().dropped == 1 && stats().spans == 1);
}

// Other settings while a body is under way: it goes to the new place.
Test(exporter, goes_elsewhere) {
    char url[60], why[300];
    dead_url(url);
    open_exporter(url);
    cr_assert(add("a", 0) && add("b", 0));
    router_exporter_flush(exporter);
    router_exporter_free(exporter);
    exporter = router_exporter_new(base, &allocator);
    point_at(&settings);
    cr_assert(add("a", 0) && add("b", 0));
    rtest_collector_open();
    snprintf(config.otlp, sizeof config.otlp, "%s", rtest_collector_url());
    point_at(NULL);
    cr_assert(read_settings(why));
    point_at(&settings);
    cr_assert(add("c", 0));
    await_empty();
    cr_assert(stats().sent == 1 && stats().dropped == 2);
}

// ---- Settings ------------------------------------------------------------------------------------

Test(exporter, settings_that_are_refused) {
    static const struct {
        const char *otlp, *headers, *ratio, *attributes, *why;
    } cases[] = {
        {"ftp://a", "", "", "", "http://HOST:PORT is meant"},
        {"a:4318", "", "", "", "http://HOST:PORT is meant"},
        {"http://a?b", "", "", "", "http://HOST:PORT is meant"},
        {"http://me:s3cret@a:4318", "", "", "", "http://HOST:PORT is meant"},
        {"http://a", "", "1.5", "", "trace_ratio takes a number from 0 to 1"},
        {"http://a", "", "-1", "", "trace_ratio takes a number from 0 to 1"},
        {"http://a", "", "nan", "", "trace_ratio takes a number from 0 to 1"},
        {"http://a", "", "", "a", "resource_attributes takes NAME=VALUE,NAME=VALUE"},
        {"http://a", "", "", "=b", "resource_attributes takes NAME=VALUE,NAME=VALUE"},
        {"http://a", "s3cret", "", "", "line 1: NAME: VALUE is meant"},
        {"http://a", "a: b\nHost: s3cret", "", "", "line 2: NAME: VALUE is meant"},
        {"http://a", "a b: s3cret", "", "", "line 1: NAME: VALUE is meant"},
        {"http://a", "a: s3cret\x01", "", "", "line 1: NAME: VALUE is meant"},
    };
    char why[300];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config = (struct router_config){.redis = ""};
        snprintf(config.otlp, sizeof config.otlp, "%s", cases[i].otlp);
        snprintf(config.trace_ratio, sizeof config.trace_ratio, "%s", cases[i].ratio);
        snprintf(config.resource_attributes, sizeof config.resource_attributes, "%s",
                 cases[i].attributes);
        if (*cases[i].headers)
            snprintf(config.otlp_headers, sizeof config.otlp_headers, "%s",
                     rtest_write("headers", cases[i].headers));
        cr_assert_not(read_settings(why));
        cr_assert(strstr(why, cases[i].why) && !strstr(why, "s3cret"), "%zu: %s", i, why);
    }
    config = (struct router_config){.otlp = "http://a:4318/x/v1/traces"}; // the whole URL will do
    cr_assert(read_settings(why), "%s", why);
    cr_assert(!strcmp(settings.address, "http://a:4318") && !strcmp(settings.path, "/x/v1/traces"));
    config = (struct router_config){.otlp = "http://a", .otlp_headers = "/nowhere/at/all"};
    cr_assert(!read_settings(why) && strstr(why, "/nowhere/at/all: No such file"), "%s", why);
}

static void environment(const char *name, const char *value) {
    setenv(name, value, 1);
}

Test(exporter, settings_of_the_environment) {
    char why[300];
    config = (struct router_config){.redis = ""};
    cr_assert(read_settings(why) && !*settings.address);
    environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/x/");
    environment("OTEL_SERVICE_NAME", "door");
    environment("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,a=1,b=2");
    environment("OTEL_EXPORTER_OTLP_HEADERS", "X-Key=a%20b,X-Other=c");
    environment("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    environment("OTEL_TRACES_SAMPLER_ARG", "0.25");
    strcpy(config.resource_attributes, "a=3");
    cr_assert(read_settings(why), "%s", why);
    cr_assert_str_eq(settings.address, "http://a:4318/x/");
    cr_assert_str_eq(settings.path, "/v1/traces");
    cr_assert_str_eq(settings.headers.p,
                     "X-Key: a b\r\nX-Other: c\r\nContent-Type: application/json\r\n");
    cr_assert(settings.by_parent && settings.threshold == (uint64_t)3 << 54);
    char *text = calloc(1, settings.resource.n + 3);
    snprintf(text, settings.resource.n + 3, "[%.*s]", (int)settings.resource.n,
             settings.resource.p);
    json_t *resource = json_loads(text, 0, NULL);
    cr_assert_str_eq(rtest_attribute(resource, "service.name"), "door");
    cr_assert_str_eq(rtest_attribute(resource, "a"), "3");
    cr_assert_str_eq(rtest_attribute(resource, "b"), "2");
    cr_assert_null(strstr(text, "other"));
    json_decref(resource);
    free(text);
    environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b/y");
    environment("OTEL_TRACES_SAMPLER", "always_off");
    cr_assert(read_settings(why) && !strcmp(settings.address, "http://b") &&
              !strcmp(settings.path, "/y") && !settings.by_parent);
    cr_assert_eq(settings.threshold, (uint64_t)1 << 56);
    // The settings go before.
    strcpy(config.otlp, "http://c");
    strcpy(config.trace_ratio, "1");
    strcpy(config.service_name, "mine");
    cr_assert(read_settings(why) && !strcmp(settings.address, "http://c") && settings.by_parent &&
              !settings.threshold && strstr(settings.resource.p, "\"mine\""));
    strcpy(config.otlp, "none");
    cr_assert(read_settings(why) && !*settings.address);
}

// What isn't for HTTP, or is switched off, is no error.
Test(exporter, settings_of_the_environment_that_say_no) {
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, {"OTEL_SDK_DISABLED", "true"},
        {"OTEL_TRACES_EXPORTER", "none"},        {"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://a"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT", ":::"},
    };
    char why[300];
    config = (struct router_config){.redis = ""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        forget_environment();
        environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
        environment(cases[i].name, cases[i].value);
        cr_assert(read_settings(why) && !*settings.address, "%s=%s", cases[i].name, cases[i].value);
    }
}
