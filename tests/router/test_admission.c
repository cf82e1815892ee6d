// SPDX-License-Identifier: Apache-2.0
// The door of a real router: who isn't let in, what must end by itself, and how it leaves.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "rtest_cluster.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

static void up(const char *const *more) {
    rtest_redis();
    rtest_router(0, more);
}

// The status of the answer to these bytes, after which the connection must be closed.
static int refused(const void *bytes, size_t n) {
    int fd = support_http_connect(rtest_port());
    support_http_send(fd, bytes, n);
    struct support_response r = support_http_response(fd, false, RTEST_WAIT_MS);
    int status = r.status;
    bool closed;
    free(support_http_read(fd, NULL, RTEST_WAIT_MS, NULL, &closed, NULL));
    cr_assert(closed, "still open after %.*s", (int)n, (const char *)bytes);
    cr_assert(!status || (r.complete && strstr(r.body, "\"code\"")));
    support_response_free(&r);
    close(fd);
    return status;
}

static int refused_text(const char *text) {
    return refused(text, strlen(text));
}

// What is answered to somebody who says this of himself.
static struct support_response as(const char *authorization) {
    char line[100];
    snprintf(line, sizeof line, "Authorization: %s\r\n", authorization);
    return support_http(rtest_port(), "GET", "/v1/workers", line, NULL, RTEST_WAIT_MS);
}

