// SPDX-License-Identifier: Apache-2.0
// Choosing: overlaps, loads and costs of all instances, and the least of them.
//
//     core_choose_compute(p, now, q);      the columns: what each instance has of the request, and the cost
//     core_choose_mask(p, now, q);         infinite: it isn't eligible
//     core_choose_without(p, q, i);        infinite: it is kept for another
//     core_choose_room(p, q, percent, true); infinite: it has no room
//     core_choose(p, now, q, random);
#ifndef CORE_CHOOSE_H
#define CORE_CHOOSE_H

#include "module/core/rule/policy.h"
#include "module/core/state/pool_state.h"

enum kvr_err core_query_check(const struct kvr_pool *p,
                              const struct kvr_query *q);                    // KVR_RANGE, KVR_LIMIT
int64_t core_query_isl(const struct kvr_pool *p, const struct kvr_query *q); // tokens

void core_choose_compute(struct kvr_pool *p, int64_t now, const struct kvr_query *q);
// After it, where the rule doesn't read what was measured: pace and queue all the same.
void core_choose_measure(struct kvr_pool *p, int64_t now);
// What the rule is told, after it.
struct kvr_policy_in core_choose_input(const struct kvr_pool *p, const struct kvr_query *q);
// Instead of it: all costs are 0, and nothing else is known.
void core_choose_uncompared(struct kvr_pool *p);
// Makes the cost infinite of all that aren't eligible, and of what fills the last lanes.
void core_choose_mask(struct kvr_pool *p, int64_t now, const struct kvr_query *q);
// Before core_choose_room: i is neither chosen, nor for either part of a pair.
void core_choose_without(struct kvr_pool *p, const struct kvr_query *q, uint32_t i);
// Makes the cost infinite of all without room for q, of a class that may use so many percent of the limits; of a pair, it is that of
// the best one with room. blocks: MAXBLOCKS counts as well.
void core_choose_room(struct kvr_pool *p, const struct kvr_query *q, double percent, bool blocks);
// How likely it is that one is drawn that costs `more` than the least, against that one; span: of the costs, times the
// temperature.
double core_choose_weight(double more, double span);
bool core_choose_any(const struct kvr_pool *p); // whether any cost is finite
// CORE_NO_INSTANCE: no cost is finite.
uint32_t core_choose(struct kvr_pool *p, int64_t now, const struct kvr_query *q, double random);
// Where the query's session went last; CORE_NO_INSTANCE: nowhere, or there is none. And by how much its cost may be above
// the least.
uint32_t core_choose_session(const struct kvr_pool *p, int64_t now, const struct kvr_query *q);
double core_choose_allowance(const struct kvr_pool *p, const struct kvr_query *q);
// Of moving a token's KV, beside the rule's costs.
double core_choose_move(const struct kvr_pool *p, const struct kvr_query *q);
// Whether q lets the worker be chosen, whatever state it is in: by names and labels.
bool core_choose_may(const struct kvr_pool *p, const struct core_worker *w,
                     const struct kvr_query *q);
int64_t core_choose_cached(const struct kvr_pool *p, const struct kvr_query *q,
                           uint32_t instance); // tokens that it need not compute
// What the columns say of an instance.
struct kvr_pool_score core_choose_score(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                                        uint32_t instance);

// For whoever goes through all workers: marks what q says of them, until it is called again with on false;
// between, core_choose_eligible tells. circuits: core_choose_circuits, asked once.
void core_choose_marks(struct kvr_pool *p, const struct kvr_query *q, bool on);
bool core_choose_circuits(const struct kvr_pool *p, int64_t now, const struct kvr_query *q);
bool core_choose_eligible(const struct kvr_pool *p, const struct core_worker *w, int64_t now,
                          const struct kvr_query *q, bool circuits);
enum kvr_reason core_choose_reason(const struct kvr_pool *p, const struct core_worker *w,
                                   int64_t now, const struct kvr_query *q, bool circuits);

#endif
