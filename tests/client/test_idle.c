// SPDX-License-Identifier: Apache-2.0
// A handle that waits sleeps: for calls, for a server that is silent, until the next try to reach one
// that is gone. How often it wakes up is counted, because that doesn't depend on how busy the machine is.
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <stdio.h>

#include "client/common/clock.h"
#include "fake_faults.h"
#include "fake_server.h"

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
    for (int64_t end = kvr_clock_ms() + WATCHED_MS; kvr_clock_ms() < end; turns++)
        kvr_client_run(c, end - kvr_clock_ms());
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

// Calls that wait for room ask now and then, each about once in a second or two, and in between the handle sleeps.
static void watch_waiting(const struct fake_lies *lies, const char *name) {
    enum { IDLE_WAITERS = 5 };
    struct fake_server *f = fake_start(FAKE_TCP);
    char url[300], ids[IDLE_WAITERS][8];
    int answers = 0, turns = 0;
    fake_url(f, "deadline=60000", url, sizeof url);
    struct kvr_client *c = kvr_client_open(url, FAKE_POOL, NULL, NULL, 0);
    cr_assert(c);
    fake_set_room(f, 0, 60000);
    fake_lie(f, lies);
    for (int i = 0; i < IDLE_WAITERS; i++) {
        snprintf(ids[i], sizeof ids[i], "w%d", i);
        struct kvr_select_call q = {.request = kvr_text(ids[i]), .wait = 600000};
        cr_assert(kvr_client_select_async(c, &q, done, &answers) == KVR_CODE_OK);
    }
    struct kvr_client_stats s = {0};
    for (int64_t end = kvr_clock_ms() + 60000; s.waiting < IDLE_WAITERS && kvr_clock_ms() < end;) {
        kvr_client_run(c, 10);
        kvr_client_stats(c, &s);
    }
    uint64_t heard = fake_heard(f);
    int64_t began = kvr_clock_ms();
    for (int64_t end = began + 3 * WATCHED_MS; kvr_clock_ms() < end; turns++)
        kvr_client_run(c, end - kvr_clock_ms());
    uint64_t asked = fake_heard(f) - heard,
             most = (uint64_t)(kvr_clock_ms() - began) * (IDLE_WAITERS + 5) / 200;
    cr_expect(turns < MAX_TURNS, "%s: woke up %d times", name, turns);
    cr_expect(asked < most, "%s: %lu commands", name, (unsigned long)asked);
    cr_expect(!answers);
    kvr_client_close(c);
    fake_stop(f);
}

Test(idle, waiting_for_room, .timeout = 300) {
    watch_waiting(NULL, "told");
    watch_waiting(&(struct fake_lies){.mute = true}, "untold");
    watch_waiting(&(struct fake_lies){.fails = "SUBSCRIBE", .error = "NOPERM no"}, "unsubscribed");
    watch_waiting(&(struct fake_lies){.fails = "SUBSCRIBE", .error = "ERR no"}, "not now");
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
