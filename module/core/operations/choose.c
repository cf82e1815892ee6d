// SPDX-License-Identifier: Apache-2.0
#include "choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/base/wide.h"
#include "module/core/rule/policy.h"
#include "module/core/state/instance.h"
#include "module/core/state/label.h"
#include "module/core/state/ledger.h"
#include "module/core/state/room.h"
#include "module/core/state/session.h"
#include "module/core/state/worker.h"
#include "module/core/state/worker_circuit.h"
#include "pair.h"

enum kvr_err core_query_check(const struct kvr_pool *p, const struct kvr_query *q) {
    if (q->n > KVR_MAX_BLOCKS) return KVR_LIMIT;
    struct kvr_options o = p->options;
    o.rule = q->rule;
    if (kvr_options_check(&o) || q->isl > KVR_MAX_TOKENS || q->osl < 0 || q->osl > KVR_MAX_TOKENS ||
        q->n_with > KVR_MAX_LABELS || q->n_without > KVR_MAX_LABELS || q->session.n > KVR_MAX_ID ||
        q->service_class.n > KVR_MAX_ID || q->flow.n > KVR_MAX_ID || q->notify.n > KVR_MAX_ID ||
        q->wait < 0 || q->wait > KVR_MAX_MS)
        return KVR_RANGE;
    return KVR_OK;
}

int64_t core_query_isl(const struct kvr_pool *p, const struct kvr_query *q) {
    return q->isl >= 0 ? q->isl : (int64_t)q->n * p->options.block_size;
}

// Numbers of blocks are below 2^31, and processors turn signed numbers into doubles more easily.
static double to_double(uint32_t blocks) {
    return (int32_t)blocks;
}

static CORE_WIDE void give_credit(struct kvr_pool *p, size_t from, size_t to) {
    const uint32_t *restrict device = p->columns.by_tier[KVR_DEVICE];
    const uint32_t *restrict in_host = p->columns.by_tier[KVR_HOST];
    const uint32_t *restrict on_disk = p->columns.by_tier[KVR_DISK];
    const uint32_t *restrict live = p->columns.live;
    double *restrict credit = p->columns.credit, *restrict live_prefix = p->columns.live_prefix;
    double host = p->options.host, disk = p->options.disk;
    for (size_t i = from; i < to; i++)
        live_prefix[i] = to_double(live[i]);
    if (!p->tree.tiered) {
        for (size_t i = from; i < to; i++)
            credit[i] = to_double(device[i]);
        return;
    }
    for (size_t i = from; i < to; i++)
        credit[i] =
            to_double(device[i]) + host * to_double(in_host[i]) + disk * to_double(on_disk[i]);
}

// By how much each decodes slower than the fleet: as somebody said, or as measured, with the fleet's mean
// for a few requests that an instance hasn't had yet. 1 for all while nothing has been measured.
static CORE_WIDE void set_pace(struct kvr_pool *p, size_t from, size_t to) {
    const double *restrict slow = p->columns.slow, *restrict time = p->columns.decode_time;
    const double *restrict tokens = p->columns.decode_tokens;
    double *restrict pace = p->columns.pace;
    double fleet = core_ratio_mean(p->learnt.decode, 0),
           prior = CORE_LEARN_PRIOR * p->learnt.output;
    double per_token = fleet > 0 ? 1 / fleet : 0;
    for (size_t i = from; !(fleet > 0) && i < to; i++)
        pace[i] = slow[i] > 0 ? slow[i] : 1;
    if (!(fleet > 0)) return;
    for (size_t i = from; i < to; i++) {
        double measured = (time[i] * per_token + prior) / (tokens[i] + prior), said = slow[i];
        pace[i] = said > 0 ? said : measured;
    }
}

// Tokens of prefill that each still has to compute; see core_learn_left.
static CORE_WIDE void set_queue(struct kvr_pool *p, int64_t now, size_t from, size_t to) {
    const double *restrict queued = p->columns.prefill_tokens, *restrict rate = p->columns.rate;
    const double *restrict oldest = p->columns.oldest_tokens;
    const double *restrict free_at = p->columns.free_at;
    double *restrict queue = p->columns.queue;
    double at = (double)now, fleet = core_ratio_rate(p->learnt.prefill);
    for (size_t i = from; i < to; i++)
        queue[i] =
            core_learn_left(queued[i], oldest[i], free_at[i], at, rate[i] > 0 ? rate[i] : fleet);
}