Test(door, smuggling_is_refused, .fini = rtest_cluster_down) {
    up(NULL);
    cr_assert_eq(refused_text("POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                              "application/json\r\nContent-Length: 4\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n"
                              "Host: a\r\n\r\n"),
                 400);
    cr_assert_eq(refused_text("POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                              "application/json\r\nContent-Length: 0\r\n"
                              "Content-Length: 40\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
                 400);
    cr_assert_eq(refused_text("POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                              "application/json\r\nTransfer-Encoding: "
                              "chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n"),
                 400);
    cr_assert_eq(refused_text("GET /healthz HTTP/1.1\nHost: a\n\n"), 400);
    cr_assert_eq(refused_text("GET /healthz HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"), 400);
    static const char nul[] = "GET /healthz HTTP/1.1\r\nHost: a\0\r\n\r\n";
    cr_assert_eq(refused(nul, sizeof nul - 1), 400);
    cr_assert_eq(refused_text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    // The first is answered as ever, and what follows isn't taken for a request.
    int fd = support_http_connect(rtest_port());
    rtest_say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\nHost: b\r\n\r\n"
                  "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    bool closed;
    char *all = support_http_read(fd, NULL, RTEST_WAIT_MS, NULL, &closed, NULL);
    cr_assert(closed);
    cr_assert_eq(strncmp(all, "HTTP/1.1 200", 12), 0);
    char *second = strstr(all + 1, "HTTP/1.1 ");
    cr_assert(second && strncmp(second, "HTTP/1.1 400", 12) == 0);
    cr_assert_null(strstr(second + 1, "HTTP/1.1 "));
    free(all);
    close(fd);
}

// Another protocol is asked for: h2c and TLS are no answer's condition, a WebSocket is.
Test(door, upgrades, .fini = rtest_cluster_down) {
    static const char *const ignored[] = {
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\n", // which isn't for us, without Connection
        "Connection: upgrade\r\n"};
    static const char *const sockets[] = {
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Connection: keep-alive, Upgrade\r\nUpgrade: h2c, WebSocket\r\n"};
    up(NULL);
    for (size_t i = 0; i < 4; i++) {
        struct support_response r =
            support_http(rtest_port(), "GET", "/healthz", ignored[i], NULL, RTEST_WAIT_MS);
        cr_assert(r.status == 200 && r.complete, "%zu: %d", i, r.status);
        support_response_free(&r);
    }
    for (size_t i = 0; i < 2; i++)
        for (int known = 0; known < 2; known++)
            cr_assert_str_eq(rtest_error_code(support_http(rtest_port(), "GET",
                                                           known ? "/v1/models" : "/v1/realtime",
                                                           sockets[i], NULL, RTEST_WAIT_MS),
                                              501),
                             "UPGRADE");
    cr_assert_eq(refused_text("CONNECT engine.example:443 HTTP/1.1\r\nHost: engine.example:443"
                              "\r\n\r\n"),
                 501);
    cr_assert_eq(refused_text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"), 505);
}

Test(door, routes_and_methods, .fini = rtest_cluster_down) {
    up(NULL);
    cr_assert_str_eq(rtest_error_code(rtest_get(rtest_port(), "/nothing"), 404), "NOTFOUND");
    cr_assert_str_eq(rtest_error_code(rtest_post(rtest_port(), "/healthz", "{}"), 405), "METHOD");
    struct support_response r =
        support_http(rtest_port(), "GET", "/v1/select", NULL, NULL, RTEST_WAIT_MS);
    cr_assert(support_response_has(&r, "Allow: POST"));
    cr_assert_str_eq(rtest_error_code(r, 405), "METHOD");
    r = support_http(rtest_port(), "HEAD", "/healthz", "X-Request-Id: mine-1\r\n", NULL,
                     RTEST_WAIT_MS);
    cr_assert(r.status == 200 && r.complete && !r.n);
    cr_assert(support_response_has(&r, "Content-Length: 3"));
    cr_assert(support_response_has(&r, "X-Request-Id: mine-1"));
    support_response_free(&r);
    r = support_http(rtest_port(), "GET", "/healthz", "X-Request-Id: no good\r\n", NULL,
                     RTEST_WAIT_MS);
    cr_assert(!support_response_has(&r, "X-Request-Id: no good"));
    support_response_free(&r);
    r = support_http(rtest_port(), "DELETE", "/healthz", NULL, NULL, RTEST_WAIT_MS);
    cr_assert_str_eq(rtest_error_code(r, 405), "METHOD");
}

Test(door, many_on_one_connection, .fini = rtest_cluster_down) {
    up(NULL);
    int fd = support_http_connect(rtest_port());
    for (int i = 0; i < 100; i++)
        rtest_say(fd, "POST /v1/update HTTP/1.1\r\nHost: a\r\nContent-Type: "
                      "application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "4\r\n{\"re\r\n8\r\nquest\":1\r\n1\r\n}\r\n0\r\n\r\n");
    rtest_say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    bool closed;
    char *all = support_http_read(fd, NULL, RTEST_WAIT_MS, NULL, &closed, NULL);
    int answers = 0;
    for (char *at = all; (at = strstr(at, "HTTP/1.1 400")); at++)
        answers++;
    cr_assert(closed && answers == 100 && strstr(all, "HTTP/1.1 200"), "%d answers", answers);
    free(all);
    close(fd);
}

Test(door, sizes, .fini = rtest_cluster_down) {
    up((const char *[]){"--max_body", "1000", "--max_header", "2000", NULL});
    char big[4096], *at = big;
    at += sprintf(at, "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ");
    memset(at, 'x', 3000);
    at[3000] = 0;
    cr_assert_eq(refused_text(big), 431);
    // Before any of the body has come.
    cr_assert_eq(refused_text("POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                              "application/json\r\nContent-Length: 1001\r\n\r\n"),
                 413);
    cr_assert_eq(refused_text("POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                              "application/json\r\nExpect: 100-continue\r\n"
                              "Content-Length: 999999999999999\r\n\r\n"),
                 413);
    at = big;
    at += sprintf(at, "POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                      "application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "400\r\n");
    memset(at, ' ', 1024);
    strcpy(at + 1024, "\r\n");
    cr_assert_eq(refused_text(big), 413);
    // As large as may be.
    memset(big, ' ', 1000);
    memcpy(big, "{\"request\":\"r\"}", 15);
    big[1000] = 0;
    cr_assert_str_eq(rtest_error_code(rtest_post(rtest_port(), "/v1/update", big), 404), "NOPOOL");
}

Test(door, a_hundred_megabytes_take_no_memory, .fini = rtest_cluster_down, .timeout = 120) {
    up(NULL);
    static char megabyte[1 << 20];
    int fd = support_http_connect(rtest_port());
    rtest_say(fd, "POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                  "application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    memset(megabyte, ' ', sizeof megabyte);
    for (int i = 0; i < 100; i++) { // ends early: the connection is closed
        rtest_say(fd, "100000\r\n");
        support_http_send(fd, megabyte, sizeof megabyte);
        rtest_say(fd, "\r\n");
    }
    close(fd);
    long peak = rtest_memory(0, "VmHWM");
    if (!getenv("ASAN_OPTIONS")) cr_assert_lt(peak, 64 << 10, "%ld kB", peak);
    cr_assert(rtest_is_served(rtest_get(rtest_port(), "/healthz")));
}

Test(door, drips_and_silence_end, .fini = rtest_cluster_down) {
    up((const char *[]){"--header_timeout", "1500", "--body_timeout", "1500", "--idle_timeout",
                        "1500", NULL});
    // Byte after byte: each comes in time, all of them don't.
    int fd = support_http_connect(rtest_port());
    const char *drip = "GET /healthz HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (const char *c = drip; *c && c < drip + 60; c++, support_sleep_ms(40))
        support_http_send(fd, c, 1);
    struct support_response r = support_http_response(fd, false, RTEST_WAIT_MS);
    cr_assert_str_eq(rtest_error_code(r, 408), "TIMEOUT");
    close(fd);
    fd = support_http_connect(rtest_port());
    rtest_say(fd, "POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                  "application/json\r\nContent-Length: 100\r\n\r\n");
    for (int i = 0; i < 60; i++, support_sleep_ms(40))
        rtest_say(fd, " ");
    r = support_http_response(fd, false, RTEST_WAIT_MS);
    cr_assert_str_eq(rtest_error_code(r, 408), "TIMEOUT");
    close(fd);
    // Who says nothing is told nothing.
    bool closed;
    for (int said = 0; said < 2; said++) {
        int64_t since = kvr_clock_ms();
        fd = support_http_connect(rtest_port());
        if (said) rtest_say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        char *all = support_http_read(fd, NULL, RTEST_WAIT_MS, NULL, &closed, NULL);
        cr_assert(closed && kvr_clock_ms() - since >= 1400);
        cr_assert_eq(strlen(all) > 0, said);
        free(all);
        close(fd);
    }
}

Test(door, connections_are_limited, .fini = rtest_cluster_down) {
    up((const char *[]){"--max_connections", "10", "--retry_after", "7", NULL});
    struct pollfd fds[20];
    int refusals = 0;
    for (int i = 0; i < 20; i++)
        fds[i] = (struct pollfd){.fd = support_http_connect(rtest_port()), .events = POLLIN};
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; poll(fds, 20, 0) < 10; support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end, "%d are let in", 20 - poll(fds, 20, 0));
    for (int i = 0; i < 20; i++) {
        if (!fds[i].revents) continue;
        struct support_response r = support_http_response(fds[i].fd, false, RTEST_WAIT_MS);
        refusals++;
        cr_assert(support_response_has(&r, "Retry-After: 7"));
        cr_assert_str_eq(rtest_error_code(r, 503), "OVERLOAD");
    }
    cr_assert_geq(refusals, 10);
    for (int i = 0; i < 20; i++)
        close(fds[i].fd);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         !rtest_is_served(rtest_get(rtest_port(), "/healthz")); support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end);
}

Test(door, tokens, .fini = rtest_cluster_down) {
    char file[200];
    snprintf(file, sizeof file, "%s/tokens", support_home());
    FILE *f = fopen(file, "w");
    fputs("# who may come in\nsecret-1\noperator secret-2\n", f);
    fclose(f);
    up((const char *[]){"--token_file", file, NULL});
    struct support_response r = rtest_get(rtest_port(), "/v1/workers");
    cr_assert(support_response_has(&r, "WWW-Authenticate: Bearer"));
    cr_assert(strstr(r.body, "Authorization: Bearer TOKEN"), "%s", r.body);
    cr_assert_str_eq(rtest_error_code(r, 401), "UNAUTHORIZED");
    r = as("Bearer secret-3");
    cr_assert(strstr(r.body, "isn't a token of this router's"), "%s", r.body);
    support_response_free(&r);
    r = as("Bearer secret-1"); // a user's
    cr_assert(strstr(r.body, "of the class frontend or operator"), "%s", r.body);
    cr_assert_str_eq(rtest_error_code(r, 403), "FORBIDDEN");
    cr_assert_str_eq(rtest_error_code(as("Bearer secret-3"), 401), "UNAUTHORIZED");
    cr_assert_str_eq(rtest_error_code(as("Bearer secret-"), 401), "UNAUTHORIZED");
    r = support_http(rtest_port(), "GET", "/nothing", NULL, NULL,
                     RTEST_WAIT_MS); // nor what isn't there
    cr_assert_str_eq(rtest_error_code(r, 401), "UNAUTHORIZED");
    json_decref(rtest_json(as("bearer secret-2"), 200));
    // Another file, without a restart.
    f = fopen(file, "w");
    fputs("frontend secret-3\n", f);
    fclose(f);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         !rtest_is_served(support_http(rtest_port(), "GET", "/v1/workers",
                                       "Authorization: Bearer secret-3\r\n", NULL, RTEST_WAIT_MS));
         support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end);
    cr_assert_str_eq(rtest_error_code(as("Bearer secret-2"), 401), "UNAUTHORIZED");
    // A file that is gone changes nothing.
    unlink(file);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    support_sleep_ms(200);
    json_decref(rtest_json(as("Bearer secret-3"), 200));
}

// A request of which the router has the head, as it says.
static void begin_half(int fd) {
    rtest_say(fd, "POST /v1/update HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                  "Expect: 100-continue\r\nContent-Length: 15\r\n\r\n");
    char *said = support_http_read(fd, "\r\n\r\n", RTEST_WAIT_MS, NULL, NULL, NULL);
    cr_assert_str_eq(said, "HTTP/1.1 100 Continue\r\n\r\n");
    free(said);
    rtest_say(fd, "{\"req");
}

Test(door, leaves_when_told, .fini = rtest_cluster_down) {
    up(NULL);
    int idle = support_http_connect(rtest_port()), half = support_http_connect(rtest_port());
    begin_half(half);
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    bool closed;
    free(support_http_read(idle, NULL, RTEST_WAIT_MS, NULL, &closed, NULL));
    cr_assert(closed);
    cr_assert_lt(support_http_connect(rtest_port()), 0);
    // What had begun is answered.
    rtest_say(half, "uest\":\"a\"}");
    struct support_response r = support_http_response(half, false, RTEST_WAIT_MS);
    cr_assert(support_response_has(&r, "Connection: close"));
    cr_assert_str_eq(rtest_error_code(r, 404), "NOPOOL");
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    close(idle);
    close(half);
}

Test(door, leaves_without_who_stays, .fini = rtest_cluster_down) {
    up((const char *[]){"--drain", "300", NULL});
    int half = support_http_connect(rtest_port());
    begin_half(half);
    int64_t since = kvr_clock_ms();
    rtest_end_router(0);
    cr_assert(kvr_clock_ms() - since >= 250 && kvr_clock_ms() - since < 20000);
    close(half);
}

Test(door, settings_that_are_wrong, .fini = rtest_cluster_down) {
    static const char *const wrong[][3] = {
        // Each with what is said: the word that is wrong, and no secret of it.
        {"--nonsense", "1", "no setting nonsense: --help lists them"},
        {"--max_requests", "x", "max_requests takes a number"},
        {"--max_requests", "-1", "max_requests takes a number"},
        {"--token-file", "x", "no setting token-file: is token_file meant?"},
        {"--wait", "10s", "wait takes a number without a unit"},
        {"--engine", "ftp://x", "engine ftp://x: "},
        {"--engine", "http://", "engine http://: "},
        {"--engine", "127.0.0.1:8000", "an engine's URL is http[s]://HOST:PORT"},
        {"--engine", "http://127.0.0.1:8000/v1", "an engine's URL goes without /v1"},
        {"--pool", "a blocks=perhaps", "blocks takes one of"},
        {"--pool", "a\xff", "pool number 1: "},
        {"--listen", "nowhere", "listen: can't listen at nowhere: that is neither"},
        {"--listen", "127.0.0.1:80000", "listen: can't listen at 127.0.0.1:80000: that is neither"},
        {"--admin_listen", "127.0.0.1:-1", "can't listen at 127.0.0.1:-1: that is neither"},
        {"--redis", "localhost:6379", "it begins with redis://"},
        {"--listen", "127.0.0.1:notaport", "listen: can't listen at 127.0.0.1:notaport: that is"},
        {"--redis", "gopher://me:secret@x:1/0?a=b", "redis gopher://x:1/0, pool kvroute: "},
        {"--config", "/nonexistent/x", "/nonexistent/x: No such file"},
        {"--tls_listen", "127.0.0.1:1", "tls_listen needs"},
        {"--cors", "https://a.example https://B.example", "example.org: https://B.example"},
        {"--cors", "https://a.example/", "example.org: https://a.example/"},
        {"--cors", "a.example", "example.org: a.example"},
        {"--hosts", "a.example b.example:80", "without a port: b.example:80"},
        {"--hosts", "http://a.example", "without a port: http://a.example"},
        {"--token_file", "/nonexistent/x", "token_file /nonexistent/x: No such file"},
        {"--engine", "http://x pool=none", "engine http://x: no pool none"},
        {"--debug", NULL, "--debug needs a value"},
        {"--access_log", "/nonexistent/x", "access_log /nonexistent/x: No such file"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *argv[] = {KVROUTE_ROUTER, wrong[i][0], wrong[i][1], NULL};
        char said[1000];
        int code = support_run(argv, RTEST_WAIT_MS, said, sizeof said);
        cr_assert(code == 1 || code == 2, "%s: %d %s", wrong[i][0], code, said);
        cr_expect(strstr(said, wrong[i][2]) && !strstr(said, "secret"), "%s: %s", wrong[i][0],
                  said);
    }
}

Test(door, a_log_that_nobody_reads, .fini = rtest_cluster_down) {
    char fifo[200];
    snprintf(fifo, sizeof fifo, "%s/fifo", support_home());
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC), fd;
    up((const char *[]){"--access_log", fifo, NULL});
    fd = support_http_connect(rtest_port());
    for (int i = 0; i < 3000; i++) {
        rtest_say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        cr_assert(rtest_is_served(support_http_response(fd, false, RTEST_WAIT_MS)));
    }
    struct support_response r = rtest_get(rtest_port(), "/metrics");
    char *lost = strstr(r.body, "\nkvroute_router_access_log_lost_total ");
    cr_assert(lost && atol(lost + 38) > 0);
    support_response_free(&r);
    // Somebody reads: whole lines come.
    char *text = calloc(1, 1 << 20);
    size_t n = 0;
    int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
    for (; (n <= 100 || text[n - 1] != '\n') && kvr_clock_ms() < end; support_sleep_ms(10)) {
        ssize_t got = read(reader, text + n, (1 << 20) - 1 - n);
        if (got > 0) n += (size_t)got;
    }
    cr_assert(n > 100 && text[n - 1] == '\n');
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        json_error_t error;
        json_t *entry = json_loads(line, 0, &error);
        cr_assert(entry, "%s", line);
        json_decref(entry);
    }
    free(text);
    close(fd);
    close(reader);
}

Test(door, the_log_is_opened_again, .fini = rtest_cluster_down) {
    char path[200], old[210];
    snprintf(path, sizeof path, "%s/access.log", support_home());
    snprintf(old, sizeof old, "%s.1", path);
    up((const char *[]){"--access_log", path, NULL});
    cr_assert_eq(rename(path, old), 0);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; access(path, F_OK); support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end);
    struct support_response r = rtest_get(rtest_port(), "/v1/workers");
    support_response_free(&r);
    rtest_end_router(0);
    struct stat st;
    cr_assert(stat(path, &st) == 0 && st.st_size > 50);
}

Test(door, older_and_careful_clients, .fini = rtest_cluster_down) {
    up(NULL);
    // Who asks whether to send its body is told so.
    int fd = support_http_connect(rtest_port());
    bool closed;
    rtest_say(fd, "POST /v1/update HTTP/1.1\r\nHost: a\r\nContent-Type: "
                  "application/json\r\nExpect: 100-continue\r\n"
                  "Content-Length: 2\r\n\r\n");
    char *text = support_http_read(fd, "\r\n\r\n", RTEST_WAIT_MS, NULL, NULL, NULL);
    cr_assert_str_eq(text, "HTTP/1.1 100 Continue\r\n\r\n");
    free(text);
    rtest_say(fd, "{}");
    struct support_response r = support_http_response(fd, false, RTEST_WAIT_MS);
    cr_assert_str_eq(rtest_error_code(r, 400), "BADREQUEST");
    close(fd);
    // HTTP/1.0: closed at the end, unless asked for otherwise.
    fd = support_http_connect(rtest_port());
    rtest_say(fd, "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    r = support_http_response(fd, false, RTEST_WAIT_MS);
    cr_assert(r.status == 200 && support_response_has(&r, "Connection: keep-alive"));
    support_response_free(&r);
    rtest_say(fd, "GET /healthz HTTP/1.0\r\n\r\n");
    text = support_http_read(fd, NULL, RTEST_WAIT_MS, NULL, &closed, NULL);
    cr_assert(closed && strstr(text, "\r\n\r\nok\n"));
    free(text);
    close(fd);
    // Who has nothing more to say still gets its answer.
    fd = support_http_connect(rtest_port());
    rtest_say(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    r = support_http_response(fd, false, RTEST_WAIT_MS);
    cr_assert(r.status == 200 && r.complete);
    support_response_free(&r);
    close(fd);
}

Test(door, the_access_log_tells_no_prompts, .fini = rtest_cluster_down) {
    up(NULL);
    struct support_response r = rtest_post(rtest_port(), "/v1/select?secret-query",
                                           "{\"model\":\"m\\\"\\u00e4\\n\",\"secret-field\":1}");
    cr_assert_eq(r.status, 400);
    support_response_free(&r);
    r = rtest_get(rtest_port(), "/secret-path");
    support_response_free(&r);
    rtest_end_router(0);
    char *log = rtest_log(0);
    cr_assert_null(strstr(log, "secret"), "%s", log);
    int lines = 0;
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
        json_error_t error;
        if (*line != '{') continue;
        json_t *entry = json_loads(line, 0, &error);
        cr_assert(entry, "%s", line);
        cr_assert(json_is_integer(json_object_get(entry, "status")));
        json_decref(entry);
        lines++;
    }
    cr_assert_geq(lines, 3);
    free(log);
}
