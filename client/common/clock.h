// SPDX-License-Identifier: Apache-2.0
// The system's clocks, in one unit each.
#ifndef KVR_COMMON_CLOCK_H
#define KVR_COMMON_CLOCK_H

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

static inline int64_t kvr_clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Never goes back; counts from an arbitrary moment.
static inline int64_t kvr_clock_us(void) {
    return kvr_clock_ns(CLOCK_MONOTONIC) / 1000;
}
static inline int64_t kvr_clock_ms(void) {
    return kvr_clock_ns(CLOCK_MONOTONIC) / 1000000;
}

// Since 1970; goes back when somebody sets the clock.
static inline int64_t kvr_clock_date_us(void) {
    return kvr_clock_ns(CLOCK_REALTIME) / 1000;
}

// For libevent's timers.
static inline struct timeval kvr_timeval(int64_t ms) {
    return (struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
}

#endif
