// SPDX-License-Identifier: Apache-2.0
// Quantiles, means, goodput, stretches.
#include <criterion/criterion.h>
#include <math.h>

#include "bench/sim/fleet/run_stats.h"
#include "stest.h"

Test(stats, spread_is_within_its_bins) {
    static struct sim_durations s;
    for (int i = 1; i <= 1000; i++)
        sim_durations_add(&s, i / 1000.0, 3);
    cr_assert(s.n == 3000);
    cr_assert(fabs(sim_durations_mean(&s) - 0.5005) < 1e-9);
    cr_assert(fabs(sim_durations_quantile(&s, 0.5) - 0.5) < 0.01);
    cr_assert(fabs(sim_durations_quantile(&s, 0.99) - 0.99) < 0.01);
    static struct sim_durations none;
    cr_assert(sim_durations_mean(&none) == 0 && sim_durations_quantile(&none, 0.99) == 0);
}

Test(stats, extremes_have_a_place) {
    static struct sim_durations s;
    sim_durations_add(&s, 0, 1);
    sim_durations_add(&s, 1e9, 1);
    cr_assert(sim_durations_quantile(&s, 0) <= 1e-5);
    cr_assert(sim_durations_quantile(&s, 0.99) > 3600);
}

// Of those that are measured and were predicted, from when their router chose.
Test(stats, the_median_error_of_predictions) {
    struct stest_load l;
    stest_load_open(&l, 4);
    struct sim_stats s;
    struct sim_figures f;
    struct sim_slo slo = {2, 0.5};
    for (int i = 0; i < 6; i++)
        stest_load_add(&l, i, 8, 5, 100);
    sim_stats_open(&s, 6, 1);
    for (int i = 0; i < 6; i++)
        s.outcomes[i] = (struct sim_outcome){
            .arrived = i, .chosen = i + 1, .first = i + 3, .done = i + 4, .predicted = -1};
    sim_stats_figures(&s, &l.load, &slo, &f);
    cr_assert(isnan(f.error), "nobody has predicted anything");
    s.began = 1;
    s.outcomes[0].predicted = 200;  // isn't measured
    s.outcomes[1].predicted = 2.5;  // a quarter more than 2
    s.outcomes[2].predicted = 1.25; // three eighths less
    s.outcomes[3].predicted = 6;    // twice as much more
    s.outcomes[5].predicted = 0;    // all of it less
    sim_stats_figures(&s, &l.load, &slo, &f);
    cr_assert(f.error == 1, "of 1/4, 3/8, 1, 2, the greater of the two in the middle: %g", f.error);
    s.outcomes[5].predicted = -1;
    sim_stats_figures(&s, &l.load, &slo, &f);
    cr_assert(f.error == 0.375, "%g", f.error);
    sim_stats_close(&s);
}

Test(stats, figures) {
    struct stest_load l;
    stest_load_open(&l, 4);
    struct sim_stats s;
    struct sim_figures f;
    struct sim_slo slo = {2, 0.5};
    for (int i = 0; i < 4; i++)
        stest_load_add(&l, i, 8, 5, 100);
    sim_stats_open(&s, 4, 2);
    // TTFT 1, 1, 3, 1; gaps of 0.25, 1, 0.25, 0.25 on average: two keep the SLO.
    for (int i = 0; i < 4; i++)
        s.outcomes[i] =
            (struct sim_outcome){.arrived = i, .first = i + (i == 2 ? 3 : 1), .hits = 1};
    for (int i = 0; i < 4; i++)
        s.outcomes[i].done = s.outcomes[i].first + 4 * (i == 1 ? 1 : 0.25);
    s.hits = 4, s.blocks = 8;
    s.work[0] = 3, s.work[1] = 1;
    s.ended = 8;
    sim_stats_figures(&s, &l.load, &slo, &f);
    cr_assert(fabs(f.ttft_mean - 1.5) < 1e-9 && f.ttft_p50 == 1 && f.ttft_p99 == 3);
    cr_assert(f.kept == 0.5 && f.goodput == 2 / 8.0 && f.hit == 0.5);
    cr_assert(f.imbalance == 1.5 && f.work == 0.25 && f.e2e_p99 == 5);
    struct sim_stretch x[2];
    sim_stats_stretches(&s, &l.load, &slo, x, 2);
    cr_assert(x[0].requests == 2 && x[1].requests == 2 && x[1].late == 1 && x[0].hits == 2);
    sim_stats_close(&s);
}
