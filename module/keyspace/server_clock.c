// SPDX-License-Identifier: Apache-2.0
#include "server_clock.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "registry.h"

enum {
    // By so much the clocks disagree if the time was set; a slew is far less between two looks.
    STEP_MS = 500,
    PAIR_US = 10000, // two readings this near one another are of one moment
    PAIR_TRIES = 8,
};

// One moment by both clocks.
struct clock_pair {
    int64_t time, steady; // ms since the epoch; µs
};

static int64_t read_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t mod_server_steady(void) {
    return read_us(CLOCK_MONOTONIC);
}

// The raw one: nobody slews it, and what runs a server in virtual time can answer it alone with that.
static struct clock_pair read_pair(void) {
    int64_t time = RedisModule_Milliseconds();
    return (struct clock_pair){time, read_us(CLOCK_MONOTONIC_RAW)};
}

// By how much the time has been set between the two.
static int64_t step_between(struct clock_pair from, struct clock_pair to) {
    return to.time - from.time - (to.steady - from.steady) / 1000;
}

// The process may have been stopped between the two readings of a pair: then another one is better.
static struct clock_pair read_close_pair(void) {
    struct clock_pair p;
    int64_t before;
    int tries = 0;
    do {
        before = read_us(CLOCK_MONOTONIC_RAW);
        p = read_pair();
    } while (p.steady - before > PAIR_US && ++tries < PAIR_TRIES);
    return p;
}

// As in expiry: who doesn't decide, or has still to load what it will decide about, asks no clock.
static bool decides(void) {
    const int loading = REDISMODULE_CTX_FLAGS_LOADING | REDISMODULE_CTX_FLAGS_ASYNC_LOADING;
    int flags = RedisModule_GetContextFlags(NULL);
    return flags & REDISMODULE_CTX_FLAGS_MASTER && !(flags & loading);
}

int64_t mod_server_time(void) {
    static struct clock_pair last;
    struct clock_pair now = read_pair();
    if (last.steady && llabs(step_between(last, now)) > STEP_MS) {
        now = read_close_pair();
        if (llabs(step_between(last, now)) > STEP_MS && decides()) {
            RedisModule_Log(NULL, "notice", "kvroute: the clock was set by %lld ms: all is renewed",
                            (long long)step_between(last, now));
            mod_registry_lock();
            mod_registry_renew_all(now.time);
            mod_registry_unlock();
        }
    }
    last = now;
    return now.time;
}
