// SPDX-License-Identifier: Apache-2.0
// Clients of another making, in Python (skipped without these), and a pool that a bridge fills.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_cluster.h"
#include "tests/support/support_home.h"
#include "tests/support/support_needs.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

static void talk(const char *library, const char *package) {
    char router[60], engine[60], said[4000];
    support_needs_python(library, package);
    rtest_redis();
    rtest_engine(0, "--no-events --time-scale 100");
    snprintf(engine, sizeof engine, "http://127.0.0.1:%d", rtest_fleet.engines[0].port);
    const char *const flags[] = {"--engine", engine, NULL};
    rtest_router(0, flags);
    rtest_await_ready(0);
    snprintf(router, sizeof router, "http://127.0.0.1:%d", rtest_port());
    const char *argv[] = {"/usr/bin/python3", KVROUTE_CLIENT_PY, library, router, engine, NULL};
    int status = support_run(argv, RTEST_WAIT_MS, said, sizeof said);
    cr_assert_eq(status, 0, "%s: %s", library, said);
    rtest_await_released("kvroute");
}

Test(clients, httpx, .fini = rtest_cluster_down) {
    talk("httpx", "python3-httpx");
}

Test(clients, aiohttp, .fini = rtest_cluster_down) {
    talk("aiohttp", "python3-aiohttp");
}

// ---- Engines, bridge, pool, router ---------------------------------------------------------------

static pid_t bridge;

static void bridge_down(void) {
    support_end(&bridge, SIGKILL);
    rtest_cluster_down();
}

// Two engines with events behind one bridge. What an answer leaves in an engine's cache is found by the
// next turn, whatever router it comes through.
Test(clients, what_a_bridge_tells_is_found, .fini = bridge_down) {
    static const char body[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"one two three four five six seven eight "
        "nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen\"}],"
        "\"max_tokens\":40}";
    char url[60], engines[2][300];
    rtest_redis();
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", rtest_fleet.redis.port);
    for (int i = 0; i < 2; i++) {
        int events = support_port(), replay = support_port();
        char options[200];
        snprintf(options, sizeof options,
                 "--time-scale 0 --block-size 4 --events-port %d --replay-port %d", events, replay);
        rtest_engine(i, options);
        snprintf(engines[i], sizeof engines[i],
                 "w%d http=http://127.0.0.1:%d events=tcp://127.0.0.1:%d replay=tcp://127.0.0.1:%d",
                 i, rtest_fleet.engines[i].port, events, replay);
    }
    const char *argv[] = {KVROUTE_BRIDGE, "--redis",  url,           "--pool",
                          "kvroute",      "--create", "BLOCKSIZE 4", "--engine",
                          engines[0],     "--engine", engines[1],    NULL};
    bridge = support_start(argv, NULL);
    for (int i = 0; i < 2; i++)
        rtest_router(i, NULL);
    for (int i = 0; i < 2; i++)
        rtest_await_ready(i);
    struct support_response r = rtest_post(rtest_port(), "/v1/chat/completions", body);
    cr_assert(r.status == 200 && support_response_has(&r, "X-Kvroute-Overlap: 0"), "%s", r.head);
    const char *at = strstr(r.head, "X-Kvroute-Worker: w");
    cr_assert(at);
    char worker[21] = "";
    memcpy(worker, at, 20);
    support_response_free(&r);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(20)) {
        r = rtest_post(rtest_fleet.routers[1].port, "/v1/chat/completions", body);
        bool found = r.status == 200 && !support_response_has(&r, "X-Kvroute-Overlap: 0");
        bool same = strstr(r.head, worker) != NULL;
        support_response_free(&r);
        if (found) {
            cr_assert(same);
            break;
        }
        cr_assert(kvr_clock_ms() < end, "no overlap");
    }
}
