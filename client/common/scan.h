// SPDX-License-Identifier: Apache-2.0
// Looking for the signs that matter in JSON, sixteen bytes at a time where the processor can: bodies and events are
// looked through to their last byte, and that is most of what a router does with them.
#ifndef KVR_COMMON_SCAN_H
#define KVR_COMMON_SCAN_H

#include <stdbool.h>

#ifdef __SSE2__
#include <emmintrin.h>

enum { KVR_SCAN_STEP = 16 };

static inline __m128i kvr_scan_load(const char *at) {
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline unsigned kvr_scan_is(__m128i bytes, char c) {
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
}

static inline unsigned kvr_scan_up_to(__m128i bytes, char c) {
    return (unsigned)_mm_movemask_epi8(
        _mm_cmpeq_epi8(bytes, _mm_min_epu8(bytes, _mm_set1_epi8(c))));
}
#endif

// The first byte that is one of these three; `end`: there is none.
static inline const char *kvr_scan_for(const char *at, const char *end, char a, char b, char c) {
#ifdef __SSE2__
    for (; end - at >= KVR_SCAN_STEP; at += KVR_SCAN_STEP) {
        __m128i bytes = kvr_scan_load(at);
        unsigned found = kvr_scan_is(bytes, a) | kvr_scan_is(bytes, b) | kvr_scan_is(bytes, c);
        if (found) return at + __builtin_ctz(found);
    }
#endif
    while (at < end && *at != a && *at != b && *at != c)
        at++;
    return at;
}

// The first byte that doesn't stand for itself in a text: a quote, a backslash, a control character, and, with `ascii`,
// what is beyond ASCII.
static inline const char *kvr_scan_text(const char *at, const char *end, bool ascii) {
#ifdef __SSE2__
    for (; end - at >= KVR_SCAN_STEP; at += KVR_SCAN_STEP) {
        __m128i bytes = kvr_scan_load(at);
        unsigned found = kvr_scan_is(bytes, '"') | kvr_scan_is(bytes, '\\') |
                         kvr_scan_up_to(bytes, ' ' - 1) |
                         (ascii ? (unsigned)_mm_movemask_epi8(bytes) : 0);
        if (found) return at + __builtin_ctz(found);
    }
#endif
    for (; at < end; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\' || c < ' ' || (ascii && c > 127)) break;
    }
    return at;
}

#endif
