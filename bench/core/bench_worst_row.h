// SPDX-License-Identifier: Apache-2.0
// A row: what one call took, or the longest of many, in the thread's CPU time. And what all calls need.
#ifndef BENCH_WORST_ROW_H
#define BENCH_WORST_ROW_H

#include "module/core/pool.h"

void bench_worst_begin(void);
double bench_worst_ms(void); // since then
void bench_worst_row(const char *what, double ms);
void bench_worst_done(const char *what);                   // the row of what has just been done
void bench_worst_must(enum kvr_err err);                   // ends the program if a call was refused
void *bench_worst_resize(void *ctx, void *p, size_t size); // of kvr_alloc

#endif
