// SPDX-License-Identifier: Apache-2.0
// What a choice books.
#ifndef CORE_BOOK_H
#define CORE_BOOK_H

#include "module/core/state/pool_state.h"

// The booking of q on the instance that was chosen, as s says of it; of a pair with the other one that follows from
// it. lease: -1 the pool's.
struct kvr_booking core_book_make(const struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                                  uint32_t instance, const struct kvr_pool_score *s, int64_t lease);
// Tells the circuits of the workers that b was booked on.
void core_book_circuits(struct kvr_pool *p, uint32_t instance, const struct kvr_booking *b,
                        int64_t at);
// Says what the flow's bucket holds afterwards; f may be NULL.
void core_book_left(const struct core_flow *f, struct kvr_booking *b);
// Counts a choice.
void core_book_count(struct kvr_pool *p, const struct kvr_query *q, const struct kvr_pool_score *s);

#endif
