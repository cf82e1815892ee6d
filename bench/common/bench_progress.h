// SPDX-License-Identifier: Apache-2.0
// One line that says how far it is: rewritten in place on a terminal, now and then a new one elsewhere.
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include <stddef.h>

struct bench_progress {
    const char *what;
    size_t total;
    long long started, shown; // ns
};

void bench_progress_begin(struct bench_progress *p, const char *what, size_t total);
void bench_progress_show(struct bench_progress *p, size_t done, double hit_percent);
void bench_progress_end(void);

#endif
