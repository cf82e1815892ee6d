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
#ifndef KVR_FORECAST_H
#define KVR_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FORECAST_TERMS = 5, FORECAST_PAIRS = FORECAST_TERMS * (FORECAST_TERMS + 1) / 2 };

// What is known at the booking.
struct forecast_case {
    double own, requests, wait, waiting;
};

struct forecast {
    double
        products[FORECAST_PAIRS]; // Σ weight · term · term, row by row, each from the diagonal on
    double times[FORECAST_TERMS]; // Σ weight · term · ms
    // What follows is no state, but computed from these when it is asked for.
    double factors[FORECAST_TERMS];
    bool solved;
};

// ms, at least 0; -1 while there were no samples.
double forecast_ms(struct forecast *f, const struct forecast_case *c);
// A request of this kind took ms > 0, where it was forecast to take `expected` (-1: nothing was).
void forecast_learn(struct forecast *f, const struct forecast_case *c, double ms, double expected);

#endif
