// SPDX-License-Identifier: Apache-2.0
// The runs that were made, and where their figures go: a table, JSON, plots.
#ifndef FLEET_RESULTS_H
#define FLEET_RESULTS_H

#include <stdio.h>

#include "options.h"
#include "stats.h"

enum series { COMPARED, SWEPT, SCALED, SERIES };

struct row {
    enum series series;
    struct spec spec;
    double factor;      // of the load
    struct fixed fixed; // the constants, of kind `fixed`
    char name[128];
    struct figures figures;
    struct stretch *stretches; // options.stretches many; NULL: none
};

struct results {
    const struct options *o;
    const char *load; // one line for people
    size_t requests;
    double blocks;  // of a request, mean
    double seconds; // from the first arrival to the last
    struct row *rows;
    size_t n, room;
};

struct row *results_add(struct results *r);
void results_free(struct results *r);

void table_head(FILE *f, const struct results *r);
void table_columns(FILE *f);
void table_row(FILE *f, const struct row *row);
// How far off predictions were, in one line for the rows from `first` on that predict; nothing if none do.
void table_errors(FILE *f, const struct results *r, size_t first);
void table_foot(FILE *f, const struct results *r);
bool json_write(const struct results *r, const char *path);    // false, with a message: it can't
bool plots_write(const struct results *r, const char *folder); // likewise

#endif
