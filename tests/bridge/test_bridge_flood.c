// SPDX-License-Identifier: Apache-2.0
// An engine that says more than can be taken, beside one that doesn't: the second's worker is renewed and what it
// caches gets into the pool all the while, and the bridge stays small.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "btest_flood.h"
#include "btest_look.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"

// The flood lasts longer than a worker lives without a renewal. Under a sanitizer all of it, the server's part
// too, takes several times as long.
static int ttl_ms(void) {
    return getenv("ASAN_OPTIONS") ? 20000 : 10000;
}
enum { MAX_BRIDGE_KB = 300 << 10 };

static struct btest_fleet w;

static long peak_kb(pid_t pid) {
    char path[60], line[200];
    long kb = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0) kb = strtol(line + 6, NULL, 10);
    if (f) fclose(f);
    return kb;
}

static void write_config(const struct btest_flood *f, char more[300]) {
    char path[200];
    support_path(path, sizeof path, "flood.ini");
    FILE *file = fopen(path, "w");
    cr_assert(file);
    fprintf(file, "[engine flood]\nevents = tcp://127.0.0.1:%d\nreplay = tcp://127.0.0.1:%d\n",
            f->events_port, f->replay_port);
    cr_assert(fclose(file) == 0);
    snprintf(more, 300, "--ttl %d --config %s", ttl_ms(), path);
}

Test(flood, leaves_neighbours_alone, .timeout = 240) {
    struct btest_flood f;
    struct btest_load load = {.fleet = &w, .seed = 1, .families = 4, .longest = 8};
    char more[300], state[40];
    btest_fleet_open(&w, false);
    btest_fleet_engine(&w, "--time-scale=1 --decode-speed=200", "", 1, false);
    btest_flood_begin(&f, BTEST_BLOCK_SIZE);
    cr_assert_gt(f.n, 1200000);
    write_config(&f, more);
    btest_fleet_bridges(&w, 1, more);
    btest_look_becomes(&w, "e0", "state", "ready");
    btest_look_becomes(&w, "flood", "state", "ready");
    btest_load_begin(&load, 1);
    for (int64_t end = kvr_clock_ms() + ttl_ms() * 5 / 3; kvr_clock_ms() < end;
         support_sleep_ms(20)) {
        btest_look_field(&w, "e0", "state", state);
        if (strcmp(state, "ready") != 0) btest_fleet_fail(&w, "e0 is %s", state);
    }
    btest_load_end(&load);
    btest_fleet_becomes_true(&w, BTEST_LOOK_MS, "a flood that goes on");
    atomic_store(&f.quiet, true);
    // What came last is there in the end, though most of it was dropped.
    char held[40] = "";
    for (int64_t end = kvr_clock_ms() + BTEST_WAIT_MS; strcmp(held, "60000") != 0;
         support_sleep_ms(50)) {
        redisReply *r = support_redis_command(&w.redis, "KVROUTE.WORKER GET pool flood");
        const redisReply *ranks = support_redis_field(r, "ranks");
        const redisReply *n = ranks && ranks->elements
                                  ? support_redis_field(ranks->element[0], "device_blocks")
                                  : NULL;
        snprintf(held, sizeof held, "%lld", n ? n->integer : -1);
        freeReplyObject(r);
        if (kvr_clock_ms() > end) btest_fleet_fail(&w, "the flood's blocks are %s", held);
    }
    long kb = peak_kb(w.bridges[0].pid);
    fprintf(stderr, "flood: %u batches of %zu bytes, the bridge took %ld MB at the most\n",
            atomic_load(&f.seq), f.n, kb >> 10);
    if (!getenv("ASAN_OPTIONS")) cr_expect_leq(kb, MAX_BRIDGE_KB);
    btest_flood_end(&f);
    btest_fleet_close(&w);
}
