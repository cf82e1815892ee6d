// SPDX-License-Identifier: Apache-2.0
// Choosing: overlaps, loads and costs of all instances, and the least of them.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/rule/policy.h"
#include "module/core/state/label.h"
#include "module/core/state/ledger.h"
#include "module/core/state/session.h"
#include "module/core/state/worker.h"
#include "module/core/state/worker_circuit.h"

static enum kvr_err check(const struct kvr_pool *p, const struct kvr_query *q) {
    if (q->n > KVR_MAX_BLOCKS) return KVR_LIMIT;
    struct kvr_options o = p->options;
    o.rule = q->rule;
    if (kvr_options_check(&o) || q->isl > KVR_MAX_TOKENS || q->osl < 0 || q->osl > KVR_MAX_TOKENS ||
        q->n_with > KVR_MAX_LABELS || q->n_without > KVR_MAX_LABELS || q->session.n > KVR_MAX_ID)
        return KVR_RANGE;
    return KVR_OK;
}

static int64_t isl_of(const struct kvr_pool *p, const struct kvr_query *q) {
    return q->isl >= 0 ? q->isl : (int64_t)q->n * p->options.block_size;
}

// Numbers of blocks are below 2^31, and processors turn signed numbers into doubles more easily.
static double to_double(uint32_t blocks) {
    return (int32_t)blocks;
}

static void give_credit(struct kvr_pool *p, size_t n) {
    const uint32_t *restrict device = p->columns.by_tier[KVR_DEVICE];
    const uint32_t *restrict in_host = p->columns.by_tier[KVR_HOST];
    const uint32_t *restrict on_disk = p->columns.by_tier[KVR_DISK];
    const uint32_t *restrict live = p->columns.live;
    double *restrict credit = p->columns.credit, *restrict live_prefix = p->columns.live_prefix;
    double host = p->options.host, disk = p->options.disk;
    for (size_t i = 0; i < n; i++) {
        credit[i] =
            to_double(device[i]) + host * to_double(in_host[i]) + disk * to_double(on_disk[i]);
        live_prefix[i] = to_double(live[i]);
    }
}

// By how much each decodes slower than the fleet: as somebody said, or as measured, with the fleet's mean
// for a few requests that an instance hasn't had yet. 1 for all while nothing has been measured.
static void set_pace(struct kvr_pool *p, size_t n) {
    const double *restrict slow = p->columns.slow, *restrict time = p->columns.decode_time;
    const double *restrict tokens = p->columns.decode_tokens;
    double *restrict pace = p->columns.pace;
    double fleet = core_ratio_mean(p->learnt.decode, 0),
           prior = CORE_LEARN_PRIOR * p->learnt.output;
    double per_token = fleet > 0 ? 1 / fleet : 0;
    for (size_t i = 0; !(fleet > 0) && i < n; i++)
        pace[i] = slow[i] > 0 ? slow[i] : 1;
    if (!(fleet > 0)) return;
    for (size_t i = 0; i < n; i++) {
        double measured = (time[i] * per_token + prior) / (tokens[i] + prior), said = slow[i];
        pace[i] = said > 0 ? said : measured;
    }
}

// Tokens of prefill that each still has to compute; see core_learn_left.
static void set_queue(struct kvr_pool *p, int64_t now, size_t n) {
    const double *restrict queued = p->columns.prefill_tokens, *restrict rate = p->columns.rate;
    const double *restrict oldest = p->columns.oldest_tokens;
    const double *restrict free_at = p->columns.free_at;
    double *restrict queue = p->columns.queue;
    double at = (double)now, fleet = core_ratio_rate(p->learnt.prefill);
    for (size_t i = 0; i < n; i++)
        queue[i] =
            core_learn_left(queued[i], oldest[i], free_at[i], at, rate[i] > 0 ? rate[i] : fleet);
}

// How many of the request's first blocks each instance holds or is about to: what is live there is a
// prefix of the request, `longest` at most, and what is held goes on behind it.
static void set_expected(struct kvr_pool *p, const struct kvr_query *q, size_t n,
                         uint32_t longest) {
    struct core_columns *c = &p->columns;
    struct core_match m = {.reach = c->expected, .from = UINT32_MAX};
    memcpy(c->expected, c->reach, n * sizeof *c->expected);
    for (size_t i = 0; longest && i < n; i++) {
        bool more = c->live[i] > c->reach[i];
        if (!more) continue;
        c->expected[i] = c->live[i];
        m.from = c->live[i] < m.from ? c->live[i] : m.from;
        m.longest = c->live[i] > m.longest ? c->live[i] : m.longest;
    }
    if (!m.longest) return;
    for (int t = 0; t < KVR_TIERS; t++)
        m.by_tier[t] = c->behind; // nobody asks
    core_tree_match(&p->tree, q->hashes, q->n, &m);
}

