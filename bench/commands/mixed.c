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

#include "bench/common/clock.h"
#include "bench/common/measure.h"
#include "bench/common/memory.h"
#include "scenes.h"

enum { ROUTERS = 8, PUBLISHERS = 4, EACH = 125, EVENTS = 16, WORKERS = 64, BLOCKS = 200000 };

struct actor {
    pthread_t thread;
    struct caller caller;
    int64_t start, end; // ns
    uint64_t *late;     // ns, by select
    size_t n;           // selects
    uint64_t blocks;    // published
};

static void *route(void *arg) {
    struct actor *a = arg;
    const struct way *w = &ways[WAY_SELECT];
    const int64_t step = 1000000000 / EACH;
    // Routers take turns, so that they aren't all due at once.
    int64_t due = a->start + step * (int64_t)a->caller.serial / ROUTERS;
    for (; due < a->end; due += step) {
        struct timespec at = {due / 1000000000, due % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL)) {
        }
        for (size_t k = 0; k < w->steps; k++) {
            w->put(&a->caller, SCENE_LENGTH, a->caller.unit, k);
            wire_send(&a->caller.wire);
            w->take(&a->caller, SCENE_LENGTH, a->caller.unit, k);
            if (k == 0) a->late[a->n++] = (uint64_t)(clock_ns() - due);
        }
        a->caller.unit++;
    }
    return NULL;
}

static void *publish(void *arg) {
    struct actor *a = arg;
    setpriority(PRIO_PROCESS, (id_t)gettid(), 10); // of this thread alone
    while (clock_ns() < a->end)
        for (size_t k = 0; k < 2; k++) {
            units_together(&a->caller, &ways[k ? WAY_REMOVED : WAY_STORED], 0, EVENTS, NULL);
            a->blocks += EVENTS * EVENT_UNIT;
        }
    return NULL;
}

static void begin(struct actor *a, struct stage *s, size_t serial, size_t of, double seconds,
                  void *(*act)(void *)) {
    *a = (struct actor){.start = clock_ns() + 50000000};
    a->end = a->start + (int64_t)(seconds * 1e9);
    a->late = memory_take((size_t)(seconds * EACH) + 2, sizeof *a->late);
    caller_open(&a->caller, &s->held, serial, of);
    stage_connect(s, &a->caller.wire, false);
    if (pthread_create(&a->thread, NULL, act, a)) scene_fail("no thread");
}

static void play(struct stage *s, double seconds, size_t publishers, double late[3],
                 struct mixed *out) {
    struct actor routers[ROUTERS], writers[PUBLISHERS];
    for (size_t i = 0; i < ROUTERS; i++)
        begin(&routers[i], s, i, ROUTERS, seconds, route);
    for (size_t i = 0; i < publishers; i++)
        begin(&writers[i], s, i, PUBLISHERS, seconds, publish);
    uint64_t *all = NULL;
    size_t n = 0, room = 0;
    for (size_t i = 0; i < ROUTERS; i++) {
        pthread_join(routers[i].thread, NULL);
        all = memory_grow(all, &room, n + routers[i].n, sizeof *all);
        for (size_t k = 0; k < routers[i].n; k++)
            all[n++] = routers[i].late[k];
        free(routers[i].late);
        caller_close(&routers[i].caller);
    }
    out->done = (double)n / seconds;
    for (size_t i = 0; i < publishers; i++) {
        pthread_join(writers[i].thread, NULL);
        out->published += (double)writers[i].blocks / seconds;
        free(writers[i].late);
        caller_close(&writers[i].caller);
    }
    double *sorted = measure_sorted_u64(all, n, 1e-3);
    static const double q[3] = {0.5, 0.99, 0.999};
    for (size_t i = 0; i < 3; i++)
        late[i] = measure_quantile(sorted, n, q[i]);
    free(sorted);
    free(all);
}

void scene_mixed(const struct options *o, struct mixed *out) {
    struct stage s;
    *out = (struct mixed){.routers = ROUTERS, .publishers = PUBLISHERS, .due = ROUTERS * EACH};
    stage_begin(&s, o, WORKERS, BLOCKS);
    fill_pool(&s.caller.wire, &s.held);
    play(&s, o->seconds, 0, out->alone, out);
    play(&s, o->seconds, PUBLISHERS, out->together, out);
    stage_end(&s);
}
