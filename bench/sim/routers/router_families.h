// SPDX-License-Identifier: Apache-2.0
// The kinds of routers, by families, a file each.
#ifndef SIM_ROUTER_FAMILIES_H
#define SIM_ROUTER_FAMILIES_H

#include "bench/sim/fleet/fleet_router.h"

extern const struct sim_router sim_shared_routers[1], sim_simple_routers[4],
    sim_affinity_routers[2], sim_sticky_routers[1], sim_text_routers[5], sim_llmd_routers[1],
    sim_scored_routers[3], sim_core_routers[4];

#endif
