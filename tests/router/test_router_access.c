// SPDX-License-Identifier: Apache-2.0
// Who may do what: classes of tokens, the listener for operators, and pages of other places.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/router/front/router_bearer.h"
#include "client/router/front/router_front.h"
#include "client/router/router_metrics.h"
#include "rtest_cluster.h"
#include "rtest_schema.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

enum { USER, FRONTEND, OPERATOR, BOTH, NOBODY, SENDERS };

static const char *const tokens[] = {"token-u", "token-f", "token-o", "token-b", "token-x"};

static const struct access_row {
    const char *method, *path;
    bool may[SENDERS]; // else it is 403, and 401 for nobody
} lines[] = {
    {"POST", "/v1/chat/completions", {true, false, false, false}},
    {"POST", "/v1/completions", {true, false, false, false}},
    {"POST", "/v1/embeddings", {true, false, false, false}},
    {"GET", "/v1/models", {true, false, false, false}},
    {"GET", "/v1/models/{name}", {true, false, false, false}},
    {"POST", "/v1/chat/completions/batch", {true, false, false, false}},
    {"POST", "/v1/responses", {true, false, false, false}},
    {"POST", "/v1/responses/{id}/cancel", {true, false, false, false}},
    {"POST", "/v1/messages", {true, false, false, false}},
    {"POST", "/v1/messages/count_tokens", {true, false, false, false}},
    {"POST", "/generate", {true, false, false, false}},
    {"POST", "/v1/rerank", {true, false, false, false}},
    {"POST", "/v2/rerank", {true, false, false, false}},
    {"POST", "/rerank", {true, false, false, false}},
    {"POST", "/score", {true, false, false, false}},
    {"POST", "/v1/classify", {true, false, false, false}},
    {"POST", "/classify", {true, false, false, false}},
    {"POST", "/pooling", {true, false, false, false}},
    {"POST", "/v2/embed", {true, false, false, false}},
    {"POST", "/tokenize", {true, false, false, false}},
    {"POST", "/detokenize", {true, false, false, false}},
    {"POST", "/v1/audio/transcriptions", {true, false, false, false}},
    {"POST", "/v1/audio/translations", {true, false, false, false}},
    {"GET", "/v1/responses/{id}", {true, false, false, false}},
    {"GET", "/ping", {true, false, false, false}},
    {"GET", "/version", {true, false, false, false}},
    {"POST", "/kvroute/select", {false, true, false, true}},
    {"POST", "/kvroute/score", {false, true, false, true}},
    {"POST", "/kvroute/update", {false, true, false, true}},
    {"POST", "/kvroute/release", {false, true, false, true}},
    {"POST", "/kvroute/report", {false, false, true, true}},
    {"GET", "/kvroute/workers", {false, true, true, true}},
    {"GET", "/kvroute/status", {false, false, true, true}},
    {"POST", "/v1/select", {false, true, false, true}},
    {"POST", "/v1/score", {false, true, false, true}}, // what an engine scores is a user's
    {"POST", "/v1/update", {false, true, false, true}},
    {"POST", "/v1/release", {false, true, false, true}},
    {"POST", "/v1/report", {false, false, true, true}},
    {"POST", "/kvroute/admit", {true, true, false, true}},
    {"GET", "/kvroute/queue", {false, true, true, true}},
    {"GET", "/v1/workers", {false, true, true, true}},
    {"POST", "/kvroute/workers", {false, false, true, true}},
    {"DELETE", "/kvroute/workers/w1", {false, false, true, true}},
    {"GET", "/v1/status", {false, false, true, true}},
    {"GET", "/metrics", {false, false, true, true}},
    {"GET", "/", {true, true, true, true, true}},
    {"GET", "/healthz", {true, true, true, true, true}},
    {"GET", "/health", {true, true, true, true, true}},
    {"GET", "/readyz", {true, true, true, true, true}},
};

static struct support_response ask(int port, const char *method, const char *path,
                                   const char *headers) {
    return support_http(port, method, path, headers, *method == 'P' ? "{}" : NULL, RTEST_WAIT_MS);
}

