// SPDX-License-Identifier: Apache-2.0
// What the benchmark was asked to do.
#ifndef COMMANDS_OPTIONS_H
#define COMMANDS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "held.h"
#include "rounds.h"

enum { MAX_SETTINGS = 8 };

// A pool to be measured on.
struct setting {
    size_t workers, blocks;
    bool tcp; // also over TCP
};

struct options {
    struct setting settings[MAX_SETTINGS];
    size_t n_settings;
    size_t main; // the setting that the goals are about
    bool length[LENGTHS];
    struct plan plan;
    double seconds; // of each part of the mixed load
    bool quick;
    const char *out;             // folder for the JSON and the SVG; NULL: none
    const char *module, *server; // paths
};

// Parses the arguments. Returns -1 to go on, or the exit status after --help or a mistake.
int options_parse(struct options *o, int argc, char **argv);

#endif
