// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-core: the state machine alone, without a server, on one core.
//
// The shape: requests of 64 blocks, each two runs of 32, each run held by 4 of 64 workers; 10 million
// blocks. Matching is measured on requests drawn from all of it (every lookup misses the caches of the
// processor) and from 4,096 of them (what a fleet asks for again and again).
//
// What takes long is measured in the thread's CPU time, so that whoever else uses the machine doesn't
// count as much; a match is too short for that and has the wall clock.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_quantile.h"
#include "bench_pool.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum {
    BENCH_CORE_WORKERS = BENCH_POOL_WORKERS,
    BENCH_CORE_PATH = BENCH_POOL_PATH,
    BENCH_CORE_RUN = BENCH_CORE_PATH / 2,
    BENCH_CORE_HOLDERS = 4,
    BENCH_CORE_WARM = 4096
};

static double now_ns(void) {
    return (double)kvr_clock_ns(CLOCK_MONOTONIC);
}

// ---- Figures -------------------------------------------------------------------------------------

static void row(const char *what, double value, const char *unit, const char *goal) {
    printf("%-58s %10.2f %-12s %s\n", what, value, unit, goal);
}

// Which worker holds a path's run as its k-th holder. The two runs have other holders, so that they
// stay two.
static size_t holder(size_t path, size_t half, size_t k) {
    return (path * 7 + half * 29 + k * 13) % BENCH_CORE_WORKERS;
}

static void build(struct kvr_pool *p, const uint64_t *hashes, size_t paths, uint64_t *seq) {
    size_t before = bench_pool_heap();
    double fresh = 0, known = 0;
    for (size_t k = 0; k < BENCH_CORE_HOLDERS; k++) {
        double start = bench_pool_cpu_ns();
        for (size_t i = 0; i < paths; i++) {
            const uint64_t *path = hashes + i * BENCH_CORE_PATH;
            size_t first = holder(i, 0, k), second = holder(i, 1, k);
            bench_pool_event(p, first, ++seq[first], KVR_STORED, NULL, path, BENCH_CORE_RUN);
            bench_pool_event(p, second, ++seq[second], KVR_STORED, &path[BENCH_CORE_RUN - 1],
                             path + BENCH_CORE_RUN, BENCH_CORE_RUN);
        }
        *(k ? &known : &fresh) += bench_pool_cpu_ns() - start;
        fprintf(stderr, "  built for %zu of %d holders\n", k + 1, BENCH_CORE_HOLDERS);
    }
    double blocks = (double)paths * BENCH_CORE_PATH;
    row("events, STORED of new blocks, 32 an event", blocks * 1e3 / fresh, "M blocks/s", ">= 6");
    row("events, STORED of blocks that others hold",
        blocks * 1e3 * (BENCH_CORE_HOLDERS - 1) / known, "M blocks/s", ">= 6");
    struct kvr_stats s;
    kvr_pool_stats(p, 1, &s);
    if (s.blocks != paths * BENCH_CORE_PATH || s.holdings != s.blocks * BENCH_CORE_HOLDERS)
        support_fail("blocks are missing");
    row("memory, everything the pool asked for", (double)s.memory_bytes / blocks, "B/block",
        "<= 20");
    row("memory, as the heap counts it", (double)(bench_pool_heap() - before) / blocks, "B/block",
        "");
}

static void match(const struct kvr_pool *p, const uint64_t *hashes, size_t paths,
                  const char *what) {
    struct bench_pool_match m = bench_pool_match(p, hashes, paths, BENCH_CORE_HOLDERS);
    char line[96];
    snprintf(line, sizeof line, "match of 64 blocks, %s, p50", what);
    row(line, m.p50, "ns", "<= 250");
    snprintf(line, sizeof line, "match of 64 blocks, %s, p99", what);
    row(line, m.p99, "ns", "<= 2000");
}

// What one read costs that has to wait for memory: reads over an array as large as the index, each of
// which names the next. Median of short chains, so that an interruption spoils only its own.
static double miss_ns(size_t blocks) {
    enum { BENCH_CORE_LINE = 8, BENCH_CORE_CHAIN = 64, BENCH_CORE_CHAINS = 5001 };
    size_t lines = blocks / BENCH_CORE_LINE;
    uint64_t *memory = calloc(lines, BENCH_CORE_LINE * sizeof *memory), state = 9, at = 0;
    if (!memory) support_fail("out of memory");
    for (size_t i = 0; i < lines; i++)
        memory[i * BENCH_CORE_LINE] = kvr_random(&state) % lines;
    static double times[BENCH_CORE_CHAINS];
    for (size_t i = 0; i < BENCH_CORE_CHAINS; i++) {
        at = kvr_random(&state) % lines;
        double start = now_ns();
        for (size_t k = 0; k < BENCH_CORE_CHAIN; k++)
            at = (memory[at * BENCH_CORE_LINE] + k) % lines; // k: so that no chain runs in a circle
        __asm__ volatile("" : "+r"(at)::"memory");
        times[i] = (now_ns() - start) / BENCH_CORE_CHAIN;
    }
    free(memory);
    return bench_median(times, BENCH_CORE_CHAINS);
}

