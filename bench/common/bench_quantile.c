// SPDX-License-Identifier: Apache-2.0
// Quantiles and imbalance; see bench_quantile.h.
#include "bench_quantile.h"

#include <stdlib.h>
#include <string.h>

#include "bench_memory.h"

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double *bench_sorted_u64(const uint64_t *v, size_t n, double scale) {
    double *out = bench_calloc(n, sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = (double)v[i] * scale;
    qsort(out, n, sizeof *out, ascending);
    return out;
}

double *bench_sorted(const double *v, size_t n) {
    double *out = bench_calloc(n, sizeof *out);
    memcpy(out, v, n * sizeof *out);
    qsort(out, n, sizeof *out, ascending);
    return out;
}

double bench_quantile(const double *sorted, size_t n, double q) {
    if (!n) return 0;
    size_t i = (size_t)(q * (double)n);
    return sorted[i < n ? i : n - 1];
}

double bench_median(const double *v, size_t n) {
    double *sorted = bench_sorted(v, n);
    double m = bench_quantile(sorted, n, 0.5);
    free(sorted);
    return m;
}

double bench_imbalance(const uint64_t *v, size_t n) {
    double sum = 0, max = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)v[i];
        if ((double)v[i] > max) max = (double)v[i];
    }
    return sum > 0 ? max * (double)n / sum : 1;
}
