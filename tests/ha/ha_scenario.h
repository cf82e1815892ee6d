// SPDX-License-Identifier: Apache-2.0
// What can break, one scenario each, and what came of it.
#ifndef HA_SCENARIO_H
#define HA_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A scenario's outcome. Filled in memory that outlives its process.
struct ha_result {
    char killed[48];    // what was killed, or done
    uint64_t in_flight; // live requests at that moment
    uint64_t lost;      // acknowledged writes that Redis lost
    bool counted;       // `lost` was counted in the server; else it's what the handles noticed
    uint64_t repaired;
    uint64_t unrepaired; // must be 0; the sum of what `faults` tells
    uint64_t degraded;   // answers without a primary
    uint64_t timeouts;   // answers TIMEOUT, where deadlines were shorter than what happened
    int64_t ms_without;  // the longest time that a client, always asking, was without an answer
    uint64_t errors;     // answers other than OK, or impossible ones
    uint64_t requests;   // routed in all
    bool digests_equal;  // of the primary and its replicas; true if there are none
    bool complete;       // the scenario was played to its end
    char faults[400];    // for people; "" if there are none
    char first_error[160];
};

struct ha_scenario {
    const char *name;
    const char *says; // what happens, in one sentence
    bool loses;       // acknowledged writes must really be lost in it
    int64_t bound;    // ms without service that are shown beside what was measured; 0: none
    void (*play)(struct ha_result *v);
};

extern const struct ha_scenario ha_scenarios[];
extern const size_t ha_n_scenarios;

const struct ha_scenario *ha_scenario_find(const char *name); // NULL: none
// Plays it in this process, which is good for nothing else afterwards.
void ha_scenario_run(const struct ha_scenario *s, struct ha_result *v);

#endif
