// SPDX-License-Identifier: Apache-2.0
// The same load in the simulator.
#ifndef CALIB_SIMULATE_H
#define CALIB_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/script.h"
#include "bench/sim/engine/engine_model.h"
#include "bench/sim/fleet/fleet_run.h"
#include "bench/sim/fleet/run_stats.h"

struct calib_simulation {
    const struct sim_router *kind; // NULL: each request goes where `engines` says
    const uint32_t *engines;       // by request
    bool text;                     // routers see the text only
    bool unknown_blocks;           // and don't know how many blocks engines have
    const struct sim_model *model;
    unsigned workers;
    double hop, delay; // seconds; delay: until a block is known
    uint64_t seed;
};

// Fills *out (sim_stats_close it). False, with a message: something broke.
bool calib_simulate(const struct bench_script *s, const struct calib_simulation *plan,
                    struct sim_stats *out);

#endif
