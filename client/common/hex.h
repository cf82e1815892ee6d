// SPDX-License-Identifier: Apache-2.0
// Hex digits: numbers as 16 of them in lower case, as ids and prefix hashes are written, and bytes as %XX in URLs.
#ifndef KVR_COMMON_HEX_H
#define KVR_COMMON_HEX_H

#include <stddef.h>
#include <stdint.h>

enum { KVR_HEX_DIGITS = 16 };

// Writes KVR_HEX_DIGITS characters and no NUL.
static inline void kvr_hex(char *out, uint64_t x) {
    for (int i = KVR_HEX_DIGITS - 1; i >= 0; i--, x >>= 4)
        out[i] = "0123456789abcdef"[x & 15];
}

// What a digit of either case stands for; −1: it is none.
static inline int kvr_hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The byte that %XX at the beginning of these n bytes stands for, 1 to 255; −1: there is none, or it is a NUL.
static inline int kvr_percent_value(const char *at, size_t n) {
    int high = n >= 3 && *at == '%' ? kvr_hex_value(at[1]) : -1;
    int low = high >= 0 ? kvr_hex_value(at[2]) : -1;
    return low >= 0 && (high | low) ? high << 4 | low : -1;
}

#endif
