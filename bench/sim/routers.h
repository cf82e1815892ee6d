// SPDX-License-Identifier: Apache-2.0
// The kinds of routers, and what they share.
#ifndef FLEET_ROUTERS_H
#define FLEET_ROUTERS_H

#include "local.h"
#include "router.h"

extern const struct router router_round_robin, router_random, router_two, router_least;
extern const struct router router_session, router_affinity, router_sticky;
extern const struct router router_cache_aware, router_vllm, router_smg, router_smg_no_veto,
    router_prefix_hash, router_llmd;
extern const struct router router_dynamo, router_lmetric, router_fixed;
extern const struct router router_shared, router_own, router_events, router_both, router_sync;

#endif
