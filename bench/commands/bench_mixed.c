// SPDX-License-Identifier: Apache-2.0
// Mixed load: routers select at a fixed rate, as requests arrive, first alone and then while publishers
// send events: as fast as the server takes them, or those of a large fleet at the rate at which it has them.
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
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum { MIXED_MAX = 8, MIXED_EVENTS = 16, FLEET_EVENT_BLOCKS = 16 };

struct mixed_plan {
    size_t workers, blocks;
    size_t routers, selects;   // selects: a second, of each
    size_t publishers, events; // events: the same; 0: as fast as the server takes them
};
static const struct mixed_plan at_full_speed = {64, 200000, 8, 125, 4, 0},
                               of_a_fleet = {2000, 1000000, 8, 625, 4, 2500};

struct bench_thread {
    pthread_t thread;
    struct bench_caller caller;
    int64_t start, end, step; // ns
    uint64_t *late;           // ns, by select
    size_t n;                 // selects
    uint64_t events, blocks;  // published
};

static void wait_until(int64_t due) {
    struct timespec at = {due / 1000000000, due % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL)) {
    }
}

// Threads of one kind take turns, so that they aren't all due at once.
static int64_t first_due(const struct bench_thread *a) {
    return a->start + a->step * (int64_t)a->caller.serial / (int64_t)a->caller.callers;
}

static void *route(void *arg) {
    struct bench_thread *a = arg;
    const struct bench_op *w = &bench_ops[BENCH_OP_SELECT];
    for (int64_t due = first_due(a); due < a->end; due += a->step) {
        wait_until(due);
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
            a->events += MIXED_EVENTS;
            a->blocks += MIXED_EVENTS * BENCH_EVENT_BLOCKS;
        }
    return NULL;
}

// Its workers one after the other; each stores new blocks, and the next time removes them.
static void *publish_in_time(void *arg) {
    struct bench_thread *a = arg;
    struct bench_caller *c = &a->caller;
    const uint64_t workers = c->held->workers / c->callers;
    uint64_t hashes[FLEET_EVENT_BLOCKS];
    for (int64_t due = first_due(a); due < a->end; due += a->step) {
        wait_until(due);
        uint64_t own = a->events % workers, round = a->events / workers;
        uint64_t worker = c->serial + own * c->callers;
        for (size_t i = 0; i < FLEET_EVENT_BLOCKS; i++)
            hashes[i] = kvr_random_mix((worker << 32) + round / 2 * FLEET_EVENT_BLOCKS + i);
        bench_put_event(&c->wire, c->held, worker, round % 2 ? "REMOVED" : "STORED", NULL, hashes,
                        FLEET_EVENT_BLOCKS);
        bench_wire_send(&c->wire);
        bench_wire_skip(&c->wire);
        a->events++;
        a->blocks += FLEET_EVENT_BLOCKS;
    }
    return NULL;
}

static void begin(struct bench_thread *a, struct bench_setup *s, size_t serial, size_t of,
                  double seconds, size_t each, void *(*act)(void *)) {
    *a = (struct bench_thread){.start = kvr_clock_ns(CLOCK_MONOTONIC) + 50000000};
    a->end = a->start + (int64_t)(seconds * 1e9);
    a->step = each ? 1000000000 / (int64_t)each : 0;
    a->late = bench_calloc((size_t)(seconds * (double)each) + 2, sizeof *a->late);
    bench_caller_open(&a->caller, &s->held, serial, of);
    bench_setup_connect(s, &a->caller.wire, false);
    if (pthread_create(&a->thread, NULL, act, a)) support_fail("no thread");
}

static void play(struct bench_setup *s, const struct mixed_plan *plan, double seconds,
                 size_t publishers, double late[3], struct bench_mixed *out) {
    struct bench_thread routers[MIXED_MAX], writers[MIXED_MAX];
    for (size_t i = 0; i < plan->routers; i++)
        begin(&routers[i], s, i, plan->routers, seconds, plan->selects, route);
    for (size_t i = 0; i < publishers; i++)
        begin(&writers[i], s, i, plan->publishers, seconds, plan->events,
              plan->events ? publish_in_time : publish);
    uint64_t *all = NULL;
    size_t n = 0, room = 0;
    for (size_t i = 0; i < plan->routers; i++) {
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
        out->events += (double)writers[i].events / seconds;
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

static void measure_plan(const struct bench_options *o, const struct mixed_plan *plan,
                         struct bench_mixed *out) {
    struct bench_setup s;
    *out = (struct bench_mixed){.workers = plan->workers,
                                .routers = plan->routers,
                                .publishers = plan->publishers,
                                .due = (double)(plan->routers * plan->selects),
                                .events_due = (double)(plan->publishers * plan->events)};
    bench_setup_begin(&s, o, plan->workers, plan->blocks);
    bench_fill_pool(&s.caller.wire, &s.held);
    play(&s, plan, o->seconds, 0, out->alone, out);
    double cpu = bench_server_cpu(&s.redis);
    play(&s, plan, o->seconds, plan->publishers, out->together, out);
    out->busy = (bench_server_cpu(&s.redis) - cpu) / o->seconds;
    bench_setup_end(&s);
}

void bench_measure_mixed(const struct bench_options *o, struct bench_mixed *out) {
    measure_plan(o, &at_full_speed, out);
}

void bench_measure_fleet_load(const struct bench_options *o, struct bench_mixed *out) {
    measure_plan(o, &of_a_fleet, out);
}
