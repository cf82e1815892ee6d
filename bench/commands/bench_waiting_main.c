// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-waiting: what the server's queue costs, over a socket.
//
// First what a request costs that waits, beside one that needn't, in the same pool and in the same run. Then, if
// an older module is named, what a request costs where no limit is set, beside that module on a server of its
// own, in turns.
#include <stdio.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_quantile.h"
#include "bench_commands_options.h"
#include "bench_setup.h"
#include "bench_waiting.h"
#include "tests/support/support_home.h"

enum { WAITING_WORKERS = 64, WAITING_BLOCKS = 200000, LENGTH_64 = 0, LENGTH_512 = 2 };

static struct waiting_options {
    bool quick;
    uint64_t rounds, slice;
    const char *module, *before, *server, *only;
} o;

static const char usage[] =
    "usage: kvroute-bench-waiting [options]\n"
    "\n"
    "What a request costs the server that waits for room, beyond one that needn't: SELECT with "
    "WAIT, the\n"
    "RELEASE of another that admits it, and its owner's coming; pipelined over a unix socket.\n"
    "\n"
    "  --quick          fewer and shorter rounds\n"
    "  --rounds N       (7)\n"
    "  --slice MS       length of a case's turn in a round (300)\n"
    "  --only ID        one case: none, room, requests-1000 … (all)\n"
    "  --before PATH    an older kvroute.so: also both where no limit is set, in turns\n"
    "  --module PATH    kvroute.so\n"
    "  --redis-server PATH\n"
    "  --help, --version\n";

#define AT(field) offsetof(struct waiting_options, field)
static const struct bench_arg args[] = {
    {"quick", bench_arg_flag, AT(quick), 0, 0},
    {"rounds", bench_arg_whole, AT(rounds), 1, BENCH_MAX_ROUNDS},
    {"slice", bench_arg_whole, AT(slice), 1, 10000},
    {"before", bench_arg_text, AT(before), 0, 0},
    {"only", bench_arg_text, AT(only), 0, 0},
    {"module", bench_arg_text, AT(module), 0, 0},
    {"redis-server", bench_arg_text, AT(server), 0, 0},
};
#undef AT

// Those that needn't wait come first; the others are beside the one of their length and limit, or the first.
static struct bench_waiting_case cases[] = {
    {.id = "none-64", .name = "64 blocks, no limit", .length = LENGTH_64},
    {.id = "room-64",
     .name = "64 blocks, MAXREQUESTS, with room",
     .limit = BENCH_LIMIT_REQUESTS,
     .length = LENGTH_64},
    {.id = "requests-64",
     .name = "64 blocks, MAXREQUESTS, 1 waits",
     .limit = BENCH_LIMIT_REQUESTS,
     .waiting = 1,
     .length = LENGTH_64},
    {.id = "none", .name = "no limit", .length = LENGTH_512},
    {.id = "room",
     .name = "MAXREQUESTS, with room",
     .limit = BENCH_LIMIT_REQUESTS,
     .length = LENGTH_512},
    {.id = "requests",
     .name = "MAXREQUESTS, 1 waits",
     .limit = BENCH_LIMIT_REQUESTS,
     .waiting = 1,
     .length = LENGTH_512},
    {.id = "notify",
     .name = "MAXREQUESTS, 1 waits, told by NOTIFY",
     .limit = BENCH_LIMIT_REQUESTS,
     .waiting = 1,
     .notify = true,
     .length = LENGTH_512},
    {.id = "requests-1000",
     .name = "MAXREQUESTS, 1,000 wait",
     .limit = BENCH_LIMIT_REQUESTS,
     .waiting = 1000,
     .length = LENGTH_512},
    {.id = "requests-10000",
     .name = "MAXREQUESTS, 10,000 wait",
     .limit = BENCH_LIMIT_REQUESTS,
     .waiting = 10000,
     .length = LENGTH_512},
    {.id = "flows-10000",
     .name = "MAXREQUESTS, 10,000 wait, each of a flow",
     .limit = BENCH_LIMIT_REQUESTS,
     .waiting = 10000,
     .flows = 10000,
     .length = LENGTH_512},
    {.id = "prefill-1000",
     .name = "MAXPREFILL, 1,000 wait",
     .limit = BENCH_LIMIT_PREFILL,
     .waiting = 1000,
     .length = LENGTH_512},
    {.id = "blocks-1",
     .name = "MAXBLOCKS, 1 waits",
     .limit = BENCH_LIMIT_BLOCKS,
     .waiting = 1,
     .length = LENGTH_512},
    {.id = "blocks-1000",
     .name = "MAXBLOCKS, 1,000 wait",
     .limit = BENCH_LIMIT_BLOCKS,
     .waiting = 1000,
     .length = LENGTH_512},
};
enum { CASES = sizeof cases / sizeof *cases };

