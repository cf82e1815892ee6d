// SPDX-License-Identifier: Apache-2.0
// The command line.
#include "bench_commands_options.h"

#include "bench/common/bench_args.h"

static const char usage[] =
    "usage: kvroute-bench-commands [options]\n"
    "\n"
    "Measures the module's commands over sockets, and beside them, on the same server, SET with "
    "the\n"
    "same payload and three ways to choose a worker with plain Redis. About seven minutes.\n"
    "\n"
    "  --quick          one small pool, fewer and shorter rounds: under a minute\n"
    "  --big            also 64 workers and 10,000,000 blocks (needs about 6 GB)\n"
    "  --workers N      only a pool of so many workers (1 to 10,000)\n"
    "  --blocks N       only a pool of about so many blocks (with or without --workers)\n"
    "  --rounds N       rounds of each group, 1 to 15 (7)\n"
    "  --slice MS       length of a way's turn in a round (80)\n"
    "  --out FOLDER     writes commands.json and commands.svg there\n"
    "  --module PATH    kvroute.so\n"
    "  --redis-server PATH\n"
    "  --help, --version\n";

static void all_pools(struct bench_options *o) {
    static const size_t workers[] = {8, 64, 1000}, blocks[] = {200000, 1000000};
    for (size_t b = 0; b < 2; b++)
        for (size_t w = 0; w < 3; w++) {
            bool middle = workers[w] == 64 && blocks[b] == 1000000;
            if (middle) o->main = o->n_pools;
            o->pools[o->n_pools++] = (struct bench_pool){workers[w], blocks[b], middle};
        }
}

#define AT(field) offsetof(struct bench_options, field)
static const struct bench_arg args[] = {
    {"quick", bench_arg_flag, AT(quick), 0, 0},
    {"big", bench_arg_flag, AT(big), 0, 0},
    {"workers", bench_arg_whole, AT(workers), 1, 10000},
    {"blocks", bench_arg_whole, AT(blocks), 20000, 100000000},
    {"rounds", bench_arg_whole, AT(rounds), 1, BENCH_MAX_ROUNDS},
    {"slice", bench_arg_whole, AT(slice), 1, 10000},
    {"out", bench_arg_text, AT(out), 0, 0},
    {"module", bench_arg_text, AT(module), 0, 0},
    {"redis-server", bench_arg_text, AT(server), 0, 0},
};
#undef AT

int bench_options_parse(struct bench_options *o, int argc, char **argv) {
    *o = (struct bench_options){0};
    int status = bench_args_read(o, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    if (o->workers || o->blocks || o->quick) {
        size_t usual = o->quick ? 200000 : 1000000;
        o->pools[o->n_pools++] = (struct bench_pool){o->workers ? o->workers : 64,
                                                     o->blocks ? o->blocks : usual, !o->quick};
    } else {
        all_pools(o);
    }
    if (o->big) o->pools[o->n_pools++] = (struct bench_pool){64, 10000000, false};
    o->plan.rounds = o->rounds ? o->rounds : o->quick ? 3 : 7;
    o->plan.slice = (double)(o->slice ? o->slice : o->quick ? 50 : 80) / 1e3;
    o->seconds = o->quick ? 1.5 : 5;
    for (size_t l = 0; l < BENCH_LENGTHS; l++)
        o->length[l] = !o->quick || bench_lengths[l] == 64 || bench_lengths[l] == 512 ||
                       bench_lengths[l] == 1000;
    return -1;
}
