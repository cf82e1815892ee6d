// SPDX-License-Identifier: Apache-2.0
// EXPLAIN: why SELECT would choose what it would choose. Nothing is worked out twice: the decision is that of SELECT,
// the costs and reasons are those that it goes by, and only the terms of a cost are taken apart here.
#include <math.h>
#include <stdlib.h>

#include "choose.h"
#include "module/core/state/instance.h"
#include "module/core/state/room.h"
#include "module/core/state/service_class.h"
#include "pair.h"
#include "queue_order.h"
#include "select.h"

const char *const kvr_reason_names[KVR_REASONS] = {
    [KVR_REASON_NONE] = "",
    [KVR_REASON_DRAINING] = "draining",
    [KVR_REASON_ROLE] = "role",
    [KVR_REASON_EXCLUDED] = "excluded",
    [KVR_REASON_AMONG] = "among",
    [KVR_REASON_LABELS] = "labels",
    [KVR_REASON_EXPIRED] = "expired",
    [KVR_REASON_CIRCUIT] = "circuit",
    [KVR_REASON_KEPT] = "kept",
    [KVR_REASON_MAX_REQUESTS] = "maxrequests",
    [KVR_REASON_MAX_PREFILL] = "maxprefill",
    [KVR_REASON_MAX_BLOCKS] = "maxblocks",
    [KVR_REASON_NO_PREFILL] = "noprefill",
};

const char *const kvr_decider_names[KVR_DECIDERS] = {
    [KVR_DECIDED_COST] = "cost", [KVR_DECIDED_BOOKED] = "booked",
    [KVR_DECIDED_NAME] = "name", [KVR_DECIDED_SESSION] = "session",
    [KVR_DECIDED_DRAW] = "draw", [KVR_DECIDED_ELIGIBLE] = "eligible",
    [KVR_DECIDED_ROOM] = "room", [KVR_DECIDED_QUEUE] = "queue",
    [KVR_DECIDED_FLOW] = "flow",
};

// One to be told, or not. Rows are made in name and rank order.
struct explain_row {
    bool chosen;
    enum kvr_reason reason, prefill_reason;
    double cost, booked;
    uint32_t order, instance;
};

// Who was chosen; who might have been, in the order in which SELECT prefers them; the others.
static int by_place(const void *left, const void *right) {
    const struct explain_row *a = left, *b = right;
    if (a->chosen != b->chosen) return a->chosen ? -1 : 1;
    if (!a->reason != !b->reason) return a->reason ? 1 : -1;
    if (a->cost != b->cost) return a->cost < b->cost ? -1 : 1;
    if (a->booked != b->booked) return a->booked < b->booked ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

// ---- The first few -------------------------------------------------------------------------------
// A heap whose root is the last of those that are kept.

static void swap_rows(struct explain_row *a, struct explain_row *b) {
    struct explain_row kept = *a;
    *a = *b;
    *b = kept;
}

static void sift(struct explain_row *heap, size_t n, size_t at) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && by_place(&heap[child], &heap[child + 1]) < 0) child++;
        if (by_place(&heap[at], &heap[child]) >= 0) return;
        swap_rows(&heap[at], &heap[child]);
    }
}

// Puts the first `top` of n rows to the front, in order.
static void sort_first(struct explain_row *rows, size_t n, size_t top) {
    for (size_t i = top / 2; i-- > 0;)
        sift(rows, top, i);
    for (size_t i = top; i < n; i++) {
        if (by_place(&rows[i], &rows[0]) >= 0) continue;
        swap_rows(&rows[i], &rows[0]);
        sift(rows, top, 0);
    }
    qsort(rows, top, sizeof *rows, by_place);
}

// ---- Rows ----------------------------------------------------------------------------------------

// What is asked, and what has come of it.
struct explain_case {
    struct kvr_pool *p;
    int64_t now;
    const struct kvr_query *q;
    const struct core_class *service_class;
    struct core_decision decision;
    struct explain_row *rows;
    size_t n;
};

