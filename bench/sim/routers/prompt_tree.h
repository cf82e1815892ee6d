// SPDX-License-Identifier: Apache-2.0
// What one router has sent where: the tree of prompts that text routers keep (sglang-router, vllm-router,
// smg). One tree for all engines; each node is a stretch of text, and knows whom that was sent to.
//
//   w0 was sent "a b c", then w1 "a b d":      (a b) w0 w1 ─┬─ (c) w0
//                                                           └─ (d) w1
//
// There a node's text is characters, here it is the load's blocks: two prompts share a block or part before
// it. What is left of a prompt after its last full block is like no other's. A node's length is in tokens.
// So a match here can end up to a block too early, and never by chance a few characters too late.
//
// When a node is parted, both parts keep whom it was sent to and the one who brought it. A search goes down
// as far as texts agree, also into part of a node; that node says who holds what was matched.
#ifndef SIM_PROMPT_TREE_H
#define SIM_PROMPT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/common/bench_workload.h"

enum { SIM_MAX_HOLDERS = 8 }; // so many at most are told of a match

struct sim_prompts;

struct sim_match {
    uint64_t tokens;                   // how much of the prompt
    uint32_t owner;                    // who brought that text first, of those who still hold it
    uint32_t holders[SIM_MAX_HOLDERS]; // in the order in which they got it
    size_t n_holders;                  // 0 if nothing matches
};

struct sim_prompts *sim_prompts_new(const struct bench_workload *load, uint32_t workers);
void sim_prompts_free(struct sim_prompts *t);
// The longest match of a request's prompt. Not const: one of eight counts as a use, as in the originals,
// which save themselves the rest.
struct sim_match sim_prompts_find(struct sim_prompts *t, uint32_t request);
void sim_prompts_insert(struct sim_prompts *t, uint32_t request, uint32_t worker);
// Forgets the leaves used longest ago until each worker, or all together, have at most so many tokens.
void sim_prompts_evict(struct sim_prompts *t, uint64_t tokens, bool each);
void sim_prompts_forget(struct sim_prompts *t, uint32_t worker);
uint64_t sim_prompts_size(const struct sim_prompts *t, uint32_t worker); // tokens
const char *sim_prompts_validate(const struct sim_prompts *t);           // NULL, or what is wrong

#endif
