// SPDX-License-Identifier: Apache-2.0
// What an engine's step costs, and the presets. Sources: docs/simulator.md.
//
//   seconds = fixed + prefill · tokens of prompts computed in it + decode · requests that decode
//           + kv · tokens of KV cache that these read
#ifndef FLEET_MODEL_H
#define FLEET_MODEL_H

#include <stddef.h>
#include <stdint.h>

struct model {
    const char *name, *what;
    double fixed, prefill, decode, kv; // seconds
    uint32_t budget;                   // tokens a step at most, prompts and decoding together
    uint32_t running;                  // requests at most
    uint64_t capacity;                 // tokens of KV cache
};

enum { MODELS = 3 };
extern const struct model models[MODELS];

const struct model *model_find(const char *name); // NULL: none of that name

static inline double model_step(const struct model *m, uint32_t prefill, uint32_t decoding,
                                uint64_t kv) {
    return m->fixed + m->prefill * prefill + m->decode * decoding + m->kv * (double)kv;
}

#endif
