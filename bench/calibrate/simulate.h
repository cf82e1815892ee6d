// SPDX-License-Identifier: Apache-2.0
// The same script in the simulator.
#ifndef CALIBRATE_SIMULATE_H
#define CALIBRATE_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/script.h"
#include "bench/sim/fleet.h"
#include "bench/sim/model.h"
#include "bench/sim/stats.h"

struct simulate_plan {
    const struct router *kind; // NULL: each request goes where `engines` says
    const uint32_t *engines;   // by request
    bool text;                 // routers see the text only
    bool untold;               // and don't know how many blocks engines have
    const struct model *model;
    unsigned workers;
    double hop, delay; // seconds; delay: until a block is known
    uint64_t seed;
};

// Fills *out (stats_close it). False, with a message: something broke, or the program is being stopped.
bool simulate_run(const struct bench_script *s, const struct simulate_plan *plan,
                  struct stats *out);

#endif
