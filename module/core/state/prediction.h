// SPDX-License-Identifier: Apache-2.0
// Predictions: the blocks of a booking, which count as held on its instance for a time.
#ifndef CORE_PREDICTION_H
#define CORE_PREDICTION_H

#include "pool_state.h"

// Whatever is above the capacity stays until core_predictions_cap: so that more can fail after it.
// of: the live request whose booking it is, NULL if it has ended. of_leg: of its prompt, which is computed here.
// number: of the booking.
enum kvr_err core_prediction_add(struct kvr_pool *p, uint32_t instance, const uint64_t *hashes,
                                 size_t n, int64_t until, uint64_t number, struct core_request *of,
                                 bool of_leg);
void core_prediction_end(struct kvr_pool *p, struct core_prediction *f);
void core_predictions_cap(struct kvr_pool *p,
                          uint32_t instance); // the newest stay, up to its capacity
// All of the instance's, which counts at once; core_predictions_sweep frees them. The caller refreshes the instance.
void core_predictions_drop(struct kvr_pool *p, uint32_t instance);
// Some `max` units of work. Whether more is left.
bool core_predictions_sweep(struct kvr_pool *p, size_t max);
void core_predictions_free(struct kvr_pool *p); // the memory of all of them
const char *core_predictions_validate(const struct kvr_pool *p);

#endif
