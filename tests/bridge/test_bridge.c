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

#include "fake.h"
#include "stand.h"
#include "tests/support/home.h"
#include "tests/support/program.h"

static size_t differences(struct stand *s, const struct fake *f) {
    size_t n = 0;
    long long count = stand_held(s, "device_blocks");
    if (count != (long long)fake_held(f)) n++;
    for (int k = 0; k < FAKE_BLOCKS && count >= 0; k++) {
        uint64_t path[FAKE_DEPTH];
        size_t held, depth = fake_path(f, k, path, &held);
        n += stand_overlap(s, path, depth) != (long long)held;
    }
    return count < 0 ? FAKE_BLOCKS : n;
}

static void show_log(const struct stand *s) {
    char line[300];
    FILE *log = fopen(s->log, "r");
    while (log && fgets(line, sizeof line, log))
        cr_log_error("%s", line);
    if (log) fclose(log);
}

static void becomes_true(struct stand *s, struct fake *f) {
    size_t n = FAKE_BLOCKS;
    for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end;) {
        fake_serve(f, 50);
        if (stand_held(s, "device_blocks") != (long long)fake_held(f)) continue;
        if ((n = differences(s, f)) == 0) return;
    }
    show_log(s);
    cr_assert_fail("%zu differences; the engine holds %zu, the pool says %lld", n, fake_held(f),
                   stand_held(s, "device_blocks"));
}

static void run_bridge(struct stand *s, const struct fake *f, const char *more) {
    char engine[300];
    const char *flags[] = {"--engine", engine, NULL};
    int n = snprintf(engine, sizeof engine, "w events=tcp://127.0.0.1:%d audit=300 %s",
                     f->events_port, more);
    if (f->has_replay)
        snprintf(engine + n, sizeof engine - (size_t)n, " replay=tcp://127.0.0.1:%d",
                 f->replay_port);
    stand_bridge(s, flags);
}

static void steps(struct fake *f, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        fake_step(f);
        fake_serve(f, i % 8 == 0);
    }
}

// Waits until the bridge hears the engine: what it does before is lost without a replay.
static void is_heard(struct stand *s, struct fake *f) {
    for (int64_t end = now_ms() + PATIENCE_MS; stand_held(s, "device_blocks") < 0;) {
        cr_assert(now_ms() < end, "the worker isn't registered");
        fake_serve(f, 20);
    }
    fake_serve(f, 500);
}

Test(bridge, follows) {
    struct stand s = {0};
    struct fake *f = fake_new(1, true);
    stand_server(&s);
    steps(f, 50); // before anybody listens
    run_bridge(&s, f, "");
    steps(f, 300);
    becomes_true(&s, f);
    fake_clear(f);
    becomes_true(&s, f);
    steps(f, 100);
    becomes_true(&s, f);
    fake_free(f);
    stand_down(&s);
}

Test(bridge, without_replay) {
    struct stand s = {0};
    struct fake *f = fake_new(2, false);
    stand_server(&s);
    run_bridge(&s, f, "");
    is_heard(&s, f);
    steps(f, 300);
    becomes_true(&s, f);
    fake_restart(f); // the bridge hears of the new life by its connection
    becomes_true(&s, f);
    is_heard(&s, f);
    steps(f, 100);
    becomes_true(&s, f);
    // After a loss it never says what isn't there.
    f->faults.drop = 100;
    steps(f, 5);
    f->faults.drop = 0;
    steps(f, 40);
    fake_serve(f, 1000);
    for (int k = 0; k < FAKE_BLOCKS; k++) {
        uint64_t path[FAKE_DEPTH];
        size_t held, depth = fake_path(f, k, path, &held);
        cr_assert_leq(stand_overlap(&s, path, depth), (long long)held);
    }
    fake_clear(f);
    steps(f, 100);
    becomes_true(&s, f);
    fake_free(f);
    stand_down(&s);
}

Test(bridge, every_fault_at_once) {
    for (uint64_t seed = 3; seed < 6; seed++) {
        struct stand s = {0};
        struct fake *f = fake_new(seed, true);
        stand_server(&s);
        run_bridge(&s, f, "");
        f->faults = (struct fake_faults){10, 10, 10, 3, 8};
        for (unsigned round = 0; round < 6; round++) {
            steps(f, 150);
            if (round % 3 == 2) fake_restart(f); // and tells at once, to nobody
        }
        steps(f, 40);
        becomes_true(&s, f);
        fake_free(f);
        stand_down(&s);
    }
}

Test(bridge, killed_in_any_order) {
    struct stand s = {0};
    struct fake *f = fake_new(7, true);
    stand_server(&s);
    run_bridge(&s, f, "");
    f->faults = (struct fake_faults){5, 5, 5, 1, 3};
    for (unsigned round = 0; round < 12; round++) {
        steps(f, 20 + fake_below(f, 80));
        switch (fake_below(f, 3)) {
        case 0:
            program_end(&s.bridge, SIGKILL);
            steps(f, 20);
            run_bridge(&s, f, "");
            break;
        case 1:
            program_end(&s.server, SIGKILL);
            steps(f, 20);
            stand_server(&s); // with nothing in it
            break;
        default:
            fake_restart(f);
        }
        if (round % 4 == 3) becomes_true(&s, f);
    }
    becomes_true(&s, f);
    fake_free(f);
    stand_down(&s);
}

static void leaves(const char *how, const char *state) {
    struct stand s = {0};
    struct fake *f = fake_new(11, true);
    char engine[200];
    const char *flags[] = {"--exit", how, "--engine", engine, NULL};
    snprintf(engine, sizeof engine, "w events=tcp://127.0.0.1:%d", f->events_port);
    stand_server(&s);
    stand_bridge(&s, flags);
    is_heard(&s, f);
    kill(s.bridge, SIGTERM);
    cr_expect_eq(stand_wait(&s.bridge), 0);
    redisReply *r = stand_say(&s, "KVROUTE.WORKER GET pool w");
    cr_assert(r);
    if (!state)
        cr_expect_eq(r->type, REDIS_REPLY_NIL);
    else
        cr_expect_str_eq(r->element[5]->str, state);
    freeReplyObject(r);
    fake_free(f);
    stand_down(&s);
}

Test(bridge, leaves_as_told) {
    leaves("drain", "draining");
    leaves("remove", NULL);
}

Test(bridge, refuses_another_block_size) {
    struct stand s = {0};
    struct fake *f = fake_new(12, true);
    stand_server(&s);
    run_bridge(&s, f, "block_size=16");
    char text[4000] = "";
    for (int64_t end = now_ms() + PATIENCE_MS; !strstr(text, "is refused");) {
        cr_assert(now_ms() < end, "%s", text);
        fake_serve(f, 50);
        FILE *log = fopen(s.log, "r");
        size_t n = log ? fread(text, 1, sizeof text - 1, log) : 0;
        text[n] = 0;
        if (log) fclose(log);
    }
    cr_expect_neq(strstr(text, "its blocks have 16 tokens, those of pool pool have 4"), NULL);
    cr_expect_eq(stand_held(&s, "device_blocks"), -1);
    fake_free(f);
    stand_down(&s);
}
