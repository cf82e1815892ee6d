// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "bench/common/bench_progress.h"
#define progress bench_progress
#define progress_begin bench_progress_begin
#define progress_show bench_progress_show
#define progress_note bench_progress_note
#define progress_end bench_progress_end
