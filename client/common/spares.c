// SPDX-License-Identifier: Apache-2.0
#include "spares.h"

#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KVR_SPARES_KEEP 0
#endif
#endif
#if !defined(KVR_SPARES_KEEP) && defined(__SANITIZE_ADDRESS__)
#define KVR_SPARES_KEEP 0
#endif
#ifndef KVR_SPARES_KEEP
#define KVR_SPARES_KEEP 1
#endif

// In front of each piece.
struct kvr_spare {
    _Alignas(max_align_t) struct kvr_spare *next; // while it waits
    uint32_t steps;                               // its size; 0: larger than any that is kept
};

void kvr_spares_init(struct kvr_spares *s, const struct kvr_alloc *below) {
    *s = (struct kvr_spares){.below = *below};
}

void kvr_spares_free(struct kvr_spares *s) {
    for (size_t i = 0; i < KVR_SPARE_SIZES; i++)
        while (s->lists[i]) {
            struct kvr_spare *next = s->lists[i]->next;
            kvr_alloc_free(&s->below, s->lists[i]);
            s->lists[i] = next;
        }
    s->bytes = 0;
}

static uint32_t steps_of(size_t size) {
    return size > KVR_SPARE_MAX ? 0 : (uint32_t)((size + KVR_SPARE_STEP - 1) / KVR_SPARE_STEP);
}

static size_t whole_size(uint32_t steps, size_t size) {
    return sizeof(struct kvr_spare) + (steps ? steps * (size_t)KVR_SPARE_STEP : size);
}

static void *take(struct kvr_spares *s, size_t size) {
    uint32_t steps = steps_of(size);
    struct kvr_spare **list = steps ? &s->lists[steps - 1] : NULL, *piece = list ? *list : NULL;
    if (piece) {
        *list = piece->next;
        s->bytes -= whole_size(steps, 0);
        return piece + 1;
    }
    if (size > SIZE_MAX - sizeof *piece) return NULL;
    piece = s->below.resize(s->below.ctx, NULL, whole_size(steps, size));
    if (!piece) return NULL;
    piece->steps = steps;
    return piece + 1;
}

static void give(struct kvr_spares *s, struct kvr_spare *piece) {
    size_t whole = whole_size(piece->steps, 0);
    if (!KVR_SPARES_KEEP || !piece->steps || s->bytes + whole > KVR_SPARES_MAX) {
        kvr_alloc_free(&s->below, piece);
        return;
    }
    struct kvr_spare **list = &s->lists[piece->steps - 1];
    piece->next = *list;
    *list = piece;
    s->bytes += whole;
}

static void *regrow(struct kvr_spares *s, struct kvr_spare *piece, size_t size) {
    uint32_t steps = steps_of(size);
    if (KVR_SPARES_KEEP && steps && steps == piece->steps) return piece + 1;
    if (!steps && !piece->steps) {
        if (size > SIZE_MAX - sizeof *piece) return NULL;
        piece = s->below.resize(s->below.ctx, piece, whole_size(0, size));
        return piece ? piece + 1 : NULL;
    }
    void *fresh = take(s, size);
    if (!fresh) return NULL;
    size_t had = piece->steps * (size_t)KVR_SPARE_STEP;
    memcpy(fresh, piece + 1, piece->steps && had < size ? had : size);
    give(s, piece);
    return fresh;
}

static void *resize_spare(void *ctx, void *p, size_t size) {
    struct kvr_spares *s = ctx;
    if (!p) return size ? take(s, size) : NULL;
    struct kvr_spare *piece = (struct kvr_spare *)p - 1;
    if (size) return regrow(s, piece, size);
    give(s, piece);
    return NULL;
}

struct kvr_alloc kvr_spares_alloc(struct kvr_spares *s) {
    return (struct kvr_alloc){resize_spare, s};
}
