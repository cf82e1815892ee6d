// SPDX-License-Identifier: Apache-2.0
// Mixed load: routers select at a fixed rate, as requests arrive, first alone and then while publishers
// send events as fast as the server takes them.
//
// A select is late from the moment it was due, whatever kept its router from beginning it; else a slow
// answer would hide the ones that had to wait behind it. All clients are threads of this program and
// share the machine with the server. In a fleet publishers don't take processors from routers, so here
// they give way to them.
#define _GNU_SOURCE // gettid
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"
#include "bench_experiments.h"
#include "bench_setup.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"

enum {
    MIXED_ROUTERS = 8,
    MIXED_PUBLISHERS = 4,
    MIXED_EACH = 125,
    MIXED_EVENTS = 16,
    MIXED_WORKERS = 64,
    MIXED_BLOCKS = 200000
};

struct bench_thread {
    pthread_t thread;
    struct bench_caller caller;
    int64_t start, end; // ns
    uint64_t *late;     // ns, by select
    size_t n;           // selects
    uint64_t blocks;    // published
};

static void *route(void *arg) {
    struct bench_thread *a = arg;
    const struct bench_op *w = &bench_ops[BENCH_OP_SELECT];
    const int64_t step = 1000000000 / MIXED_EACH;
    // Routers take turns, so that they aren't all due at once.
    int64_t due = a->start + step * (int64_t)a->caller.serial / MIXED_ROUTERS;
    for (; due < a->end; due += step) {
        struct timespec at = {due / 1000000000, due % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL)) {
        }
        for (size_t k = 0; k < w->steps; k++) {
            w->put(&a->caller, BENCH_LENGTH_512, a->caller.unit, k);
            bench_wire_send(&a->caller.wire);
            w->take(&a->caller, BENCH_LENGTH_512, a->caller.unit, k);
            if (k == 0) a->late[a->n++] = (uint64_t)(kvr_clock_ns(CLOCK_MONOTONIC) - due);
        }
        a->caller.unit++;
    }
    return NULL;
}

static void *publish(void *arg) {
    struct bench_thread *a = arg;
    setpriority(PRIO_PROCESS, (id_t)gettid(), 10); // of this thread alone
    while (kvr_clock_ns(CLOCK_MONOTONIC) < a->end)
        for (size_t k = 0; k < 2; k++) {
            bench_units_pipelined(&a->caller, &bench_ops[k ? BENCH_OP_REMOVED : BENCH_OP_STORED], 0,
                                  MIXED_EVENTS, NULL);
            a->blocks += MIXED_EVENTS * BENCH_EVENT_BLOCKS;
        }
    return NULL;
}

static void begin(struct bench_thread *a, struct bench_setup *s, size_t serial, size_t of,
                  double seconds, void *(*act)(void *)) {
    *a = (struct bench_thread){.start = kvr_clock_ns(CLOCK_MONOTONIC) + 50000000};
    a->end = a->start + (int64_t)(seconds * 1e9);
    a->late = bench_calloc((size_t)(seconds * MIXED_EACH) + 2, sizeof *a->late);
    bench_caller_open(&a->caller, &s->held, serial, of);
    bench_setup_connect(s, &a->caller.wire, false);
    if (pthread_create(&a->thread, NULL, act, a)) support_fail("no thread");
}

static void play(struct bench_setup *s, double seconds, size_t publishers, double late[3],
                 struct bench_mixed *out) {
    struct bench_thread routers[MIXED_ROUTERS], writers[MIXED_PUBLISHERS];
    for (size_t i = 0; i < MIXED_ROUTERS; i++)
        begin(&routers[i], s, i, MIXED_ROUTERS, seconds, route);
    for (size_t i = 0; i < publishers; i++)
        begin(&writers[i], s, i, MIXED_PUBLISHERS, seconds, publish);
    uint64_t *all = NULL;
    size_t n = 0, room = 0;
    for (size_t i = 0; i < MIXED_ROUTERS; i++) {
        pthread_join(routers[i].thread, NULL);
        all = bench_grow(all, &room, n + routers[i].n, sizeof *all);
        for (size_t k = 0; k < routers[i].n; k++)
            all[n++] = routers[i].late[k];
        free(routers[i].late);
        bench_caller_close(&routers[i].caller);
    }
    out->done = (double)n / seconds;
    for (size_t i = 0; i < publishers; i++) {
        pthread_join(writers[i].thread, NULL);
        out->published += (double)writers[i].blocks / seconds;
        free(writers[i].late);
        bench_caller_close(&writers[i].caller);
    }
    double *sorted = bench_sorted_u64(all, n, 1e-3);
    static const double q[3] = {0.5, 0.99, 0.999};
    for (size_t i = 0; i < 3; i++)
        late[i] = bench_quantile(sorted, n, q[i]);
    free(sorted);
    free(all);
}

void bench_measure_mixed(const struct bench_options *o, struct bench_mixed *out) {
    struct bench_setup s;
    *out = (struct bench_mixed){.routers = MIXED_ROUTERS,
                                .publishers = MIXED_PUBLISHERS,
                                .due = MIXED_ROUTERS * MIXED_EACH};
    bench_setup_begin(&s, o, MIXED_WORKERS, MIXED_BLOCKS);
    bench_fill_pool(&s.caller.wire, &s.held);
    play(&s, o->seconds, 0, out->alone, out);
    play(&s, o->seconds, MIXED_PUBLISHERS, out->together, out);
    bench_setup_end(&s);
}