// What the rule reads of the pool rather than of its instances.
static double expected_output(const struct kvr_pool *p, const struct kvr_query *q) {
    return q->osl > 0 ? (double)q->osl : p->learnt.output;
}

static double first_weight(const struct kvr_pool *p, double output) {
    double w = output * (double)p->options.slo_tbt / (double)p->options.slo_ttft;
    return w > 1 ? w : 1;
}

// As if some of it hadn't been measured, see enum kvr_term.
static void leave_out(struct core_columns *c, unsigned without, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (without & KVR_TERM_EXPECTED) {
            c->live_prefix[i] = 0;
            c->expected[i] = c->reach[i];
        }
        if (without & KVR_TERM_QUEUE) c->queue[i] = c->prefill_tokens[i];
        if (without & KVR_TERM_PACE) c->pace[i] = 1;
    }
}

// Fills the columns of all instances: what each has of the request, and the cost.
static void compute(struct kvr_pool *p, int64_t now, const struct kvr_query *q) {
    size_t n = p->n_instances;
    if (!n) return; // and no columns yet
    struct core_columns *c = &p->columns;
    struct core_match m = {.reach = c->reach};
    memset(c->reach, 0, n * sizeof *c->reach);
    memset(c->live, 0, n * sizeof *c->live);
    core_live_match(&p->predicted, q->hashes, q->n, c->reach, &m.longest);
    for (int t = 0; t < KVR_TIERS; t++) {
        m.by_tier[t] = c->by_tier[t];
        memset(c->by_tier[t], 0, n * sizeof *c->by_tier[t]);
    }
    // A predicted prefix counts as held on the device; the tree goes on from there.
    if (m.longest) memcpy(c->by_tier[KVR_DEVICE], c->reach, n * sizeof *c->reach);
    core_tree_match(&p->tree, q->hashes, q->n, &m);
    uint32_t longest;
    core_live_match(&p->live, q->hashes, q->n, c->live, &longest);
    give_credit(p, n);
    set_expected(p, q, n, longest);
    if (kvr_policies[q->rule.policy].measured) {
        set_pace(p, n);
        set_queue(p, now, n);
    }
    unsigned without = q->rule.without;
    if (without) leave_out(c, without, n);
    double output = expected_output(p, q);
    struct kvr_policy_in in = {
        .n = n,
        .credit = c->credit,
        .prefill_tokens = c->prefill_tokens,
        .queue = c->queue,
        .decode_blocks = c->decode_blocks,
        .live_prefix = c->live_prefix,
        .requests = c->requests,
        .pace = c->pace,
        .full = c->full,
        .blocks = (double)q->n,
        .isl = (double)isl_of(p, q),
        .block_size = p->options.block_size,
        .overlap_weight = q->rule.overlap,
        .prefill_weight = q->rule.prefill,
        .requests_weight = q->rule.requests,
        .output = output,
        .first_weight = without & KVR_TERM_FIRST ? 1 : first_weight(p, output),
        .arrivals = without & KVR_TERM_ARRIVALS ? 0 : core_ratio_mean(p->learnt.arrivals, 0),
        .reuse = without & KVR_TERM_REUSE ? 0 : core_ratio_mean(p->learnt.reuse, 0),
        .exact = without & KVR_TERM_ROUNDING,
    };
    kvr_policies[q->rule.policy].cost(&in, c->cost);
}

// ---- Who is eligible -----------------------------------------------------------------------------

enum { MARK_AMONG = 1, MARK_EXCLUDED = 2, MARK_UNFIT = 4 }; // MARK_UNFIT: by its labels

