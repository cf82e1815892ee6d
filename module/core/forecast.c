// SPDX-License-Identifier: Apache-2.0
#include "forecast.h"

#include "learn.h"

// Each factor is drawn towards zero by so much of its own weight: with terms that say the same, as where
// all requests are alike, the equations have a solution all the same.
#define RIDGE 1e-3
// A relative error below this counts as this: no sample outweighs the rest by being right by chance.
#define LEAST_ERROR 0.1

static void terms_of(const struct forecast_case *c, double x[FORECAST_TERMS]) {
    x[0] = 1;
    x[1] = c->own;
    x[2] = c->requests;
    x[3] = c->wait;
    x[4] = c->waiting;
}

// Gauss's elimination on the symmetric equations; what doesn't occur at all has the factor zero.
static void solve(struct forecast *f) {
    double a[FORECAST_TERMS][FORECAST_TERMS], *x = f->factors;
    size_t at = 0;
    for (size_t i = 0; i < FORECAST_TERMS; i++) {
        for (size_t j = i; j < FORECAST_TERMS; j++)
            a[i][j] = a[j][i] = f->products[at++];
        x[i] = f->times[i];
    }
    for (size_t i = 0; i < FORECAST_TERMS; i++)
        a[i][i] = a[i][i] > 0 ? a[i][i] * (1 + RIDGE) : 1;
    for (size_t i = 0; i < FORECAST_TERMS; i++)
        for (size_t j = i + 1; j < FORECAST_TERMS; j++) {
            double share = a[j][i] / a[i][i];
            for (size_t k = i; k < FORECAST_TERMS; k++)
                a[j][k] -= share * a[i][k];
            x[j] -= share * x[i];
        }
    for (size_t i = FORECAST_TERMS; i-- > 0;) {
        for (size_t k = i + 1; k < FORECAST_TERMS; k++)
            x[i] -= a[i][k] * x[k];
        x[i] /= a[i][i];
    }
    f->solved = true;
}

double forecast_ms(struct forecast *f, const struct forecast_case *c) {
    if (!(f->products[0] > 0)) return -1;
    if (!f->solved) solve(f);
    double x[FORECAST_TERMS], ms = 0;
    terms_of(c, x);
    for (size_t i = 0; i < FORECAST_TERMS; i++)
        ms += f->factors[i] * x[i];
    return ms > 0 ? ms : 0;
}

void forecast_learn(struct forecast *f, const struct forecast_case *c, double ms, double expected) {
    double x[FORECAST_TERMS], keep = 1 - 1.0 / LEARN_FLEET_WINDOW;
    double error = expected < 0 ? 1 : (expected > ms ? expected - ms : ms - expected) / ms;
    double weight = 1 / (ms * ms * (error > LEAST_ERROR ? error : LEAST_ERROR));
    terms_of(c, x);
    size_t at = 0;
    for (size_t i = 0; i < FORECAST_TERMS; i++) {
        for (size_t j = i; j < FORECAST_TERMS; j++, at++)
            f->products[at] = f->products[at] * keep + weight * x[i] * x[j];
        f->times[i] = f->times[i] * keep + weight * x[i] * ms;
    }
    f->solved = false;
}
