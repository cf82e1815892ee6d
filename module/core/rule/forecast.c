// SPDX-License-Identifier: Apache-2.0
#include "forecast.h"

// Each factor is drawn towards zero by so much of its own weight: with terms that say the same, as where
// all requests are alike, the equations have a solution all the same.
#define FORECAST_RIDGE 1e-3
// A relative error below this counts as this: no sample outweighs the rest by being right by chance.
#define FORECAST_MIN_ERROR 0.1

static void terms_of(const struct core_forecast_case *c, double x[CORE_FORECAST_TERMS]) {
    x[0] = 1;
    x[1] = c->own;
    x[2] = c->requests;
    x[3] = c->wait;
    x[4] = c->waiting;
}

// Gauss's elimination on the symmetric equations; what doesn't occur at all has the factor zero.
static void solve(struct core_forecast *f) {
    double a[CORE_FORECAST_TERMS][CORE_FORECAST_TERMS], *x = f->factors;
    size_t at = 0;
    for (size_t i = 0; i < CORE_FORECAST_TERMS; i++) {
        for (size_t j = i; j < CORE_FORECAST_TERMS; j++)
            a[i][j] = a[j][i] = f->products[at++];
        x[i] = f->times[i];
    }
    for (size_t i = 0; i < CORE_FORECAST_TERMS; i++)
        a[i][i] = a[i][i] > 0 ? a[i][i] * (1 + FORECAST_RIDGE) : 1;
    for (size_t i = 0; i < CORE_FORECAST_TERMS; i++)
        for (size_t j = i + 1; j < CORE_FORECAST_TERMS; j++) {
            double share = a[j][i] / a[i][i];
            for (size_t k = i; k < CORE_FORECAST_TERMS; k++)
                a[j][k] -= share * a[i][k];
            x[j] -= share * x[i];
        }
    for (size_t i = CORE_FORECAST_TERMS; i-- > 0;) {
        for (size_t k = i + 1; k < CORE_FORECAST_TERMS; k++)
            x[i] -= a[i][k] * x[k];
        x[i] /= a[i][i];
    }
    f->solved = true;
}

double core_forecast_ms(struct core_forecast *f, const struct core_forecast_case *c) {
    if (!(f->products[0] > 0)) return -1;
    if (!f->solved) solve(f);
    double x[CORE_FORECAST_TERMS], ms = 0;
    terms_of(c, x);
    for (size_t i = 0; i < CORE_FORECAST_TERMS; i++)
        ms += f->factors[i] * x[i];
    return ms > 0 ? ms : 0;
}

void core_forecast_learn(struct core_forecast *f, const struct core_forecast_case *c, double ms,
                         double expected) {
    double x[CORE_FORECAST_TERMS], keep = 1 - 1.0 / CORE_FLEET_WINDOW;
    double error = expected < 0 ? 1 : (expected > ms ? expected - ms : ms - expected) / ms;
    double weight = 1 / (ms * ms * (error > FORECAST_MIN_ERROR ? error : FORECAST_MIN_ERROR));
    terms_of(c, x);
    size_t at = 0;
    for (size_t i = 0; i < CORE_FORECAST_TERMS; i++) {
        for (size_t j = i; j < CORE_FORECAST_TERMS; j++, at++)
            f->products[at] = f->products[at] * keep + weight * x[i] * x[j];
        f->times[i] = f->times[i] * keep + weight * x[i] * ms;
    }
    f->solved = false;
}
