// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-shares: what one queue for all routers promises, over HTTP. See bench_shares.h.
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_usage.h"
#include "bench_shares.h"
#include "tests/support/support_home.h"

static const char usage[] =
    "usage: kvroute-bench-shares [options]\n"
    "\n"
    "Fleets of real processes (redis-server, mock engines, up to sixteen routers) and clients that "
    "want more\n"
    "than there is: who gets what. About 15 minutes.\n"
    "\n"
    "  --only NAME      weights: classes and tenants of 4:1 over 1, 4 and 16 routers\n"
    "                   quota: a tenant with a quota over eight routers\n"
    "                   retry: clients that come back when they are told to\n"
    "                   fill: batch work beside those who chat\n"
    "  --quick          shorter\n"
    "  --seed N         (1)\n"
    "  --help, --version\n";

#define AT(field) offsetof(struct bench_shares_options, field)
static const struct bench_arg args[] = {
    {"quick", bench_arg_flag, AT(quick), 0, 0},
    {"only", bench_arg_text, AT(only), 0, 0},
    {"seed", bench_arg_whole, AT(seed), 1, 9e15},
};
#undef AT

static const struct {
    const char *name;
    void (*run)(const struct bench_shares_options *o);
} parts[] = {{"weights", bench_shares_weights},
             {"quota", bench_shares_quota},
             {"retry", bench_shares_retry},
             {"fill", bench_shares_fill}};

int main(int argc, char **argv) {
    struct bench_shares_options o = {.seed = 1};
    int status = bench_args_read(&o, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    bench_raise_files();
    size_t ran = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (o.only && strcmp(o.only, parts[i].name) != 0) continue;
        parts[i].run(&o);
        ran++;
    }
    if (!ran) support_fail("there is no %s", o.only);
    return 0;
}