// How many of the request's first blocks each instance holds or is about to: what is live there is a
// prefix of the request, `longest` at most, and what is held goes on behind it.
static CORE_WIDE void set_expected(struct kvr_pool *p, const struct kvr_query *q,
                                   uint32_t longest) {
    const size_t n = p->n_instances;
    const uint32_t *restrict reach = p->columns.reach, *restrict live = p->columns.live;
    uint32_t *restrict expected = p->columns.expected;
    uint32_t differ = 0;
    if (!longest || q->rule.without & KVR_TERM_EXPECTED) {
        memcpy(expected, reach, n * sizeof *expected);
        return;
    }
    // As numbers of blocks are below 2^31, the highest bit of a difference says which is more.
    for (size_t i = 0; i < n; i++) {
        uint32_t less = reach[i] - live[i], live_is_more = -(less >> 31);
        expected[i] = reach[i] - (less & live_is_more);
        differ |= less;
    }
    if (!(differ >> 31)) return;
    struct core_match m = {.reach = expected, .from = UINT32_MAX};
    for (size_t i = 0; i < n; i++) {
        if (live[i] <= reach[i]) continue;
        m.from = live[i] < m.from ? live[i] : m.from;
        m.longest = live[i] > m.longest ? live[i] : m.longest;
    }
    for (int t = 0; t < KVR_TIERS; t++)
        m.by_tier[t] = p->columns.behind; // nobody asks
    core_tree_match(&p->tree, q->hashes, q->n, &m);
}

// Prompts of pairs: what is computed there is about to be held, too, but isn't live there as an answer's blocks are.
static void match_legs(struct kvr_pool *p, const struct kvr_query *q, uint32_t *longest) {
    uint32_t legs;
    memset(p->columns.behind, 0, p->n_instances * sizeof *p->columns.behind);
    core_live_match(&p->legs, NULL, q->hashes, q->n, p->columns.behind, &legs);
    if (legs > *longest) *longest = legs;
}

static void add_legs(struct core_columns *c, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        if (c->behind[i] > c->live[i]) c->live[i] = c->behind[i];
        c->begun[i] = to_double(c->live[i]);
    }
}

// What the rule reads of the pool rather than of its instances.
static double expected_output(const struct kvr_pool *p, const struct kvr_query *q) {
    return q->osl > 0 ? (double)q->osl : p->learnt.output;
}

static double first_weight(const struct kvr_pool *p, double output) {
    double w = output * (double)p->options.slo_tbt / (double)p->options.slo_ttft;
    return w > 1 ? w : 1;
}

// What a token of prefill weighs in the rule.
static double rule_weight(const struct kvr_pool *p, const struct kvr_query *q) {
    return q->rule.policy == KVR_DELAY ? first_weight(p, expected_output(p, q)) : 1;
}

// As if some of it hadn't been measured, see enum kvr_term.
static void leave_out(struct core_columns *c, unsigned without, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        if (without & KVR_TERM_EXPECTED) c->live_prefix[i] = c->begun[i] = 0;
        if (without & KVR_TERM_QUEUE) c->queue[i] = c->prefill_tokens[i];
        if (without & KVR_TERM_PACE) c->pace[i] = 1;
    }
}

