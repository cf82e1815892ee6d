// SPDX-License-Identifier: Apache-2.0
// The routers that are compared: how they are started, and what stands for them in the simulator.
#ifndef CALIBRATE_CANDIDATES_H
#define CALIBRATE_CANDIDATES_H

#include <stddef.h>

#include "bench/sim/router.h"
#include "rig.h"

struct candidate {
    const char *name, *what;
    const struct rig_ours *ours; // NULL: a program of somebody else's
    const char *program;         // its name on PATH
    const char *verb;            // its first argument; NULL: none
    const struct router *simulated;
    bool text;   // it sees no tokens
    bool untold; // nor how many blocks engines have
};

extern const struct candidate candidates[];
extern const size_t candidate_count;

#endif
