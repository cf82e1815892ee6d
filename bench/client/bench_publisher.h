// SPDX-License-Identifier: Apache-2.0
// What a publisher costs: its memory, and how fast it tells an empty pool all that its rank holds.
#ifndef BENCH_BENCH_PUBLISHER_H
#define BENCH_BENCH_PUBLISHER_H

#include <kvroute/client.h>

// Stores `holdings` blocks, and publishes all of them anew, as often as there are rounds (1 to 99).
// Prints one line each. NULL, or what went wrong.
const char *bench_publisher(struct kvr_client *c, size_t holdings, size_t rounds);

#endif
