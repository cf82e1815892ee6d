// SPDX-License-Identifier: Apache-2.0
// See btest_chaos.h.
#include "btest_chaos.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_http.h"
#include "btest_fleet.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { REST_MS = 60000, REST_EVERY = 25 /* disturbances */, EMPTY_MS = 20000, LOAD_THREADS = 3 };

static const struct {
    const char *options, *bridge;
    unsigned ranks;
    bool connects;
} chaos_engines[] = {
    {"--schema=0.28 --lora=ad --cpu-blocks=600 --noise", "", 2, false},
    {"--schema=0.22 --binary-hashes", "down=remove", 1, true},
    {"--schema=0.9.1 --topic=kv@x@m", "down=drain", 1, false},
    {"--schema=sglang-map", "kind=sglang", 1, false},
};
enum { N_ENGINES = sizeof chaos_engines / sizeof *chaos_engines };

struct btest_chaos {
    struct btest_fleet fleet;
    struct btest_load load;
    struct btest_chaos_result *out;
    const struct btest_chaos_plan *plan;
    uint64_t random;
    size_t counted[N_ENGINES]; // batches of engines' lives that are over
};

static unsigned below(struct btest_chaos *s, unsigned n) {
    return (unsigned)(kvr_random(&s->random) % n);
}

// ---- How far it is -------------------------------------------------------------------------------

static size_t batches_of(struct btest_chaos *s, size_t engine) {
    struct bench_answer a = btest_fleet_call(&s->fleet, engine, "GET", "/mock/cache", NULL);
    json_t *cache = json_loads(a.body, 0, NULL), *row;
    size_t i, n = 0;
    json_array_foreach(json_object_get(cache, "ranks"), i, row) n +=
        (size_t)json_integer_value(json_object_get(row, "next_seq"));
    json_decref(cache);
    free(a.body);
    return n;
}

static size_t all_batches(struct btest_chaos *s) {
    size_t n = 0;
    for (size_t i = 0; i < N_ENGINES; i++)
        n += s->counted[i] + batches_of(s, i);
    return n;
}

// ---- Disturbances ---------------------------------------------------------------------------------------

static void kill_bridge(struct btest_chaos *s) {
    size_t i = below(s, (unsigned)s->fleet.n_bridges);
    support_end(&s->fleet.bridges[i].pid, SIGKILL);
    support_sleep_ms((int)below(s, 300));
    btest_fleet_restart_bridge(&s->fleet, i);
    s->out->bridges++;
}

static void kill_engine(struct btest_chaos *s) {
    size_t i = below(s, N_ENGINES);
    s->counted[i] += batches_of(s, i);
    support_end(&s->fleet.engines[i].pid, SIGKILL);
    support_sleep_ms((int)below(s, 300));
    btest_fleet_restart_engine(&s->fleet, i);
    s->out->engines++;
}

static void restart_engine(struct btest_chaos *s) {
    static const char *const ways[] = {"restart", "restart&cleared=1", "restart&rebind=1"};
    size_t i = below(s, N_ENGINES);
    s->counted[i] += batches_of(s, i);
    btest_fleet_fault(&s->fleet, i, ways[below(s, 3)]);
    s->out->restarts++;
}

static void kill_server(struct btest_chaos *s) {
    struct support_redis *redis = &s->fleet.redis;
    support_redis_end(redis, SIGKILL);
    unsigned how = below(s, 4);
    if (how == 0) {
        support_redis_forget(redis, true);
        s->out->emptied++;
    } else if (how == 1) {
        s->out->torn += support_redis_tear(redis, 1 + below(s, 200000));
    }
    support_sleep_ms((int)below(s, 300));
    if (!support_redis_restart(redis)) btest_fleet_fail(&s->fleet, "the server doesn't come back");
    s->out->servers++;
}

