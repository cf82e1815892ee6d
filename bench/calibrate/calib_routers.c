// SPDX-License-Identifier: Apache-2.0
// The table of routers; see calib_routers.h.
//
// With events the pool's blocks are of token ids, so the router asks an engine for those of a text.
#include "calib_routers.h"

static const struct calib_setup predict = {"POLICY delay PREDICT 600000", "text", false, false},
                                told = {"POLICY delay PREDICT 600000", "text", false, true},
                                ids = {"POLICY delay PREDICT 600000", "tokenize", false, true},
                                events = {"POLICY delay", "tokenize", true, true},
                                both = {"POLICY delay PREDICT 600000", "tokenize", true, true};

const struct calib_router calib_routers[] = {
    {"predict", "kvroute-router --engine", &predict, NULL, NULL, "own", true, true},
    {"told", "the same, which knows capacities", &told, NULL, NULL, "own", true, false},
    {"ids", "the same, which asks for token ids", &ids, NULL, NULL, "own", false, false},
    {"events", "kvroute-router and kvroute-bridge", &events, NULL, NULL, "events", false, false},
    {"both", "the same with PREDICT", &both, NULL, NULL, "both", false, false},
    {"smg", "smg, cache_aware", NULL, "smg", "launch", "smg", true, false},
    {"sglang-router", "sglang-router, cache_aware", NULL, "sglang-router", "launch", "cache-aware",
     true, false},
    {"vllm-router", "vllm-router, cache_aware", NULL, "vllm-router", NULL, "vllm-router", true,
     false},
};
const size_t calib_router_count = sizeof calib_routers / sizeof *calib_routers;
