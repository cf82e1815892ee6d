// SPDX-License-Identifier: Apache-2.0
// What an engine is called; see mock_life.h.
#include "mock_life.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <kvroute/hash.h>

uint64_t mock_life_of(const struct mock_engine *m, uint32_t rank) {
    uint64_t words[] = {m->options->seed, m->lives, rank};
    return XXH3_64bits(words, sizeof words);
}

void mock_engine_id(const struct mock_engine *m, size_t rank, char out[MOCK_ENGINE_ID_SIZE]) {
    uint64_t a = mock_life_of(m, MOCK_MAX_RANKS), b = mock_life_of(m, MOCK_MAX_RANKS + 1);
    int n = snprintf(out, MOCK_ENGINE_ID_SIZE, "%08x-%04x-4%03x-a%03x-%012" PRIx64,
                     (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff),
                     (unsigned)(b >> 52), b & 0xffffffffffff);
    if (m->options->ranks > 1) snprintf(out + n, MOCK_ENGINE_ID_SIZE - (size_t)n, "_dp%zu", rank);
}

bool mock_engine_has_id(const struct mock_engine *m, const char *id) {
    char own[MOCK_ENGINE_ID_SIZE];
    for (size_t i = 0; i < m->options->ranks; i++) {
        mock_engine_id(m, i, own);
        if (strcmp(own, id) == 0) return true;
    }
    return false;
}

bool mock_is_sglang(const struct mock_engine *m) {
    return !strncmp(m->options->engine.schema->name, "sglang", 6);
}
