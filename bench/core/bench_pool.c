// SPDX-License-Identifier: Apache-2.0
// See bench_pool.h.
#include "bench_pool.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_quantile.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "module/core/state/pool_state.h"
#include "tests/support/support_home.h"

double bench_pool_cpu_ns(void) {
    return (double)kvr_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

// The heap's own view: usable sizes, and a word of bookkeeping for each piece of the C library's.
static size_t heap_bytes;
#ifdef KVROUTE_JEMALLOC
const char bench_pool_allocator[] = "jemalloc, as in the server";
enum { BENCH_POOL_HEADER = 0 };
#else
const char bench_pool_allocator[] = "the C library's allocator";
enum { BENCH_POOL_HEADER = sizeof(size_t) };
#endif

// Whole pages are aligned as the server's allocator aligns them.
void *bench_pool_resize(void *ctx, void *p, size_t size) {
    enum { BENCH_POOL_PAGE = 4096 };
    (void)ctx;
    size_t old = p ? malloc_usable_size(p) : 0;
    if (p) heap_bytes -= old + BENCH_POOL_HEADER;
    void *q = NULL;
    if (size && size % BENCH_POOL_PAGE == 0) {
        if (posix_memalign(&q, BENCH_POOL_PAGE, size)) q = NULL;
        if (q && p) memcpy(q, p, old < size ? old : size);
        if (q) free(p);
    } else if (size) {
        q = realloc(p, size);
    } else {
        free(p);
    }
    void *now = size ? (q ? q : p) : NULL;
    if (now) heap_bytes += malloc_usable_size(now) + BENCH_POOL_HEADER;
    return q;
}

size_t bench_pool_heap(void) {
    return heap_bytes;
}

struct kvr_bytes bench_pool_worker(size_t worker, char room[32]) {
    return (struct kvr_bytes){room, (size_t)sprintf(room, "worker-%04zu", worker)};
}

struct kvr_pool *bench_pool_new(size_t workers) {
    struct kvr_alloc a = {bench_pool_resize, NULL};
    struct kvr_options o;
    kvr_options_default(&o);
    struct kvr_pool *p = kvr_pool_new(&a, &o, 0x1234567);
    if (!p) support_fail("out of memory");
    char room[32];
    for (size_t i = 0; i < workers; i++) {
        struct kvr_worker_settings set = {0};
        int created;
        if (kvr_worker_set(p, 1, bench_pool_worker(i, room), &set, &created))
            support_fail("a worker is refused");
    }
    return p;
}

void bench_pool_event(struct kvr_pool *p, size_t worker, uint64_t seq, enum kvr_pool_op_kind kind,
                      const uint64_t *parent, const uint64_t *hashes, size_t n) {
    char room[32];
    struct kvr_pool_op op = {kind, KVR_DEVICE, parent != NULL, parent ? *parent : 0, hashes, n};
    struct kvr_event_result r;
    if (kvr_event(p, bench_pool_worker(worker, room), 0, 1, seq, &op, 1, true, &r))
        support_fail("an event is refused");
}

// ---- Matching ------------------------------------------------------------------------------------

enum { MATCH_SAMPLES = 200000, MATCH_CLOCKS = 1001 };

static double now_ns(void) {
    return (double)kvr_clock_ns(CLOCK_MONOTONIC);
}

static double match_ns(const struct kvr_pool *p, const uint64_t *path, size_t holders) {
    uint64_t request[BENCH_POOL_PATH], all = 0;
    uint32_t reach[BENCH_POOL_WORKERS] = {0}, tiers[KVR_TIERS][BENCH_POOL_WORKERS] = {{0}};
    struct core_match m = {.reach = reach};
    for (int t = 0; t < KVR_TIERS; t++)
        m.by_tier[t] = tiers[t];
    memcpy(request, path, sizeof request);
    // The copy must be through before the clock starts.
    for (size_t k = 0; k < BENCH_POOL_PATH; k++)
        all |= request[k];
    __asm__ volatile("" : "+r"(all)::"memory");
    double start = now_ns();
    core_tree_match(&p->tree, request, BENCH_POOL_PATH, &m);
    double took = now_ns() - start;
    size_t n = 0;
    for (size_t w = 0; w < BENCH_POOL_WORKERS; w++)
        n += reach[w] > 0;
    if (n != holders) support_fail("holders are missing");
    return took;
}

struct bench_pool_match bench_pool_match(const struct kvr_pool *p, const uint64_t *hashes,
                                         size_t paths, size_t holders) {
    static double times[MATCH_SAMPLES];
    double clock[MATCH_CLOCKS];
    uint64_t state = 42;
    for (size_t i = 0; i < MATCH_SAMPLES; i++)
        times[i] = match_ns(p, hashes + kvr_random(&state) % paths * BENCH_POOL_PATH, holders);
    for (int i = 0; i < MATCH_CLOCKS; i++) {
        double start = now_ns();
        clock[i] = now_ns() - start;
    }
    double *sorted = bench_sorted(times, MATCH_SAMPLES), offset = bench_median(clock, MATCH_CLOCKS);
    struct bench_pool_match m = {bench_quantile(sorted, MATCH_SAMPLES, 0.5) - offset,
                                 bench_quantile(sorted, MATCH_SAMPLES, 0.99) - offset};
    free(sorted);
    return m;
}
