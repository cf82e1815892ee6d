// SPDX-License-Identifier: Apache-2.0
// What can break, one scenario each, and what came of it.
#ifndef HA_SCENARIO_H
#define HA_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What a scenario of the queue adds; see ha_history.h for the words.
struct ha_queue_result {
    uint64_t waited;   // booked after they had waited
    uint64_t admitted; // out of the queue, in the histories that were read
    uint64_t refused;  // whose time to wait was over, or whose pool was deleted
    uint64_t twice;    // answered, or served, twice
    uint64_t never;    // answered
    uint64_t disorder; // admitted or put behind one of its flow that came later
    uint64_t missed, for_nobody;
};

// What a scenario of streams adds.
struct ha_stream_result {
    uint64_t streams, continued, cut, different, refused;
    // 99 % had their first token in so long: before, and while things were broken.
    double calm_ms, broken_ms;
};

// What a scenario of pairs adds; see ha_pair.h.
struct ha_pair_result {
    uint64_t faults;      // engines, clients and primaries killed, connections cut, workers deleted
    uint64_t bookings;    // acknowledged
    uint64_t released;    // of these, by their clients
    uint64_t with_worker; // ended by the end of their worker
    uint64_t by_lease;    // ended by their leases: nobody spoke of them any more
    uint64_t resent;      // released by a RELEASE whose answer was lost
    uint64_t undone;      // found lost by their RELEASE
    uint64_t looks;       // at servers, at work
    uint64_t quiet;       // times that everybody held still to be compared
    uint64_t half;        // legs booked without their requests, or the reverse
    uint64_t above;       // instances above a limit by what was chosen
    int64_t over;         // requests that one was above it by what was booked back
    uint64_t twice;       // booked, or answered, twice
    uint64_t never;       // lost
};

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
    size_t waiting;      // of the queue: how many requests are to wait
    struct ha_queue_result queue;
    struct ha_stream_result stream;
    uint64_t bookings; // of pairs: how many there are to be
    struct ha_pair_result pairs;
    char faults[400]; // for people; "" if there are none
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
enum { HA_MAX_BOOKINGS = 100000 };                            // of one scenario

// How large it is.
struct ha_scale {
    size_t waiting;    // of the queue: requests that wait
    uint64_t bookings; // of pairs: at least so many are booked, at most HA_MAX_BOOKINGS
};
// Plays it in this process, which is good for nothing else afterwards.
void ha_scenario_run(const struct ha_scenario *s, const struct ha_scale *scale,
                     struct ha_result *v);

// What is compared, and shown.
enum ha_kind {
    HA_KIND_OF_ROUTING,
    HA_KIND_OF_QUEUE,
    HA_KIND_OF_PAIRS,
    HA_KIND_OF_STREAMS,
    HA_KINDS_OF_SCENARIO
};
enum ha_kind ha_scenario_kind(const struct ha_scenario *s);

#endif
