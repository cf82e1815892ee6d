// SPDX-License-Identifier: Apache-2.0
// Predictions: the blocks of a booking, which count as held on its instance for a time.
#ifndef CORE_PREDICTION_H
#define CORE_PREDICTION_H

#include "pool_state.h"

// of: the live request whose booking it is, NULL if it has ended. number: of the booking.
enum kvr_err core_prediction_add(struct kvr_pool *p, uint32_t instance, const uint64_t *hashes,
                                 size_t n, int64_t until, uint64_t number, struct core_request *of);
void core_prediction_end(struct kvr_pool *p, struct core_prediction *f);
void core_predictions_cap(struct kvr_pool *p,
                          uint32_t instance); // the newest stay, up to its capacity
void core_predictions_drop(struct kvr_pool *p, uint32_t instance); // all of them

#endif
