// SPDX-License-Identifier: Apache-2.0
// Clients of another making, in Python (skipped without these), and a pool that a bridge fills.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stand.h"
#include "tests/support/home.h"
#include "tests/support/needs.h"
#include "tests/support/program.h"

static struct stand s;

static void down(void) {
    stand_down(&s);
}

static void talk(const char *library, const char *package) {
    char router[60], engine[60];
    int status;
    needs_python(library, package);
    stand_redis(&s);
    stand_engine(&s, 0, "--no-events --time-scale 100");
    snprintf(engine, sizeof engine, "http://127.0.0.1:%d", s.engines[0].port);
    const char *const flags[] = {"--engine", engine, NULL};
    stand_router(&s, 0, flags);
    stand_await_ready(&s, 0);
    snprintf(router, sizeof router, "http://127.0.0.1:%d", s.routers[0].port);
    const char *argv[] = {"/usr/bin/python3", KVROUTE_CLIENT_PY, library, router, engine, NULL};
    pid_t pid = program_start(argv, -1, 2, 2);
    cr_assert(program_ends(&pid, PATIENCE_MS, &status), "%s doesn't end", library);
    cr_assert_eq(status, 0);
    stand_await_released(&s, "kvroute");
}

Test(clients, httpx, .fini = down) {
    talk("httpx", "python3-httpx");
}

Test(clients, aiohttp, .fini = down) {
    talk("aiohttp", "python3-aiohttp");
}

// ---- Engines, bridge, pool, router ---------------------------------------------------------------

static pid_t bridge;

static void bridge_down(void) {
    program_end(&bridge, SIGKILL);
    stand_down(&s);
}

// Two engines with events behind one bridge. What an answer leaves in an engine's cache is found by the
// next turn, whatever router it comes through.
Test(clients, what_a_bridge_tells_is_found, .fini = bridge_down) {
    static const char body[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"one two three four five six seven eight "
        "nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen\"}],"
        "\"max_tokens\":40}";
    char url[60], engines[2][300];
    stand_redis(&s);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", s.redis.port);
    for (int i = 0; i < 2; i++) {
        int events = home_port(), replay = home_port();
        char options[200];
        snprintf(options, sizeof options,
                 "--time-scale 0 --block-size 4 --events-port %d --replay-port %d", events, replay);
        stand_engine(&s, i, options);
        snprintf(engines[i], sizeof engines[i],
                 "w%d http=http://127.0.0.1:%d events=tcp://127.0.0.1:%d replay=tcp://127.0.0.1:%d",
                 i, s.engines[i].port, events, replay);
    }
    const char *argv[] = {KVROUTE_BRIDGE, "--redis",  url,           "--pool",
                          "kvroute",      "--create", "BLOCKSIZE 4", "--engine",
                          engines[0],     "--engine", engines[1],    NULL};
    bridge = program_start(argv, -1, -1, -1);
    for (int i = 0; i < 2; i++)
        stand_router(&s, i, NULL);
    for (int i = 0; i < 2; i++)
        stand_await_ready(&s, i);
    struct response r = http_post(s.routers[0].port, "/v1/chat/completions", body);
    cr_assert(r.status == 200 && response_has(&r, "X-Kvroute-Overlap: 0"), "%s", r.head);
    const char *at = strstr(r.head, "X-Kvroute-Worker: w");
    cr_assert(at);
    char worker[21] = "";
    memcpy(worker, at, 20);
    response_free(&r);
    for (int64_t end = now_ms() + PATIENCE_MS;; sleep_ms(20)) {
        r = http_post(s.routers[1].port, "/v1/chat/completions", body);
        bool found = r.status == 200 && !response_has(&r, "X-Kvroute-Overlap: 0");
        bool same = strstr(r.head, worker) != NULL;
        response_free(&r);
        if (found) {
            cr_assert(same);
            break;
        }
        cr_assert(now_ms() < end, "no overlap");
    }
}
