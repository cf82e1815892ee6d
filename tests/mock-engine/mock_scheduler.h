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
//
// A prompt that another engine computes has its blocks here from its beginning on, and takes no step
// until what it waits for is there (`loading`). One that is computed for another engine keeps its
// blocks after its last token (`keep`), until the job is cancelled.
#ifndef MOCK_SCHEDULER_H
#define MOCK_SCHEDULER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mock_blocks.h"
#include "mock_events.h"
#include "mock_publish.h"
#include "mock_tokens.h"

struct mock_scheduler_config {
    size_t blocks, block_size;
    size_t cpu_blocks; // of a second tier that everything computed is copied to; 0: there is none
    size_t max_running, max_batch_tokens;
    double prefill_speed, decode_speed; // tokens per second: of all prompts; of each answer
    double time_scale;                  // so many times faster; 0: as fast as it goes
    const struct mock_schema *schema;
    bool binary, noise;
};

struct mock_scheduler;

struct mock_job;

// What an engine tells of a request: token i of the answer is there. After the last one the job is gone,
// unless it keeps its blocks.
typedef void mock_token_callback(void *ctx, uint64_t i, uint32_t id, bool last);
// Which token is the next; *ends: the last one. Without it answers are those of mock_answer_token.
typedef uint32_t mock_next_callback(void *ctx, uint64_t i, bool *ends);
// The job has its blocks, `cached` tokens of it were here. It may come before mock_scheduler_submit
// returns, and must not end a job.
typedef void mock_began_callback(void *ctx, struct mock_job *j, size_t cached);

struct mock_request {
    const struct mock_tokens *prompt; // copied; at least one
    uint64_t max_tokens;              // at least one
    struct mock_events_names names;   // must outlive the job
    mock_token_callback *token;
    mock_next_callback *next;   // or NULL
    mock_began_callback *began; // or NULL
    void *ctx;
    bool loading; // until mock_scheduler_loaded; then `began` isn't NULL
    bool keep;
};

struct mock_scheduler_count {
    size_t running, waiting;
    size_t kept;    // jobs that are over and have their blocks
    size_t pending; // events of a step that isn't over
    struct mock_blocks_count blocks;
    uint64_t queries, hits; // tokens of prompts asked for in the cache, and found
    uint64_t prompt_tokens, answer_tokens, steps;
    double planned, taken; // seconds of all steps: as they should have been, and as they were
};

// publisher may be NULL. life: of the engine's hashes, another for each life.
struct mock_scheduler *mock_scheduler_new(struct event_base *base,
                                          const struct mock_scheduler_config *config, uint32_t rank,
                                          struct mock_publisher *publisher, uint64_t life);
void mock_scheduler_free(struct mock_scheduler *e); // without telling those that run
bool mock_scheduler_fits(const struct mock_scheduler *e, size_t prompt_tokens, uint64_t max_tokens);
struct mock_job *mock_scheduler_submit(struct mock_scheduler *e, const struct mock_request *r);
size_t mock_job_cached(const struct mock_job *j); // tokens of the prompt found in the cache
void mock_scheduler_cancel(struct mock_scheduler *e, struct mock_job *j);
// The job's first `tokens` tokens have come from elsewhere, or as many as were cached: no more than that.
void mock_scheduler_loaded(struct mock_scheduler *e, struct mock_job *j, size_t tokens);
// The job is over, and keeps its blocks. Within its token callback, too.
void mock_scheduler_keep(struct mock_scheduler *e, struct mock_job *j);
// Puts a prompt into the cache and publishes at once, as if it had been computed.
void mock_scheduler_warm(struct mock_scheduler *e, const struct mock_tokens *prompt);
bool mock_scheduler_reset(
    struct mock_scheduler *e); // vLLM's reset_prefix_cache; false: blocks are in use
// A new life: nothing is cached, another name for every block. Nothing may be running.
// cleared: says so in its first batch.
void mock_scheduler_restart(struct mock_scheduler *e, uint64_t life, bool cleared);
void mock_scheduler_hang(struct mock_scheduler *e, bool hangs); // no step begins or ends
struct mock_scheduler_count mock_scheduler_counts(const struct mock_scheduler *e);
const struct mock_blocks *mock_scheduler_blocks(const struct mock_scheduler *e);
const struct mock_blocks *mock_scheduler_cpu(const struct mock_scheduler *e); // NULL: there is none

#endif
