// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "bench/common/bench_memory.h"
#define memory_take bench_calloc
#define memory_grow bench_grow
