// SPDX-License-Identifier: Apache-2.0
#include "ctest_waiting.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "ctest_handle.h"

static void answered(void *ctx, const struct kvr_result *r) {
    struct ctest_waiter *q = ctx;
    struct ctest_waiters *w = q->all;
    if (q->answers++) {
        w->answered_twice++;
        return;
    }
    q->code = r->code;
    q->degraded = r->degraded;
    q->number = r->number;
    q->sendings = r->sendings;
    w->codes[r->code]++;
    w->answered++;
    size_t n = strlen(w->order);
    snprintf(w->order + n, sizeof w->order - n, "%s%s", n ? " " : "", q->id);
}

void ctest_waiters_begin(struct ctest_waiters *w, struct kvr_client *c, size_t n, int64_t wait) {
    w->client = c;
    for (; n--; w->n++) {
        struct ctest_waiter *q = &w->each[w->n];
        *q = (struct ctest_waiter){.all = w};
        snprintf(q->id, sizeof q->id, "w%03zu", w->n % 1000);
        struct kvr_select_call s = ctest_selection(q->id);
        s.wait = wait;
        cr_assert(kvr_client_select_async(c, &s, answered, q) == KVR_CODE_OK);
    }
}

void ctest_waiters_await(struct ctest_waiters *w, size_t answers) {
    for (int64_t end = kvr_clock_ms() + 120000; w->answered < answers && kvr_clock_ms() < end;)
        kvr_client_run(w->client, 50);
    cr_assert(w->answered == answers, "%zu of %zu answers", w->answered, answers);
    cr_assert(!w->answered_twice, "%zu calls were answered twice", w->answered_twice);
}

void ctest_waiters_await_queue(struct kvr_client *c, size_t waiting) {
    struct kvr_client_stats s = {.waiting = SIZE_MAX};
    size_t queued = SIZE_MAX;
    for (int64_t end = kvr_clock_ms() + 60000; kvr_clock_ms() < end; kvr_client_run(c, 5)) {
        kvr_client_stats(c, &s);
        queued = fake_queue_counts(ctest_server).waiting;
        if (queued == waiting && s.waiting == waiting) return;
    }
    cr_assert_fail("%zu wait there and %zu here instead of %zu", queued, s.waiting, waiting);
}