// prompt: of a pair's prompt, whose blocks don't count.
static enum kvr_reason lacks_room(const struct explain_case *e, uint32_t i, bool prompt) {
    const struct core_columns *c = &e->p->columns;
    double percent = core_class_room(e->service_class);
    if (!core_select_limits(e->p)) return KVR_REASON_NONE;
    if (core_select_kept(e->p, e->now, e->service_class, i)) return KVR_REASON_KEPT;
    if (core_room_counted(e->p, i, percent)) {
        uint64_t live = (uint64_t)c->live_prefix[i];
        bool room = prompt || core_room_for(e->p, i, percent, e->q->n, live);
        return room ? KVR_REASON_NONE : KVR_REASON_MAX_BLOCKS;
    }
    bool many =
        c->max_requests[i] < INFINITY && c->requests[i] * 100 >= c->max_requests[i] * percent;
    return many ? KVR_REASON_MAX_REQUESTS : KVR_REASON_MAX_PREFILL;
}

// Of either part of a pair; of a request that is none, of all of it.
static enum kvr_reason reason_of(const struct explain_case *e, uint32_t i, bool circuits,
                                 bool prompt) {
    const struct core_worker *w = e->p->instances[i].worker;
    enum kvr_reason reason = core_choose_reason(e->p, w, e->now, e->q, circuits);
    if (reason) return reason;
    if (e->q->pair && w->role == (prompt ? KVR_ROLE_DECODE : KVR_ROLE_PREFILL))
        return KVR_REASON_ROLE;
    return lacks_room(e, i, prompt);
}

static struct explain_row row_of(const struct explain_case *e, uint32_t i, bool circuits) {
    const struct core_columns *c = &e->p->columns;
    struct explain_row r = {.chosen = i == e->decision.instance,
                            .reason = reason_of(e, i, circuits, false),
                            .booked = c->booked[i],
                            .order = (uint32_t)e->n,
                            .instance = i};
    if (e->q->pair) r.prefill_reason = reason_of(e, i, circuits, true);
    if (!r.reason && c->cost[i] == INFINITY) r.reason = KVR_REASON_NO_PREFILL;
    r.cost = r.reason ? c->rank[i] : c->cost[i]; // see fill_columns
    return r;
}

static void collect_rows(struct explain_case *e) {
    struct kvr_pool *p = e->p;
    core_choose_marks(p, e->q, true);
    bool circuits = core_choose_circuits(p, e->now, e->q);
    for (size_t i = 0; i < p->n_workers; i++)
        for (uint32_t r = 0; r < p->workers[i]->ranks; r++, e->n++)
            e->rows[e->n] = row_of(e, p->workers[i]->instances[r], circuits);
    core_choose_marks(p, e->q, false);
}

// The columns as SELECT left them when it chose, also where it refused before it had filled them. What each would
// cost alone goes where SELECT ranks those of equal costs.
static void fill_columns(struct explain_case *e) {
    struct kvr_pool *p = e->p;
    if (!p->n_instances) return;
    if (e->decision.refusal) {
        core_choose_compute(p, e->now, e->q);
        core_choose_mask(p, e->now, e->q);
        if (core_select_limits(p)) core_select_room(p, e->now, e->q, e->service_class);
    }
    const struct kvr_policy *policy = &kvr_policies[e->q->rule.policy];
    if (!policy->measured) core_choose_measure(p, e->now); // another rule would read it
    const struct kvr_policy_in in = core_choose_input(p, e->q);
    policy->cost(&in, p->columns.rank);
}

// ---- What is told --------------------------------------------------------------------------------

