// SPDX-License-Identifier: Apache-2.0
// kvroute-bridge-chaos: the long form of the chaos test, see btest_chaos.h.
#include <stdio.h>

#include "bench/common/bench_args.h"

#include "btest_chaos.h"

static const char usage[] =
    "usage: kvroute-bridge-chaos [--minutes N] [--seed S]\n"
    "\n"
    "Real bridges between mock engines at full speed and a real Redis, all of them killed by "
    "chance.\n"
    "Ends with status 0 when the pool holds what the engines hold, block by block, at every rest.\n"
    "\n"
    "  --minutes N   of events, at 50 batches a second of each rank (30)\n"
    "  --seed S      of what is killed when (1)\n";

int main(int argc, char **argv) {
    static const struct bench_arg args[] = {
        {"minutes", bench_arg_real, offsetof(struct btest_chaos_plan, minutes), 1e-3, 1e6},
        {"seed", bench_arg_whole, offsetof(struct btest_chaos_plan, seed), 0, 9e15},
    };
    struct btest_chaos_plan plan = {.minutes = 30, .seed = 1};
    struct btest_chaos_result r;
    int status = bench_args_read(&plan, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    btest_chaos_run(&plan, &r);
    printf("%zu batches of %zu ranks (%.1f minutes' worth) in %.0f s; %zu requests, %zu tokens\n",
           r.batches, r.ranks, (double)r.batches / (double)r.ranks / BTEST_CHAOS_BATCHES / 60,
           r.seconds, r.requests, r.tokens);
    printf("killed: bridges %zu times, engines %zu, Redis %zu (%zu with its file torn, %zu with "
           "nothing "
           "left)\n",
           r.bridges, r.engines, r.servers, r.torn, r.emptied);
    printf("engines restarted in place %zu times, streams gone wrong %zu times\n", r.restarts,
           r.faults);
    printf(
        "compared %zu times, %zu blocks: 0 differences; none was left after %.1f s at the most\n",
        r.rests, r.compared, r.longest_rest);
    return 0;
}
