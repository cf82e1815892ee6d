// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#define clock_ns() kvr_clock_ns(CLOCK_MONOTONIC)
#define clock_sleep_ms support_sleep_ms
