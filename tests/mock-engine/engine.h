// SPDX-License-Identifier: Apache-2.0
// The scheduler of one rank: continuous batching with chunked prefill over a paged cache.
//
// The engine works in steps that take their time. In each, every request that decodes gets one token,
// and what is left of the token budget goes to prompts, first come first served. A request begins
// when there is room for its whole life, so what runs is never interrupted; else it waits, and all
// behind it. Blocks are taken, and others evicted for them, when they are needed; they can be shared
// from the end of the step that fills them. What a step has changed is one batch of events.
//
// The second tier is only told of: what is in it is computed anew like everything else. It keeps what
// was computed longest, a sequence's last block goes first.
//
// As in vLLM, the last token of a prompt is always computed, and the last token of an answer never is.
#ifndef MOCK_ENGINE_H
#define MOCK_ENGINE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blocks.h"
#include "events.h"
#include "publish.h"
#include "tokens.h"

struct engine_config {
    size_t blocks, block_size;
    size_t cpu_blocks; // of a second tier that everything computed is copied to; 0: there is none
    size_t max_running, max_batch_tokens;
    double prefill_speed, decode_speed; // tokens per second: of all prompts; of each answer
    double time_scale;                  // so many times faster; 0: as fast as it goes
    const struct schema *schema;
    bool binary, noise;
};

struct engine;

// What an engine tells of a request: token i of the answer is there. After the last one the job is gone.
typedef void engine_token(void *ctx, uint64_t i, bool last);

struct engine_request {
    const struct tokens *prompt; // copied; at least one
    uint64_t max_tokens;         // at least one
    struct events_names names;   // must outlive the job
    engine_token *token;
    void *ctx;
};

struct job;

struct engine_count {
    size_t running, waiting;
    size_t pending; // events of a step that isn't over
    struct blocks_count blocks;
    uint64_t queries, hits; // tokens of prompts asked for in the cache, and found
    uint64_t prompt_tokens, answer_tokens, steps;
    double planned, taken; // seconds of all steps: as they should have been, and as they were
};

// publisher may be NULL. life: of the engine's hashes, another for each life.
struct engine *engine_new(struct event_base *base, const struct engine_config *config,
                          uint32_t rank, struct publisher *publisher, uint64_t life);
void engine_free(struct engine *e); // without telling those that run
bool engine_fits(const struct engine *e, size_t prompt_tokens, uint64_t max_tokens);
struct job *engine_submit(struct engine *e, const struct engine_request *r);
size_t job_cached(const struct job *j); // tokens of the prompt found in the cache
void engine_cancel(struct engine *e, struct job *j);
// Puts a prompt into the cache and publishes at once, as if it had been computed.
void engine_warm(struct engine *e, const struct tokens *prompt);
bool engine_reset(struct engine *e); // vLLM's reset_prefix_cache; false: blocks are in use
// A new life: nothing is cached, another name for every block. Nothing may be running.
// cleared: says so in its first batch.
void engine_restart(struct engine *e, uint64_t life, bool cleared);
void engine_hang(struct engine *e, bool hangs); // no step begins or ends
struct engine_count engine_count(const struct engine *e);
const struct blocks *engine_blocks(const struct engine *e);
const struct blocks *engine_cpu(const struct engine *e); // NULL: there is none

#endif
