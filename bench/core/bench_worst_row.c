// SPDX-License-Identifier: Apache-2.0
// What one call took; see bench_worst_row.h.
#include "bench_worst_row.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"

static double began;

void *bench_worst_resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    if (size) return realloc(p, size);
    free(p);
    return NULL;
}

void bench_worst_begin(void) {
    began = (double)kvr_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

double bench_worst_ms(void) {
    return ((double)kvr_clock_ns(CLOCK_THREAD_CPUTIME_ID) - began) / 1e6;
}

void bench_worst_row(const char *what, double ms) {
    printf("%-70s %10.3f ms\n", what, ms);
}

void bench_worst_done(const char *what) {
    bench_worst_row(what, bench_worst_ms());
}

void bench_worst_must(enum kvr_err err) {
    if (err) support_fail("a call is refused: %d", (int)err);
}
