// SPDX-License-Identifier: Apache-2.0
// Sums of what a server says, which may be any number: one that is too large is the largest there is.
#ifndef TOP_SATURATE_H
#define TOP_SATURATE_H

#include <stdint.h>

static inline int64_t top_sum(int64_t a, int64_t b) {
    int64_t sum;
    return !__builtin_add_overflow(a, b, &sum) ? sum : a < 0 ? INT64_MIN : INT64_MAX;
}

static inline int64_t top_difference(int64_t a, int64_t b) {
    int64_t d;
    return !__builtin_sub_overflow(a, b, &d) ? d : a < 0 ? INT64_MIN : INT64_MAX;
}

static inline int64_t top_product(int64_t a, int64_t b) {
    int64_t p;
    return !__builtin_mul_overflow(a, b, &p) ? p : (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
}

#endif