static void mark_workers(struct kvr_pool *p, const struct kvr_query *q, bool on) {
    if (q->n_with || q->n_without) {
        struct core_label_query labels;
        core_label_query_make(p, q, &labels);
        for (size_t i = 0; i < p->n_workers; i++)
            p->workers[i]->mark =
                on && !core_labels_fit(p->workers[i], q, &labels) ? MARK_UNFIT : 0;
    }
    for (size_t i = 0; i < q->n_among; i++) {
        long w = core_worker_find(p, q->among[i], NULL);
        if (w >= 0) p->workers[w]->mark = on ? p->workers[w]->mark | MARK_AMONG : 0;
    }
    for (size_t i = 0; i < q->n_exclude; i++) {
        long w = core_worker_find(p, q->exclude[i], NULL);
        if (w >= 0) p->workers[w]->mark = on ? p->workers[w]->mark | MARK_EXCLUDED : 0;
    }
}

static bool may_serve(const struct kvr_pool *p, const struct core_worker *w, int64_t now,
                      const struct kvr_query *q) {
    return w->state == KVR_READY && !(w->mark & (MARK_EXCLUDED | MARK_UNFIT)) &&
           (!q->has_among || w->mark & MARK_AMONG) && !core_worker_expired(p, w, now);
}

// Whether circuits count: not if they would leave nobody.
static bool circuits_count(const struct kvr_pool *p, int64_t now, const struct kvr_query *q) {
    for (size_t i = 0; p->n_open && i < p->n_workers; i++)
        if (core_circuit_of(p->workers[i], now) != KVR_OPEN && may_serve(p, p->workers[i], now, q))
            return true;
    return false;
}

static bool eligible(const struct kvr_pool *p, const struct core_worker *w, int64_t now,
                     const struct kvr_query *q, bool circuits) {
    return may_serve(p, w, now, q) && !(circuits && core_circuit_of(w, now) == KVR_OPEN);
}

// ---- The choice ----------------------------------------------------------------------------------

// Makes the cost of all that aren't eligible infinite, and of what fills the last lanes.
static void exclude_ineligible(struct kvr_pool *p, int64_t now, const struct kvr_query *q) {
    double *restrict cost = p->columns.cost;
    const double *restrict seen = p->columns.seen, *restrict ttl = p->columns.ttl;
    double at = (double)now, renewed = (double)p->renewed;
    size_t n = p->n_instances;
    for (size_t i = 0; i < n; i++) {
        double since = seen[i] > renewed ? seen[i] : renewed;
        cost[i] = at < since + ttl[i] ? cost[i] : INFINITY;
    }
    for (; n % CORE_LANES; n++)
        cost[n] = INFINITY;
    bool circuits = circuits_count(p, now, q);
    if (!q->has_among && !q->n_exclude && !q->n_with && !q->n_without && !circuits) return;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct core_worker *w = p->workers[i];
        if (eligible(p, w, now, q, circuits)) continue;
        for (uint32_t r = 0; r < w->ranks; r++)
            cost[w->instances[r]] = INFINITY;
    }
}

static double least_lane(const double *lanes) {
    double least = lanes[0];
    for (size_t k = 1; k < CORE_LANES; k++)
        least = lanes[k] < least ? lanes[k] : least;
    return least;
}

// Each lane has a least of its own, so that nothing waits for the comparison before it.
static double least_of(const double *values, size_t n) {
    double least[CORE_LANES];
    for (size_t k = 0; k < CORE_LANES; k++)
        least[k] = INFINITY;
    for (size_t i = 0; i < n; i += CORE_LANES)
        for (size_t k = 0; k < CORE_LANES; k++)
            least[k] = values[i + k] < least[k] ? values[i + k] : least[k];
    return least_lane(least);
}

// When each of those at this cost was booked; infinite for the others.
static void rank_by_booking(const struct core_columns *c, size_t n, double wanted) {
    const double *restrict cost = c->cost, *restrict booked = c->booked;
    double *restrict rank = c->rank;
    for (size_t i = 0; i < n; i++) {
        double when = booked[i]; // read in any case, so that there is nothing to branch for
        rank[i] = cost[i] == wanted ? when : INFINITY;
    }
    for (; n % CORE_LANES; n++)
        rank[n] = INFINITY;
}

static bool comes_before(const struct kvr_pool *p, uint32_t a, uint32_t b) {
    const struct core_instance *x = &p->instances[a], *y = &p->instances[b];
    return x->worker == y->worker ? x->rank < y->rank : core_worker_before(x->worker, y->worker);
}

