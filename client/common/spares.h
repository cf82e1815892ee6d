// SPDX-License-Identifier: Apache-2.0
// An allocator over another that keeps some of what was given back, to hand it out again.
//
// A call takes a handful of pieces, of the same few sizes each time, and gives them back when it is answered; some
// are too large for the quick lists of the C library. So pieces up to KVR_SPARE_MAX bytes are made in sizes that are
// multiples of KVR_SPARE_STEP and wait in one list a size, up to KVR_SPARES_MAX bytes of them together. Each has 16
// bytes in front, which say its size. Larger ones pass through.
//
// With an address sanitizer nothing is kept, so that it finds what is used after it was given back.
#ifndef KVR_COMMON_SPARES_H
#define KVR_COMMON_SPARES_H

#include "alloc.h"

enum {
    KVR_SPARE_STEP = 64,
    KVR_SPARE_MAX = 8192,
    KVR_SPARE_SIZES = KVR_SPARE_MAX / KVR_SPARE_STEP,
    KVR_SPARES_MAX = 1 << 18,
};

struct kvr_spare;

struct kvr_spares {
    struct kvr_alloc below;
    struct kvr_spare *lists[KVR_SPARE_SIZES]; // of multiples of the step, from one on
    size_t bytes;                             // that wait in them
};

void kvr_spares_init(struct kvr_spares *s, const struct kvr_alloc *below);
void kvr_spares_free(struct kvr_spares *s);              // everything has been given back
struct kvr_alloc kvr_spares_alloc(struct kvr_spares *s); // s doesn't move from here on

#endif