static int status_of(struct support_response r) {
    int status = r.status;
    support_response_free(&r);
    return status;
}

// Every answer with an error has the form of OpenAI's, as openapi.json says.
static void check_error(struct support_response r, int status, const char *type, const char *code) {
    json_t *document = rtest_schema_load(), *body = rtest_json(r, status);
    json_t *error = json_object_get(body, "error");
    char why[300] = "";
    cr_assert(rtest_schema_fits(document,
                                rtest_schema_of(document, "/v1/select", "post", "default"), body,
                                why, sizeof why),
              "%s", why);
    cr_assert_str_eq(json_string_value(json_object_get(error, "type")), type);
    cr_assert_str_eq(json_string_value(json_object_get(error, "code")), code);
    cr_assert(json_is_null(json_object_get(error, "param")));
    json_decref(body);
    json_decref(document);
}

// openapi.json says of each operation whose token it wants.
Test(access, classes_are_in_openapi) {
    json_t *document = rtest_schema_load();
    for (const struct router_route *t = router_routes; t->path; t++) {
        const json_t *path = json_object_get(json_object_get(document, "paths"), t->path);
        const char *method = t->methods & H1_POST     ? "post"
                             : t->methods & H1_DELETE ? "delete"
                                                      : "get";
        const json_t *operation = json_object_get(path, method);
        const char *said = json_string_value(json_object_get(operation, "x-token-class"));
        static const char *const names[] = {"user", "frontend", "operator"};
        for (unsigned i = 0; i < 3; i++)
            cr_expect(!(t->may & 1u << i) == !(said && strstr(said, names[i])), "%s", t->path);
    }
    json_decref(document);
}

// The rest would be counted as one of them.
Test(access, each_route_has_room_in_the_metrics) {
    size_t names = 2; // what passes, and what is nowhere
    for (const struct router_route *t = router_routes; t->path; t++) {
        const struct router_route *same = router_routes;
        while (strcmp(same->name, t->name) != 0)
            same++;
        names += same == t;
    }
    cr_assert_leq(names, ROUTER_METRICS_ROUTES);
}

// ---- Tokens --------------------------------------------------------------------------------------

Test(access, classes_of_tokens, .fini = rtest_cluster_down) {
    char header[100];
    size_t n = 0;
    rtest_redis();
    rtest_router(
        0, (const char *[]){"--token_file",
                            rtest_write("tokens", "# all of them\n\ntoken-u\nfrontend token-f\n"
                                                  "  operator\ttoken-o  \n"
                                                  "frontend operator token-b\n"),
                            "--engine", "http://127.0.0.1:1", NULL});
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        for (int who = 0; who < SENDERS; who++) {
            const struct access_row *l = &lines[i];
            snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", tokens[who]);
            int status = status_of(ask(rtest_port(), l->method, l->path, header));
            bool refused = status == 401 || status == 403;
            cr_expect(refused == !l->may[who], "%s %s: %d", l->path, tokens[who], status);
            if (!l->may[who])
                cr_expect_eq(status, who == NOBODY ? 401 : 403, "%s %s", l->path, tokens[who]);
        }
    for (const struct router_route *t = router_routes; t->path; t++)
        n++;
    cr_assert_eq(n, sizeof lines / sizeof *lines, "a route without its line here");
    check_error(ask(rtest_port(), "GET", "/metrics", "Authorization: Bearer token-u\r\n"), 403,
                "permission_error", "FORBIDDEN");
    check_error(ask(rtest_port(), "GET", "/metrics", NULL), 401, "authentication_error",
                "UNAUTHORIZED");
    // With tokens, pages and types are nobody's business: no page has one.
    cr_assert_neq(
        status_of(ask(rtest_port(), "POST", "/v1/release",
                      "Authorization: Bearer token-f\r\nOrigin: http://a.example.com\r\n")),
        403);
}