// Where the session's last booking went; CORE_NO_INSTANCE: there is none.
static uint32_t session_instance(const struct kvr_pool *p, int64_t now, const struct kvr_query *q) {
    const struct core_session *s = q->session.n ? core_session_find(p, q->session) : NULL;
    return s && core_session_valid(p, s) && core_session_lasts(p, s, now) ? s->instance
                                                                          : CORE_NO_INSTANCE;
}

// By how much its cost may be above the least.
static double session_allowance(const struct kvr_pool *p, const struct kvr_query *q) {
    double w = q->rule.policy == KVR_DELAY ? first_weight(p, expected_output(p, q)) : 1;
    return q->rule.prefill * w * p->options.stick / p->options.block_size;
}

// Least cost; of equals the one booked longest ago; of those, which are all that were never booked, the
// first in name and rank order.
static uint32_t choose_least(const struct kvr_pool *p, double least) {
    const struct core_columns *c = &p->columns;
    uint32_t n = p->n_instances, best = 0;
    rank_by_booking(c, n, least);
    double first = least_of(c->rank, n);
    while (c->rank[best] != first)
        best++;
    for (uint32_t i = best + 1; first == 0 && i < n; i++)
        if (c->rank[i] == first && comes_before(p, i, best)) best = i;
    return best;
}

// A draw with p ∝ exp(-(cost - min) / ((max - min) · T)); uniform if all are equal.
static uint32_t choose_softmax(const struct kvr_pool *p, const struct kvr_query *q, double random) {
    const double *cost = p->columns.cost;
    double min = INFINITY, max = -INFINITY, sum = 0;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct core_worker *w = p->workers[i];
        for (uint32_t r = 0; r < w->ranks; r++) {
            double x = cost[w->instances[r]];
            if (x == INFINITY) continue;
            min = x < min ? x : min;
            max = x > max ? x : max;
        }
    }
    // Two passes over the same order: the weights' sum, then the place where the draw falls.
    uint32_t last = CORE_NO_INSTANCE;
    for (int pass = 0; pass < 2; pass++) {
        double left = random * sum;
        for (size_t i = 0; i < p->n_workers; i++) {
            const struct core_worker *w = p->workers[i];
            for (uint32_t r = 0; r < w->ranks; r++) {
                double x = cost[w->instances[r]] - min, span = (max - min) * q->rule.temperature;
                if (x == INFINITY) continue;
                double weight = span > 0 ? exp(-x / span) : x > 0 ? 0 : 1;
                if (!pass) {
                    sum += weight;
                    continue;
                }
                if (weight > 0) last = w->instances[r];
                if (left < weight) return last;
                left -= weight;
            }
        }
    }
    return last;
}

static uint32_t choose(struct kvr_pool *p, int64_t now, const struct kvr_query *q, double random) {
    double least = least_of(p->columns.cost, p->n_instances);
    if (least == INFINITY) return CORE_NO_INSTANCE;
    uint32_t own = session_instance(p, now, q);
    if (own != CORE_NO_INSTANCE && p->columns.cost[own] <= least + session_allowance(p, q))
        return own;
    return q->rule.temperature > 0 ? choose_softmax(p, q, random) : choose_least(p, least);
}

static struct kvr_pool_score score_of(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                                      uint32_t i) {
    const struct core_instance *in = &p->instances[i];
    const struct core_columns *c = &p->columns;
    int64_t isl = isl_of(p, q), cached = (int64_t)c->expected[i] * p->options.block_size;
    struct kvr_pool_score s = {
        .worker = {in->worker->name, in->worker->name_len},
        .addr = {in->worker->addr, in->worker->addr_len},
        .rank = in->rank,
        .overlap = c->reach[i],
        .expected = c->expected[i],
        .cached = cached < isl ? cached : isl,
        .prefill_tokens = in->prefill_tokens,
        .decode_blocks = in->live_blocks + in->output_blocks,
        .requests = in->requests,
        .cost = c->cost[i],
    };
    struct core_forecast_case kind = core_instance_case(p, in, now, isl - s.cached);
    s.ttft = core_learn_ttft(&p->learnt, &in->learnt, &kind);
    s.tpot = core_learn_tpot(&p->learnt, &in->learnt);
    for (int t = 0; t < KVR_TIERS; t++)
        s.by_tier[t] = c->by_tier[t][i];
    return s;
}

