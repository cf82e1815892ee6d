// SPDX-License-Identifier: Apache-2.0
// The model's choices; see unit_model.h.
#include <math.h>
#include <stdlib.h>

#include "module/core/rule/policy.h"
#include "unit_model.h"

static bool listed(struct kvr_bytes name, const struct kvr_bytes *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (unit_bytes_compare(name, list[i]) == 0) return true;
    return false;
}

// By how much it decodes slower than the fleet.
static double pace_of(const struct unit_model *m, const struct unit_model_worker *w,
                      const struct unit_model_rank *r) {
    double fleet = core_ratio_mean(m->learnt.decode, 0),
           prior = CORE_LEARN_PRIOR * m->learnt.output;
    if (w->speed > 0) return 1 / w->speed;
    if (!(fleet > 0)) return 1;
    return (r->learnt.decode.num * (1 / fleet) + prior) / (r->learnt.decode.den + prior);
}

// How many blocks each instance holds on its device, by its number; the caller frees it.
static uint64_t *count_device(const struct unit_model *m) {
    uint64_t *counts = unit_must_alloc((m->last_id + 1) * sizeof *counts);
    for (uint64_t i = 0; i <= m->last_id; i++)
        counts[i] = 0;
    for (size_t i = 0; i < m->held.cap; i++) {
        const struct unit_row *r = &m->held.rows[i];
        if (r->used && r->tag % KVR_TIERS == KVR_DEVICE) counts[r->tag / KVR_TIERS]++;
    }
    return counts;
}

// How full its cache is, of what it holds on the device and what is guessed.
static double full_of(const struct unit_model *m, const struct unit_model_worker *w,
                      const struct unit_model_rank *r, uint64_t device) {
    double held = (double)(device + unit_model_predicted_blocks(m, r->id));
    double share = w->capacity ? held / (double)w->capacity : 0;
    return share < 1 ? share : 1;
}

// Costs are the rule's own function of what the model says of one instance; the rules themselves are
// tried by unit_test_policy.c. What a rule is told is here, and in select.c.
static void set_costs(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                      struct unit_model_candidate *c, int64_t isl, uint32_t live, uint32_t begun,
                      uint64_t device) {
    const struct unit_model_worker *w = c->worker;
    const struct unit_model_rank *r = c->rank;
    struct kvr_pool_score *s = &c->choice.score;
    double credit = s->by_tier[KVR_DEVICE] + m->options.host * s->by_tier[KVR_HOST] +
                    m->options.disk * s->by_tier[KVR_DISK];
    double queued = (double)s->prefill_tokens, decode = (double)s->decode_blocks;
    double live_prefix = live, begun_prefix = begun, requests = (double)s->requests;
    double queue = core_learn_left(queued, unit_model_oldest(m, r->id), r->learnt.free_at,
                                   (double)now, core_learn_rate(&m->learnt, &r->learnt));
    double pace = pace_of(m, w, r), full = full_of(m, w, r, device);
    struct kvr_policy_in in = {
        .n = 1,
        .credit = &credit,
        .prefill_tokens = &queued,
        .queue = &queue,
        .decode_blocks = &decode,
        .live_prefix = &live_prefix,
        .begun = &begun_prefix,
        .requests = &requests,
        .pace = &pace,
        .full = &full,
        .blocks = (double)q->n,
        .isl = (double)isl,
        .block_size = m->options.block_size,
        .overlap_weight = q->rule.overlap,
        .prefill_weight = q->rule.prefill,
        .requests_weight = q->rule.requests,
        .output = unit_model_output(m, q),
        .first_weight = unit_model_first_weight(m, q),
        .arrivals = core_ratio_mean(m->learnt.arrivals, 0),
        .reuse = core_ratio_mean(m->learnt.reuse, 0),
    };
    kvr_policies[q->rule.policy].cost(&in, &s->cost);
    kvr_policies[q->rule.policy].parts(&in, &c->prefill, &c->decode);
}

