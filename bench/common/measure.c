// SPDX-License-Identifier: Apache-2.0
// Quantiles and imbalance; see measure.h.
#include "measure.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double *measure_sorted_u64(const uint64_t *v, size_t n, double scale) {
    double *out = memory_take(n, sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = (double)v[i] * scale;
    qsort(out, n, sizeof *out, ascending);
    return out;
}

double *measure_sorted(const double *v, size_t n) {
    double *out = memory_take(n, sizeof *out);
    memcpy(out, v, n * sizeof *out);
    qsort(out, n, sizeof *out, ascending);
    return out;
}

double measure_quantile(const double *sorted, size_t n, double q) {
    if (!n) return 0;
    size_t i = (size_t)(q * (double)n);
    return sorted[i < n ? i : n - 1];
}

double measure_median(const double *v, size_t n) {
    double *sorted = measure_sorted(v, n), m = measure_quantile(sorted, n, 0.5);
    free(sorted);
    return m;
}

double measure_imbalance(const uint64_t *v, size_t n) {
    double sum = 0, max = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)v[i];
        if ((double)v[i] > max) max = (double)v[i];
    }
    return sum > 0 ? max * (double)n / sum : 1;
}