static enum kvr_decider decider_of(const struct explain_case *e) {
    const struct core_columns *c = &e->p->columns;
    uint32_t chosen = e->decision.instance, equal = 0, as_old = 0;
    double least = INFINITY;
    if (e->decision.refusal == KVR_LIMITED) return KVR_DECIDED_FLOW;
    if (e->decision.refusal == KVR_NOWORKER) return KVR_DECIDED_ELIGIBLE;
    if (e->decision.refusal)
        return kvr_admit_left(e->p, e->now) ? KVR_DECIDED_QUEUE : KVR_DECIDED_ROOM;
    for (size_t i = 0; i < e->n; i++)
        if (!e->rows[i].reason && e->rows[i].cost < least) least = e->rows[i].cost;
    if (core_choose_session(e->p, e->now, e->q) == chosen &&
        c->cost[chosen] <= least + core_choose_allowance(e->p, e->q))
        return KVR_DECIDED_SESSION;
    if (e->q->rule.temperature > 0) return KVR_DECIDED_DRAW;
    for (size_t i = 0; i < e->n; i++) {
        const struct explain_row *r = &e->rows[i];
        bool same = !r->reason && r->cost == least;
        equal += same;
        as_old += same && r->booked == c->booked[chosen];
    }
    return equal == 1 ? KVR_DECIDED_COST : as_old == 1 ? KVR_DECIDED_BOOKED : KVR_DECIDED_NAME;
}

static void tell_session(const struct explain_case *e, struct kvr_pool_explanation *out) {
    uint32_t i = core_choose_session(e->p, e->now, e->q);
    if (i == CORE_NO_INSTANCE) return;
    const struct core_instance *in = &e->p->instances[i];
    out->session = true;
    out->allowance = core_choose_allowance(e->p, e->q);
    out->session_worker = (struct kvr_bytes){in->worker->name, in->worker->name_len};
    out->session_rank = in->rank;
}

static void tell_pair(const struct explain_case *e, const struct explain_row *r,
                      struct kvr_pool_candidate *out) {
    const struct core_columns *c = &e->p->columns;
    uint32_t i = r->instance, prefill = core_pair_prefill(e->p, i);
    out->prefill_reason = r->prefill_reason;
    out->prompt_cost = c->prefill_cost[i] < INFINITY ? c->prefill_cost[i] : -1;
    out->prefill_cost = out->decode_cost = out->transfer_cost = -1;
    if (r->reason) return;
    out->decode_cost = c->decode_cost[i];
    out->prefill_cost = out->prompt_cost;
    out->transfer_cost = core_pair_transfer(e->p, i, (double)core_query_isl(e->p, e->q),
                                            core_choose_move(e->p, e->q));
    if (prefill == CORE_NO_INSTANCE) return;
    const struct core_instance *by = &e->p->instances[prefill];
    out->prefill_cost = c->prefill_cost[prefill];
    out->prefill_worker = (struct kvr_bytes){by->worker->name, by->worker->name_len};
    out->prefill_addr = (struct kvr_bytes){by->worker->addr, by->worker->addr_len};
    out->prefill_rank = by->rank;
    out->prefill_overlap = c->reach[prefill];
}

static void tell_candidate(const struct explain_case *e, const struct explain_row *r,
                           const struct kvr_policy_in *in, struct kvr_pool_candidate *out) {
    const struct core_columns *c = &e->p->columns;
    const struct kvr_policy *policy = &kvr_policies[e->q->rule.policy];
    uint32_t i = r->instance;
    *out = (struct kvr_pool_candidate){
        .score = core_choose_score(e->p, e->now, e->q, i),
        .reason = r->reason,
        .booked = e->p->instances[i].booked,
        .told = kvr_policy_row_of(in, i),
        .capacity = e->p->instances[i].worker->capacity,
        .credit = in->credit[i],
        .live = policy->measured ? in->begun[i] : in->live_prefix[i],
        .queue = policy->measured ? in->queue[i] : in->prefill_tokens[i],
        .pace = policy->measured ? in->pace[i] : 1,
        .full = c->full[i],
        .prompt_cost = -1,
    };
    out->score.cost = r->cost;
    policy->explain(in, i, out->terms, &out->known);
    out->own = in->isl - (out->known < in->isl ? out->known : in->isl);
    for (size_t k = 0; policy->terms[k]; k++)
        out->sum += out->terms[k];
    if (e->q->pair) tell_pair(e, r, out);
}

