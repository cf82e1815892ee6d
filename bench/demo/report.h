// SPDX-License-Identifier: Apache-2.0
// The table, and whether it is as it should be.
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include <stdbool.h>

#include "run.h"

enum { ROUND_ROBIN, ONE, MANY, CRASH, RUNS };

// real: mock engines, in real time.
void report_table(const struct run_plan plans[RUNS], const struct run_result results[RUNS],
                  bool real);
// Prints a line for each check. False: one of them fails.
bool report_checks(const struct run_plan plans[RUNS], const struct run_result results[RUNS],
                   bool real);

#endif