static void spoil(struct btest_chaos *s) {
    static const char *const faults[] = {
        "drop&n=3",        "duplicate&n=5",   "reorder&n=4",        "malformed&n=2",
        "replay-mute&n=1", "replay-gap&n=1",  "replay-unended&n=1", "hang-events&ms=300",
        "refuse&ms=200",   "hang-http&ms=200"};
    btest_fleet_fault(&s->fleet, below(s, N_ENGINES),
                      faults[below(s, sizeof faults / sizeof *faults)]);
    s->out->faults++;
}

static void disturb(struct btest_chaos *s) {
    unsigned draw = below(s, 100);
    if (draw < 30)
        kill_bridge(s);
    else if (draw < 45)
        kill_engine(s);
    else if (draw < 55)
        restart_engine(s);
    else if (draw < 70)
        kill_server(s);
    else
        spoil(s);
}

// ---- Rest ----------------------------------------------------------------------------------------

static void begin(struct btest_chaos *s) {
    s->load = (struct btest_load){
        .fleet = &s->fleet, .seed = kvr_random(&s->random) % 1000, .families = 12, .longest = 60};
    btest_load_begin(&s->load, LOAD_THREADS);
}

static void rest(struct btest_chaos *s) {
    btest_load_end(&s->load);
    s->out->requests += atomic_load(&s->load.answered);
    s->out->tokens += atomic_load(&s->load.tokens);
    for (size_t i = 0; i < N_ENGINES; i++)
        btest_fleet_fault(&s->fleet, i, "clear");
    int64_t start = kvr_clock_ns(CLOCK_MONOTONIC);
    struct bench_difference d = btest_fleet_becomes_true(&s->fleet, REST_MS, "chaos");
    double seconds = (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start) / 1e9;
    if (seconds > s->out->longest_rest) s->out->longest_rest = seconds;
    s->out->rests++;
    s->out->compared += d.held;
}

static bool goes_on(struct btest_chaos *s, int64_t start, size_t wanted) {
    size_t n = all_batches(s);
    s->out->batches = n;
    if (!s->plan->quiet)
        printf("\r%5.1f %% after %4.0f s, %zu disturbances, %zu comparisons without a difference",
               100.0 * (double)n / (double)wanted,
               (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start) / 1e9,
               s->out->bridges + s->out->engines + s->out->restarts + s->out->servers +
                   s->out->faults,
               s->out->rests);
    fflush(stdout);
    return n < wanted;
}

void btest_chaos_run(const struct btest_chaos_plan *plan, struct btest_chaos_result *out) {
    struct btest_chaos *s = calloc(1, sizeof *s);
    if (!s) abort();
    *out = (struct btest_chaos_result){0};
    s->out = out;
    s->plan = plan;
    s->random = kvr_random_mix(plan->seed + 1);
    btest_fleet_open(&s->fleet, true);
    for (size_t i = 0; i < N_ENGINES; i++) {
        char options[200], bridge[100];
        // With a buffer that has all of a life, nothing is lost for good.
        snprintf(options, sizeof options, "--blocks=700 --buffer=200000 %s",
                 chaos_engines[i].options);
        snprintf(bridge, sizeof bridge, "audit=1000 %s", chaos_engines[i].bridge);
        btest_fleet_engine(&s->fleet, options, bridge, chaos_engines[i].ranks,
                           chaos_engines[i].connects);
        out->ranks += chaos_engines[i].ranks;
    }
    btest_fleet_bridges(&s->fleet, 2, "--ttl 900");
    int64_t start = kvr_clock_ns(CLOCK_MONOTONIC);
    size_t wanted = (size_t)(plan->minutes * 60 * BTEST_CHAOS_BATCHES * (double)out->ranks),
           disturbances = 0;
    for (begin(s); goes_on(s, start, wanted);) {
        support_sleep_ms((int)below(s, 250));
        disturb(s);
        if (++disturbances % REST_EVERY) continue;
        rest(s);
        begin(s);
    }
    rest(s);
    out->seconds = (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start) / 1e9;
    if (!plan->quiet) putchar('\n');
    btest_fleet_close(&s->fleet);
    free(s);
}
