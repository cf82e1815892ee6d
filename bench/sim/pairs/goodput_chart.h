// SPDX-License-Identifier: Apache-2.0
// Shares of requests within their targets against the load, a line for each fleet, a chart for each pair of targets.
#ifndef SIM_GOODPUT_CHART_H
#define SIM_GOODPUT_CHART_H

#include "goodput.h"

// Writes folder/name.svg for n fleets. unit: what a factor of 1 is, in words of `what`. False, with a message: it
// can't.
bool goodput_chart(const char *folder, const char *name, const struct goodput *fleets,
                   const char *const *names, size_t n, double unit,
                   const struct sim_slo slo[GOODPUT_SLOS], const char *what);

#endif
