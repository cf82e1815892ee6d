// SPDX-License-Identifier: Apache-2.0
// All kinds of routers.
#ifndef SIM_ROUTERS_H
#define SIM_ROUTERS_H

#include "bench/sim/fleet/fleet_router.h"

const struct sim_router *sim_router_find(const char *name); // NULL: none of that name

#endif
