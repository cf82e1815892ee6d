// SPDX-License-Identifier: Apache-2.0
// kvroute-bridge-chaos: the long form of the chaos test, see btest_chaos.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    struct btest_chaos_plan plan = {.minutes = 30, .seed = 1};
    struct btest_chaos_result r;
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        if (!strcmp(argv[i], "--minutes") && argv[i + 1])
            plan.minutes = strtod(argv[i + 1], &end);
        else if (!strcmp(argv[i], "--seed") && argv[i + 1])
            plan.seed = strtoull(argv[i + 1], &end, 10);
        if (!end || end == argv[i + 1] || *end || !(plan.minutes > 0 && plan.minutes < 1e6)) {
            fputs(usage, stderr);
            return 2;
        }
    }
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
