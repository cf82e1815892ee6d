// SPDX-License-Identifier: Apache-2.0
// Of which class and flow a request is, and how long it may wait: tokens, headers, priorities, settings.
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/front/router_bearer.h"
#include "client/router/prompt/router_service.h"
#include "client/router/router_shares.h"
#include "tests/support/support_home.h"

static bool is(struct kvr_bytes b, const char *text) {
    return b.n == strlen(text) && (!b.n || !memcmp(b.p, text, b.n));
}

static struct kvr_bytes text(const char *s) {
    return (struct kvr_bytes){s, strlen(s)};
}

// ---- What counts ---------------------------------------------------------------------------------

// The class, flow and wait that a request of this tenant ("": no class, no flow) gets with these words of its own.
static const struct service_case {
    const char *classes, *flow;         // of the token
    const char *class_said, *flow_said; // headers
    int priority;                       // of the body; 99: none
    bool trusted;                       // trust_headers
    const char *class_is, *flow_is;
    int64_t wait;
} service_cases[] = {
    {"", "", "", "", 99, false, "", "", 100},
    {"", "", "batch", "", 99, false, "batch", "", 60000},
    {"", "", "", "", 10, false, "batch", "", 60000},
    {"", "", "", "", 11, false, "batch", "", 60000},
    {"", "", "", "", 9, false, "chat", "", 0},
    {"", "", "", "", -5, false, "chat", "", 0}, // more urgent than all
    {"", "", "else", "", 10, false, "else", "", 100},
    {"", "", "", "acme", 99, false, "", "acme", 100},
    // The token goes first, and one with several classes leaves a choice among these.
    {"batch", "acme", "chat", "other", 0, false, "batch", "acme", 60000},
    {"batch", "acme", "chat", "other", 0, true, "chat", "other", 0},
    {"batch", "acme", "", "", 0, true, "batch", "acme", 60000},
    {"chat,batch", "", "batch", "", 99, false, "batch", "", 60000},
    {"chat,batch", "", "", "", 10, false, "batch", "", 60000},
    {"chat,batch", "", "top", "", 99, false, "chat", "", 0},
    {"chat,batch", "", "ba", "", 99, false, "chat", "", 0},
    {"", "acme", "batch", "", 99, false, "batch", "acme", 60000},
};

Test(router_classes, the_token_goes_before_the_request) {
    static struct router_config o = {
        .wait = 100, .class_wait = "batch:60000 chat:0", .priorities = "batch:10 chat:0"};
    for (size_t i = 0; i < sizeof service_cases / sizeof *service_cases; i++) {
        const struct service_case *c = &service_cases[i];
        struct router_tenant *t = router_tenant_new(text(c->classes), text(c->flow));
        struct router_service_said said = {.class_name = text(c->class_said),
                                           .flow = text(c->flow_said),
                                           .has_priority = c->priority != 99,
                                           .priority = c->priority,
                                           .trusted = c->trusted};
        struct router_service *s;
        cr_assert(t && router_service_find(&o, t, &said, &s));
        cr_expect(is(router_service_class(s), c->class_is), "case %zu", i);
        cr_expect(is(router_service_flow(s), c->flow_is), "case %zu", i);
        cr_expect_eq(s ? s->wait : 0, c->wait, "case %zu", i);
        free(s);
        router_tenant_give_back(t);
    }
}

Test(router_classes, nothing_said_is_nothing_kept) {
    static struct router_config o;
    struct router_service *s;
    cr_assert(router_service_find(&o, NULL, &(struct router_service_said){.priority = 3}, &s));
    cr_assert_null(s);
    cr_assert(is(router_service_class(s), "") && is(router_service_flow(s), ""));
}

