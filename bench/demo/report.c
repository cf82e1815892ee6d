// SPDX-License-Identifier: Apache-2.0
// The table, and whether it is as it should be; see report.h.
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double least_share = 0.99;      // of one router's hits
static const double least_share_real = 0.90; // where time is real, no two runs are alike
static const double worst_imbalance = 1.5;

void report_table(const struct run_plan plans[RUNS], const struct run_result results[RUNS],
                  bool real) {
    printf("\n%-28s %10s %10s %10s %11s %11s %12s\n", "", "blocks", "load", "", "SELECT", "SELECT",
           "first token");
    printf("%-28s %10s %10s %10s %11s %11s %12s\n", "", "hit", "imbalance", "selects/s", "p50",
           "p99", "p50, p99");
    for (int i = 0; i < RUNS; i++) {
        const struct run_result *r = &results[i];
        printf("%-28s %8.1f %% %10.2f ", plans[i].name, 100 * r->hit, r->imbalance);
        if (plans[i].round_robin)
            printf("%10s %11s %11s ", "-", "-", "-");
        else
            printf("%10.0f %8.0f us %8.0f us ", (double)r->selects / r->seconds, r->select_p50,
                   r->select_p99);
        printf("%5.2f %4.1f s\n", r->first_p50, r->first_p99);
    }
    const struct run_result *c = &results[CRASH];
    printf(
        "\nload: max / mean over the workers of tokens computed (prompt tokens not in the cache, "
        "and\noutput). ");
    if (real)
        printf(
            "selects/s: as requests come. first token: from arrival to the first token over HTTP,\n"
            "in the engines' time.\n");
    else
        printf("selects/s: of real time, the simulated workers and the crashes included. first\n"
               "token: simulated, from arrival to the end of prefill.\n");
    printf("\ndigest before the crash %s\n       after it         %s\n", c->before, c->after);
    printf(
        "through the crashes: %lld requests in flight half way, %u reconnects, %zu answers asked "
        "for\n"
        "again and repeated, %zu bookings put back, %zu events sent again, %zu caches published\n"
        "anew; the longest SELECT took %.1f s\n\n",
        c->live_at_crash, c->reconnects, c->repeats, c->put_back, c->resent, c->rebuilt,
        c->select_max / 1e6);
}

static bool check(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool check(bool good, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("%s  ", good ? "ok  " : "FAIL");
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    return good;
}

bool report_checks(const struct run_plan plans[RUNS], const struct run_result results[RUNS],
                   bool real) {
    const struct run_result *one = &results[ONE], *many = &results[MANY], *crash = &results[CRASH];
    bool ok = true;
    size_t lost = 0, twice = 0;
    unsigned misjudged = 0;
    long long live = 0;
    double imbalance = 0, hit = 1, least = real ? least_share_real : least_share;
    for (int i = 0; i < RUNS; i++) {
        lost += results[i].lost;
        twice += results[i].twice;
        if (plans[i].round_robin) continue;
        misjudged += results[i].misjudged;
        live += results[i].still_live;
        if (results[i].imbalance > imbalance) imbalance = results[i].imbalance;
        if (results[i].hit < hit) hit = results[i].hit;
    }
    ok &= check(!lost, "no request was lost (%zu)", lost);
    ok &= check(!twice, "none was given to two workers or twice to one (%zu)", twice);
    ok &= check(!live, "none is live in the pool when all have ended (%lld)", live);
    ok &= check(!misjudged, "the pool knows what every worker holds, to the block (%u differ)",
                misjudged);
    ok &= check(crash->before[0] && !strcmp(crash->before, crash->after),
                "the digest is the same after the crash");
    ok &= check(crash->repeats >= 1,
                "the booking whose answer was lost in the crash was answered the same again (%zu)",
                crash->repeats);
    ok &= check(many->hit >= least * one->hit, "%s hit %.1f %% of what one router hits",
                plans[MANY].name, 100 * many->hit / one->hit);
    ok &= check(crash->hit >= least * one->hit, "through the crashes %.1f %%",
                100 * crash->hit / one->hit);
    ok &= check(hit > results[ROUND_ROBIN].hit, "at least %.1f times the hits of round robin",
                hit / results[ROUND_ROBIN].hit);
    ok &= check(imbalance <= worst_imbalance, "the worst imbalance is %.2f, of %.1f allowed",
                imbalance, worst_imbalance);
    return ok;
}
