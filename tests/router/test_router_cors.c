// SPDX-License-Identifier: Apache-2.0
// Pages of other origins, and what a browser is told of them.
#define _GNU_SOURCE // strcasestr
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <string.h>
#include <unistd.h>

#include "rtest_fleet.h"
#include "rtest_scripted_server.h"

#define PAGE "Origin: https://page.example\r\n"
#define PREFLIGHT                                                                                  \
    "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" PAGE                                    \
    "Access-Control-Request-Method: POST\r\n"                                                      \
    "Access-Control-Request-Headers: authorization,content-type\r\n\r\n"
#define ASKS                                                                                       \
    "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"               \
    "Content-Length: 14\r\n"
#define BODY "{\"prompt\":\"a\"}"

static struct server engine;

// It has a mind of its own about pages.
static void with_cors(struct server *e, size_t n, struct bufferevent *to) {
    (void)e;
    (void)n;
    server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                   "Access-Control-Allow-Origin: https://engine.example\r\n\r\nok");
}

static void down(void) {
    server_close(&engine);
    rtest_fleet_down();
}

static void up(const char *cors, const char *hosts) {
    rtest_clients_open();
    server_open(&engine, rtest_callers.base, with_cors);
    rtest_redis();
    rtest_router(
        0, (const char *[]){"--engine", engine.address, "--cors", cors, "--hosts", hosts, NULL});
    rtest_await_ready(0);
}

// What comes for these bytes; how often Access-Control-Allow-Origin is in it.
static struct support_response answer_to(const char *bytes, int *allows) {
    int fd = support_http_connect(rtest_port());
    rtest_say(fd, bytes);
    struct support_response r = rtest_clients_answer(fd, false);
    cr_assert(r.head, "no answer to %s", bytes);
    *allows = 0;
    for (const char *at = r.head; (at = strcasestr(at, "\nAccess-Control-Allow-Origin:")); at++)
        ++*allows;
    close(fd);
    return r;
}

static void expect(const char *bytes, int status, const char *header, int allows) {
    int found;
    struct support_response r = answer_to(bytes, &found);
    cr_assert(r.status == status && r.complete, "%d", r.status);
    cr_assert(found == allows, "%s", r.head);
    if (header) cr_assert(support_response_has(&r, header), "no %s in %s", header, r.head);
    support_response_free(&r);
}

Test(cors, named_origins, .fini = down) {
    static const char allowed[] = "Access-Control-Allow-Origin: https://page.example",
                      other[] = "Origin: https://page.example.evil\r\n";
    up("https://a.example https://page.example", "");
    expect(PREFLIGHT, 204, allowed, 1);
    expect(PREFLIGHT, 204, "Access-Control-Allow-Headers: authorization,content-type", 1);
    expect(PREFLIGHT, 204, "Vary: Origin", 1);
    expect("GET /healthz HTTP/1.1\r\nHost: a\r\n" PAGE "\r\n", 200, allowed, 1);
    expect("GET /nothing HTTP/1.1\r\nHost: a\r\n" PAGE "\r\n", 404, allowed, 1);
    expect(ASKS PAGE "\r\n" BODY, 200, allowed, 1); // the router's word alone counts
    expect(ASKS "\r\n" BODY, 200, NULL, 0);
    char text[300];
    snprintf(text, sizeof text, "GET /healthz HTTP/1.1\r\nHost: a\r\n%s\r\n", other);
    expect(text, 200, "Vary: Origin", 0);
    snprintf(
        text, sizeof text,
        "OPTIONS /v1/models HTTP/1.1\r\nHost: a\r\n%sAccess-Control-Request-Method: GET\r\n\r\n",
        other);
    expect(text, 405, NULL, 0);
}

Test(cors, any_origin, .fini = down) {
    up("*", "");
    expect(PREFLIGHT, 204, "Access-Control-Allow-Origin: *", 1);
    expect(ASKS PAGE "\r\n" BODY, 200, "Access-Control-Allow-Origin: *", 1);
}

// Then it is the engine's business, and first of all whether the router serves such pages at all.
Test(cors, off_by_default, .fini = down) {
    up("", "page.example");
    expect(PREFLIGHT, 405, NULL, 0);
    expect("GET /healthz HTTP/1.1\r\nHost: a\r\n" PAGE "\r\n", 200, NULL, 0);
    expect(ASKS PAGE "\r\n" BODY, 200, "Access-Control-Allow-Origin: https://engine.example", 1);
}
