// SPDX-License-Identifier: Apache-2.0
// Legs: where the prompts of pairs are computed.
#ifndef CORE_LEG_H
#define CORE_LEG_H

#include "pool_state.h"

// Gives r a leg on the instance, which weighs there: `tokens` of its prompt are to be computed. The caller puts it in
// the queue and refreshes the instance. predict_until, number: as for core_prediction_add. KVR_NOMEM.
enum kvr_err core_leg_add(struct kvr_pool *p, struct core_request *r, uint32_t instance,
                          const struct kvr_booking *b, int64_t tokens, uint64_t number);
// The same for one that is only remembered.
enum kvr_err core_leg_remember(struct kvr_pool *p, struct core_request *r, struct kvr_bytes worker,
                               uint32_t rank, uint32_t overlap, int64_t tokens);
// It weighs on nobody any more, and is out of the queue; r stays as it is otherwise.
void core_leg_stop(struct kvr_pool *p, struct core_request *r);
void core_leg_free(struct kvr_pool *p, struct core_request *r);             // its memory alone
bool core_leg_live(const struct kvr_pool *p, const struct core_request *r); // its instance is there
// The instance that b names, and how many of the prompt's tokens it lacks. CORE_NO_INSTANCE: b is of no pair.
// KVR_NOWORKER: it names one that isn't there.
enum kvr_err core_leg_find(struct kvr_pool *p, const struct kvr_booking *b, uint32_t *instance,
                           int64_t *tokens);
const char *core_legs_validate(const struct kvr_pool *p);

#endif
