// SPDX-License-Identifier: Apache-2.0
// What the simulator was asked to do.
#ifndef FLEET_OPTIONS_H
#define FLEET_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet.h"
#include "load.h"

enum { MAX_SPECS = 64, MAX_FACTORS = 32, MAX_INCIDENTS = 16, MAX_SEEDS = 32 };

// A kind of router, how many of them, by which policy and what of it, and who comes to which.
struct spec {
    const struct router *kind;
    unsigned routers;
    int policy;
    bool together;    // see run_plan
    unsigned without; // terms of the policy that are left out, see terms.h
};

struct options {
    const char *trace;       // a file in Mooncake's form; NULL: a generated load
    const struct load *load; // which
    uint64_t block_size;     // tokens
    uint64_t requests;       // at most; 0: all of a trace
    double speed;            // a trace's times are divided by it
    double rate;             // requests a second of a generated load; 0: its own
    uint64_t users;          // of a closed load's sessions; 0: it is played as it is
    bool fresh;              // users begin with the first request of a session
    double ramp;             // seconds until the last user has begun
    double warmup, duration; // seconds that aren't measured, and that are (0: all)
    uint64_t seed, seeds;    // the first, and how many

    struct model model;                      // of the first engine
    uint64_t workers, blocks, budget;        // blocks: the first engine's
    struct engine_plan engines[MAX_WORKERS]; // all at the start
    const char *models, *speeds;             // the lists as given
    bool attention, preempt;
    uint64_t host; // blocks of a second tier; 0: none

    const char *routers; // the list as given
    struct spec specs[MAX_SPECS];
    size_t n_specs;
    struct kvr_rule rule;
    char words[256];                      // its weights, as options of KVROUTE.CREATE
    unsigned without;                     // terms that are left out of the policy
    bool ablation;                        // each of them in turn, in a row of its own
    bool named;                           // requests name their session
    double hop, delay, sync, age, notice; // seconds
    uint64_t affinity;                    // tokens; 0: sessions
    struct fixed fixed;                   // constants of `fixed`
    uint64_t search;                      // seeds to find them with; 0: as given

    struct incident incidents[MAX_INCIDENTS];
    size_t n_incidents;
    struct slo slo;
    double factor[MAX_FACTORS]; // loads of the comparison, as multiples
    double sweep[MAX_FACTORS];  // further ones
    double scale[MAX_FACTORS];  // numbers of routers
    size_t n_factor, n_sweep, n_scale;
    uint64_t stretches;
    const char *json, *plots;
    const char *module, *server, *clock; // paths; clock: of the server's virtual time
};

// Parses the arguments. Returns -1 to go on, or the exit status after --help or a mistake.
int options_parse(struct options *o, int argc, char **argv);

// What a load asks of each model's engines, for all engines of the fleet by their speeds.
double options_sum(const struct options *o, const double each[MODELS]);

#endif
