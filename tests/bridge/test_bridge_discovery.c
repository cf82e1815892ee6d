// SPDX-License-Identifier: Apache-2.0
// What the bridge finds out by itself: block size, ranks, the size of the cache and where the events are, of
// engines that are told of by their URL alone; and whether they are paused.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "btest_look.h"
#include "tests/support/support_process.h"

static struct btest_fleet w;

static void up(void) {
    btest_fleet_open(&w, false);
}

static void down(void) {
    btest_fleet_close(&w);
}

TestSuite(discovery, .init = up, .fini = down, .timeout = 120);

static void becomes(const char *name, const char *field, const char *value) {
    btest_look_becomes(&w, name, field, value);
}

static void run_and_compare(uint64_t seed, const char *after) {
    btest_load_run(&w, seed, 100);
    btest_fleet_becomes_true(&w, BTEST_LOOK_MS, after);
}

// vLLM as it is started in production: it tells its block size and the size of its cache among its
// metrics, and nowhere else.
Test(discovery, block_size_from_metrics) {
    struct bench_engine *e =
        btest_fleet_engine(&w, "--no-dev-mode --block-size=8 --blocks=100", "", 1, false);
    btest_fleet_engine(&w, "--no-dev-mode --blocks=150", "", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    btest_look_says(&w, "/healthz", 503,
                    "e0 refused: its blocks have 8 tokens, the pool's have 4\ne1 ok\n");
    btest_look_logs(&w, "e0 is refused: its blocks have 8 tokens, those of pool pool have 4.");
    becomes("e0", "state", "none");
    becomes("e1", "state", "ready");
    becomes("e1", "capacity", "150");
    snprintf(e->options, sizeof e->options, "--time-scale=0 --no-dev-mode --block-size=4");
    btest_fleet_restart_engine(&w, 0);
    becomes("e0", "state", "ready");
    becomes("e0", "capacity", "4096");
    run_and_compare(1, "another block size");
}

// A worker that is there already goes at once when its engine comes back with another block size.
Test(discovery, a_worker_that_no_longer_fits) {
    struct bench_engine *e = btest_fleet_engine(&w, "--no-dev-mode", "", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 3000");
    becomes("e0", "state", "ready");
    snprintf(e->options, sizeof e->options, "--time-scale=0 --no-dev-mode --block-size=16");
    btest_fleet_restart_engine(&w, 0);
    becomes("e0", "state", "draining");
    btest_look_says(&w, "/healthz", 503,
                    "e0 refused: its blocks have 16 tokens, the pool's have 4\n");
    snprintf(e->options, sizeof e->options, "--time-scale=0 --no-dev-mode --block-size=4");
    btest_fleet_restart_engine(&w, 0);
    becomes("e0", "state", "ready");
}

Test(discovery, ranks_without_development_mode) {
    btest_fleet_engine(&w, "--no-dev-mode", "ranks=0", 2, false);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    becomes("e0", "ranks", "2");
    run_and_compare(1, "two ranks");
}

// One that is refused belongs to this bridge still.
Test(discovery, a_refused_worker_is_removed_at_the_end) {
    int status;
    struct bench_engine *e = btest_fleet_engine(&w, "--no-dev-mode", "", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 3000 --exit remove");
    becomes("e0", "state", "ready");
    snprintf(e->options, sizeof e->options, "--time-scale=0 --no-dev-mode --block-size=16");
    btest_fleet_restart_engine(&w, 0);
    becomes("e0", "state", "draining");
    kill(w.bridges[0].pid, SIGTERM);
    cr_expect(support_ends(&w.bridges[0].pid, BTEST_LOOK_MS, &status) && status == 0);
    becomes("e0", "state", "none");
}

// Its URL is enough, whosever engine it is and however many ranks it has.
Test(discovery, by_the_url_alone) {
    btest_fleet_engine(&w, "--no-dev-mode --blocks=200", "", 2, false)->asked = true;
    btest_fleet_engine(&w, "--schema=sglang --blocks=150", "", 3, false)->asked = true;
    btest_fleet_engine(&w, "--topic=kv@e2@m", "", 1, false)->asked = true;
    btest_fleet_bridges(&w, 1, "--ttl 600");
    becomes("e0", "ranks", "2");
    becomes("e1", "ranks", "3");
    becomes("e1", "capacity", "150");
    run_and_compare(1, "being asked");
    btest_look_says(&w, "/metrics", 200,
                    "kvroute_bridge_replayed_batches_total{worker=\"e1\",rank=\"2\"} ");
    // They publish elsewhere in their next lives.
    for (size_t i = 0; i < 2; i++) {
        struct bench_engine *e = &w.engines[i];
        int events = e->events;
        support_end(&e->pid, SIGKILL);
        e->ranks = 2; // the same ports, in another order
        e->events = e->replay;
        e->replay = events;
        btest_fleet_restart_engine(&w, i);
    }
    becomes("e1", "ranks", "2");
    run_and_compare(2, "other ports");
}

// SGLang says what it does of a pair; what the settings say goes before that.
Test(discovery, roles) {
    btest_fleet_engine(&w, "--schema=sglang --disaggregation=sglang --role=prefill", "", 1, false);
    btest_fleet_engine(&w, "--schema=sglang --disaggregation=sglang --role=decode", "", 1, false);
    btest_fleet_engine(&w, "--schema=sglang --disaggregation=sglang --role=decode", "role=both", 1,
                       false);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    becomes("e0", "role", "prefill");
    becomes("e1", "role", "decode");
    becomes("e2", "role", "both");
}

Test(discovery, without_events) {
    struct bench_engine *e = btest_fleet_engine(&w, "--no-dev-mode --no-events", "", 1, false);
    e->asked = true;
    btest_fleet_bridges(&w, 1, "--ttl 600");
    btest_look_logs(&w,
                    "e0 doesn't say where its events are: start it with events, or give `events`");
    btest_look_says(&w, "/healthz", 503, "e0 doesn't say where its events are\n");
    becomes("e0", "state", "none");
    snprintf(e->options, sizeof e->options, "--time-scale=0 --block-size=4 --no-dev-mode");
    btest_fleet_restart_engine(&w, 0);
    becomes("e0", "state", "ready");
    run_and_compare(1, "beginning to publish");
}

// An engine that says itself that it answers nobody is out at once, though its health is well.
Test(discovery, paused_or_asleep) {
    btest_fleet_engine(&w, "", "", 1, false);
    btest_fleet_engine(&w, "--schema=sglang", "kind=sglang down=drain", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 3000");
    static const char *const faults[] = {"pause", "sleep"};
    static const char *const troubles[] = {"e0 is paused\n", "e0 is asleep\n"};
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < 2; k++) {
            becomes(w.engines[k].name, "state", "ready");
            btest_fleet_fault(&w, k, faults[i]);
        }
        for (size_t k = 0; k < 2; k++)
            becomes(w.engines[k].name, "state", "draining");
        btest_look_says(&w, "/healthz", 200, troubles[i]);
        btest_look_logs(&w, i ? "warning e0 is asleep" : "warning e0 is paused");
        for (size_t k = 0; k < 2; k++)
            btest_fleet_fault(&w, k, "clear");
        for (size_t k = 0; k < 2; k++)
            becomes(w.engines[k].name, "state", "ready");
    }
}

// Names may hold anything but spaces: still a line for each engine, and only one.
Test(discovery, odd_names) {
    struct bench_engine *e = btest_fleet_engine(&w, "", "", 1, false);
    snprintf(e->name, sizeof e->name, "a\ne9\rok\x7f\x1b");
    btest_fleet_bridges(&w, 1, "--ttl 600");
    btest_look_says(&w, "/healthz", 200, "a?e9?ok?? ok\n");
}

// A new pool, and nobody is registered in it yet: that is how it begins, and worth no warning.
Test(discovery, a_new_pool_is_no_trouble) {
    btest_fleet_engine(&w, "", "", 1, false);
    redisReply *r = support_redis_words(&w.redis, "DEL pool");
    cr_assert(r);
    freeReplyObject(r);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    btest_look_says(&w, "/healthz", 200, "e0 ok\n");
    cr_expect_not(btest_look_logged(&w, " warning publisher "));
    cr_expect_not(btest_look_logged(&w, " error "));
}
