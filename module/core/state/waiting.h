// SPDX-License-Identifier: Apache-2.0
// Those who wait: by id, with all that they asked for, and their deadlines.
#ifndef CORE_WAITING_H
#define CORE_WAITING_H

#include "pool_state.h"

struct core_waiting *core_waiting_find(const struct kvr_pool *p, struct kvr_bytes id); // or NULL
// Adds one that waits since `since`, with the arrival `number`, behind all of its line. q is copied; its isl isn't
// -1. KVR_NOCLASS, KVR_NOMEM.
enum kvr_err core_waiting_add(struct kvr_pool *p, int64_t since, uint64_t number,
                              struct kvr_bytes id, const struct kvr_query *q, int64_t lease,
                              struct core_waiting **out);
// Ends it: served as for core_line_remove.
void core_waiting_end(struct kvr_pool *p, struct core_waiting *w, int64_t served);
// Another channel to tell. KVR_NOMEM.
enum kvr_err core_waiting_notify(struct kvr_pool *p, struct core_waiting *w,
                                 struct kvr_bytes channel);

bool core_notify_differs(const struct core_waiting *w,
                         struct kvr_bytes channel); // one is named, and it is another

// An instance is kept for w, or no longer.
void core_waiting_hold(struct kvr_pool *p, struct core_waiting *w, uint32_t instance);
void core_waiting_let_go(struct kvr_pool *p, struct core_waiting *w);

int core_queue_start(struct kvr_pool *p); // 0, or -1 without memory
void core_queue_free(struct kvr_pool *p);
// Nobody counts as waiting since later than `now`: for kvr_renew_all. O(those who wait).
void core_waiting_cap_time(struct kvr_pool *p, int64_t now);
const char *core_waiting_validate(const struct kvr_pool *p);

#endif
