// SPDX-License-Identifier: Apache-2.0
// The examples do what their README says, against a real server.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/support_needs.h"
#include "tests/support/support_process.h"
#include "tests/support/support_redis.h"

enum { RUN_MS = 60000 }; // that a program may take

static struct support_redis server;

static void start(void) {
    cr_assert(support_redis_start(&server));
}

static void stop(void) {
    support_redis_end(&server, SIGKILL);
}

TestSuite(examples, .init = start, .fini = stop, .timeout = 300);

static const char *url(void) {
    static char text[64];
    snprintf(text, sizeof text, "redis://127.0.0.1:%d", server.port);
    return text;
}

// Runs a program with up to four arguments; what it wrote is good until the next.
static const char *run(int want, const char *program, const char *first, ...) {
    static char out[8192];
    const char *argv[8] = {program, first};
    va_list args;
    va_start(args, first);
    for (int i = 2; i < 7 && argv[i - 1]; i++)
        argv[i] = va_arg(args, const char *);
    va_end(args);
    int code = support_run(argv, RUN_MS, out, sizeof out);
    cr_assert(code == want, "%s ended with %d and said\n%s", program, code, out);
    return out;
}

static void said(const char *out, const char *line) {
    cr_expect(strstr(out, line), "\"%s\" isn't in\n%s", line, out);
}

Test(examples, blocking) {
    for (int i = 0; i < 2; i++) {
        const char *out = run(0, KVROUTE_EXAMPLES "/kvroute-example-blocking", url(), "chat", NULL);
        said(out, "send it to engine-1 at 10.0.0.1:8000, which has 0 of its 6 blocks\n");
        said(out, "update: OK 1\n");
        said(out, "release: OK 1\n");
    }
}

Test(examples, wait_for_room) {
    const char *out =
        run(0, KVROUTE_EXAMPLES "/kvroute-example-wait_for_room", url(), "queue", NULL);
    for (int i = 1; i <= 5; i++) {
        char line[40];
        snprintf(line, sizeof line, "engine-1 takes number %d\n", i);
        said(out, line);
    }
    said(out, "-5: NOROOM\n");
}

Test(examples, blocking_without_a_server) {
    const char *out =
        run(1, KVROUTE_EXAMPLES "/kvroute-example-blocking", "nonsense://x", "chat", NULL);
    said(out, "nonsense://x: ");
    out = run(1, KVROUTE_EXAMPLES "/kvroute-example-blocking",
              "redis://127.0.0.1:1?deadline=100&connect_timeout=50", "chat", NULL);
    said(out, "workers: ");
}

Test(examples, async) {
    for (int i = 0; i < 2; i++) {
        const char *out = run(0, KVROUTE_EXAMPLES "/kvroute-example-async", url(), "chat", NULL);
        said(out, "100 requests routed, 0 failed, 0 found something cached; 0 still live\n");
    }
}

// ---- The Python one ------------------------------------------------------------------------------

static const char distribution[] = "/usr/bin/python3";

static void check_frontend(const char *out, bool first, bool lost) {
    cr_expect((strstr(out, "created the pool\n") != NULL) == first, "%s", out);
    said(out, "w2 at http://10.0.0.2:8000 has 2 of 3 blocks\n");
    cr_expect((strstr(out, "booked back at 20 tokens\n") != NULL) == lost, "%s", out);
    said(out, "released 1\n");
}

static void frontend(const char *python) {
    check_frontend(run(0, python, KVROUTE_FRONTEND, url(), "demo", NULL), true, false);
    check_frontend(run(0, python, KVROUTE_FRONTEND, url(), "demo", NULL), false, false);
    check_frontend(run(0, python, KVROUTE_FRONTEND, "--lose", url(), "demo", NULL), false, true);
}

static void frontend_with_sentinels(const char *python) {
    struct support_redis sentinel = {.sentinel = true};
    char addresses[64], monitor[80];
    snprintf(monitor, sizeof monitor, "sentinel monitor main 127.0.0.1 %d 1\n", server.port);
    sentinel.config = monitor;
    cr_assert(support_redis_start(&sentinel));
    snprintf(addresses, sizeof addresses, "127.0.0.1:1,127.0.0.1:%d", sentinel.port);
    const char *out =
        run(0, python, KVROUTE_FRONTEND, "--sentinel", "main", addresses, "demo", NULL);
    check_frontend(out, true, false);
    support_redis_end(&sentinel, SIGKILL);
}

Test(examples, frontend) {
    support_needs_python("redis.sentinel", "python3-redis");
    frontend(distribution);
}

Test(examples, frontend_with_sentinels) {
    support_needs_python("redis.sentinel", "python3-redis");
    frontend_with_sentinels(distribution);
}

Test(examples, frontend_newest) {
    frontend(support_needs_newest_redis_py());
}

Test(examples, frontend_newest_with_sentinels) {
    frontend_with_sentinels(support_needs_newest_redis_py());
}
