// SPDX-License-Identifier: Apache-2.0
// Sessions: where the last booking of each went.
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include "pool_state.h"

struct core_session *core_session_find(const struct kvr_pool *p,
                                       struct kvr_bytes name); // of any instance
bool core_session_valid(const struct kvr_pool *p,
                        const struct core_session *s); // its instance is there
bool core_session_lasts(const struct kvr_pool *p, const struct core_session *s,
                        int64_t now); // its time isn't over

// The session of that name, to be booked by core_session_book: one that is known, or a new one. NULL without
// memory. A new one that isn't booked and has no live request is ended by core_session_drop.
struct core_session *core_session_take(struct kvr_pool *p, struct kvr_bytes name);
void core_session_book(struct kvr_pool *p, struct core_session *s, uint32_t instance, int64_t at,
                       uint64_t number);
void core_session_join(struct kvr_pool *p, struct core_request *r);  // one live request more
void core_session_leave(struct kvr_pool *p, struct core_request *r); // and one less
// How many of its requests are live, up to max. O(them) while dropped ones are swept.
uint64_t core_session_live(const struct kvr_pool *p, const struct core_session *s, uint64_t max);
void core_session_drop(struct kvr_pool *p, struct core_session *s); // frees it unless it is needed

// Forgets those whose instance has gone, looking at `max` buckets at most. Whether more are left.
bool core_sessions_sweep(struct kvr_pool *p, size_t max);
// None counts as booked later than `now`: for kvr_renew_all. O(sessions).
void core_sessions_cap_time(struct kvr_pool *p, int64_t now);
const char *core_sessions_validate(const struct kvr_pool *p);
void core_sessions_free(struct kvr_pool *p);

#endif
