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

// Runs a client that asks the router and the engine the same, and compares.
static void compare(const char *script, const char *how, const char *engine_options) {
    char router[60], engine[60], options[200], said[4000];
    rtest_redis();
    snprintf(options, sizeof options, "--no-events --time-scale 100%s", engine_options);
    rtest_engine(0, options);
    snprintf(engine, sizeof engine, "http://127.0.0.1:%d", rtest_fleet.engines[0].port);
    const char *const flags[] = {"--engine", engine, NULL};
    rtest_router(0, flags);
    rtest_await_ready(0);
    snprintf(router, sizeof router, "http://127.0.0.1:%d", rtest_port());
    const char *argv[] = {"/usr/bin/python3", script, how, router, engine, NULL};
    int status = support_run(argv, RTEST_WAIT_MS, said, sizeof said);
    cr_assert_eq(status, 0, "%s: %s", how, said);
    rtest_await_released("kvroute");
}

Test(clients, httpx, .fini = rtest_cluster_down) {
    support_needs_python("httpx", "python3-httpx");
    compare(KVROUTE_CLIENT_PY, "httpx", "");
}

Test(clients, aiohttp, .fini = rtest_cluster_down) {
    support_needs_python("aiohttp", "python3-aiohttp");
    compare(KVROUTE_CLIENT_PY, "aiohttp", "");
}

Test(clients, vllm_bench_serve, .fini = rtest_cluster_down) {
    support_needs_python("aiohttp", "python3-aiohttp");
    compare(KVROUTE_SHAPES_PY, "vllm", "");
}

Test(clients, guidellm, .fini = rtest_cluster_down) {
    support_needs_python("httpx", "python3-httpx");
    compare(KVROUTE_SHAPES_PY, "guidellm", "");
}

Test(clients, curl, .fini = rtest_cluster_down) {
    support_needs_python("asyncio", "python3");
    support_needs_program("curl", "curl");
    compare(KVROUTE_SHAPES_PY, "curl", "");
}

Test(clients, every_path, .fini = rtest_cluster_down) {
    support_needs_python("asyncio", "python3");
    compare(KVROUTE_SHAPES_PY, "apis", "");
}

Test(clients, every_path_of_sglang, .fini = rtest_cluster_down) {
    support_needs_python("asyncio", "python3");
    compare(KVROUTE_SHAPES_PY, "sglang", " --schema sglang");
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
