// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "bench/common/bench_compare.h"
#include "bench/common/bench_engines.h"
#define engine_process bench_engine
#define bridge_process bench_bridge
#define engine_start bench_engine_start
#define bridge_start bench_bridge_start
#define bridge_settled bench_bridge_settled
#define bridge_count bench_bridge_count
#define engines_difference bench_difference
#define engines_compare bench_compare
#define engines_score bench_compare_scores
#define ENGINES_MOST BENCH_MAX_ENGINES
#define ENGINE_WORDS BENCH_MAX_WORDS
#define vain surplus
