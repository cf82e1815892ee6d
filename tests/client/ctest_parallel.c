// SPDX-License-Identifier: Apache-2.0
// See ctest_parallel.h.
#include "ctest_parallel.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"

enum { PARALLEL_THREADS = 12, PARALLEL_HANGS_MS = 120000, MAX_TOLD = 20 };

struct parallel_work {
    const struct ctest_parallel *parallel;
    pthread_mutex_t lock;
    size_t next, wrong, names;
    struct {
        int64_t since; // ms; 0: idle
        size_t which;
    } at[PARALLEL_THREADS];
};

static void *run(void *arg) {
    struct parallel_work *w = arg;
    const struct ctest_parallel *c = w->parallel;
    char wrong[CTEST_TEXT], name[CTEST_TEXT];
    pthread_mutex_lock(&w->lock);
    size_t me = w->names++;
    while (w->next < c->n) {
        size_t i = w->at[me].which = w->next++;
        w->at[me].since = kvr_clock_ms();
        pthread_mutex_unlock(&w->lock);
        wrong[0] = 0;
        c->run(c->ctx, i, wrong);
        pthread_mutex_lock(&w->lock);
        if (!wrong[0] || w->wrong++ >= MAX_TOLD) continue;
        c->name(c->ctx, i, name);
        fprintf(stderr, "%s:\n  %s\n", name, wrong);
    }
    w->at[me].since = 0;
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

// A blocking call that never returns would hold up the test for ever.
static bool watch(struct parallel_work *w) {
    const struct ctest_parallel *c = w->parallel;
    char name[CTEST_TEXT];
    pthread_mutex_lock(&w->lock);
    bool busy = w->next < c->n;
    for (size_t i = 0; i < PARALLEL_THREADS; i++) {
        if (!w->at[i].since) continue;
        busy = true;
        if (kvr_clock_ms() - w->at[i].since < PARALLEL_HANGS_MS) continue;
        c->name(c->ctx, w->at[i].which, name);
        fprintf(stderr, "%s: hangs\n", name);
        abort();
    }
    pthread_mutex_unlock(&w->lock);
    return busy;
}

size_t ctest_parallel_run(const struct ctest_parallel *c) {
    struct parallel_work w = {.parallel = c};
    pthread_t threads[PARALLEL_THREADS];
    pthread_mutex_init(&w.lock, NULL);
    for (size_t i = 0; i < PARALLEL_THREADS; i++)
        if (pthread_create(&threads[i], NULL, run, &w)) abort();
    while (watch(&w))
        support_sleep_ms(20);
    for (size_t i = 0; i < PARALLEL_THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&w.lock);
    return w.wrong;
}
