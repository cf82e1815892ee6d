// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "bench/common/bench_http.h"
#define http_answer bench_answer
#define http_call bench_http
#define http_begin bench_http_send
#define http_finish bench_http_read
