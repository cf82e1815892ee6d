// SPDX-License-Identifier: Apache-2.0
#include "unit_source.h"

#include "client/common/random.h"

static uint64_t source_bytes(struct unit_source *s, size_t n) {
    uint64_t x = 0;
    for (size_t i = 0; i < n && s->left; i++, s->left--)
        x = x << 8 | *s->bytes++;
    return x;
}

uint64_t unit_source_next(struct unit_source *s) {
    if (s->bytes) return kvr_random_mix(source_bytes(s, 2) + 1);
    return kvr_random(&s->state);
}

uint32_t unit_source_below(struct unit_source *s, uint32_t n) {
    uint64_t x = s->bytes ? source_bytes(s, n <= 256 ? 1 : 2) : unit_source_next(s) >> 16;
    return (uint32_t)(x % n);
}

bool unit_source_chance(struct unit_source *s, unsigned percent) {
    return unit_source_below(s, 100) < percent;
}

bool unit_source_dry(const struct unit_source *s) {
    return s->bytes && !s->left;
}
