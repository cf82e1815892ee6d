// SPDX-License-Identifier: Apache-2.0
// Real time, and sleeping in it.
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

int64_t clock_ns(void); // monotonic
void clock_sleep_ms(int ms);

#endif
