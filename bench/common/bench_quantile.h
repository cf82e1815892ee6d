// SPDX-License-Identifier: Apache-2.0
// Quantiles and imbalance.
#ifndef BENCH_QUANTILE_H
#define BENCH_QUANTILE_H

#include <stddef.h>
#include <stdint.h>

// Sorted copies, to be freed; the first multiplies by scale.
double *bench_sorted_u64(const uint64_t *v, size_t n, double scale);
double *bench_sorted(const double *v, size_t n);
double bench_quantile(const double *sorted, size_t n, double q); // 0 <= q <= 1; 0 of nothing
double bench_median(const double *v, size_t n); // of an even number, the greater of the two
// The largest ÷ the mean; 1 when all are equal.
double bench_imbalance(const uint64_t *v, size_t n);

#endif
