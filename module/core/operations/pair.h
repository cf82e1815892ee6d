// SPDX-License-Identifier: Apache-2.0
// Pairs: the prompt is computed by one instance, the answer by another, chosen together.
//
//   cost(i, j) = prefill(i) + decode(j) + move · (tokens that j lacks)        i ≠ j
//   cost(j, j) = the rule's cost of j, at most prefill(j) + decode(j)         j computes the prompt by itself
//
// where move is PREFILL · w · TRANSFER / BLOCKSIZE, a tenth of it between workers that share a `link=…` label, and w
// as in the delay rule, 1 in linear. A j that lacks no more than LOCALPREFILL tokens always computes them by itself.
//
// The least of all pairs is found without trying them all: for a j, the best i is the one with the least prefill(i) of
// all, or of those with one of j's links; where that is j, nobody else is better, as cost(j, j) has no move. So it takes O(instances + links · log links).
#ifndef CORE_PAIR_H
#define CORE_PAIR_H

#include "module/core/state/pool_state.h"

// After core_choose_compute, with the cost infinite of all that aren't eligible: keeps what each would cost in either
// part.
void core_pair_prepare(struct kvr_pool *p);
// Makes each instance's cost that of the best pair that it decodes in; infinite where there is none. percent: of
// the limits of the prefilling instance that the request may use; negative: room doesn't matter. Room of the
// decoding instance is the caller's. isl: of the request. move: as above, for one token.
void core_pair_costs(struct kvr_pool *p, double isl, double percent, double move);
// Where the prompt is computed if `decode` is chosen; CORE_NO_INSTANCE: there.
uint32_t core_pair_prefill(const struct kvr_pool *p, uint32_t decode);
// What moving the prompt's KV from there adds to the cost; 0 where nothing is moved. isl and move as above.
double core_pair_transfer(const struct kvr_pool *p, uint32_t decode, double isl, double move);

#endif
