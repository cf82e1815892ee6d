// SPDX-License-Identifier: Apache-2.0
// A pool to measure, without a server: its memory is counted, and a call that is refused ends the program.
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include "module/core/pool.h"

double bench_pool_cpu_ns(void); // of this thread
struct kvr_pool *bench_pool_new(size_t workers);
size_t bench_pool_heap(void);             // bytes that all pools have of the heap
extern const char bench_pool_allocator[]; // whose heap that is
struct kvr_bytes bench_pool_worker(size_t worker, char room[32]);
// One operation of a worker's device, behind *parent (NULL: behind nothing).
void bench_pool_event(struct kvr_pool *p, size_t worker, uint64_t seq, enum kvr_pool_op_kind kind,
                      const uint64_t *parent, const uint64_t *hashes, size_t n);
// How long it takes to find who holds a path, of 200,000 drawn at random, without the time of the clock itself; the
// paths, of BENCH_POOL_PATH blocks each, stand one behind the other. Their hashes are in cache, as they are when a
// command has just been parsed. The program ends unless `holders` hold the beginning of each.
enum { BENCH_POOL_WORKERS = 64, BENCH_POOL_PATH = 64 };
struct bench_pool_match {
    double p50, p99; // ns
};
struct bench_pool_match bench_pool_match(const struct kvr_pool *p, const uint64_t *hashes,
                                         size_t paths, size_t holders);
// What kvr_alloc needs, counted.
void *bench_pool_resize(void *ctx, void *p, size_t size);

#endif
