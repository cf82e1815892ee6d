// SPDX-License-Identifier: Apache-2.0
// All kinds of routers.
#ifndef SIM_ROUTERS_H
#define SIM_ROUTERS_H

#include "bench/sim/fleet/fleet_router.h"

const struct sim_router *sim_router_find(const char *name); // NULL: none of that name

// By families, a file each.
extern const struct sim_router sim_shared_routers[1], sim_simple_routers[4],
    sim_affinity_routers[2], sim_sticky_routers[1], sim_text_routers[5], sim_llmd_routers[1],
    sim_scored_routers[3], sim_core_routers[5], sim_two_step_routers[1];

#endif
