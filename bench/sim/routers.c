// SPDX-License-Identifier: Apache-2.0
// The table of kinds; see router.h.
#include "routers.h"

#include <string.h>

const struct router *const routers[] = {
    &router_shared,  &router_round_robin, &router_random,      &router_two,         &router_least,
    &router_session, &router_affinity,    &router_sticky,      &router_cache_aware, &router_vllm,
    &router_smg,     &router_smg_no_veto, &router_prefix_hash, &router_llmd,        &router_dynamo,
    &router_lmetric, &router_fixed,       &router_own,         &router_events,      &router_both,
    &router_sync,
};
const size_t router_count = sizeof routers / sizeof *routers;

const struct router *router_find(const char *name, size_t len) {
    for (size_t i = 0; i < router_count; i++)
        if (strlen(routers[i]->name) == len && !memcmp(routers[i]->name, name, len))
            return routers[i];
    return NULL;
}