struct kvr_policy_in core_choose_input(const struct kvr_pool *p, const struct kvr_query *q) {
    const struct core_columns *c = &p->columns;
    unsigned without = q->rule.without;
    double output = expected_output(p, q);
    return (struct kvr_policy_in){
        .n = p->n_instances,
        .credit = c->credit,
        .prefill_tokens = c->prefill_tokens,
        .queue = c->queue,
        .decode_blocks = c->decode_blocks,
        .live_prefix = c->live_prefix,
        .begun = p->legs.blocks ? c->begun : c->live_prefix,
        .requests = c->requests,
        .pace = c->pace,
        .full = c->full,
        .blocks = (double)q->n,
        .isl = (double)core_query_isl(p, q),
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
}

// The same of some of the instances.
static struct kvr_policy_in some_of(const struct kvr_policy_in *all, size_t from, size_t to) {
    struct kvr_policy_in in = *all;
    in.n = to - from;
    in.credit += from;
    in.prefill_tokens += from;
    in.queue += from;
    in.decode_blocks += from;
    in.live_prefix += from;
    in.begun += from;
    in.requests += from;
    in.pace += from;
    in.full += from;
    return in;
}

static void measure(struct kvr_pool *p, int64_t now, size_t from, size_t to) {
    set_pace(p, from, to);
    set_queue(p, now, from, to);
}

void core_choose_measure(struct kvr_pool *p, int64_t now) {
    measure(p, now, 0, p->n_instances);
}

// What each has of the request: reach, by_tier, live, and behind if there are legs. Returns the longest prefix that
// is live anywhere.
static uint32_t match(struct kvr_pool *p, const struct kvr_query *q) {
    size_t n = p->n_instances;
    struct core_columns *c = &p->columns;
    struct core_match m = {.reach = c->reach};
    memset(c->reach, 0, n * sizeof *c->reach);
    memset(c->live, 0, n * sizeof *c->live);
    core_live_match(&p->predicted, p->slot_instance, q->hashes, q->n, c->reach, &m.longest);
    for (int t = 0; t < KVR_TIERS; t++) {
        m.by_tier[t] = c->by_tier[t];
        if (t == KVR_DEVICE || p->tree.tiered) // else they still are zero
            memset(c->by_tier[t], 0, n * sizeof *c->by_tier[t]);
    }
    // A predicted prefix counts as held on the device; the tree goes on from there.
    if (m.longest) memcpy(c->by_tier[KVR_DEVICE], c->reach, n * sizeof *c->reach);
    core_tree_match(&p->tree, q->hashes, q->n, &m);
    uint32_t longest;
    core_live_match(&p->live, NULL, q->hashes, q->n, c->live, &longest);
    if (p->legs.blocks) match_legs(p, q, &longest);
    return longest;
}

// Fills the columns of all instances: what each has of the request, and the cost. From one column to the next some
// instances at a time, so that what one loop has written is still near for the next.
void core_choose_compute(struct kvr_pool *p, int64_t now, const struct kvr_query *q) {
    enum { CHOOSE_AT_ONCE = 512 }; // of some 20 columns: 80 kB
    const struct kvr_policy *policy = &kvr_policies[q->rule.policy];
    struct core_columns *c = &p->columns;
    size_t n = p->n_instances;
    if (!n) return; // and no columns yet
    uint32_t longest = match(p, q);
    const struct kvr_policy_in all = core_choose_input(p, q);
    for (size_t from = 0; from < n; from += CHOOSE_AT_ONCE) {
        size_t to = n - from < CHOOSE_AT_ONCE ? n : from + CHOOSE_AT_ONCE;
        give_credit(p, from, to);
        if (p->legs.blocks) add_legs(c, from, to);
        if (policy->measured) measure(p, now, from, to);
        if (q->rule.without) leave_out(c, q->rule.without, from, to);
        const struct kvr_policy_in in = some_of(&all, from, to);
        policy->cost(&in, c->cost + from);
        if (q->pair) policy->parts(&in, c->prefill_cost + from, c->decode_cost + from);
    }
    set_expected(p, q, longest);
}

void core_choose_uncompared(struct kvr_pool *p) {
    struct core_columns *c = &p->columns;
    for (uint32_t i = 0; i < p->n_instances; i++) {
        c->cost[i] = c->prefill_cost[i] = c->decode_cost[i] = 0;
        c->expected[i] = 0;
    }
}

// ---- Who is eligible -----------------------------------------------------------------------------

enum { MARK_AMONG = 1, MARK_EXCLUDED = 2, MARK_UNFIT = 4 }; // MARK_UNFIT: by its labels

void core_choose_marks(struct kvr_pool *p, const struct kvr_query *q, bool on) {
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

// Why it isn't, whatever its circuit says.
static enum kvr_reason why_not(const struct kvr_pool *p, const struct core_worker *w, int64_t now,
                               const struct kvr_query *q) {
    if (w->state != KVR_READY) return KVR_REASON_DRAINING;
    if (!q->pair && w->role == KVR_ROLE_PREFILL) return KVR_REASON_ROLE;
    if (w->mark & MARK_EXCLUDED) return KVR_REASON_EXCLUDED;
    if (q->has_among && !(w->mark & MARK_AMONG)) return KVR_REASON_AMONG;
    if (w->mark & MARK_UNFIT) return KVR_REASON_LABELS;
    return core_worker_expired(p, w, now) ? KVR_REASON_EXPIRED : KVR_REASON_NONE;
}

static bool may_serve(const struct kvr_pool *p, const struct core_worker *w, int64_t now,
                      const struct kvr_query *q) {
    return why_not(p, w, now, q) == KVR_REASON_NONE;
}

// Whether circuits count: not if they would leave nobody.
bool core_choose_circuits(const struct kvr_pool *p, int64_t now, const struct kvr_query *q) {
    for (size_t i = 0; p->n_open && i < p->n_workers; i++)
        if (core_circuit_of(p->workers[i], now) != KVR_OPEN && may_serve(p, p->workers[i], now, q))
            return true;
    return false;
}

enum kvr_reason core_choose_reason(const struct kvr_pool *p, const struct core_worker *w,
                                   int64_t now, const struct kvr_query *q, bool circuits) {
    enum kvr_reason reason = why_not(p, w, now, q);
    return !reason && circuits && core_circuit_of(w, now) == KVR_OPEN ? KVR_REASON_CIRCUIT : reason;
}

bool core_choose_eligible(const struct kvr_pool *p, const struct core_worker *w, int64_t now,
                          const struct kvr_query *q, bool circuits) {
    return core_choose_reason(p, w, now, q, circuits) == KVR_REASON_NONE;
}

// ---- The choice ----------------------------------------------------------------------------------

static CORE_WIDE void exclude_ineligible(struct kvr_pool *p, int64_t now,
                                         const struct kvr_query *q) {
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
    bool circuits = core_choose_circuits(p, now, q);
    bool roles = p->n_prefill && !q->pair;
    if (!q->has_among && !q->n_exclude && !q->n_with && !q->n_without && !circuits && !roles)
        return;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct core_worker *w = p->workers[i];
        if (core_choose_eligible(p, w, now, q, circuits)) continue;
        for (uint32_t r = 0; r < w->ranks; r++)
            cost[w->instances[r]] = INFINITY;
    }
}

double core_choose_move(const struct kvr_pool *p, const struct kvr_query *q) {
    return q->rule.prefill * rule_weight(p, q) * p->options.transfer / p->options.block_size;
}

void core_choose_mask(struct kvr_pool *p, int64_t now, const struct kvr_query *q) {
    core_choose_marks(p, q, true);
    exclude_ineligible(p, now, q);
    core_choose_marks(p, q, false);
    if (!q->pair) return;
    core_pair_prepare(p);
    core_pair_costs(p, (double)core_query_isl(p, q), -1, core_choose_move(p, q));
}

void core_choose_without(struct kvr_pool *p, const struct kvr_query *q, uint32_t i) {
    struct core_columns *c = &p->columns;
    c->cost[i] = INFINITY;
    if (q->pair) c->prefill_cost[i] = c->decode_cost[i] = INFINITY;
}

void core_choose_room(struct kvr_pool *p, const struct kvr_query *q, double percent, bool blocks) {
    if (q->pair) core_pair_costs(p, (double)core_query_isl(p, q), percent, core_choose_move(p, q));
    core_room_mask(p, percent, q->n, blocks);
}

bool core_choose_may(const struct kvr_pool *p, const struct core_worker *w,
                     const struct kvr_query *q) {
    bool among = !q->has_among;
    for (size_t i = 0; i < q->n_among && !among; i++)
        among = core_worker_named(w, q->among[i]);
    for (size_t i = 0; i < q->n_exclude && among; i++)
        among = !core_worker_named(w, q->exclude[i]);
    if (!among || !(q->n_with || q->n_without)) return among;
    struct core_label_query labels;
    core_label_query_make(p, q, &labels);
    return core_labels_fit(w, q, &labels);
}

// Each place has a least of its own, so that nothing waits for the comparison before it. How many are looked at
// at once isn't known to the compiler, or it would do so one by one.
static CORE_WIDE double least_of(const double *restrict values, size_t n) {
    enum { CHOOSE_WIDE = 16 };
    double least[CHOOSE_WIDE];
    for (size_t k = 0; k < CHOOSE_WIDE; k++)
        least[k] = INFINITY;
    for (size_t i = 0; i < n; i += CHOOSE_WIDE) {
        size_t some = n - i < CHOOSE_WIDE ? n - i : CHOOSE_WIDE;
        for (size_t k = 0; k < some; k++)
            least[k] = values[i + k] < least[k] ? values[i + k] : least[k];
    }
    for (size_t k = 1; k < CHOOSE_WIDE; k++)
        least[0] = least[k] < least[0] ? least[k] : least[0];
    return least[0];
}

// When each of some of those at this cost was booked; infinite for the others.
static CORE_WIDE void rank_by_booking(const struct core_columns *c, size_t from, size_t to,
                                      double wanted) {
    const double *restrict cost = c->cost, *restrict booked = c->booked;
    double *restrict rank = c->rank;
    for (size_t i = from; i < to; i++) {
        double when = booked[i]; // read in any case, so that there is nothing to branch for
        rank[i] = cost[i] == wanted ? when : INFINITY;
    }
}

uint32_t core_choose_session(const struct kvr_pool *p, int64_t now, const struct kvr_query *q) {
    const struct core_session *s = q->session.n ? core_session_find(p, q->session) : NULL;
    return s && core_session_valid(p, s) && core_session_lasts(p, s, now) ? s->instance
                                                                          : CORE_NO_INSTANCE;
}

double core_choose_allowance(const struct kvr_pool *p, const struct kvr_query *q) {
    return q->rule.prefill * rule_weight(p, q) * p->options.stick / p->options.block_size;
}

// Least cost; of equals the one booked longest ago; of those, which are all that were never booked or both of a
// pair, the first in name and rank order.
static uint32_t choose_least(const struct kvr_pool *p, double least) {
    enum { CHOOSE_RANKED = 64 }; // at once, so that one is searched among few
    const struct core_columns *c = &p->columns;
    uint32_t n = p->n_instances, best = 0, end = n;
    double first = INFINITY;
    for (uint32_t from = 0; from < n; from += CHOOSE_RANKED) {
        uint32_t to = n - from < CHOOSE_RANKED ? n : from + CHOOSE_RANKED;
        rank_by_booking(c, from, to, least);
        double when = least_of(c->rank + from, to - from);
        if (when == first) end = n;
        if (!(when < first)) continue;
        first = when;
        best = from;
        end = to;
    }
    while (c->rank[best] != first)
        best++;
    for (uint32_t i = best + 1; i < end; i++)
        if (c->rank[i] == first && core_instance_before(p, i, best)) best = i;
    return best;
}

double core_choose_weight(double more, double span) {
    return span > 0 ? exp(-more / span) : more > 0 ? 0 : 1;
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
                double weight = core_choose_weight(x, span);
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

bool core_choose_any(const struct kvr_pool *p) {
    return p->n_instances && least_of(p->columns.cost, p->n_instances) < INFINITY;
}

uint32_t core_choose(struct kvr_pool *p, int64_t now, const struct kvr_query *q, double random) {
    double least = least_of(p->columns.cost, p->n_instances);
    if (least == INFINITY) return CORE_NO_INSTANCE;
    uint32_t own = core_choose_session(p, now, q);
    if (own != CORE_NO_INSTANCE && p->columns.cost[own] <= least + core_choose_allowance(p, q))
        return own;
    return q->rule.temperature > 0 ? choose_softmax(p, q, random) : choose_least(p, least);
}

int64_t core_choose_cached(const struct kvr_pool *p, const struct kvr_query *q, uint32_t i) {
    int64_t isl = core_query_isl(p, q);
    int64_t cached = (int64_t)p->columns.expected[i] * p->options.block_size;
    return cached < isl ? cached : isl;
}

struct kvr_pool_score core_choose_score(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                                        uint32_t i) {
    const struct core_instance *in = &p->instances[i];
    const struct core_columns *c = &p->columns;
    int64_t isl = core_query_isl(p, q);
    struct kvr_pool_score s = {
        .worker = {in->worker->name, in->worker->name_len},
        .addr = {in->worker->addr, in->worker->addr_len},
        .rank = in->rank,
        .overlap = c->reach[i],
        .expected = c->expected[i],
        .cached = core_choose_cached(p, q, i),
        .prefill_tokens = in->prefill_tokens,
        .decode_blocks = in->live_blocks + in->output_blocks,
        .requests = core_instance_requests(in),
        .cost = c->cost[i],
    };
    uint32_t prefill = q->pair ? core_pair_prefill(p, i) : CORE_NO_INSTANCE;
    const struct core_instance *by = prefill == CORE_NO_INSTANCE ? in : &p->instances[prefill];
    int64_t own =
        isl - (prefill == CORE_NO_INSTANCE ? s.cached : core_choose_cached(p, q, prefill));
    struct core_forecast_case kind = core_instance_case(p, by, now, own);
    s.ttft = core_learn_ttft(&p->learnt, &by->learnt, &kind);
    s.tpot = core_learn_tpot(&p->learnt, &in->learnt);
    for (int t = 0; t < KVR_TIERS; t++)
        s.by_tier[t] = c->by_tier[t][i];
    return s;
}
