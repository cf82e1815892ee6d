// SPDX-License-Identifier: Apache-2.0
// All kinds of routers; see routers.h.
#include "routers.h"

#include <string.h>

#define FAMILY(f)                                                                                  \
    { f, sizeof f / sizeof *f }
static const struct {
    const struct sim_router *kinds;
    size_t n;
} families[] = {
    FAMILY(sim_shared_routers), FAMILY(sim_simple_routers), FAMILY(sim_affinity_routers),
    FAMILY(sim_sticky_routers), FAMILY(sim_text_routers),   FAMILY(sim_llmd_routers),
    FAMILY(sim_scored_routers), FAMILY(sim_core_routers),   FAMILY(sim_two_step_routers),
};
#undef FAMILY

const struct sim_router *sim_router_find(const char *name) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (size_t k = 0; k < families[i].n; k++)
            if (!strcmp(families[i].kinds[k].name, name)) return &families[i].kinds[k];
    return NULL;
}
