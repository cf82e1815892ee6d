// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "bench/common/bench_quantile.h"
#define measure_sorted_u64 bench_sorted_u64
#define measure_sorted bench_sorted
#define measure_quantile bench_quantile
#define measure_median bench_median
#define measure_imbalance bench_imbalance
