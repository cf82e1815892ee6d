// SPDX-License-Identifier: Apache-2.0
// Moving KV caches from the engines that compute prompts to those that put out the answers.
//
//   seconds = fixed + tokens · bytes a token / (ports · rate)
//
// From one engine to another transfers come one after the other, each at the full rate; the fixed part keeps nobody up.
// What other engines send or get meanwhile doesn't count. Engines of different racks are joined by a rate that
// is `across` times as high.
#ifndef SIM_TRANSFERS_H
#define SIM_TRANSFERS_H

#include "sim_plan.h"

// How far a request is that two engines serve.
enum sim_stage {
    SIM_NOT_MOVED, // one engine serves it
    SIM_COMPUTING, // its prompt is computed, or on its way to be
    SIM_KEPT,      // it is computed, and kept until the other engine begins to receive it
    SIM_MOVING,
    SIM_MOVED, // the other engine has it, or computes it itself
};

struct sim_pair {
    uint32_t prefill; // the engine that computes the prompt
    enum sim_stage stage;
    bool told; // its router knows that the prompt is computed
};

struct sim_links {
    const struct sim_network *network;
    unsigned workers;
    double *free_at; // by sender and receiver: when the last transfer so far is through
};

void sim_links_open(struct sim_links *l, const struct sim_network *n, unsigned workers);
void sim_links_close(struct sim_links *l);
// Seconds for a token's KV cache between two engines of such models at the full rate.
double sim_transfer_token(const struct sim_network *n, const struct sim_model *from,
                          const struct sim_model *to, bool across);
// A transfer of so many seconds at the full rate begins when it can. When it is through.
double sim_links_move(struct sim_links *l, double now, uint32_t from, uint32_t to, double seconds);
// Whether the engines are in different racks.
bool sim_racks_differ(const struct sim_network *n, uint32_t a, uint32_t b);

#endif
