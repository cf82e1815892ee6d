// SPDX-License-Identifier: Apache-2.0
// Which program an engine is: what the pool's settings say, else a label engine=KIND of the worker, else who its
// /v1/models says owns the models. What one of them takes another refuses, so of an engine that nothing is
// known of only what all take is asked.
#ifndef ROUTER_ENGINE_KIND_H
#define ROUTER_ENGINE_KIND_H

#include "router_pool.h"

// Never ROUTER_KIND_AUTO. w NULL: what the settings say.
enum router_engine_kind router_engine_kind_of(const struct router_pool *p,
                                              const struct router_worker *w);
// The label of an engine that has said that it is of this kind; NULL: none.
const char *router_engine_kind_label(enum engine_kind asked);
// As OpenTelemetry calls it: vllm, sglang, tensorrt_llm or other.
const char *router_engine_kind_name(enum router_engine_kind kind);

#endif
