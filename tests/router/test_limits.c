// SPDX-License-Identifier: Apache-2.0
// More than a router may take: what is refused, and that it takes no memory.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"
#include "tests/support/support_home.h"

static void up(const char *const *more) {
    rtest_redis();
    rtest_router(0, more);
    rtest_await_ready(0);
}

// Until there is no connection but the one that asks.
static void await_alone(void) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(50)) {
        json_t *status = rtest_json(rtest_get(rtest_port(), "/v1/status"), 200);
        json_int_t n = json_integer_value(json_object_get(status, "connections"));
        json_decref(status);
        if (n == 1) return;
        cr_assert(kvr_clock_ms() < end);
    }
}

static void await(bool (*holds)(void), const char *what) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !holds(); support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end, "%s", what);
}

static bool four_are_in(void) {
    return rtest_router_metric(0, "requests_in_flight") >= 4;
}

static bool one_is_held(void) {
    return rtest_router_metric(0, "queued_bytes") >= 5000;
}

Test(limits, requests_at_a_time, .fini = rtest_cluster_down) {
    up((const char *[]){"--engine", "http://10.0.0.1:8000", "--max_requests", "4", "--deadline",
                        "60000", "--retry_after", "7", NULL});
    rtest_kill_redis(SIGSTOP); // so that they stay
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = support_http_connect(rtest_port());
        rtest_say(fds[i], "POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                          "application/json\r\nContent-Length: 2\r\n\r\n{}");
    }
    await(four_are_in, "they don't come in");
    struct support_response r = rtest_post(rtest_port(), "/v1/select", "{}");
    cr_assert(support_response_has(&r, "Retry-After: 7"));
    cr_assert_str_eq(rtest_error_code(r, 503), "OVERLOAD");
    cr_assert(rtest_is_served(rtest_get(rtest_port(), "/healthz"))); // who watches is let in
    rtest_kill_redis(SIGCONT);
    for (int i = 0; i < 4; i++) {
        cr_assert(rtest_is_served(support_http_response(fds[i], false, RTEST_WAIT_MS)));
        close(fds[i]);
    }
    json_decref(rtest_json(rtest_post(rtest_port(), "/v1/select", "{}"), 200));
}

Test(limits, bytes_at_a_time, .fini = rtest_cluster_down) {
    up((const char *[]){"--engine", "http://10.0.0.1:8000", "--max_queued", "10000", NULL});
    char half[5000];
    int fds[3];
    memset(half, ' ', sizeof half);
    for (int i = 0; i < 3; i++) {
        fds[i] = support_http_connect(rtest_port());
        rtest_say(fds[i], "POST /v1/select HTTP/1.1\r\nHost: a\r\nContent-Type: "
                          "application/json\r\nContent-Length: 6000\r\n\r\n");
        support_http_send(fds[i], half, i ? 4500 : sizeof half);
        if (!i) await(one_is_held, "the bytes don't come in");
    }
    struct support_response r = support_http_response(fds[2], false, RTEST_WAIT_MS);
    cr_assert_str_eq(rtest_error_code(r, 503), "OVERLOAD");
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    // what they held is free again
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         !rtest_is_served(rtest_post(rtest_port(), "/v1/select", "{}")); support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end);
}

// Sends requests for a long answer and reads none of them: the router stops taking more.
Test(limits, who_reads_nothing_waits, .fini = rtest_cluster_down) {
    up((const char *[]){"--engine", "http://10.0.0.1:8000", "--stall_timeout", "1500", NULL});
    long before = rtest_memory(0, "VmHWM");
    int fd = support_http_connect(rtest_port());
    struct timeval patience = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    for (int i = 0; i < 20000; i++)
        rtest_say(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    if (!getenv("ASAN_OPTIONS"))
        cr_assert_lt(rtest_memory(0, "VmHWM") - before, 4 << 10, "%ld kB more",
                     rtest_memory(0, "VmHWM") - before);
    // And is left at last.
    await_alone();
    close(fd);
}

// That the router has had.
static long processor_ms(void) {
    char path[40], line[600] = "";
    long user = -1, system = -1;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)rtest_fleet.routers[0].pid);
    FILE *f = fopen(path, "r");
    cr_assert(f && fgets(line, sizeof line, f));
    fclose(f);
    const char *state = strrchr(line, ')');
    cr_assert(state && sscanf(state + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld",
                              &user, &system) == 2);
    return (user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

Test(limits, many_idle_connections, .fini = rtest_cluster_down, .timeout = 120) {
    enum { MANY = 10000, LEAST = 500 };
    static int fds[MANY];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int most = files.rlim_max < 2 * MANY + 200 ? (int)files.rlim_max / 2 - 100 : MANY;
    if (most < LEAST) cr_skip_test("too few descriptors");
    up((const char *[]){"--engine", "http://10.0.0.1:8000", NULL});
    long before = rtest_memory(0, "VmHWM");
    for (int i = 0; i < most; i++) {
        fds[i] = support_http_connect(rtest_port());
        cr_assert_geq(fds[i], 0);
        if (i % 2) { // half of them have been served
            rtest_say(fds[i], "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
            cr_assert(rtest_is_served(support_http_response(fds[i], false, RTEST_WAIT_MS)));
        }
    }
    long since = processor_ms();
    json_decref(rtest_json(rtest_post(rtest_port(), "/v1/select", "{}"), 200));
    cr_assert_lt(processor_ms() - since, 1000);
    if (!getenv("ASAN_OPTIONS"))
        cr_assert_lt((rtest_memory(0, "VmHWM") - before) / (most / 1000), 4 << 10, "%ld kB for %d",
                     rtest_memory(0, "VmHWM") - before, most);
    for (int i = 0; i < most; i++)
        close(fds[i]);
    await_alone();
}
