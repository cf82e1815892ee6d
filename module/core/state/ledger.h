// SPDX-License-Identifier: Apache-2.0
// The ledger: live requests by id, their weight on their instance, their leases.
#ifndef CORE_LEDGER_H
#define CORE_LEDGER_H

#include "pool_state.h"

struct core_request *core_request_find(const struct kvr_pool *p, struct kvr_bytes id); // or NULL
enum kvr_err core_booking_check(const struct kvr_pool *p, const struct kvr_booking *b);
enum kvr_err core_request_add(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                              const struct kvr_booking *b);
// Adds one that teaches nothing and leaves its session where it is, as one that was booked before it was
// saved; the caller refreshes the instance. *out: the request.
enum kvr_err core_request_load(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                               const struct kvr_booking *b, struct core_request **out);
void core_request_end(struct kvr_pool *p, struct core_request *r);
void core_request_free(struct kvr_pool *p, struct core_request *r); // its memory alone

// Takes the instance out of use with all that is live there, which counts at once; core_requests_sweep frees it,
// and then the instance's number.
void core_instance_retire(struct kvr_pool *p, uint32_t instance);
// Some `max` units of work. Whether more is left.
bool core_requests_sweep(struct kvr_pool *p, size_t max);
const char *core_dropped_validate(const struct kvr_pool *p);

// No lease counts as renewed later than `now`: for kvr_renew_all. O(requests).
void core_requests_cap_time(struct kvr_pool *p, int64_t now);

// How a request with `own` tokens to compute finds the instance, booked at `now`.
struct core_forecast_case core_instance_case(const struct kvr_pool *p,
                                             const struct core_instance *in, int64_t now,
                                             int64_t own);

#endif
