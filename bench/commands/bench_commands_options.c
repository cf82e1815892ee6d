// SPDX-License-Identifier: Apache-2.0
// The command line.
#include "bench_commands_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    "  --help\n";

static bool number(const char *name, const char *text, unsigned long min, unsigned long max,
                   size_t *out) {
    char *end;
    errno = 0;
    *out = strtoul(text, &end, 10);
    if (!errno && end != text && !*end && *text != '-' && *out >= min && *out <= max) return true;
    fprintf(stderr, "kvroute-bench-commands: --%s takes a number from %lu to %lu\n", name, min,
            max);
    return false;
}

static void all_pools(struct bench_options *o, bool big) {
    static const size_t workers[] = {8, 64, 1000}, blocks[] = {200000, 1000000};
    for (size_t b = 0; b < 2; b++)
        for (size_t w = 0; w < 3; w++) {
            bool middle = workers[w] == 64 && blocks[b] == 1000000;
            if (middle) o->main = o->n_pools;
            o->pools[o->n_pools++] = (struct bench_pool){workers[w], blocks[b], middle};
        }
    if (big) o->pools[o->n_pools++] = (struct bench_pool){64, 10000000, false};
}

int bench_options_parse(struct bench_options *o, int argc, char **argv) {
    enum {
        COMMANDS_QUICK,
        COMMANDS_BIG,
        COMMANDS_WORKERS,
        COMMANDS_BLOCKS,
        COMMANDS_ROUNDS,
        COMMANDS_SLICE,
        COMMANDS_OUT,
        COMMANDS_MODULE,
        COMMANDS_SERVER,
        COMMANDS_HELP
    };
    static const struct option longs[] = {
        {"quick", no_argument, NULL, COMMANDS_QUICK},
        {"big", no_argument, NULL, COMMANDS_BIG},
        {"workers", required_argument, NULL, COMMANDS_WORKERS},
        {"blocks", required_argument, NULL, COMMANDS_BLOCKS},
        {"rounds", required_argument, NULL, COMMANDS_ROUNDS},
        {"slice", required_argument, NULL, COMMANDS_SLICE},
        {"out", required_argument, NULL, COMMANDS_OUT},
        {"module", required_argument, NULL, COMMANDS_MODULE},
        {"redis-server", required_argument, NULL, COMMANDS_SERVER},
        {"help", no_argument, NULL, COMMANDS_HELP},
        {0},
    };
    *o = (struct bench_options){0};
    size_t workers = 0, blocks = 0, rounds = 0, slice = 0;
    bool big = false;
    for (int c, at; (c = getopt_long(argc, argv, "", longs, &at)) != -1;) {
        const char *name = c == '?' ? "" : longs[at].name;
        bool ok = true;
        switch (c) {
        case COMMANDS_QUICK:
            o->quick = true;
            break;
        case COMMANDS_BIG:
            big = true;
            break;
        case COMMANDS_WORKERS:
            ok = number(name, optarg, 1, 10000, &workers);
            break;
        case COMMANDS_BLOCKS:
            ok = number(name, optarg, 20000, 100000000, &blocks);
            break;
        case COMMANDS_ROUNDS:
            ok = number(name, optarg, 1, BENCH_MAX_ROUNDS, &rounds);
            break;
        case COMMANDS_SLICE:
            ok = number(name, optarg, 1, 10000, &slice);
            break;
        case COMMANDS_OUT:
            o->out = optarg;
            break;
        case COMMANDS_MODULE:
            o->module = optarg;
            break;
        case COMMANDS_SERVER:
            o->server = optarg;
            break;
        case COMMANDS_HELP:
            return fputs(usage, stdout) < 0;
        default:
            ok = false;
        }
        if (!ok) return 2;
    }
    if (optind < argc) {
        fputs("kvroute-bench-commands: takes options only; see --help\n", stderr);
        return 2;
    }
    if (workers || blocks || o->quick) {
        size_t usual = o->quick ? 200000 : 1000000;
        o->pools[o->n_pools++] =
            (struct bench_pool){workers ? workers : 64, blocks ? blocks : usual, !o->quick};
        if (big) o->pools[o->n_pools++] = (struct bench_pool){64, 10000000, false};
    } else {
        all_pools(o, big);
    }
    o->plan.rounds = rounds ? rounds : o->quick ? 3 : 7;
    o->plan.slice = (double)(slice ? slice : o->quick ? 50 : 80) / 1e3;
    o->seconds = o->quick ? 1.5 : 5;
    for (size_t l = 0; l < BENCH_LENGTHS; l++)
        o->length[l] = !o->quick || bench_lengths[l] == 64 || bench_lengths[l] == 512 ||
                       bench_lengths[l] == 1000;
    return -1;
}
