// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-beside: the tree alone, in the shape in which bench/others measures other routers' structures.
//
// Paths of 64 blocks, each two runs of 32: the first is held by 4 of 64 workers, both by 2 of them. Nobody holds what
// he doesn't hold the beginning of, since others refuse that. What an event or a lookup is made of is made before
// the clock starts.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench_pool.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum {
    BESIDE_WORKERS = BENCH_POOL_WORKERS,
    BESIDE_PATH = BENCH_POOL_PATH,
    BESIDE_RUN = BESIDE_PATH / 2,
    BESIDE_HOLDERS = 4, // of a path's first run
    BESIDE_WHOLE = 2,   // of them have both
    BESIDE_WARM = 4096,
};

static void row(const char *what, double value, const char *unit) {
    printf("%-58s %10.2f %s\n", what, value, unit);
}

static size_t holder(size_t path, size_t k) {
    return (path * 7 + k * 13) % BESIDE_WORKERS;
}

static void build(struct kvr_pool *p, const uint64_t *hashes, size_t paths, uint64_t *seq) {
    size_t before = bench_pool_heap();
    double fresh = 0, known = 0, blocks = (double)paths * BESIDE_PATH;
    for (size_t k = 0; k < BESIDE_HOLDERS; k++) {
        double start = bench_pool_cpu_ns();
        for (size_t i = 0; i < paths; i++) {
            const uint64_t *path = hashes + i * BESIDE_PATH, *second = path + BESIDE_RUN;
            size_t w = holder(i, k);
            bench_pool_event(p, w, ++seq[w], KVR_STORED, NULL, path, BESIDE_RUN);
            if (k < BESIDE_WHOLE)
                bench_pool_event(p, w, ++seq[w], KVR_STORED, second - 1, second, BESIDE_RUN);
        }
        *(k ? &known : &fresh) += bench_pool_cpu_ns() - start;
        fprintf(stderr, "  built for %zu of %d holders\n", k + 1, BESIDE_HOLDERS);
    }
    double more = (double)paths * BESIDE_RUN * (BESIDE_HOLDERS + BESIDE_WHOLE - 2);
    row("events, STORED of new blocks, 32 an event", blocks * 1e3 / fresh, "M blocks/s");
    row("events, STORED of blocks that others hold", more * 1e3 / known, "M blocks/s");
    row("memory, as the heap counts it", (double)(bench_pool_heap() - before) / blocks, "B/block");
}

static void find(const struct kvr_pool *p, const uint64_t *hashes, size_t paths, const char *what) {
    struct bench_pool_match m = bench_pool_match(p, hashes, paths, BESIDE_HOLDERS);
    char line[96];
    snprintf(line, sizeof line, "match of 64 blocks, %s, p50", what);
    row(line, m.p50, "ns");
    snprintf(line, sizeof line, "match of 64 blocks, %s, p99", what);
    row(line, m.p99, "ns");
}

static void drop(struct kvr_pool *p, const uint64_t *hashes, size_t paths, uint64_t *seq) {
    double start = bench_pool_cpu_ns();
    for (size_t i = 0; i < paths; i++) {
        size_t w = holder(i, 0);
        bench_pool_event(p, w, ++seq[w], KVR_REMOVED, NULL, hashes + i * BESIDE_PATH + BESIDE_RUN,
                         BESIDE_RUN);
    }
    row("events, REMOVED, 32 an event",
        (double)paths * BESIDE_RUN * 1e3 / (bench_pool_cpu_ns() - start), "M blocks/s");
}

struct beside_options {
    uint64_t blocks;
};

int main(int argc, char **argv) {
    static const struct bench_arg args[] = {
        {"blocks", bench_arg_whole, offsetof(struct beside_options, blocks), 1e6, 2e8},
    };
    struct beside_options o = {1000000};
    int status = bench_args_read(
        &o, args, 1, "usage: kvroute-bench-beside [--blocks N]   1,000,000\n", argc, argv);
    if (status >= 0) return status;
    size_t paths = o.blocks / BESIDE_PATH;
    uint64_t *hashes = malloc(paths * BESIDE_PATH * sizeof *hashes), state = 1,
             seq[BESIDE_WORKERS] = {0};
    if (!hashes) support_fail("out of memory");
    for (size_t i = 0; i < paths * BESIDE_PATH; i++)
        hashes[i] = kvr_random(&state);
    struct kvr_pool *p = bench_pool_new(BESIDE_WORKERS);
    puts("kvroute, the module's tree with workers, sequences and validation of each event");
    build(p, hashes, paths, seq);
    find(p, hashes, paths, "drawn from all");
    find(p, hashes, paths < BESIDE_WARM ? paths : BESIDE_WARM, "drawn from 4,096");
    drop(p, hashes, paths, seq);
    kvr_pool_free(p);
    free(hashes);
    return 0;
}
