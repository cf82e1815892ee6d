// SPDX-License-Identifier: Apache-2.0
// Numbers as 16 lower-case hex digits, as ids and prefix hashes are written.
#ifndef KVR_COMMON_HEX_H
#define KVR_COMMON_HEX_H

#include <stdint.h>

enum { KVR_HEX_DIGITS = 16 };

// Writes KVR_HEX_DIGITS characters and no NUL.
static inline void kvr_hex(char *out, uint64_t x) {
    for (int i = KVR_HEX_DIGITS - 1; i >= 0; i--, x >>= 4)
        out[i] = "0123456789abcdef"[x & 15];
}

#endif