// What the same request costs in the same rounds where nobody waits: medians of the differences.
static double beyond(const struct bench_waiting_case *c, const struct bench_waiting_case *by) {
    double more[BENCH_MAX_ROUNDS];
    for (size_t i = 0; i < c->rounds; i++)
        more[i] = c->cpu[i] - by->cpu[i];
    return bench_median(more, c->rounds);
}

static const struct bench_waiting_case *base_of(const struct bench_waiting_case *c) {
    for (size_t i = 0; i < CASES; i++)
        if (cases[i].limit == BENCH_LIMIT_REQUESTS && !cases[i].waiting &&
            cases[i].length == c->length)
            return &cases[i];
    return c;
}

// Keeps the one that was asked for.
static size_t choose(const char *id) {
    size_t n = CASES;
    for (size_t i = 0; id && i < CASES; i++)
        if (strcmp(cases[i].id, id) == 0) {
            cases[0] = cases[i];
            n = 1;
        }
    if (id && n > 1) support_fail("no case %s", id);
    return n;
}

static void report(size_t n) {
    printf("%-44s %10s %10s %12s %10s\n", "", "units/s", "CPU us", "for waiting", "a core, /s");
    for (size_t i = 0; i < n; i++) {
        const struct bench_waiting_case *c = &cases[i];
        double cpu = bench_median(c->cpu, c->rounds);
        printf("%-44s %10.0f %10.2f ", c->name, bench_median(c->rate, c->rounds), cpu);
        if (c->waiting && n > 1) printf("%12.2f %10.0f", beyond(c, base_of(c)), 1e6 / cpu);
        putchar('\n');
    }
    fflush(stdout);
}

static void start(struct bench_setup *s, const char *module) {
    struct bench_options setup = {.module = module, .server = o.server};
    bench_setup_begin(s, &setup, WAITING_WORKERS, WAITING_BLOCKS);
    bench_fill_pool(&s->caller.wire, &s->held);
}

static void measure_before(const struct bench_rounds *plan) {
    static const size_t lengths[] = {LENGTH_64, LENGTH_512};
    struct bench_setup now, before;
    start(&now, o.module);
    start(&before, o.before);
    const struct bench_rounds once = {1, plan->slice};
    printf("\nSELECT + RELEASE without limits, server CPU us, in turns\n%-44s %10s %10s %12s\n", "",
           "before", "now", "ratio");
    for (size_t l = 0; l < 2; l++) {
        double cpu[2][BENCH_MAX_ROUNDS], ratio[BENCH_MAX_ROUNDS];
        for (size_t i = 0; i < plan->rounds; i++) {
            for (int k = 0; k < 2; k++) {
                struct bench_setup *s = k ? &now : &before;
                struct bench_result cell = {
                    .op = &bench_ops[BENCH_OP_SELECT], .length = lengths[l], .pipelined = true};
                bench_measure(&s->redis, &s->caller, &once, &cell, 1);
                cpu[k][i] = cell.cpu[0];
            }
            ratio[i] = cpu[1][i] / cpu[0][i];
        }
        printf("%zu blocks%34s %10.2f %10.2f %12.3f\n", bench_lengths[lengths[l]], "",
               bench_median(cpu[0], plan->rounds), bench_median(cpu[1], plan->rounds),
               bench_median(ratio, plan->rounds));
    }
    bench_setup_end(&now);
    bench_setup_end(&before);
}

int main(int argc, char **argv) {
    int status = bench_args_read(&o, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    const struct bench_rounds plan = {o.rounds  ? o.rounds
                                      : o.quick ? 3
                                                : 7,
                                      (double)(o.slice   ? o.slice
                                               : o.quick ? 50
                                                         : 300) /
                                          1e3};
    struct bench_setup s;
    size_t n = choose(o.only);
    start(&s, o.module);
    printf("%d workers, 512 blocks unless said otherwise; medians of %zu rounds of %.0f ms\n",
           WAITING_WORKERS, plan.rounds, plan.slice * 1e3);
    bench_waiting_measure(&s.redis, &s.caller, &plan, cases, n);
    bench_setup_end(&s);
    report(n);
    if (o.before) measure_before(&plan);
    return 0;
}
