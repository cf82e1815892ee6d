// SPDX-License-Identifier: Apache-2.0
// Flows: tenants with a weight, a limit of live requests and a bucket of tokens.
//
// A bucket gains `rate` tokens a second and holds `burst` at most. It is counted in thousandths of a token, so that
// what it gains in a millisecond is a whole number. A request takes all that it may need at once; one above burst
// passes when the bucket is full, and leaves it in debt.
#ifndef CORE_FLOW_H
#define CORE_FLOW_H

#include "pool_state.h"

enum { CORE_BUCKET_UNITS = 1000 };          // a token
#define CORE_MIN_LEFT (-((int64_t)1 << 60)) // nobody owes more than this

struct core_flow *core_flow_find(const struct kvr_pool *p, struct kvr_bytes name); // or NULL
// The same, or a new one that isn't registered; NULL without memory. core_flow_drop ends it unless it is needed.
struct core_flow *core_flow_take(struct kvr_pool *p, struct kvr_bytes name);
void core_flow_drop(struct kvr_pool *p, struct core_flow *f);
struct kvr_bytes core_flow_name(const struct core_flow *f); // of NULL: empty
double core_flow_weight(const struct core_flow *f);         // of NULL: 1
int64_t core_flow_burst(const struct core_flow *f);         // tokens

void core_flow_join(struct kvr_pool *p, struct core_flow *f,
                    struct core_request *r); // one live request more
void core_flow_leave(struct kvr_pool *p, struct core_request *r);
// How many of its requests are live, up to max. O(them) while dropped ones are swept.
uint64_t core_flow_live(const struct kvr_pool *p, const struct core_flow *f, uint64_t max);

// What the bucket holds at `now`; of a flow without a rate 0.
int64_t core_flow_left(const struct kvr_pool *p, const struct core_flow *f, int64_t now);
// Takes `tokens` out at `at`, or fills it to *left as an effect says (NULL: it says nothing).
void core_flow_pay(struct kvr_pool *p, struct core_flow *f, int64_t at, int64_t tokens,
                   const int64_t *left);
// Milliseconds until it would pay for `tokens`, after `before` that others wait for; 0: now.
int64_t core_flow_wait(const struct kvr_pool *p, const struct core_flow *f, int64_t now,
                       int64_t tokens, int64_t before);
bool core_flow_busy(const struct kvr_pool *p,
                    const struct core_flow *f); // has as many live as it may
// Whether its limits let one of those who wait go.
bool core_flow_lets(const struct kvr_pool *p, const struct core_waiting *w, int64_t now);

// None counts as filled later than `now`: for kvr_renew_all. O(flows).
void core_flows_cap_time(struct kvr_pool *p, int64_t now);
void core_flows_free(struct kvr_pool *p); // their lines have gone
const char *core_flows_validate(const struct kvr_pool *p);

#endif
