// SPDX-License-Identifier: Apache-2.0
// Tables for people, JSON for programs, a chart.
#ifndef BENCH_COMMANDS_REPORT_H
#define BENCH_COMMANDS_REPORT_H

#include "bench_commands_options.h"
#include "bench_experiments.h"

struct bench_report {
    struct bench_result *cells;
    size_t n, room;
    struct bench_footprint memory[BENCH_MAX_POOLS];
    struct bench_many_holders many_holders;
    struct bench_mixed mixed, fleet_load;
    struct bench_durability durable;
};

void bench_report_pool(const struct bench_pool *s,
                       const struct bench_footprint *m);               // before its cells
void bench_report_results(const struct bench_result *cells, size_t n); // a table of one group
void bench_report_experiments(const struct bench_report *r);
// The goals that the commands have, and what was measured. With less than the whole only those that the
// run can say something of.
void bench_report_goals(const struct bench_report *r, const struct bench_options *o);
// commands.json and commands.svg. False: not written.
bool bench_report_files(const struct bench_report *r, const struct bench_options *o);

#endif