Test(router_classes, what_a_request_says) {
    static struct router_config o = {.class_header = "X-Kvroute-Class"};
    char long_name[300];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    struct h1_header headers[] = {{"x-kvroute-class", "batch"}, {"X-Kvroute-Flow", "acme"}};
    struct h1_head head = {.headers = headers, .n_headers = 2};
    json_t *body = json_pack("{s:i}", "priority", -3);
    struct router_service_said said = router_service_read(&o, &head, body);
    cr_assert(is(said.class_name, "batch") && !said.flow.n && !said.trusted);
    cr_assert(said.has_priority && said.priority == -3);
    // A client may say whose it is only where the settings let it.
    strcpy(o.flow_header, "x-kvroute-flow");
    said = router_service_read(&o, &head, NULL);
    cr_assert(is(said.flow, "acme") && !said.has_priority);
    headers[0].value = long_name; // no pool has a class of such a name
    cr_assert_eq(router_service_read(&o, &head, NULL).class_name.n, 0u);
    json_decref(body);
    body = json_pack("{s:s}", "priority", "high");
    cr_assert_not(router_service_read(&o, &head, body).has_priority);
    json_decref(body);
}

// ---- Settings ------------------------------------------------------------------------------------

static bool reads(const char *word, const char *value, struct router_config *o) {
    char *argv[] = {"router", (char *)word, (char *)value, NULL};
    char error[200] = "";
    bool help;
    return router_config_read(o, 3, argv, &help, error, sizeof error);
}

Test(router_classes, settings_are_checked) {
    static const struct {
        const char *word, *value;
        bool good;
    } cases[] = {
        {"--class_wait", "batch:60000 low-cost:0", true},
        {"--class_wait", "a:b:5", true},
        {"--class_wait", "batch", false},
        {"--class_wait", "batch:", false},
        {"--class_wait", ":5", false},
        {"--class_wait", "batch:-5", false},
        {"--class_wait", "batch:5x", false},
        {"--class_wait", "batch:99999999999999999999", false},
        {"--priorities", "batch:10 chat:-10", true},
        {"--priorities", "batch:ten", false},
        {"--priorities", "batch:+1", false},
        {"--wait", "5000", true},
        {"--wait", "-1", false},
        {"--scale_target", "0", false},
        {"--trust_headers", "yes", true},
        {"--trust_headers", "maybe", false},
    };
    static struct router_config o;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool good = reads(cases[i].word, cases[i].value, &o);
        cr_expect_eq(good, cases[i].good, "%s %s", cases[i].word, cases[i].value);
        if (good) router_config_free(&o);
    }
    cr_assert(reads("--class_wait", "a:b:5", &o));
    cr_assert_eq(router_service_wait(&o, text("a:b")), 5);
    cr_assert_eq(router_service_wait(&o, text("a")), 0);
    cr_assert(router_service_may_wait(&o));
    router_config_free(&o);
    cr_assert(reads("--class_wait", "default:7 none:0", &o));
    cr_assert_eq(router_service_wait(&o, text("")), 7); // no class is `default`
    router_config_free(&o);
    cr_assert(reads("--class_wait", "none:0", &o) && !router_service_may_wait(&o));
    router_config_free(&o);
}

// ---- Tokens --------------------------------------------------------------------------------------

static struct router_bearer *read_tokens(const char *tokens, char *error, size_t size) {
    char file[200];
    snprintf(file, sizeof file, "%s/tenants", support_home());
    FILE *f = fopen(file, "w");
    fputs(tokens, f);
    fclose(f);
    return router_bearer_read(file, error, size);
}

Test(router_classes, tokens_with_classes_and_flows) {
    char error[400] = "";
    struct router_tenant *t;
    struct router_bearer *b = read_tokens("user class=chat,batch flow=acme token-1\n"
                                          "flow=globex token-2\n"
                                          "operator token-2\n"
                                          "token-3\n",
                                          error, sizeof error);
    cr_assert(b, "%s", error);
    cr_assert_eq(router_bearer_classes(b, "Bearer token-1", &t), (unsigned)ROUTER_USER);
    cr_assert(is(router_tenant_flow(t), "acme") && is(router_tenant_class(t, text("")), "chat"));
    cr_assert_eq(router_bearer_classes(b, "Bearer token-2", &t),
                 (unsigned)(ROUTER_USER | ROUTER_OPERATOR));
    cr_assert(is(router_tenant_flow(t), "globex") && !router_tenant_class(t, text("x")).n);
    cr_assert_eq(router_bearer_classes(b, "Bearer token-3", &t), (unsigned)ROUTER_USER);
    cr_assert_null(t);
    router_bearer_classes(b, "Bearer token-1", &t);
    router_tenant_take(t);
    router_bearer_free(b);
    cr_assert(is(router_tenant_flow(t), "acme")); // of a request under way, after SIGHUP
    router_tenant_give_back(t);
}

