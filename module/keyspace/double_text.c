// SPDX-License-Identifier: Apache-2.0
#include "double_text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>

size_t mod_format_u64(uint64_t v, char out[MOD_MAX_U64]) {
    char digits[MOD_MAX_U64];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

// A multiple of 1/16 below 2^40 has at most 17 digits, four of them behind the point: all are shown.
size_t mod_format_double(double v, char out[MOD_MAX_DOUBLE]) {
    double sixteenths = fabs(v) * 16;
    if (!(sixteenths < 0x1p44) || sixteenths != floor(sixteenths) || (v == 0 && signbit(v)))
        return (size_t)snprintf(out, MOD_MAX_DOUBLE, "%.17g", v);
    uint64_t units = (uint64_t)sixteenths;
    size_t n = 0;
    if (v < 0) out[n++] = '-';
    n += mod_format_u64(units / 16, out + n);
    unsigned part = (unsigned)(units % 16) * 625; // of 10,000
    if (part) out[n++] = '.';
    for (; part; part = part % 1000 * 10)
        out[n++] = (char)('0' + part / 1000);
    return n;
}
