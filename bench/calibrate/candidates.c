// SPDX-License-Identifier: Apache-2.0
// The table of routers; see candidates.h.
//
// With events the pool's blocks are of token ids, so the router asks an engine for those of a text.
#include "candidates.h"

#include "bench/sim/routers.h"

static const struct rig_ours predict = {"POLICY delay PREDICT 600000", "text", false, false},
                             told = {"POLICY delay PREDICT 600000", "text", false, true},
                             ids = {"POLICY delay PREDICT 600000", "tokenize", false, true},
                             events = {"POLICY delay", "tokenize", true, true},
                             both = {"POLICY delay PREDICT 600000", "tokenize", true, true};

const struct candidate candidates[] = {
    {"predict", "kvroute-router --engine", &predict, NULL, NULL, &router_own, true, true},
    {"told", "the same, which knows capacities", &told, NULL, NULL, &router_own, true, false},
    {"ids", "the same, which asks for token ids", &ids, NULL, NULL, &router_own, false, false},
    {"events", "kvroute-router and kvroute-bridge", &events, NULL, NULL, &router_events, false,
     false},
    {"both", "the same with PREDICT", &both, NULL, NULL, &router_both, false, false},
    {"smg", "smg, cache_aware", NULL, "smg", "launch", &router_smg, true, false},
    {"sglang-router", "sglang-router, cache_aware", NULL, "sglang-router", "launch",
     &router_cache_aware, true, false},
    {"vllm-router", "vllm-router, cache_aware", NULL, "vllm-router", NULL, &router_vllm, true,
     false},
};
const size_t candidate_count = sizeof candidates / sizeof *candidates;
