// SPDX-License-Identifier: Apache-2.0
// The routers that are compared: how they are started, and what stands for them in the simulator.
#ifndef CALIB_CANDIDATES_H
#define CALIB_CANDIDATES_H

#include <stddef.h>

#include "processes.h"

struct calib_router {
    const char *name, *what;
    const struct calib_setup *ours; // NULL: a program of somebody else's
    const char *program;            // its name on PATH
    const char *verb;               // its first argument; NULL: none
    const char *simulated;          // a kind of router
    bool text;                      // it sees no tokens
    bool unknown_blocks;            // nor how many blocks engines have
};

extern const struct calib_router calib_routers[];
extern const size_t calib_router_count;

#endif