// The earlier answer, for a caller that lost it.
static void repeat(struct kvr_pool *p, const struct core_request *r, struct kvr_pool_choice *out) {
    const struct core_instance *in = &p->instances[r->instance];
    *out = (struct kvr_pool_choice){
        .score = {.worker = {in->worker->name, in->worker->name_len},
                  .addr = {in->worker->addr, in->worker->addr_len},
                  .rank = in->rank,
                  .overlap = r->overlap,
                  .expected = r->expected,
                  .cached = r->cached,
                  .cost = r->cost,
                  .ttft = r->ttft,
                  .tpot = r->tpot},
        .blocks = r->blocks,
        .repeat = true,
        .version = p->version,
    };
    p->stats.repeats++;
}

enum kvr_err kvr_select(struct kvr_pool *p, int64_t now, struct kvr_bytes id,
                        const struct kvr_query *q, int64_t lease, double random,
                        struct kvr_pool_choice *out, struct kvr_booking *booked) {
    if (id.n < 1 || id.n > KVR_MAX_ID) return KVR_RANGE;
    enum kvr_err err = check(p, q);
    if (err) return err;
    const struct core_request *live = core_request_find(p, id);
    if (live) {
        repeat(p, live, out);
        return KVR_OK;
    }
    compute(p, now, q);
    mark_workers(p, q, true);
    exclude_ineligible(p, now, q);
    mark_workers(p, q, false);
    uint32_t i = choose(p, now, q, random);
    if (i == CORE_NO_INSTANCE) return KVR_NOWORKER;
    *out = (struct kvr_pool_choice){.score = score_of(p, now, q, i), .blocks = q->n};
    *booked = (struct kvr_booking){
        .hashes = q->hashes,
        .n = q->n,
        .isl = isl_of(p, q),
        .osl = q->osl,
        .cached = out->score.cached,
        .lease = lease < 0 ? p->options.lease : lease,
        .created = now,
        .renewed = now,
        .predict_until = p->options.predict ? now + p->options.predict : 0,
        .overlap = out->score.overlap,
        .expected = out->score.expected,
        .cost = out->score.cost,
        .session = q->session,
    };
    if ((err = core_request_add(p, id, i, booked))) return err;
    core_circuit_booked(p, p->instances[i].worker, now);
    p->version++;
    out->version = p->version;
    p->stats.selects++;
    p->stats.select_blocks += q->n;
    p->stats.overlap_blocks += out->score.overlap;
    p->stats.expected_blocks += out->score.expected;
    return KVR_OK;
}

// ---- All scores ----------------------------------------------------------------------------------

// qsort can't carry the pool, so what breaks ties stands in each row; rows are made in name and
// rank order.
struct score_row {
    double cost;
    uint64_t booked, order;
    uint32_t instance;
};

static int by_cost(const void *left, const void *right) {
    const struct score_row *a = left, *b = right;
    if (a->cost != b->cost) return a->cost < b->cost ? -1 : 1;
    if (a->booked != b->booked) return a->booked < b->booked ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

enum kvr_err kvr_scores(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                        const struct kvr_pool_score **out, size_t *n) {
    enum kvr_err err = check(p, q);
    if (err) return err;
    if (core_mem_grow(&p->mem, &p->scores, &p->cap_scores, p->live_instances + 1u,
                      sizeof *p->scores))
        return KVR_NOMEM;
    size_t bytes = (p->live_instances + 1u) * sizeof(struct score_row);
    struct score_row *rows = core_mem_alloc(&p->mem, bytes);
    if (!rows) return KVR_NOMEM;
    compute(p, now, q);
    mark_workers(p, q, true);
    bool circuits = circuits_count(p, now, q);
    *n = 0;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct core_worker *w = p->workers[i];
        if (!eligible(p, w, now, q, circuits)) continue;
        for (uint32_t r = 0; r < w->ranks; r++, ++*n) {
            uint32_t at = w->instances[r];
            rows[*n] = (struct score_row){p->columns.cost[at], p->instances[at].booked, *n, at};
        }
    }
    mark_workers(p, q, false);
    qsort(rows, *n, sizeof *rows, by_cost);
    for (size_t i = 0; i < *n; i++)
        p->scores[i] = score_of(p, now, q, rows[i].instance);
    core_mem_free(&p->mem, rows, bytes);
    *out = p->scores;
    return KVR_OK;
}
