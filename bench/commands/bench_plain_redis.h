// SPDX-License-Identifier: Apache-2.0
// The ways to choose with plain Redis, with their scoring: what each sends for a unit, and takes.
#ifndef BENCH_PLAIN_REDIS_H
#define BENCH_PLAIN_REDIS_H

#include "bench_caller.h"

void bench_load_scripts(struct bench_caller *c);
void bench_put_hkeys(struct bench_caller *c, size_t length, uint64_t unit, size_t step);
void bench_take_hkeys(struct bench_caller *c, size_t length, uint64_t unit, size_t step);
void bench_put_mget(struct bench_caller *c, size_t length, uint64_t unit, size_t step);
void bench_take_mget(struct bench_caller *c, size_t length, uint64_t unit, size_t step);
void bench_put_script(struct bench_caller *c, size_t length, uint64_t unit, size_t step);

#endif