// The places of those that are told, and with what chance each is chosen.
static void tell_places(const struct explain_case *e, enum kvr_decider by, size_t n,
                        struct kvr_pool_candidate *told) {
    double least = INFINITY, greatest = -INFINITY, sum = 0;
    struct explain_row chosen = e->rows[0];
    uint64_t before = 0; // the chosen one stands first, wherever its place is
    chosen.chosen = false;
    for (size_t i = 0; i < e->n; i++) {
        if (e->rows[i].reason) continue;
        least = fmin(least, e->rows[i].cost);
        greatest = fmax(greatest, e->rows[i].cost);
        before += i && e->rows[0].chosen && by_place(&e->rows[i], &chosen) < 0;
    }
    double span = (greatest - least) * e->q->rule.temperature;
    for (size_t i = 0; i < e->n; i++)
        if (!e->rows[i].reason) sum += core_choose_weight(e->rows[i].cost - least, span);
    for (size_t i = 0; i < n; i++) {
        if (e->rows[i].reason) continue;
        bool behind = e->rows[0].chosen && i > before;
        told[i].place = !i ? before + 1 : behind || !e->rows[0].chosen ? i + 1 : i;
        if (by == KVR_DECIDED_DRAW)
            told[i].chance = core_choose_weight(e->rows[i].cost - least, span) / sum;
        else
            told[i].chance = e->rows[i].chosen;
    }
}

static int64_t retry_after(const struct explain_case *e) {
    if (e->decision.refusal == KVR_NOROOM) return core_queue_retry(e->p, e->now);
    return e->decision.refusal == KVR_LIMITED ? e->decision.retry : 0;
}

static void tell(struct explain_case *e, size_t top, struct kvr_pool_candidate *candidates,
                 struct kvr_pool_explanation *out) {
    const struct kvr_policy_in in = core_choose_input(e->p, e->q);
    *out = (struct kvr_pool_explanation){
        .result = e->decision.refusal,
        .by = decider_of(e),
        .retry = retry_after(e),
        .n = e->n < top ? e->n : top,
        .instances = e->n,
        .isl = (int64_t)in.isl,
        .output = in.output,
        .first_weight = in.first_weight,
        .arrivals = in.arrivals,
        .reuse = in.reuse,
        .transfer = e->q->pair ? core_choose_move(e->p, e->q) : 0,
    };
    for (size_t i = 0; i < e->n; i++)
        out->places += !e->rows[i].reason;
    tell_session(e, out);
    sort_first(e->rows, e->n, out->n);
    for (size_t i = 0; i < out->n; i++)
        tell_candidate(e, &e->rows[i], &in, &candidates[i]);
    if (out->n) tell_places(e, out->by, out->n, candidates);
}

enum kvr_err kvr_explain(struct kvr_pool *p, int64_t now, const struct kvr_query *q, size_t top,
                         struct kvr_pool_candidate *candidates, struct kvr_pool_explanation *out) {
    enum kvr_err err = top < 1 || top > KVR_MAX_TOP ? KVR_RANGE : core_query_check(p, q);
    if (err) return err;
    struct explain_case e = {.p = p, .now = now, .q = q};
    if (!(e.service_class = core_class_find(p, q->service_class))) return KVR_NOCLASS;
    size_t bytes = (p->live_instances + 1u) * sizeof *e.rows;
    if (!(e.rows = core_mem_alloc(&p->mem, bytes))) return KVR_NOMEM;
    struct kvr_query likeliest = *q;
    likeliest.rule.temperature = 0;
    e.decision = core_select_decide(p, now, &likeliest, e.service_class, 0);
    fill_columns(&e);
    collect_rows(&e);
    tell(&e, top, candidates, out);
    core_mem_free(&p->mem, e.rows, bytes);
    return KVR_OK;
}
