// SPDX-License-Identifier: Apache-2.0
// What an engine is called, in one life and the next.
#ifndef MOCK_LIFE_H
#define MOCK_LIFE_H

#include "mock_engine.h"

// Another number for every rank and in every life: of the engine's names of blocks.
uint64_t mock_life_of(const struct mock_engine *m, uint32_t rank);

enum { MOCK_ENGINE_ID_SIZE = 60 };
// As other engines know it; with several ranks each has its own.
void mock_engine_id(const struct mock_engine *m, size_t rank, char out[MOCK_ENGINE_ID_SIZE]);
bool mock_engine_has_id(const struct mock_engine *m, const char *id); // one of its ranks has
bool mock_is_sglang(const struct mock_engine *m);                     // or one of vLLM's sort

#endif