Test(access, files_of_tokens) {
    static const struct {
        const char *text, *wrong; // NULL: nothing
    } cases[] = {
        {"user a\n", NULL},
        {"a", NULL},
        {"# operator\n\nuser operator a\n", NULL},
        {"", "no token in it"},
        {"# a\n", "no token in it"},
        {"a\nadmin b\n", "line 2: before a token come user, frontend or operator"},
        {"operator\n", "line 1: a class without a token"},
        {"\xef\xbb\xbf# as Windows writes it\n", "line 1: before"},
        {"\xef\xbb\xbf"
         "a\n",
         "line 1: bytes that no header has"},
        {"a\nuser b\x01\n", "line 2: bytes that no header has"},
        {"a b\n", "line 1: before a token come user, frontend or operator"},
    };
    char error[400];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        *error = 0;
        struct router_bearer *b =
            router_bearer_read(rtest_write("tokens", cases[i].text), error, sizeof error);
        cr_expect(!b == (cases[i].wrong != NULL), "%zu: %s", i, error);
        if (cases[i].wrong) cr_expect(strstr(error, cases[i].wrong), "%zu: %s", i, error);
        router_bearer_free(b);
    }
    struct router_bearer *b =
        router_bearer_read(rtest_write("tokens", "user a\noperator a\nb\n"), error, sizeof error);
    cr_assert_eq(router_bearer_classes(b, "Bearer a", NULL),
                 (unsigned)(ROUTER_USER | ROUTER_OPERATOR));
    cr_assert_eq(router_bearer_classes(b, "bearer  b", NULL), (unsigned)ROUTER_USER);
    cr_assert_eq(router_bearer_classes(b, "Bearer user", NULL), 0u);
    cr_assert_eq(router_bearer_classes(b, NULL, NULL), 0u);
    router_bearer_free(b);
}

// ---- The listener for operators ------------------------------------------------------------------

// Whether there is such a path; a worker of that name need not be.
static bool is_there(struct support_response r) {
    bool none = r.status == 404 && !strstr(r.body, "NOWORKER");
    support_response_free(&r);
    return !none;
}

Test(access, a_listener_for_operators, .fini = rtest_cluster_down) {
    int admin = support_port();
    char place[40];
    snprintf(place, sizeof place, "127.0.0.1:%d", admin);
    rtest_redis();
    rtest_router(0, (const char *[]){"--admin_listen", place, "--engine", "http://127.0.0.1:1",
                                     "--max_connections", "4", NULL});
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct access_row *l = &lines[i];
        static const char type[] = "Content-Type: application/json\r\n";
        bool both = l->may[NOBODY] && l->path[1]; // not the page
        bool asks = *l->method == 'G' && l->path[1];
        both |= asks && (strstr(l->path, "/workers") || strstr(l->path, "/queue"));
        bool operators = !l->path[1] || (l->may[OPERATOR] && !l->may[USER] && !l->may[FRONTEND]);
        bool here = is_there(ask(rtest_port(), l->method, l->path, type));
        bool there = is_there(ask(admin, l->method, l->path, type));
        cr_expect(here == (both || !operators), "%s", l->path);
        cr_expect(there == (both || operators), "%s there", l->path);
    }
    // Whoever looks after it gets in when nobody else does.
    int fds[4];
    for (int i = 0; i < 4; i++)
        fds[i] = support_http_connect(rtest_port());
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         status_of(rtest_get(rtest_port(), "/healthz")) != 503; support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end);
    cr_assert_eq(status_of(rtest_get(admin, "/metrics")), 200);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    rtest_end_router(0);
}

// ---- Pages of other places -----------------------------------------------------------------------

// The answer to a head of these lines with a body of {}.
static struct support_response say(const char *method, const char *path, const char *head) {
    char request[600];
    int fd = support_http_connect(rtest_port());
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\n%s%s\r\n", method, path, head,
             *method == 'P' ? "Content-Length: 2\r\n" : "");
    support_http_send(fd, request, strlen(request));
    if (*method == 'P') support_http_send(fd, "{}", 2);
    struct support_response r = support_http_response(fd, false, RTEST_WAIT_MS);
    close(fd);
    return r;
}

#define JSON "Content-Type: application/json\r\n"

