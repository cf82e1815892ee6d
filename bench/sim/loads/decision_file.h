// SPDX-License-Identifier: Apache-2.0
// A file of decisions, as KVROUTE.DECISIONS GET gives them: what each SELECT had to choose from, what it chose, and how
// the request ended. docs/commands.md has the fields.
#ifndef SIM_DECISION_FILE_H
#define SIM_DECISION_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "module/core/rule/policy.h"

// An instance as it was when it could be chosen.
struct sim_candidate {
    uint32_t worker; // its name's place in sim_decisions.names
    uint32_t rank;
    bool eligible;
    double cost, ttft; // ms, as predicted; below 0: unknown
    double booked, capacity;
    struct kvr_policy_row told;
};

struct sim_decision {
    size_t line; // of the file
    uint64_t request;
    double at;   // ms since the epoch
    bool booked; // it was chosen at once: result OK
    bool pair;
    int policy;
    double isl, osl, output, first_weight, arrivals, reuse, stick, temperature;
    double overlap_weight, prefill_weight, requests_weight;
    uint32_t blocks, block_size;
    long chosen, session; // places among its candidates; -1: none
    uint64_t left_out;    // instances that the log doesn't have
    size_t first, n;      // its candidates, in sim_decisions.candidates
    size_t first_hash, n_hashes;
    // What became of it; ended: it is in the file.
    bool ended;
    double ttft, duration, tokens; // ms; -1 unknown
};

struct sim_name {
    char *bytes;
    size_t n;
};

struct sim_decisions {
    struct sim_decision *all; // in the order of the file
    size_t n, room;
    struct sim_candidate *candidates;
    size_t n_candidates, room_candidates;
    uint64_t *hashes;
    size_t n_hashes, room_hashes;
    struct sim_name *names;
    size_t n_names, room_names;
    uint32_t block_size;   // of all of them
    size_t instances;      // that a choice had at most
    double capacity;       // blocks of the largest; 0 unknown
    size_t without_hashes; // requests with blocks whose hashes the log doesn't have
};

// Ends the program with a message that says which line is wrong, and what about it. To be freed.
void sim_decisions_read(struct sim_decisions *d, const char *path);
void sim_decisions_free(struct sim_decisions *d);

#endif
