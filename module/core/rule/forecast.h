// SPDX-License-Identifier: Apache-2.0
// How long a request waits for its first token, fitted to those that have had theirs.
//
//   ms = c0 + c1 · own + c2 · requests + c3 · wait + c4 · waiting
//
// own: tokens it has to compute; requests: live on its instance when it was booked; wait: ms that the
// queue there takes at the measured speed; waiting: how many of them had no first token yet. An engine works
// in steps: c0 and c2 are what a step takes, c1 the prompt's own time, and c3 is less than 1 where several
// short prompts share a step.
//
// The fit is of least squares, kept as its normal equations, which forget as means do (learn.h). A sample
// counts by the inverse of its square, so that what is small is relative errors, and again by the inverse
// of its relative error, so that the fit goes through the median and not after outliers (iteratively
// reweighted least squares, Holland and Welsch 1977).
#ifndef CORE_FORECAST_H
#define CORE_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CORE_FLEET_WINDOW = 512 }; // samples; of what all instances tell together
enum {
    CORE_FORECAST_TERMS = 5,
    CORE_FORECAST_PAIRS = CORE_FORECAST_TERMS * (CORE_FORECAST_TERMS + 1) / 2
};

// What is known at the booking.
struct core_forecast_case {
    double own, requests, wait, waiting;
};

struct core_forecast {
    double products
        [CORE_FORECAST_PAIRS]; // Σ weight · term · term, row by row, each from the diagonal on
    double times[CORE_FORECAST_TERMS]; // Σ weight · term · ms
    // What follows is no state, but computed from these when it is asked for.
    double factors[CORE_FORECAST_TERMS];
    bool solved;
};

// ms, at least 0; -1 while there were no samples.
double core_forecast_ms(struct core_forecast *f, const struct core_forecast_case *c);
// A request of this kind took ms > 0, where it was forecast to take `expected` (-1: nothing was).
void core_forecast_learn(struct core_forecast *f, const struct core_forecast_case *c, double ms,
                         double expected);

#endif
