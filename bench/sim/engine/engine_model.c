// SPDX-License-Identifier: Apache-2.0
// Presets; see engine_model.h.
#include "engine_model.h"

#include <string.h>

// KV: bytes a token ÷ 0.7 of the memory bandwidth of the GPUs.
//   8 B: 131,072 B ÷ (0.7 · 3.35 TB/s)     70 B: 327,680 B ÷ (0.7 · 4 · 3.35 TB/s)
//   671 B: 70,272 B ÷ (0.7 · 8 · 4.8 TB/s)
// Transfer: bytes a token ÷ 50 GB/s of each GPU's PCIe 5.0; latent attention isn't split over GPUs. Ports: a GPU
// has one, and moves its part of a token.
// Capacity: what 0.9 of the GPUs' memory leaves beside the weights, in tokens.
const struct sim_model sim_models[SIM_MODELS] = {
    {
        .name = "small",
        .what = "Llama 3.1 8B on an H100",
        .fixed = 5.75e-3,
        .prefill = 17.25e-6,
        .decode = 6.0e-6,
        .kv = 0.056e-6,
        .budget = 2048,
        .running = 256,
        .capacity = 400000,
        .transfer = 2.6e-6,
        .kv_bytes = 131072,
        .ports = 1,
    },
    {
        .name = "middle",
        .what = "Llama 3.3 70B on four H100",
        .fixed = 12.6e-3,
        .prefill = 76.4e-6,
        .decode = 66.8e-6,
        .kv = 0.035e-6,
        .budget = 2048,
        .running = 256,
        .capacity = 420000,
        .transfer = 1.6e-6,
        .kv_bytes = 327680,
        .ports = 4,
    },
    {
        .name = "large",
        .what = "DeepSeek V3 on eight H200",
        .fixed = 25e-3,
        .prefill = 36e-6,
        .decode = 100e-6,
        .kv = 0.0026e-6,
        .budget = 4096,
        .running = 512,
        .capacity = 3600000,
        .transfer = 1.4e-6,
        .kv_bytes = 70272,
        .ports = 1,
    },
    {
        .name = "mock",
        .what = "the mock engine",
        .prefill = 1.0 / 8000,
        .batch = 1.0 / 50,
        .budget = 2048,
        .running = 64,
        .capacity = 262144,
        .kv_bytes = 131072,
        .ports = 1,
    },
};

// Operations of attention for each pair of tokens ÷ 640 T/s for each GPU:
//   8 B: 4 · 32 layers · 32 heads · 128     70 B: 4 · 80 · 64 · 128, four GPUs
//   671 B: 2 · 61 · 128 · (192 + 128), eight
static const double attention[SIM_MODELS] = {0.82e-9, 1.02e-9, 0.98e-9};

void sim_model_attend(struct sim_model *m) {
    m->attention = attention[sim_model_find(m->name) - sim_models];
}

void sim_model_speed(struct sim_model *m, double speed) {
    m->fixed /= speed;
    m->prefill /= speed;
    m->decode /= speed;
    m->kv /= speed;
    m->batch /= speed;
    m->attention /= speed;
    m->transfer /= speed;
}

const struct sim_model *sim_model_find(const char *name) {
    for (size_t i = 0; i < SIM_MODELS; i++)
        if (!strcmp(sim_models[i].name, name)) return &sim_models[i];
    return NULL;
}
