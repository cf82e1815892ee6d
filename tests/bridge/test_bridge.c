// SPDX-License-Identifier: Apache-2.0
// Real bridges between a real Redis and engines that drop, repeat, mix up and damage their batches,
// restart, lose replies; bridges and servers that are killed. In the end the pool holds what the
// engine holds, block by block.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "btest_bridge.h"
#include "btest_engine.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

static struct btest_bridge s;
static struct btest_engine *f;

static void up(uint64_t seed, bool replay) {
    s = (struct btest_bridge){0};
    f = btest_engine_new(seed, replay);
    btest_bridge_redis(&s);
}

static void down(void) {
    btest_engine_free(f);
    btest_bridge_stop(&s);
}

static size_t differences(void) {
    size_t n = 0;
    long long count = btest_bridge_held(&s, "device_blocks");
    if (count != (long long)btest_engine_held(f)) n++;
    for (int k = 0; k < BTEST_ENGINE_BLOCKS && count >= 0; k++) {
        uint64_t path[BTEST_ENGINE_DEPTH];
        size_t held, depth = btest_engine_path(f, k, path, &held);
        n += btest_bridge_overlap(&s, path, depth) != (long long)held;
    }
    return count < 0 ? BTEST_ENGINE_BLOCKS : n;
}

static void becomes_true(void) {
    size_t n = BTEST_ENGINE_BLOCKS;
    for (int64_t end = kvr_clock_ms() + BTEST_WAIT_MS; kvr_clock_ms() < end;) {
        btest_engine_serve(f, 50);
        if (btest_bridge_held(&s, "device_blocks") != (long long)btest_engine_held(f)) continue;
        if ((n = differences()) == 0) return;
    }
    support_log_show(s.log);
    cr_assert_fail("%zu differences; the engine holds %zu, the pool says %lld", n,
                   btest_engine_held(f), btest_bridge_held(&s, "device_blocks"));
}

static void run_bridge(const char *more) {
    char engine[300];
    const char *flags[] = {"--engine", engine, NULL};
    int n = snprintf(engine, sizeof engine, "w events=tcp://127.0.0.1:%d audit=300 %s",
                     f->events_port, more);
    if (f->has_replay)
        snprintf(engine + n, sizeof engine - (size_t)n, " replay=tcp://127.0.0.1:%d",
                 f->replay_port);
    btest_bridge_start(&s, flags);
}

static void steps(unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        btest_engine_step(f);
        btest_engine_serve(f, i % 8 == 0);
    }
}

// Waits until the bridge hears the engine: what it does before is lost without a replay.
static void is_heard(void) {
    for (int64_t end = kvr_clock_ms() + BTEST_WAIT_MS;
         btest_bridge_held(&s, "device_blocks") < 0;) {
        cr_assert(kvr_clock_ms() < end, "the worker isn't registered");
        btest_engine_serve(f, 20);
    }
    btest_engine_serve(f, 500);
}

Test(bridge, follows) {
    up(1, true);
    steps(50); // before anybody listens
    run_bridge("");
    steps(300);
    becomes_true();
    btest_engine_clear(f);
    becomes_true();
    steps(100);
    becomes_true();
    down();
}

Test(bridge, without_replay) {
    up(2, false);
    run_bridge("");
    is_heard();
    steps(300);
    becomes_true();
    btest_engine_restart(f); // the bridge hears of the new life by its connection
    becomes_true();
    is_heard();
    steps(100);
    becomes_true();
    // After a loss it never says what isn't there.
    f->faults.drop = 100;
    steps(5);
    f->faults.drop = 0;
    steps(40);
    btest_engine_serve(f, 1000);
    for (int k = 0; k < BTEST_ENGINE_BLOCKS; k++) {
        uint64_t path[BTEST_ENGINE_DEPTH];
        size_t held, depth = btest_engine_path(f, k, path, &held);
        cr_assert_leq(btest_bridge_overlap(&s, path, depth), (long long)held);
    }
    btest_engine_clear(f);
    steps(100);
    becomes_true();
    down();
}

Test(bridge, every_fault_at_once) {
    for (uint64_t seed = 3; seed < 6; seed++) {
        up(seed, true);
        run_bridge("");
        f->faults = (struct btest_engine_faults){10, 10, 10, 3, 8};
        for (unsigned round = 0; round < 6; round++) {
            steps(150);
            if (round % 3 == 2) btest_engine_restart(f); // and tells at once, to nobody
        }
        steps(40);
        becomes_true();
        down();
    }
}

Test(bridge, killed_in_any_order) {
    up(7, true);
    run_bridge("");
    f->faults = (struct btest_engine_faults){5, 5, 5, 1, 3};
    for (unsigned round = 0; round < 12; round++) {
        steps(20 + btest_engine_below(f, 80));
        switch (btest_engine_below(f, 3)) {
        case 0:
            support_end(&s.pid, SIGKILL);
            steps(20);
            run_bridge("");
            break;
        case 1:
            support_redis_end(&s.redis, SIGKILL);
            steps(20);
            btest_bridge_redis(&s); // with nothing in it
            break;
        default:
            btest_engine_restart(f);
        }
        if (round % 4 == 3) becomes_true();
    }
    becomes_true();
    down();
}

static void leaves(const char *how, const char *state) {
    up(11, true);
    char engine[200];
    int status;
    const char *flags[] = {"--exit", how, "--engine", engine, NULL};
    snprintf(engine, sizeof engine, "w events=tcp://127.0.0.1:%d", f->events_port);
    btest_bridge_start(&s, flags);
    is_heard();
    kill(s.pid, SIGTERM);
    cr_expect(support_ends(&s.pid, BTEST_WAIT_MS, &status) && status == 0);
    redisReply *r = support_redis_command(&s.redis, "KVROUTE.WORKER GET pool w");
    cr_assert(r);
    if (!state)
        cr_expect_eq(r->type, REDIS_REPLY_NIL);
    else
        cr_expect_str_eq(r->element[5]->str, state);
    freeReplyObject(r);
    down();
}

Test(bridge, leaves_as_told) {
    leaves("drain", "draining");
    leaves("remove", NULL);
}

Test(bridge, refuses_another_block_size) {
    up(12, true);
    run_bridge("block_size=16");
    char text[4000] = "";
    for (int64_t end = kvr_clock_ms() + BTEST_WAIT_MS; !strstr(text, "is refused");) {
        cr_assert(kvr_clock_ms() < end, "%s", text);
        btest_engine_serve(f, 50);
        FILE *log = fopen(s.log, "r");
        size_t n = log ? fread(text, 1, sizeof text - 1, log) : 0;
        text[n] = 0;
        if (log) fclose(log);
    }
    cr_expect_neq(strstr(text, "its blocks have 16 tokens, those of pool pool have 4"), NULL);
    cr_expect_eq(btest_bridge_held(&s, "device_blocks"), -1);
    down();
}
