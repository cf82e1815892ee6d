// SPDX-License-Identifier: Apache-2.0
// Where random tests take their decisions from: a seeded generator in the tests, the fuzzer's bytes in the
// fuzzer.
#ifndef UNIT_SOURCE_H
#define UNIT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unit_source {
    uint64_t state;
    const uint8_t *bytes; // NULL: the generator
    size_t left;
};

uint64_t unit_source_next(struct unit_source *s);
uint32_t unit_source_below(struct unit_source *s, uint32_t n); // 0..n-1, n >= 1
bool unit_source_chance(struct unit_source *s, unsigned percent);
bool unit_source_dry(const struct unit_source *s); // a fuzzer's bytes are used up

#endif
