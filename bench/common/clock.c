// SPDX-License-Identifier: Apache-2.0
// Real time, and sleeping in it; see clock.h.
#include "clock.h"

#include <poll.h>
#include <time.h>

int64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void clock_sleep_ms(int ms) {
    poll(NULL, 0, ms);
}
