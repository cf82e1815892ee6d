// SPDX-License-Identifier: Apache-2.0
// What the simulator was asked to do.
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/sim/fleet/fleet_run.h"
#include "bench/sim/loads/decision_file.h"
#include "bench/sim/loads/loads.h"
#include "bench/sim/routers/fixed_rule.h"

enum { SIM_MAX_SPECS = 64, SIM_MAX_FACTORS = 32, SIM_MAX_INCIDENTS = 16, SIM_MAX_SEEDS = 32 };
enum { SIM_SLOS = 3 };

// A kind of router, how many of them, by which policy and what of it, and who comes to which.
struct sim_spec {
    const struct sim_router *kind;
    unsigned routers;
    int policy;
    bool together;    // see sim_plan
    unsigned without; // terms of the policy that are left out, by KVR_TERM_…
    bool queue;       // requests wait in the pool, for room by these limits (0: no such limit)
    uint64_t max_requests, max_prefill, max_blocks;
    bool fair; // sessions are flows
};

struct sim_factors {
    double v[SIM_MAX_FACTORS];
    size_t n;
};

struct sim_options {
    // What holds for every run: distances in time, the rule, engines, what goes wrong.
    struct sim_plan plan;

    const char *trace;           // a file in Mooncake's form; NULL: a generated load
    const struct sim_load *load; // which
    bool named;                  // it was
    uint64_t block_size;         // tokens
    uint64_t requests;           // at most; 0: all of a trace
    double speed;                // a trace's times are divided by it
    double rate;                 // requests a second of a generated load; 0: its own
    uint64_t users;              // of a closed load's sessions; 0: it is played as it is
    bool fresh;                  // users begin with the first request of a session
    double ramp;                 // seconds until the last user has begun
    double warmup, duration;     // seconds that aren't measured, and that are (0: all)
    uint64_t seed, seeds;        // the first, and how many

    uint64_t workers, blocks, budget;
    struct sim_engine_plan engines[SIM_MAX_WORKERS]; // all at the start
    const char *models, *speeds;                     // the lists as given
    const char *roles;                               // likewise; NULL: engines have none
    bool attention, preempt;

    const char *routers; // the list as given
    struct sim_spec specs[SIM_MAX_SPECS];
    size_t n_specs;
    unsigned without;       // terms that are left out of the policy
    bool ablation;          // each of them in turn, in a row of its own
    struct sim_fixed fixed; // constants of `fixed`
    uint64_t search;        // seeds to find them with; 0: as given

    const char *decisions;       // a file of them; NULL: none
    const char *policies;        // that they are made again by; the list as given
    struct sim_decisions logged; // what is in it
    const char *fetch, *key,
        *out; // from which server, of which pool, and into which file they are copied

    const char *experiment; // NULL: the routers are compared

    struct sim_incident incidents[SIM_MAX_INCIDENTS];
    struct sim_slo slo;               // of comparisons
    struct sim_slo targets[SIM_SLOS]; // of experiments; the first is `slo`
    struct sim_factors factor;        // loads of the comparison, as multiples
    struct sim_factors sweep;         // further ones
    struct sim_factors scale;         // numbers of routers
    uint64_t stretches;
    const char *json, *plots;
    const char *module, *server, *clock; // paths; clock: of the server's virtual time
};

// The terms of the delay rule that can be left out (enum kvr_term), by their names.
enum { SIM_TERMS = 7, SIM_TERMS_ALL = (1 << SIM_TERMS) - 1 };
extern const char *const sim_term_names[SIM_TERMS]; // term i is bit i
unsigned sim_term_find(const char *name);           // its bit; 0: there is none of that name
// "queue or pace"; "terms" for all of them. Returns what snprintf would.
int sim_terms_text(unsigned terms, char *room, size_t n);

// Parses the arguments. Returns -1 to go on, or the exit status after --help or a mistake.
int sim_options_parse(struct sim_options *o, int argc, char **argv);

// What wasn't given, and follows from the load: how much of it there is, and when it is measured.
void sim_options_load(struct sim_options *o);

// What a load asks of each model's engines, for all engines of the fleet by their speeds.
double sim_options_sum(const struct sim_options *o, const double each[SIM_MODELS]);

#endif