// Which of the blocks are live, of one instance.
struct unit_live_set {
    uint64_t *all;
    size_t n;
};

static bool is_live(const struct unit_live_set *l, uint64_t hash) {
    return l->n && bsearch(&hash, l->all, l->n, sizeof *l->all, unit_model_by_value);
}

// The first blocks of the request that are live on the instance.
static uint32_t live_prefix(const struct kvr_query *q, const struct unit_live_set *live) {
    uint32_t n = 0;
    while (n < q->n && is_live(live, q->hashes[n]))
        n++;
    return n;
}

enum unit_model_fit unit_model_fit(const struct unit_model *m, const struct unit_model_worker *w,
                                   const struct unit_model_rank *r, const struct kvr_query *q,
                                   uint64_t percent) {
    const struct kvr_options *o = &m->options;
    struct kvr_rank_info load;
    if (!unit_model_fit_counted(m, w, r, percent)) return UNIT_FITS_NOT;
    unit_model_load(m, r->id, &load);
    if (!load.requests || !o->max_blocks || !w->capacity) return UNIT_FITS;
    struct unit_live_set set;
    set.all = unit_model_live_hashes(m, r->id, &set.n);
    unit_wide blocks = load.decode_blocks + q->n - live_prefix(q, &set);
    free(set.all);
    return blocks * 100 * 100 <= (unit_wide)o->max_blocks * w->capacity * percent
               ? UNIT_FITS
               : UNIT_FITS_BUT_BLOCKS;
}

static struct unit_model_candidate score(const struct unit_model *m, int64_t now,
                                         const struct unit_model_worker *w, uint32_t rank,
                                         const struct kvr_query *q, const uint64_t *device) {
    const struct unit_model_rank *r = &w->rank[rank];
    struct unit_model_candidate c = {.worker = w, .rank = r};
    struct kvr_pool_score s = {
        .worker = model_name(w), .addr = {w->addr, w->addr_len}, .rank = rank};
    for (size_t i = 0; i < q->n; i++, s.overlap++) {
        if (unit_model_holds(m, r->id, KVR_DEVICE, q->hashes[i]) ||
            unit_model_predicted(m, r->id, q->hashes[i]))
            s.by_tier[KVR_DEVICE]++;
        else if (unit_model_holds(m, r->id, KVR_HOST, q->hashes[i]))
            s.by_tier[KVR_HOST]++;
        else if (unit_model_holds(m, r->id, KVR_DISK, q->hashes[i]))
            s.by_tier[KVR_DISK]++;
        else
            break;
    }
    struct unit_live_set set, legs;
    set.all = unit_model_live_hashes(m, r->id, &set.n);
    legs.all = unit_model_begun_hashes(m, r->id, &legs.n);
    uint32_t live = live_prefix(q, &set), begun = live_prefix(q, &legs);
    if (live > begun) begun = live;
    for (s.expected = s.overlap; s.expected < q->n; s.expected++) {
        uint64_t hash = q->hashes[s.expected];
        bool held =
            unit_model_predicted(m, r->id, hash) || is_live(&set, hash) || is_live(&legs, hash);
        for (int t = 0; t < KVR_TIERS; t++)
            held |= unit_model_holds(m, r->id, t, hash);
        if (!held) break;
    }
    free(set.all);
    free(legs.all);
    int64_t isl = q->isl < 0 ? (int64_t)q->n * m->options.block_size : q->isl;
    s.cached = (int64_t)s.expected * m->options.block_size;
    if (s.cached > isl) s.cached = isl;
    struct kvr_rank_info load;
    unit_model_load(m, r->id, &load);
    s.prefill_tokens = load.prefill_tokens;
    s.decode_blocks = load.decode_blocks;
    s.requests = load.requests;
    struct core_forecast_case kind = unit_model_kind(m, r, now, isl - s.cached);
    struct core_learnt learnt = m->learnt; // asking solves what was learnt anew
    s.ttft = core_learn_ttft(&learnt, &r->learnt, &kind);
    s.tpot = core_learn_tpot(&m->learnt, &r->learnt);
    s.room = unit_model_fit(m, w, r, q, m->queue.classes[0].room) == UNIT_FITS;
    c.choice.score = s;
    set_costs(m, now, q, &c, isl, live, begun, device[r->id]);
    return c;
}

