// SPDX-License-Identifier: Apache-2.0
#include "judged_policy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_memory.h"
#include "bench/sim/compare/sim_options.h"

// ---- The list ------------------------------------------------------------------------------------

static bool parse_kind(struct sim_judged_policy *p, const char *name) {
    p->policy = kvr_policy_find(name, strlen(name));
    if (p->policy >= 0)
        p->kind = SIM_JUDGED_RULE;
    else if (!strcmp(name, "requests"))
        p->kind = SIM_JUDGED_REQUESTS;
    else if (!strcmp(name, "random"))
        p->kind = SIM_JUDGED_RANDOM;
    else
        return bench_arg_wrong("policies: no policy", name);
    return true;
}

static bool parse_word(struct sim_judged_policy *p, char *word) {
    const struct {
        const char *name;
        double *to;
    } weights[] = {{"overlap", &p->overlap}, {"prefill", &p->prefill}, {"requests", &p->requests}};
    char *value = strchr(word, '=');
    if (!value || p->kind != SIM_JUDGED_RULE) return bench_arg_wrong("policies", word);
    *value++ = 0;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (!strcmp(word, weights[i].name))
            return bench_arg_number("policies", value, 0, KVR_MAX_WEIGHT, weights[i].to);
    unsigned term = strcmp(word, "without") ? 0 : sim_term_find(value);
    if (!term) return bench_arg_wrong("policies: no term or weight", value);
    p->without |= term;
    return true;
}

bool sim_judged_parse(const char *text, struct sim_judged_policy out[SIM_MAX_JUDGED], size_t *n) {
    char list[1024], *rest = list, *words;
    *n = 0;
    if (snprintf(list, sizeof list, "%s", text) >= (int)sizeof list)
        return bench_arg_wrong("policies", "too long");
    while ((words = strsep(&rest, ","))) {
        if (*n == SIM_MAX_JUDGED) return bench_arg_wrong("policies", "too many");
        struct sim_judged_policy *p = &out[(*n)++];
        *p = (struct sim_judged_policy){.overlap = -1, .prefill = -1, .requests = -1};
        snprintf(p->name, sizeof p->name, "%s", words);
        char *word = strsep(&words, ":");
        if (!parse_kind(p, word)) return false;
        while ((word = strsep(&words, ":")))
            if (!parse_word(p, word)) return false;
    }
    return true;
}

// ---- Costs ---------------------------------------------------------------------------------------

enum { JUDGED_COLUMNS = sizeof(struct kvr_policy_row) / sizeof(double) };

void sim_judged_room_open(struct sim_judged_room *room, size_t candidates) {
    room->n = candidates ? candidates : 1;
    room->columns = bench_calloc(room->n * JUDGED_COLUMNS, sizeof *room->columns);
    room->cost = bench_calloc(room->n, sizeof *room->cost);
}

void sim_judged_room_close(struct sim_judged_room *room) {
    free(room->columns);
    free(room->cost);
}

// As the pool does it, see enum kvr_term.
static struct kvr_policy_row leave_out(struct kvr_policy_row row, unsigned without) {
    if (without & KVR_TERM_EXPECTED) row.live_prefix = row.begun = 0;
    if (without & KVR_TERM_QUEUE) row.queue = row.prefill_tokens;
    if (without & KVR_TERM_PACE) row.pace = 1;
    return row;
}

static double or_logged(double weight, double logged) {
    return weight < 0 ? logged : weight;
}

void sim_judged_costs(const struct sim_judged_policy *p, const struct sim_decisions *d,
                      const struct sim_decision *x, struct sim_judged_room *room) {
    double *column[JUDGED_COLUMNS];
    unsigned without = p->without;
    for (size_t k = 0; k < JUDGED_COLUMNS; k++)
        column[k] = room->columns + k * room->n;
    for (size_t i = 0; i < x->n; i++) {
        const struct kvr_policy_row r = leave_out(d->candidates[x->first + i].told, without);
        const double values[JUDGED_COLUMNS] = {r.credit,        r.prefill_tokens, r.queue,
                                               r.decode_blocks, r.live_prefix,    r.begun,
                                               r.requests,      r.pace,           r.full};
        for (size_t k = 0; k < JUDGED_COLUMNS; k++)
            column[k][i] = values[k];
    }
    const struct kvr_policy_in in = {
        .n = x->n,
        .credit = column[0],
        .prefill_tokens = column[1],
        .queue = column[2],
        .decode_blocks = column[3],
        .live_prefix = column[4],
        .begun = column[5],
        .requests = column[6],
        .pace = column[7],
        .full = column[8],
        .blocks = x->blocks,
        .isl = x->isl,
        .block_size = x->block_size,
        .overlap_weight = or_logged(p->overlap, x->overlap_weight),
        .prefill_weight = or_logged(p->prefill, x->prefill_weight),
        .requests_weight = or_logged(p->requests, x->requests_weight),
        .output = x->output,
        .first_weight = without & KVR_TERM_FIRST ? 1 : x->first_weight,
        .arrivals = without & KVR_TERM_ARRIVALS ? 0 : x->arrivals,
        .reuse = without & KVR_TERM_REUSE ? 0 : x->reuse,
        .exact = p->exact || without & KVR_TERM_ROUNDING,
    };
    kvr_policies[p->policy].cost(&in, room->cost);
}

// ---- The choice ----------------------------------------------------------------------------------

// Of equal costs: who was booked longest ago, then the lesser name, then the lesser rank.
static bool before(const struct sim_decisions *d, const struct sim_candidate *a,
                   const struct sim_candidate *b) {
    if (a->booked != b->booked) return a->booked < b->booked;
    if (a->worker == b->worker) return a->rank < b->rank;
    const struct sim_name *x = &d->names[a->worker], *y = &d->names[b->worker];
    int order = memcmp(x->bytes, y->bytes, x->n < y->n ? x->n : y->n);
    return order ? order < 0 : x->n < y->n;
}

static void count_requests(const struct sim_decisions *d, const struct sim_decision *x,
                           struct sim_judged_room *room) {
    for (size_t i = 0; i < x->n; i++)
        room->cost[i] = d->candidates[x->first + i].told.requests;
}

long sim_judged_choice(const struct sim_judged_policy *p, const struct sim_decisions *d,
                       const struct sim_decision *x, struct sim_judged_room *room) {
    const struct sim_candidate *all = d->candidates + x->first;
    long best = -1;
    if (p->kind == SIM_JUDGED_LOGGED) return x->chosen;
    if (p->kind == SIM_JUDGED_RULE)
        sim_judged_costs(p, d, x, room);
    else
        count_requests(d, x, room);
    const double *cost = room->cost;
    for (size_t i = 0; i < x->n; i++) {
        if (!all[i].eligible) continue;
        if (best < 0 || cost[i] < cost[best] ||
            (cost[i] == cost[best] && before(d, &all[i], &all[best])))
            best = (long)i;
    }
    if (p->kind != SIM_JUDGED_RULE || x->session < 0 || !all[x->session].eligible) return best;
    double weight = p->policy == KVR_DELAY ? x->first_weight : 1;
    double allowance = or_logged(p->prefill, x->prefill_weight) * weight * x->stick / x->block_size;
    return cost[x->session] <= cost[best] + allowance ? x->session : best;
}
