// SPDX-License-Identifier: Apache-2.0
// A server, what is held in it, and a connection to it.
#ifndef BENCH_SETUP_H
#define BENCH_SETUP_H

#include "bench_commands_options.h"
#include "bench_ops.h"
#include "tests/support/support_redis.h"

struct bench_setup {
    struct support_redis redis;
    struct bench_holdings held;
    struct bench_caller caller;
};
void bench_setup_begin(struct bench_setup *s, const struct bench_options *o, size_t workers,
                       size_t blocks);
void bench_setup_end(struct bench_setup *s);
void bench_setup_connect(struct bench_setup *s, struct bench_wire *w, bool tcp);

#endif
