// SPDX-License-Identifier: Apache-2.0
// A handle that waits sleeps: for calls, for a server that is silent, until the next try to reach one
// that is gone. How often it wakes up is counted, because that doesn't depend on how busy the machine is.
#include <criterion/criterion.h>
#include <kvroute/client.h>

#include "fake_faults.h"
#include "fake_server.h"
#include "tests/support/home.h"

enum { WATCHED_MS = 800, MAX_TURNS = 400 }; // a handle that doesn't sleep makes tens of thousands

static void done(void *ctx, const struct kvr_result *r) {
    (void)r;
    ++*(int *)ctx;
}

static void watch(enum fake_kind kind, const struct fake_fault *fault, const struct fake_lies *lies,
                  bool busy, const char *name) {
    static const char *const kinds[] = {"tcp", "unix", "sentinel", "cluster"};
    struct fake_server *f = fake_start(kind);
    char url[300];
    int answers = 0, turns = 0;
    fake_url(f, "deadline=60000&timeout=100&connect_timeout=100", url, sizeof url);
    struct kvr_client_options options = {.degrade = true, .refresh = 200};
    struct kvr_client *c = kvr_client_open(url, FAKE_POOL, &options, NULL, 0);
    cr_assert(c);
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    if (lies) fake_lie(f, lies);
    if (fault) fake_set_fault(f, fault, 1, true);
    if (busy) {
        fake_hang_up(f);
        cr_assert(kvr_client_info_async(c, done, &answers) == KVR_CODE_OK);
    }
    for (int64_t end = now_ms() + WATCHED_MS; now_ms() < end; turns++)
        kvr_client_run(c, end - now_ms());
    cr_expect(turns < MAX_TURNS, "%s, %s: woke up %d times in %d ms", kinds[kind], name, turns,
              WATCHED_MS);
    cr_expect(busy || !answers);
    kvr_client_close(c);
    fake_stop(f);
}

static void all(enum fake_kind kind) {
    static const struct fake_fault dies = {"dies", FAKE_FAULT_DIE, "", 0},
                                   hangs = {"hangs", FAKE_FAULT_HANG, "", 0},
                                   closes = {"closes", FAKE_FAULT_CLOSE, "", 0},
                                   refuses = {"refuses", FAKE_FAULT_SAY, "-ERR no\r\n", 0},
                                   loads = {"loads", FAKE_FAULT_SAY, "-LOADING no\r\n", 0},
                                   again = {"again", FAKE_FAULT_SAY, "-TRYAGAIN no\r\n", 0};
    static const struct fake_fault *const faults[] = {&dies,    &hangs, &closes,
                                                      &refuses, &loads, &again};
    static const struct fake_lies replica = {.role = "slave"}, circle = {.circle = true};
    watch(kind, NULL, NULL, false, "nothing to do");
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        watch(kind, faults[i], NULL, true, faults[i]->name);
    watch(kind, NULL, kind == FAKE_CLUSTER ? &circle : &replica, true, "no primary");
}

Test(idle, tcp, .timeout = 300) {
    all(FAKE_TCP);
}
Test(idle, unix_socket, .timeout = 300) {
    all(FAKE_UNIX);
}
Test(idle, sentinel, .timeout = 300) {
    all(FAKE_SENTINEL);
}
Test(idle, cluster, .timeout = 300) {
    all(FAKE_CLUSTER);
}
