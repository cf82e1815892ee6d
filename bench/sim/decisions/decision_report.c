// SPDX-License-Identifier: Apache-2.0
#include "decision_report.h"

#include <stdio.h>

#include "regret.h"

static void tell_scope(const struct sim_regret_scope *s) {
    printf("%zu decisions; %zu are judged", s->decisions, s->judged);
    if (s->refused) printf("; nobody was chosen at once in %zu", s->refused);
    if (s->pairs) printf("; %zu were of pairs", s->pairs);
    if (s->unknown)
        printf("; in %zu who was chosen isn't among those that were logged", s->unknown);
    printf(".\n");
    if (s->partial)
        printf("Of %zu not all instances are in the log: another policy might have chosen one of "
               "those.\n",
               s->partial);
    if (s->drawn)
        printf("%zu were drawn by chance (TEMPERATURE), and are compared without it.\n", s->drawn);
    if (s->measured)
        printf("Predicted times to the first token were off by %.0f %% (median of %zu; measured "
               "mean %.1f "
               "ms).\n",
               s->error * 100, s->measured, s->ttft);
    else
        printf("No time to the first token was measured where one was predicted.\n");
}

static void tell_row(const char *name, const struct sim_regret *r) {
    printf("%-28s %7.2f%% %10.1f %9.2f %9.2f %9.2f %9.2f", name, r->agree * 100, r->cost, r->mean,
           r->p50, r->p99, r->made);
    if (r->predicted)
        printf(" %9.1f %9.1f %9.1f\n", r->ttft, r->ttft - r->ttft_least, r->ttft - r->ttft_made);
    else
        printf(" %9s %9s %9s\n", "-", "-", "-");
}

bool sim_decision_report(const struct sim_options *o) {
    const struct sim_judged_policy made = {.name = "as it was", .kind = SIM_JUDGED_LOGGED};
    struct sim_judged_policy policies[SIM_MAX_JUDGED];
    struct sim_regret_scope scope;
    struct sim_regret r;
    size_t n;
    if (!sim_judged_parse(o->policies, policies, &n)) return false;
    sim_regret_scope_find(&o->logged, &scope);
    printf("One step, each from the state that was logged. ");
    tell_scope(&scope);
    printf("\n%-28s %8s %10s %9s %9s %9s %9s %9s %9s %9s\n", "", "", "cost", "regret", "", "",
           "to what", "TTFT", "to the", "to what");
    printf("%-28s %8s %10s %9s %9s %9s %9s %9s %9s %9s\n", "policy", "agrees", "mean", "mean",
           "p50", "p99", "was made", "ms", "least", "was made");
    sim_regret_find(&o->logged, &made, &r);
    tell_row(made.name, &r);
    for (size_t i = 0; i < n; i++) {
        sim_regret_find(&o->logged, &policies[i], &r);
        tell_row(policies[i].name, &r);
    }
    printf(
        "\ncost: of the delay rule, unrounded, in blocks of prefill that somebody waits for; "
        "regret: "
        "above the least\nthat was there. TTFT: as the pool predicted it, where it did of all.\n");
    return true;
}