// A token for each tenant: each is found, and no other.
Test(router_classes, thousands_of_tenants) {
    enum { CLASSES_TOKENS = 5000 };
    char error[400] = "", line[80], *all = calloc(CLASSES_TOKENS, sizeof line), *at = all;
    for (int i = 0; i < CLASSES_TOKENS; i++)
        at += sprintf(at, "flow=tenant-%d token-%d\n", i, i);
    at += sprintf(at, "operator token-17\n");
    struct router_bearer *b = read_tokens(all, error, sizeof error);
    struct router_tenant *t;
    cr_assert(b, "%s", error);
    for (int i = 0; i < CLASSES_TOKENS; i++) {
        char name[40];
        snprintf(line, sizeof line, "Bearer token-%d", i);
        snprintf(name, sizeof name, "tenant-%d", i);
        unsigned classes = router_bearer_classes(b, line, &t);
        cr_assert_eq(classes, (unsigned)(i == 17 ? ROUTER_USER | ROUTER_OPERATOR : ROUTER_USER));
        cr_assert(is(router_tenant_flow(t), name), "%s", name);
    }
    cr_assert_eq(router_bearer_classes(b, "Bearer token-5000", &t), 0u);
    cr_assert_eq(router_bearer_classes(b, "Bearer ", &t), 0u);
    router_bearer_free(b);
    free(all);
}

Test(router_classes, tokens_that_are_refused) {
    static const struct {
        const char *line, *wrong;
    } cases[] = {
        {"class= token\n", "class= takes names"},
        {"class=a,,b token\n", "class= takes names"},
        {"class=a, token\n", "class= takes names"},
        {"flow= token\n", "flow= takes a name"},
        {"user class=a\n", "a class without a token"},
        {"flow=acme\n", "a class without a token"},
        {"tenant=acme token\n", "before a token come"},
    };
    char error[400];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_null(read_tokens(cases[i].line, error, sizeof error), "%s", cases[i].line);
        cr_expect(strstr(error, cases[i].wrong), "%s: %s", cases[i].line, error);
    }
}

// ---- What is counted -----------------------------------------------------------------------------

Test(router_classes, series_are_bounded) {
    static struct router_shares s;
    char name[20];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "tenant-%d", i);
        router_shares_count(&s, text(""), text(name), ROUTER_SHARE_LIMITED, 0);
        router_shares_count(&s, text(name), text(""), ROUTER_SHARE_WAITED, 5);
    }
    router_shares_count(&s, text("other"), text("other"), ROUTER_SHARE_LIMITED, 0);
    cr_assert_eq(s.n_flows, ROUTER_SHARES_FLOWS);
    cr_assert_eq(s.n_classes, ROUTER_SHARES_CLASSES);
    cr_assert_eq(s.flows[ROUTER_SHARES_FLOWS].n[ROUTER_SHARE_LIMITED],
                 1000u - ROUTER_SHARES_FLOWS + 1);
    cr_assert_eq(s.classes[0].n[ROUTER_SHARE_LIMITED], 1000u);
    // What a client may call itself is never a series twice.
    struct kvr_prom p = {.out = evbuffer_new(), .prefix = "t_"};
    router_shares_show(&p, &s);
    evbuffer_add(p.out, "", 1);
    const char *page = (const char *)evbuffer_pullup(p.out, -1), *at = page;
    int others = 0;
    for (; (at = strstr(at, "flow=\"other\"")); at++)
        others++;
    cr_assert_eq(others, 1);
    evbuffer_free(p.out);
}
