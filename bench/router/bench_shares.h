// SPDX-License-Identifier: Apache-2.0
// What one queue for all routers promises, shown over HTTP: each of these starts a fleet of its own, plays clients to
// it, and prints a table.
#ifndef BENCH_SHARES_H
#define BENCH_SHARES_H

#include <stdbool.h>
#include <stdint.h>

struct bench_shares_options {
    bool quick;
    const char *only;
    uint64_t seed;
};

// Two classes, or two tenants, of weights 4:1, both of which always have somebody waiting: who gets what.
void bench_shares_weights(const struct bench_shares_options *o);
// A tenant with a quota who asks for more of it over many routers.
void bench_shares_quota(const struct bench_shares_options *o);
// Clients in bursts who are refused, and come back when they were told to.
void bench_shares_retry(const struct bench_shares_options *o);
// What those who chat notice of batch work that fills the rest.
void bench_shares_fill(const struct bench_shares_options *o);

#endif
