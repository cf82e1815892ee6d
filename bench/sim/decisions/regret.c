// SPDX-License-Identifier: Apache-2.0
#include "regret.h"

#include <math.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"

static bool is_known(const struct sim_decisions *d, const struct sim_decision *x) {
    return x->chosen >= 0 && d->candidates[x->first + (size_t)x->chosen].eligible;
}

static bool is_judged(const struct sim_decisions *d, const struct sim_decision *x) {
    return x->booked && !x->pair && is_known(d, x);
}

void sim_regret_scope_find(const struct sim_decisions *d, struct sim_regret_scope *out) {
    double *errors = bench_calloc(d->n, sizeof *errors);
    *out = (struct sim_regret_scope){.decisions = d->n};
    for (size_t i = 0; i < d->n; i++) {
        const struct sim_decision *x = &d->all[i];
        bool judged = is_judged(d, x);
        out->refused += !x->booked;
        out->pairs += x->booked && x->pair;
        out->unknown += x->booked && !x->pair && !is_known(d, x);
        out->judged += judged;
        out->partial += judged && x->left_out;
        out->drawn += judged && x->temperature > 0;
        double predicted = judged ? d->candidates[x->first + (size_t)x->chosen].ttft : -1;
        if (!x->ended || x->ttft <= 0 || predicted < 0) continue;
        errors[out->measured++] = fabs(predicted - x->ttft) / x->ttft;
        out->ttft += x->ttft;
    }
    if (out->measured) {
        out->ttft /= (double)out->measured;
        out->error = bench_median(errors, out->measured);
    }
    free(errors);
}

// What one choice is worth, beside the others that might have been made.
struct choice_worth {
    double cost, least, made;
    bool predicted;
    double ttft, ttft_least, ttft_made;
    double agree;
};

// choice < 0: any, the mean over all.
static struct choice_worth worth_of(const struct sim_decisions *d, const struct sim_decision *x,
                                    const double *cost, long choice) {
    const struct sim_candidate *all = d->candidates + x->first;
    struct choice_worth w = {.least = INFINITY, .ttft_least = INFINITY, .predicted = true};
    double n = 0;
    for (size_t i = 0; i < x->n; i++) {
        if (!all[i].eligible) continue;
        w.least = fmin(w.least, cost[i]);
        w.ttft_least = fmin(w.ttft_least, all[i].ttft);
        w.predicted &= all[i].ttft >= 0;
        if (choice >= 0 && (size_t)choice != i) continue;
        n++;
        w.cost += cost[i];
        w.ttft += all[i].ttft;
        w.agree += (long)i == x->chosen;
    }
    w.cost /= n;
    w.ttft /= n;
    w.agree /= n;
    w.made = cost[x->chosen];
    w.ttft_made = all[x->chosen].ttft;
    return w;
}

static void add_worth(struct sim_regret *out, const struct choice_worth *w, double *regrets) {
    regrets[out->decisions++] = w->cost - w->least;
    out->agree += w->agree;
    out->cost += w->cost;
    out->mean += w->cost - w->least;
    out->made += w->cost - w->made;
    if (!w->predicted) return;
    out->predicted++;
    out->ttft += w->ttft;
    out->ttft_least += w->ttft_least;
    out->ttft_made += w->ttft_made;
}

static void finish(struct sim_regret *out, const double *regrets) {
    double n = (double)out->decisions, predicted = (double)out->predicted;
    if (out->decisions) {
        double *sorted = bench_sorted(regrets, out->decisions);
        out->p50 = bench_quantile(sorted, out->decisions, 0.5);
        out->p99 = bench_quantile(sorted, out->decisions, 0.99);
        free(sorted);
        out->agree /= n;
        out->cost /= n;
        out->mean /= n;
        out->made /= n;
    }
    if (!out->predicted) return;
    out->ttft /= predicted;
    out->ttft_least /= predicted;
    out->ttft_made /= predicted;
}

void sim_regret_find(const struct sim_decisions *d, const struct sim_judged_policy *p,
                     struct sim_regret *out) {
    const struct sim_judged_policy judge = {
        .kind = SIM_JUDGED_RULE, .policy = KVR_DELAY, .overlap = 1, .prefill = 1, .exact = true};
    struct sim_judged_room room;
    double *regrets = bench_calloc(d->n, sizeof *regrets);
    sim_judged_room_open(&room, d->instances);
    *out = (struct sim_regret){0};
    for (size_t i = 0; i < d->n; i++) {
        const struct sim_decision *x = &d->all[i];
        if (!is_judged(d, x)) continue;
        bool any = p->kind == SIM_JUDGED_RANDOM;
        long choice = any ? -1 : sim_judged_choice(p, d, x, &room);
        if (!any && choice < 0) continue; // the file says that nobody might be chosen
        sim_judged_costs(&judge, d, x, &room);
        struct choice_worth w = worth_of(d, x, room.cost, choice);
        add_worth(out, &w, regrets);
    }
    finish(out, regrets);
    sim_judged_room_close(&room);
    free(regrets);
}
