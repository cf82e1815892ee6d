// SPDX-License-Identifier: Apache-2.0
// The fake pool's queue: who waits for room, in the order of their coming, and who was admitted and hasn't been
// asked for yet. Just enough of the module's for a client to be tested with: one class, no shares.
#ifndef FAKE_QUEUE_H
#define FAKE_QUEUE_H

#include "fake_parts.h"

// SELECT's answer to a request that isn't live: it is booked (true, nothing is said yet), or waits or is refused.
bool fake_queue_select(struct fake_pool *p, const struct fake_word *argv, size_t argc,
                       struct fake_buf *out);
// Its owner has come for what was admitted.
void fake_queue_came(struct fake_pool *p, struct fake_request *r);
bool fake_queue_drop(struct fake_pool *p, struct fake_word id); // it doesn't wait any more
// Ends what is over, and admits as far as there is room. Where it is left to time, the server calls it now and then.
void fake_queue_tick(struct fake_pool *p);
bool fake_queue_has_time(const struct fake_pool *p); // something of it may end by itself
void fake_queue_renew(struct fake_pool *p);          // as a new primary does

// QUEUE, CLASS and FLOW.
void fake_queue_answer(struct fake_pool *p, const struct fake_word *argv, size_t argc,
                       struct fake_buf *out);

#endif
