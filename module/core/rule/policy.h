// SPDX-License-Identifier: Apache-2.0
// Scoring rules: plain arrays in, costs out.
//
// A rule is one entry of kvr_policies and one function, a loop over arrays without branches or calls,
// so that the compiler vectorises it. Instance i is described by element i of every array.
#ifndef CORE_POLICY_H
#define CORE_POLICY_H

#include <stdbool.h>
#include <stddef.h>

struct kvr_policy_in {
    size_t n;                     // instances
    const double *credit;         // blocks of the request held, each by its tier's credit
    const double *prefill_tokens; // queued on the instance
    const double *queue;          // of these, what it still has to compute, by the measured speed
    const double *decode_blocks;  // live on the instance
    const double *live_prefix;    // blocks of the request that are live on it from the start
    const double *begun;    // the same, and what is computed there for another; NULL: the same
    const double *requests; // live on the instance
    const double *pace;     // ms that the instance takes for a token, 1: as the fleet does
    const double *full;     // share of its cache that is in use, 0 to 1
    double blocks, isl, block_size; // of the request; tokens a block
    double overlap_weight, prefill_weight, requests_weight;
    double output;       // tokens that the request is expected to put out
    double first_weight; // a second before the first token against a second between tokens
    double arrivals;     // bookings an instance gets while a token of its queue is computed
    double reuse;        // share of prompts that is found in a cache
    bool exact;          // costs aren't rounded
};

// The same of one instance: what any rule may read of it.
struct kvr_policy_row {
    double credit, prefill_tokens, queue, decode_blocks, live_prefix, begun, requests, pace, full;
};
struct kvr_policy_row kvr_policy_row_of(const struct kvr_policy_in *in, size_t i);

enum { KVR_MAX_TERMS = 8 };

struct kvr_policy {
    const char *name; // lower case
    const char *summary;
    void (*cost)(const struct kvr_policy_in *in, double *cost);
    // Of a pair, whose prompt one instance computes and whose answer another: what either part costs.
    void (*parts)(const struct kvr_policy_in *in, double *prefill, double *decode);
    // What the cost of instance i is made of: `terms` says how many, and how they are called. They add up to
    // the cost but for rounding. Of what the rule reads: the prompt's tokens that it counts as there.
    void (*explain)(const struct kvr_policy_in *in, size_t i, double values[KVR_MAX_TERMS],
                    double *known);
    const char *terms[KVR_MAX_TERMS + 1]; // in the order of values; NULL behind the last
    bool measured;                        // reads queue and pace, which otherwise aren't computed
};

enum { KVR_LINEAR, KVR_DELAY }; // their places in the table
extern const struct kvr_policy kvr_policies[];
extern const size_t kvr_policy_count;

// Index of a policy by its name in any case, or -1.
int kvr_policy_find(const char *name, size_t len);

#endif
