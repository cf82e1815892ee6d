// SPDX-License-Identifier: Apache-2.0
// What an engine's step costs, and the presets. Sources: docs/simulator.md.
//
//   seconds = fixed + prefill · tokens of prompts computed in it + decode · requests that decode
//           + kv · tokens of KV cache that these read + batch, if any decodes
//           + attention · pairs of a prompt token computed in it and a token before it
//
// An engine of speed x takes 1 / x of that.
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_model {
    const char *name, *what;
    double fixed, prefill, decode, kv; // seconds
    double batch;                      // seconds
    double attention;                  // seconds; 0: a token costs the same at every place
    uint32_t budget;                   // tokens a step at most, prompts and decoding together
    uint32_t running;                  // requests at most
    uint64_t capacity;                 // tokens of KV cache
    double transfer;                   // seconds for a token's KV cache from the host's memory
    double kv_bytes;                   // of a token's KV cache
    unsigned ports;                    // network ports that it is moved over at a time
    bool preempt;                      // output gets its room as it comes
};

enum { SIM_MODELS = 4 };
extern const struct sim_model sim_models[SIM_MODELS];

const struct sim_model *sim_model_find(const char *name); // NULL: none of that name

// Turns the cost of attention on. The model has one of the presets' names.
void sim_model_attend(struct sim_model *m);
// Makes everything take 1 / speed of the time.
void sim_model_speed(struct sim_model *m, double speed);

static inline double sim_model_step(const struct sim_model *m, uint32_t prefill, uint32_t decoding,
                                    uint64_t kv, double pairs) {
    return m->fixed + m->prefill * prefill + m->decode * decoding + m->kv * (double)kv +
           m->attention * pairs + (decoding ? m->batch : 0);
}

#endif
