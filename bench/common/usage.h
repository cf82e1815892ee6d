// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "bench/common/bench_usage.h"
#define usage_cpu_s bench_cpu_s
#define usage_rss_bytes bench_rss_bytes