static void drop(struct kvr_pool *p, const uint64_t *hashes, size_t paths, uint64_t *seq) {
    double start = bench_pool_cpu_ns();
    for (size_t i = 0; i < paths; i++) {
        const uint64_t *path = hashes + i * BENCH_CORE_PATH;
        size_t second = holder(i, 1, 0);
        bench_pool_event(p, second, ++seq[second], KVR_REMOVED, NULL, path + BENCH_CORE_RUN,
                         BENCH_CORE_RUN);
    }
    row("events, REMOVED, 32 an event",
        (double)paths * BENCH_CORE_RUN * 1e3 / (bench_pool_cpu_ns() - start), "M blocks/s", "");
    char room[32];
    double worst = 0;
    for (size_t w = 0; w < BENCH_CORE_WORKERS; w++) {
        double at = bench_pool_cpu_ns();
        if (kvr_worker_del(p, bench_pool_worker(w, room))) support_fail("a worker is lost");
        double took = bench_pool_cpu_ns() - at;
        worst = took > worst ? took : worst;
    }
    row("dropping a worker with all it holds, the longest of 64", worst / 1e6, "ms", "a few");
    start = bench_pool_cpu_ns();
    while (kvr_pool_sweep(p, 1000)) {
    }
    row("sweeping what all of them held", (bench_pool_cpu_ns() - start) / 1e9, "s", "");
}

// Median over rounds of the time of SELECT + RELEASE of 512 blocks that every worker holds.
static double select_time(size_t workers) {
    enum { BENCH_CORE_BLOCKS = 512, BENCH_CORE_ROUNDS = 15, BENCH_CORE_EACH = 2000 };
    struct kvr_pool *p = bench_pool_new(workers);
    uint64_t hashes[BENCH_CORE_BLOCKS], state = 7;
    for (size_t i = 0; i < BENCH_CORE_BLOCKS; i++)
        hashes[i] = kvr_random(&state);
    for (size_t w = 0; w < workers; w++)
        bench_pool_event(p, w, 1, KVR_STORED, NULL, hashes, BENCH_CORE_BLOCKS);
    double times[BENCH_CORE_ROUNDS];
    struct kvr_query q = {
        .hashes = hashes, .n = BENCH_CORE_BLOCKS, .isl = -1, .rule = kvr_pool_options(p)->rule};
    struct kvr_bytes id = {"request", 7};
    for (int r = 0; r < BENCH_CORE_ROUNDS; r++) {
        double start = bench_pool_cpu_ns();
        for (int i = 0; i < BENCH_CORE_EACH; i++) {
            struct kvr_pool_choice choice;
            struct kvr_booking booked;
            if (kvr_select(p, 1, id, &q, -1, 0, &choice, &booked))
                support_fail("SELECT is refused");
            kvr_release(p, 1, &id, 1, KVR_RELEASED);
        }
        times[r] = (bench_pool_cpu_ns() - start) / BENCH_CORE_EACH;
    }
    kvr_pool_free(p);
    return bench_median(times, BENCH_CORE_ROUNDS);
}

struct bench_core_options {
    bool quick;
    uint64_t blocks;
};

static const char usage[] = "usage: kvroute-bench-core [--quick] [--blocks N]\n"
                            "N blocks (10,000,000; --quick: 1,000,000), at least 1,000,000\n";

int main(int argc, char **argv) {
    static const struct bench_arg args[] = {
        {"quick", bench_arg_flag, offsetof(struct bench_core_options, quick), 0, 0},
        {"blocks", bench_arg_whole, offsetof(struct bench_core_options, blocks), 1e6, 2e8},
    };
    struct bench_core_options o = {0};
    int status = bench_args_read(&o, args, 2, usage, argc, argv);
    if (status >= 0) return status;
    size_t blocks = o.blocks ? o.blocks : o.quick ? 1000000 : 10000000;
    size_t paths = blocks / BENCH_CORE_PATH;
    uint64_t *hashes = malloc(paths * BENCH_CORE_PATH * sizeof *hashes), state = 1,
             seq[BENCH_CORE_WORKERS] = {0};
    if (!hashes) support_fail("out of memory");
    for (size_t i = 0; i < paths * BENCH_CORE_PATH; i++)
        hashes[i] = kvr_random(&state);
    printf("%zu blocks in runs of %d, %d holders each, %d workers; one core, %s\n\n",
           paths * BENCH_CORE_PATH, BENCH_CORE_RUN, BENCH_CORE_HOLDERS, BENCH_CORE_WORKERS,
           bench_pool_allocator);
    printf("%-58s %10s %-12s %s\n", "", "", "", "goal");
    struct kvr_pool *p = bench_pool_new(BENCH_CORE_WORKERS);
    build(p, hashes, paths, seq);
    row("one cache miss, in as much memory as the index has", miss_ns(blocks), "ns", "");
    match(p, hashes, paths, "drawn from all");
    match(p, hashes, BENCH_CORE_WARM, "drawn from 4,096");
    drop(p, hashes, paths, seq);
    kvr_pool_free(p);
    double few = select_time(10), many = select_time(1000);
    row("SELECT + RELEASE of 512 blocks, 10 workers hold it", few / 1e3, "us", "");
    row("SELECT + RELEASE of 512 blocks, 1,000 workers hold it", many / 1e3, "us", "");
    row("the second by the first", many / few, "", "<= 3 (SELECT by socket)");
    free(hashes);
    return 0;
}
