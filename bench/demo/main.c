// SPDX-License-Identifier: Apache-2.0
// The demo: one workload, four times, one table.
//
//   routers (processes of their own)          redis-server with the module
//     SELECT, UPDATE, RELEASE  ───────────────▶  one pool
//        │                                        ▲
//        ▼                                        │ EVENT
//     workers (simulated: LRU block caches, a queue for prefill)
//
// With --engines mock the workers are processes that speak HTTP and ZeroMQ, and bridges tell the pool:
//
//   routers ─── SELECT, UPDATE, RELEASE ──────▶  one pool
//        │                                        ▲
//        ▼                                        │ EVENT
//     front ── HTTP ──▶ mock engines ── ZeroMQ ──▶ bridges
//
// Files: options; generate (what is replayed, unless it is a trace); cache, fleet and publisher (the
// workers); front and mocks (the others); router; pool (the real thing); link (a connection that comes
// back); run (one replay); board, wire (what the processes share); report. The rest is in bench/common.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/common/stop.h"
#include "fleet.h"
#include "generate.h"
#include "options.h"
#include "report.h"
#include "run.h"

enum { TRACE_QUICK = 1500, TRACE_CAPACITY = 40000, CHAT_CAPACITY = 12000, MOCK_CAPACITY = 6000 };

static void introduce(const struct bench_workload *w, const struct options *o, size_t capacity) {
    size_t blocks = 0;
    for (size_t i = 0; i < w->n; i++)
        blocks += w->requests[i].blocks;
    printf("%zu requests of %.0f blocks of %u tokens on average: %s\n", w->n,
           (double)blocks / (double)w->n, w->block_size, w->what);
    if (o->mock) {
        printf(
            "%u mock engines, processes, two bridges beside them: caches of %zu blocks, prefill of "
            "%.0f\n"
            "tokens/s, %.0f ms a token of output; %u router processes; real time, %.0f times "
            "faster\n\n",
            o->workers, capacity, PREFILL_RATE, DECODE_PACE * 1e3, o->routers, o->scale);
        fflush(stdout);
        return;
    }
    printf("%u workers: caches of %zu blocks (least recently used leaves go), prefill of %.0f "
           "tokens/s\n"
           "one after the other, %.0f ms a token of output; %u router processes; time is virtual, "
           "load "
           "isn't\n\n",
           o->workers, capacity, PREFILL_RATE, DECODE_PACE * 1e3, o->routers);
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct options o;
    int status = options_parse(&o, argc, argv);
    if (status >= 0) return status;
    stop_watch();
    int64_t start = clock_ns();
    struct bench_workload w;
    if (o.trace)
        bench_trace_read(&w, o.trace, o.block_size,
                         o.requests ? o.requests
                         : o.quick  ? TRACE_QUICK
                                    : 0);
    else
        generate_chats(&w, &o);
    if (w.closed) {
        fprintf(stderr, "kvroute-demo: a trace whose requests wait for others can't be replayed\n");
        bench_workload_free(&w);
        return 2;
    }
    if (w.n < o.routers * 8u) {
        fprintf(stderr, "kvroute-demo: %u routers need at least %u requests\n", o.routers,
                o.routers * 8);
        bench_workload_free(&w);
        return 2;
    }
    // Blocks of 16 tokens: such that the caches are under pressure.
    size_t capacity = o.capacity ? o.capacity
                                 : (size_t)(o.trace  ? TRACE_CAPACITY
                                            : o.mock ? MOCK_CAPACITY
                                                     : CHAT_CAPACITY) *
                                       16 / o.block_size;
    introduce(&w, &o, capacity);

    char many[32], crash[32];
    snprintf(many, sizeof many, "%u routers", o.routers);
    snprintf(crash, sizeof crash, "%u routers, two crashes", o.routers);
    const struct run_plan plans[RUNS] = {
        [ROUND_ROBIN] = {.name = "round robin", .routers = 1, .round_robin = true},
        [ONE] = {.name = "one router", .routers = 1},
        [MANY] = {.name = many, .routers = o.routers},
        [CRASH] = {.name = crash, .routers = o.routers, .crash = true},
    };
    struct run_result results[RUNS] = {0};
    bool ok = true;
    for (int i = 0; ok && i < RUNS; i++)
        ok = run_replay(&plans[i], &w, &o, capacity, &results[i]);
    if (ok) {
        report_table(plans, results, o.mock);
        ok = report_checks(plans, results, o.mock);
        printf("\n%s, after %.0f s\n", ok ? "all as it should be" : "NOT as it should be",
               (double)(clock_ns() - start) / 1e9);
    }
    bench_workload_free(&w);
    if (stop_asked()) return 128 + stop_signal();
    return ok ? 0 : 1;
}
