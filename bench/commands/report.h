// SPDX-License-Identifier: Apache-2.0
// Tables for people, JSON for programs, a chart.
#ifndef COMMANDS_REPORT_H
#define COMMANDS_REPORT_H

#include "options.h"
#include "scenes.h"

struct report {
    struct cell *cells;
    size_t n, room;
    struct footprint memory[MAX_SETTINGS];
    struct crowd crowd;
    struct mixed mixed;
    struct durable durable;
};

void report_setting(const struct setting *s, const struct footprint *m); // before its cells
void report_cells(const struct cell *cells, size_t n);                   // a table of one group
void report_scenes(const struct report *r);
// The goals that the commands have, and what was measured. With less than the whole only those that the
// run can say something of.
void report_goals(const struct report *r, const struct options *o);
// commands.json and commands.svg. False: not written.
bool report_files(const struct report *r, const struct options *o);

#endif