static bool in_question(const struct unit_model *m, const struct unit_model_worker *w, int64_t now,
                        const struct kvr_query *q) {
    struct kvr_bytes name = model_name(w);
    for (size_t i = 0; i < q->n_with; i++)
        if (!unit_model_labelled(w, q->with[i])) return false;
    for (size_t i = 0; i < q->n_without; i++)
        if (unit_model_labelled(w, q->without[i])) return false;
    if (!q->pair && w->role == KVR_ROLE_PREFILL) return false;
    return unit_model_eligible(m, w, now) && !listed(name, q->exclude, q->n_exclude) &&
           (!q->has_among || listed(name, q->among, q->n_among));
}

void unit_model_scores(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                       const struct unit_model_limits *l, struct unit_model_choice **out,
                       size_t *n) {
    struct kvr_stats counts;
    unit_model_counts(m, now, &counts);
    struct unit_model_candidate *all = unit_must_alloc(counts.instances * sizeof *all);
    bool somebody = false; // whose circuit isn't open
    for (size_t i = 0; i < m->n_workers; i++)
        somebody |= in_question(m, &m->workers[i], now, q) &&
                    unit_model_circuit(&m->workers[i], now) != KVR_OPEN;
    uint64_t *device = count_device(m);
    size_t found = 0;
    for (size_t i = 0; i < m->n_workers; i++) {
        const struct unit_model_worker *w = &m->workers[i];
        if (!in_question(m, w, now, q)) continue;
        if (somebody && unit_model_circuit(w, now) == KVR_OPEN) continue;
        for (uint32_t k = 0; k < w->ranks; k++)
            all[found++] = score(m, now, w, k, q, device);
    }
    free(device);
    if (q->pair) unit_model_pair_up(m, now, q, l, all, found);
    qsort(all, found, sizeof *all, unit_model_by_preference);
    *out = unit_must_alloc(found * sizeof **out);
    *n = 0;
    for (size_t i = 0; i < found; i++) {
        if (all[i].choice.score.cost == INFINITY || unit_model_kept(l, all[i].rank->id)) continue;
        if (!l || unit_model_fit(m, all[i].worker, all[i].rank, q, l->percent) == l->fit)
            (*out)[(*n)++] = all[i].choice;
    }
    free(all);
}

const struct unit_model_choice *unit_model_held(const struct unit_model *m, int64_t now,
                                                const struct kvr_query *q,
                                                const struct unit_model_choice *scores, size_t n,
                                                double *limit) {
    const struct unit_model_session *s =
        q->session.n ? unit_model_find_session(m, q->session) : NULL;
    uint32_t rank;
    if (!s || (now >= unit_model_session_end(m, s) && !unit_model_session_live(m, q->session)))
        return NULL;
    const struct unit_model_worker *w = unit_model_owner(m, s->instance, &rank);
    double weight = q->rule.policy == KVR_DELAY ? unit_model_first_weight(m, q) : 1;
    *limit =
        scores[0].score.cost + q->rule.prefill * weight * m->options.stick / m->options.block_size;
    for (size_t i = 0; i < n; i++)
        if (scores[i].score.rank == rank &&
            unit_bytes_compare(scores[i].score.worker, model_name(w)) == 0)
            return &scores[i];
    return NULL;
}

void unit_model_selected(struct unit_model *m, const struct kvr_pool_score *chosen, size_t blocks,
                         bool repeat) {
    if (repeat) {
        m->stats.repeats++;
        return;
    }
    m->stats.selects++;
    m->stats.select_blocks += blocks;
    m->stats.overlap_blocks += chosen->overlap;
    m->stats.expected_blocks += chosen->expected;
}
