// SPDX-License-Identifier: Apache-2.0
// One simulated engine: continuous batching with chunked prefill, and a cache of KV blocks.
//
// An engine works in steps. In each, every decoding request gets one token, and what is left of the
// token budget goes to prompts, first come first served: the one that is under way, then those that
// wait. A prompt that is longer than what is left is computed in chunks, one a step.
//
// With preemption (model.preempt, as vLLM schedules) a request begins when there is room for its prompt and
// one token, and each block of its output is taken when it is needed. When there is none left, the request
// that began last lets go of all that it has; it is the first to begin again, and then computes its prompt
// and what it had put out. What the cache has kept of the prompt it finds there.
//
// With a second tier, blocks that are evicted go to the host's memory. What a request finds there it doesn't
// compute, but waits until it has been loaded; one transfer at a time, while others go on.
//
// Of a pair of engines the one computes the prompt, the other puts out the answer. The first one promises room for the
// prompt alone and keeps it, computed, until it is let go (sim_engine_let_go); while it is only kept it takes none
// of the places of those that run. The second promises room for the whole life, takes that of the prompt when it begins
// to receive what it lacks, and then computes the prompt's last token. What its second tier has it receives
// all the same. When it is told that nothing will come it computes what it lacks.
//
// Else a request begins when there is room for its whole life: blocks for its prompt and its output, less
// those of its first blocks that are cached. Else it waits, and all behind it; so what runs is never
// interrupted. It takes them as it needs them; until then what was there stays. What the cache has isn't
// computed, but the last token always is. Full blocks of the prompt can be shared from the end of the
// step that computes them, those of the output from the end of the request.
#ifndef SIM_ENGINE_H
#define SIM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/common/bench_workload.h"
#include "engine_model.h"
#include "kv_cache.h"

struct sim_engine;

// What of a request an engine does.
enum sim_part { SIM_ALL, SIM_PROMPT, SIM_ANSWER };

// Blocks that an engine has put into its cache: those of a request from `from` up to `to`.
struct sim_stored {
    uint32_t request, from, to;
};

// What a step has changed. The arrays last until the next step begins.
struct sim_step {
    double seconds, work;         // work: without what every step takes; nothing if it only waited
    uint32_t prefill, decoding;   // tokens of prompts; requests that got a token
    const uint32_t *first, *done; // requests that got their first token; their last
    size_t n_first, n_done;
    const uint64_t *removed; // evicted before the step
    size_t n_removed;
    const struct sim_stored *stored; // in order; after what was removed
    size_t n_stored;
    const struct sim_moved *moved; // in the second tier, in order; before the step
    size_t n_moved;
    const uint32_t *preempted, *resumed; // before the step; those that got a token again
    size_t n_preempted, n_resumed;
    const uint32_t *kept; // requests whose prompts are computed and kept for another engine
    size_t n_kept;
};

// A request that an engine began to compute.
struct sim_begun {
    uint32_t request;
    uint32_t hits;   // of its blocks, in the cache
    uint32_t loaded; // of these, in the second tier only
    enum sim_part part;
    uint32_t lacks; // SIM_ANSWER: tokens of the prompt that it receives; 0: it goes on at once
};

// What an engine's metrics would say.
struct sim_engine_metrics {
    uint32_t requests; // running and waiting
    uint32_t waiting;
    uint64_t
        prompt_tokens; // of these, not computed yet; what is cached of waiting ones isn't known
    uint64_t blocks;   // reserved or in use
    uint64_t
        filled; // in use, with the outputs so far: what engines report that reserve nothing ahead
};

// host: blocks of the second tier, 0: there is none.
struct sim_engine *sim_engine_new(const struct sim_model *m, const struct bench_workload *load,
                                  size_t blocks, size_t host);
void sim_engine_free(struct sim_engine *e);
// The request waits. It must fit: sim_engine_fits.
void sim_engine_add(struct sim_engine *e, uint32_t request, enum sim_part part);
bool sim_engine_fits(const struct bench_workload *load, uint32_t request, size_t blocks);
// A kept prompt is wanted no more: its blocks stay, but may be evicted.
void sim_engine_let_go(struct sim_engine *e, uint32_t request);
// A SIM_ANSWER that receives has got what it lacked. Otherwise nothing comes, whether it receives or still
// waits, and it computes that itself. It goes on with the next step.
void sim_engine_received(struct sim_engine *e, uint32_t request, bool got);
// Composes the next step. False: nothing to do. *begun (room in the engine) is what it takes up.
bool sim_engine_begin(struct sim_engine *e, double *seconds, const struct sim_begun **begun,
                      size_t *n_begun);
// Ends the step.
void sim_engine_end(struct sim_engine *e, struct sim_step *out);
struct sim_engine_metrics sim_engine_load(const struct sim_engine *e);
const struct sim_host *sim_engine_host(const struct sim_engine *e); // NULL: no second tier
const struct sim_kv *sim_engine_kv(const struct sim_engine *e);
// Every request that waits or runs, in any order; returns how many. out may be NULL.
size_t sim_engine_requests(const struct sim_engine *e, uint32_t *out);
const char *sim_engine_validate(const struct sim_engine *e);

#endif
