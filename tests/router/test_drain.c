// SPDX-License-Identifier: Apache-2.0
// A router that leaves, or is told anew, while answers stream through it.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "rtest_cluster.h"
#include "tests/support/support_home.h"

static const char body[] = "{\"model\":\"mock\",\"prompt\":\"tell me a story\",\"max_tokens\":40,"
                           "\"stream\":true}";

// A stream that has begun.
static int begin_stream(void) {
    char request[400], first;
    int fd = support_http_connect(rtest_port());
    snprintf(request, sizeof request,
             "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: "
             "application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    rtest_say(fd, request);
    cr_assert_eq(recv(fd, &first, 1, MSG_PEEK), 1);
    return fd;
}

static void check_stream(int fd) {
    struct support_response r = support_http_response(fd, false, RTEST_WAIT_MS);
    cr_assert_eq(r.status, 200, "%s", r.body);
    cr_assert(r.complete && strstr(r.body, "data: [DONE]"), "cut: %s", r.body);
    int pieces = 0;
    for (const char *at = r.body; (at = strstr(at, "data: ")); at++)
        pieces++;
    cr_assert_geq(pieces, 40);
    support_response_free(&r);
    close(fd);
}

Test(drain, streams_are_finished, .fini = rtest_cluster_down) {
    char url[60];
    rtest_redis();
    rtest_engine(0, "--time-scale 1");
    snprintf(url, sizeof url, "http://127.0.0.1:%d", rtest_fleet.engines[0].port);
    rtest_router(0, (const char *[]){"--engine", url, NULL});
    rtest_await_ready(0);
    int fds[5];
    for (int i = 0; i < 5; i++)
        fds[i] = begin_stream();
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    for (int i = 0; i < 5; i++)
        check_stream(fds[i]);
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    cr_assert_eq(rtest_pool_info("kvroute", "requests"), 0, "bookings are left");
}

Test(drain, a_pool_that_goes_finishes_what_it_has, .fini = rtest_cluster_down) {
    char file[200];
    rtest_redis();
    rtest_engine(0, "--time-scale 1");
    snprintf(file, sizeof file, "%s/router.conf", support_home());
    FILE *f = fopen(file, "w");
    fprintf(f, "[router]\nrefresh = 50\n[pool old]\n[engine http://127.0.0.1:%d]\n",
            rtest_fleet.engines[0].port);
    fclose(f);
    rtest_router(0, (const char *[]){"--config", file, NULL});
    rtest_await_ready(0);
    int fds[5];
    for (int i = 0; i < 5; i++)
        fds[i] = begin_stream();
    f = fopen(file, "w");
    fprintf(f, "[router]\nrefresh = 50\n[pool new]\n[engine http://127.0.0.1:%d]\n",
            rtest_fleet.engines[0].port);
    fclose(f);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_pool_info("new", "workers") != 1;
         support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end);
    for (int i = 0; i < 5; i++)
        check_stream(fds[i]);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_pool_info("old", "requests") != 0;
         support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end);
    check_stream(begin_stream());
    cr_assert_eq(rtest_pool_info("new", "selects"), 1);
    rtest_end_router(0);
}
