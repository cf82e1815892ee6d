// SPDX-License-Identifier: Apache-2.0
// The runs that were made, and where their figures go: a table, JSON, plots.
#ifndef SIM_RESULTS_H
#define SIM_RESULTS_H

#include <stdio.h>

#include "bench/sim/fleet/run_stats.h"
#include "sim_options.h"

enum sim_series { SIM_COMPARED, SIM_SWEPT, SIM_SCALED, SIM_SERIES };

struct sim_row {
    enum sim_series series;
    struct sim_spec spec;
    double factor;          // of the load
    struct sim_fixed fixed; // the constants, of kind `fixed`
    char name[128];
    struct sim_figures figures;
    struct sim_stretch *stretches; // options.stretches many; NULL: none
};

struct sim_results {
    const struct sim_options *o;
    const char *load; // one line for people
    size_t requests;
    double blocks;  // of a request, mean
    double seconds; // from the first arrival to the last
    struct sim_row *rows;
    size_t n, room;
};

struct sim_row *sim_results_add(struct sim_results *r);
void sim_results_free(struct sim_results *r);

void sim_table_head(FILE *f, const struct sim_results *r);
void sim_table_columns(FILE *f);
void sim_table_row(FILE *f, const struct sim_row *row);
// How far off predictions were, in one line for the rows from `first` on that predict; nothing if none do.
void sim_table_errors(FILE *f, const struct sim_results *r, size_t first);
void sim_table_foot(FILE *f, const struct sim_results *r);
bool sim_results_json(const struct sim_results *r,
                      const char *path); // false, with a message: it can't
bool sim_results_plots(const struct sim_results *r, const char *folder); // likewise

#endif