Test(access, pages_of_other_places, .fini = rtest_cluster_down) {
    static const struct {
        const char *head, *code; // of a POST; NULL: it isn't refused
        int status;
    } cases[] = {
        {"Host: localhost:8080\r\n" JSON, NULL, 0},
        {"Host: LOCALHOST\r\nContent-Type: Application/JSON; charset=utf-8\r\n", NULL, 0},
        {"Host: [::1]:8080\r\n" JSON, NULL, 0},
        {"Host: 127.0.0.1:8080\r\n" JSON, NULL, 0},
        {"Host: 10.1.2.3\r\n" JSON, NULL, 0},
        {"Host: kvroute-router:8080\r\n" JSON, NULL, 0},
        {"Host: a.localhost:8080\r\n" JSON, NULL, 0},
        {"Host: router.example.org:8080\r\n" JSON, NULL, 0}, // in hosts
        {"Host: ROUTER.example.org.\r\n" JSON, NULL, 0},
        {"Host: localhost:8080\r\nOrigin: http://localhost:8080\r\n" JSON, NULL, 0},
        {"Host: localhost:8080\r\nOrigin: https://router.example.org\r\n" JSON, NULL, 0},
        {"Host: evil.example.com:8080\r\n" JSON, "HOST", 421},
        {"Host: router.example.org.example.com\r\n" JSON, "HOST", 421},
        {"Host: 127.0.0.1.example.com\r\n" JSON, "HOST", 421},
        {"Host: evil.example.com\r\nOrigin: http://evil.example.com\r\n" JSON, "HOST", 421},
        {"Host: localhost:8080\r\nOrigin: http://evil.example.com\r\n" JSON, "ORIGIN", 403},
        {"Host: localhost:8080\r\nOrigin: http://localhost:3000\r\n" JSON, "ORIGIN", 403},
        {"Host: localhost:8080\r\nOrigin: null\r\n" JSON, "ORIGIN", 403},
        {"Host: localhost:8080\r\n", "MEDIATYPE", 415},
        {"Host: localhost\r\nContent-Type: text/plain\r\n", "MEDIATYPE", 415},
        {"Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n", "MEDIATYPE",
         415},
        {"Host: localhost\r\nContent-Type: application/jsonp\r\n", "MEDIATYPE", 415},
    };
    static const char *const paths[] = {"/v1/release", "/v1/report", "/v1/chat/completions"};
    rtest_redis();
    rtest_router(0, (const char *[]){"--hosts", "other router.example.org", "--engine",
                                     "http://127.0.0.1:1", NULL});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < 3; k++) {
            struct support_response r = say("POST", paths[k], cases[i].head);
            bool refused = r.status == 403 || r.status == 415 || r.status == 421;
            bool lenient = k == 2 && !strstr(cases[i].head, "Content-Type");
            bool wanted = cases[i].code && !lenient;
            cr_expect(refused == wanted, "%zu %s: %d", i, paths[k], r.status);
            if (wanted)
                check_error(r, cases[i].status,
                            cases[i].status == 403 ? "permission_error" : "invalid_request_error",
                            cases[i].code);
            else
                support_response_free(&r);
        }
    // What is only read, too; but not whether it lives.
    check_error(say("GET", "/metrics", "Host: evil.example.com\r\n"), 421, "invalid_request_error",
                "HOST");
    check_error(say("GET", "/v1/status", "Host: a\r\nOrigin: http://b\r\n"), 403,
                "permission_error", "ORIGIN");
    cr_assert_eq(status_of(say("GET", "/healthz", "Host: evil.example.com\r\n")), 200);
    struct support_response r = say("POST", "/v1/release", "Host: localhost\r\n");
    cr_assert(strstr(r.body, "add the header Content-Type: application/json"), "%s", r.body);
    support_response_free(&r);
}

// Who says `*` has looked after it himself.
Test(access, all_names, .fini = rtest_cluster_down) {
    rtest_redis();
    rtest_router(0, (const char *[]){"--hosts", "*", NULL});
    cr_assert_eq(status_of(say("GET", "/metrics",
                               "Host: any.example.com\r\nOrigin: http://b.example.com\r\n")),
                 200);
}
