// SPDX-License-Identifier: Apache-2.0
// The model's requests and loads; see unit_model.h.
#include "unit_model.h"

#include <stdlib.h>
#include <string.h>

struct unit_model_request *unit_model_find_request(const struct unit_model *m,
                                                   struct kvr_bytes id) {
    for (size_t i = 0; i < m->n_requests; i++)
        if (unit_bytes_compare((struct kvr_bytes){m->requests[i].id, m->requests[i].id_len}, id) ==
            0)
            return &m->requests[i];
    return NULL;
}

int64_t unit_model_deadline(const struct unit_model *m, const struct unit_model_request *r) {
    int64_t lease = r->uncalled ? r->accept : r->lease;
    if (!lease) return INT64_MAX;
    return (r->renewed > m->renewed_floor ? r->renewed : m->renewed_floor) + lease;
}

uint64_t unit_model_computes(const struct unit_model_request *r) {
    if (r->prefilled) return 0;
    return r->prefill_worker.n ? r->prefill_instance : r->instance;
}

int64_t unit_model_own(const struct unit_model_request *r) {
    return r->prefill_worker.n ? r->own : r->isl - r->cached;
}

static bool is_leg(const struct unit_model_request *r, uint64_t instance) {
    return r->prefill_worker.n && unit_model_computes(r) == instance;
}

// Of those booked on it, or of those whose prompts alone are its business.
static uint64_t *hashes_of(const struct unit_model *m, uint64_t instance, bool legs, size_t *n) {
    size_t room = 0, total = 0;
    for (size_t i = 0; i < m->n_requests; i++)
        room += m->requests[i].n;
    uint64_t *all = unit_must_alloc(room * sizeof *all);
    for (size_t i = 0; i < m->n_requests; i++) {
        const struct unit_model_request *r = &m->requests[i];
        if (!(legs ? is_leg(r, instance) : r->instance == instance) || !r->n) continue;
        memcpy(all + total, r->hashes, r->n * sizeof *all);
        total += r->n;
    }
    *n = unit_model_distinct(all, total);
    return all;
}

uint64_t *unit_model_live_hashes(const struct unit_model *m, uint64_t instance, size_t *n) {
    return hashes_of(m, instance, false, n);
}

uint64_t *unit_model_begun_hashes(const struct unit_model *m, uint64_t instance, size_t *n) {
    return hashes_of(m, instance, true, n);
}

void unit_model_load(const struct unit_model *m, uint64_t instance, struct kvr_rank_info *out) {
    out->requests = out->prefill_tokens = out->decode_blocks = 0;
    for (size_t i = 0; i < m->n_requests; i++) {
        const struct unit_model_request *r = &m->requests[i];
        if (unit_model_computes(r) == instance) out->prefill_tokens += (uint64_t)unit_model_own(r);
        out->requests += is_leg(r, instance);
        if (r->instance != instance) continue;
        out->requests++;
        int64_t size = m->options.block_size;
        out->decode_blocks += (uint64_t)((r->output + size - 1) / size);
    }
    size_t n;
    free(unit_model_live_hashes(m, instance, &n));
    out->decode_blocks += n;
}

static bool booking_in_range(struct kvr_bytes id, const struct kvr_booking *b, int64_t isl) {
    return id.n >= 1 && id.n <= KVR_MAX_ID && b->n <= KVR_MAX_BLOCKS && isl >= 0 &&
           isl <= KVR_MAX_TOKENS && b->osl >= 0 && b->osl <= KVR_MAX_TOKENS && b->cached >= 0 &&
           b->cached <= isl && b->output >= 0 && b->output <= KVR_MAX_TOKENS && b->lease >= -1 &&
           b->lease <= KVR_MAX_MS && b->created >= 0 && b->renewed >= 0 && b->predict_until >= 0 &&
           b->session.n <= KVR_MAX_ID && b->service_class.n <= KVR_MAX_ID &&
           b->flow.n <= KVR_MAX_ID && b->prefill_worker.n <= KVR_MAX_NAME &&
           b->prefill_cached >= 0 && b->prefill_cached <= isl;
}

double unit_model_oldest(const struct unit_model *m, uint64_t instance) {
    const struct unit_model_request *oldest = NULL;
    for (size_t i = 0; i < m->n_requests; i++) {
        const struct unit_model_request *r = &m->requests[i];
        if (unit_model_computes(r) != instance) continue;
        if (!oldest || r->number < oldest->number) oldest = r;
    }
    return oldest ? (double)unit_model_own(oldest) : 0;
}

struct core_forecast_case unit_model_kind(const struct unit_model *m,
                                          const struct unit_model_rank *r, int64_t now,
                                          int64_t own) {
    struct kvr_rank_info load;
    struct core_forecast_case kind = {.own = (double)own};
    double rate = core_learn_rate(&m->learnt, &r->learnt);
    unit_model_load(m, r->id, &load);
    double left = core_learn_left((double)load.prefill_tokens, unit_model_oldest(m, r->id),
                                  r->learnt.free_at, (double)now, rate);
    kind.requests = (double)load.requests;
    kind.wait = rate > 0 ? left / rate : left > 0 ? -1 : 0; // no queue is no wait
    for (size_t i = 0; i < m->n_requests; i++)
        kind.waiting += unit_model_computes(&m->requests[i]) == r->id;
    return kind;
}

// What the booking teaches, and what is kept of it for what the request will teach. rank: of whoever computes the
// prompt.
static void learn_of(struct unit_model *m, struct unit_model_rank *rank,
                     struct unit_model_request *q, const struct core_forecast_case *kind) {
    struct kvr_rank_info load;
    uint32_t k;
    unit_model_load(m, rank->id, &load);
    const struct unit_model_worker *decodes = unit_model_owner(m, q->instance, &k);
    int64_t own = q->prefilled ? 0 : unit_model_own(q);
    int64_t cached = q->prefilled ? q->cached : q->isl - own;
    q->ahead = q->prefilled ? 0 : (int64_t)load.prefill_tokens;
    q->kind = *kind;
    q->ttft = q->prefilled ? -1 : core_learn_ttft(&m->learnt, &rank->learnt, kind);
    q->tpot = core_learn_tpot(&m->learnt, &decodes->rank[k].learnt);
    core_learn_booked(&m->learnt, &rank->learnt, q->created, q->isl, cached, own);
}

static void learn_first_token(struct unit_model *m, struct unit_model_request *r, int64_t now) {
    uint32_t rank;
    struct kvr_stats counts;
    struct kvr_rank_info load;
    uint64_t computes = unit_model_computes(r);
    struct unit_model_worker *w = unit_model_owner(m, computes, &rank);
    unit_model_counts(m, now, &counts);
    r->prefilled = true;
    r->prefilled_at = now;
    r->prefill_instance = 0;
    if (!w) return; // whoever computed it has gone, and the first token came all the same
    unit_model_load(m, computes, &load);
    const struct core_learn_first t = {.booked = r->created,
                                       .at = now,
                                       .ahead = r->ahead,
                                       .queued = (int64_t)load.prefill_tokens,
                                       .arrived = (double)(m->last_booking - r->number) /
                                                  (double)counts.instances,
                                       .kind = r->kind,
                                       .forecast = r->ttft};
    core_learn_prefilled(&m->learnt, &w->rank[rank].learnt, &t);
}

static void set_name(struct unit_model_name *to, struct kvr_bytes name) {
    to->n = name.n;
    if (name.n) memcpy(to->bytes, name.p, name.n);
}

// What is booked on a worker whose circuit is half-open tries it.
static void probe(struct unit_model *m, struct kvr_bytes worker, int64_t at) {
    struct unit_model_worker *w = unit_model_find_worker(m, worker);
    if (unit_model_circuit(w, at) == KVR_HALF_OPEN) w->out_until = at + m->options.open_time;
}

enum kvr_err unit_model_claim(struct unit_model *m, struct kvr_bytes id, struct kvr_bytes worker,
                              uint32_t rank, const struct kvr_booking *b, int *booked) {
    int64_t isl = b->isl < 0 ? (int64_t)b->n * m->options.block_size : b->isl;
    *booked = 0;
    if (!booking_in_range(id, b, isl)) return KVR_RANGE;
    struct unit_model_rank *r = unit_model_find_rank(m, worker, rank);
    if (!r) return KVR_NOWORKER;
    if (unit_model_find_request(m, id)) return KVR_OK;
    if (!unit_model_find_class(m, b->service_class)) return KVR_NOCLASS;
    // One instance is no pair.
    bool pair = b->prefill_worker.n &&
                !(b->prefill_rank == rank && unit_bytes_compare(b->prefill_worker, worker) == 0);
    struct unit_model_rank *other = NULL;
    if (pair && !b->prefilled) {
        other = unit_model_find_rank(m, b->prefill_worker, b->prefill_rank);
        if (!other) return KVR_NOWORKER;
    }
    unit_model_unqueue(m, id);
    int64_t own = b->prefilled ? 0 : isl - (other ? b->prefill_cached : b->cached);
    struct core_forecast_case kind = unit_model_kind(m, other ? other : r, b->created, own);
    m->requests = unit_must_resize(m->requests, (m->n_requests + 1) * sizeof *m->requests);
    struct unit_model_request *q = &m->requests[m->n_requests++];
    memset(q, 0, sizeof *q);
    memcpy(q->id, id.p, id.n);
    q->id_len = id.n;
    q->instance = r->id;
    q->hashes = unit_must_alloc(b->n * sizeof *q->hashes);
    if (b->n) memcpy(q->hashes, b->hashes, b->n * sizeof *q->hashes);
    q->n = b->n;
    q->isl = isl;
    if (pair) {
        set_name(&q->prefill_worker, b->prefill_worker);
        q->prefill_rank = b->prefill_rank;
        q->prefill_overlap = b->prefill_overlap;
        q->prefill_instance = other ? other->id : 0;
        q->own = own;
    }
    q->osl = b->osl;
    q->cached = b->cached;
    q->output = b->output;
    q->prefilled = b->prefilled;
    q->lease = b->lease < 0 ? m->options.lease : b->lease;
    q->created = b->created;
    q->renewed = b->renewed;
    uint64_t whole = (uint64_t)(b->cached / m->options.block_size);
    q->overlap = b->overlap || b->expected ? b->overlap : whole;
    q->expected = b->expected ? b->expected : whole;
    if (q->expected < q->overlap) q->expected = q->overlap;
    q->cost = b->cost;
    set_name(&q->service_class, b->service_class.n ? b->service_class : text("default"));
    set_name(&q->flow, b->flow);
    unit_model_flow_pay(m, b->flow, isl + b->osl, b->created, b->has_left, b->left);
    q->waited = b->waited;
    q->uncalled = b->uncalled;
    q->accept = m->options.accept;
    q->session_len = b->session.n;
    if (b->session.n) {
        memcpy(q->session, b->session.p, b->session.n);
        unit_model_session_book(m, b->session, r->id, b->created);
    }
    r->booked = ++m->last_booking;
    q->number = m->last_booking;
    if (other) other->booked = m->last_booking;
    learn_of(m, other ? other : r, q, &kind);
    probe(m, worker, b->created);
    if (b->predict_until)
        unit_model_predict(m, q, r->id, unit_model_find_worker(m, worker)->capacity, b);
    if (other) {
        probe(m, b->prefill_worker, b->created);
        uint64_t capacity = unit_model_find_worker(m, b->prefill_worker)->capacity;
        if (b->predict_until) unit_model_predict(m, q, other->id, capacity, b);
    }
    m->stats.version++;
    *booked = 1;
    return KVR_OK;
}

enum kvr_err unit_model_update(struct unit_model *m, int64_t now, struct kvr_bytes id,
                               bool prefilled, int64_t output, int64_t lease, int *live) {
    *live = 0;
    if (output < -1 || output > KVR_MAX_TOKENS || lease < -1 || lease > KVR_MAX_MS)
        return KVR_RANGE;
    struct unit_model_request *r = unit_model_find_request(m, id);
    if (!r) return KVR_OK;
    if (prefilled && !r->prefilled) learn_first_token(m, r, now);
    if (output > r->output) r->output = output;
    if (lease >= 0) r->lease = lease;
    r->renewed = now;
    r->uncalled = false;
    m->stats.version++;
    *live = 1;
    return KVR_OK;
}

// Nobody has to compute its prompt any more.
static void forget_prompt(struct unit_model *m, const struct unit_model_request *r) {
    uint32_t rank;
    struct unit_model_worker *w = unit_model_owner(m, unit_model_computes(r), &rank);
    if (w) core_learn_gone(&m->learnt, &w->rank[rank].learnt, unit_model_own(r));
}

void unit_model_drop_requests(struct unit_model *m, uint64_t instance) {
    for (size_t i = 0; i < m->n_requests; i++)
        if (m->requests[i].prefill_instance == instance) m->requests[i].prefill_instance = 0;
    for (;;) { // the last one booked first: sums of doubles tell
        size_t last = m->n_requests;
        for (size_t i = 0; i < m->n_requests; i++)
            if (m->requests[i].instance == instance &&
                (last == m->n_requests || m->requests[i].number > m->requests[last].number))
                last = i;
        if (last == m->n_requests) return;
        if (m->requests[last].prefill_worker.n) forget_prompt(m, &m->requests[last]);
        unit_model_prediction_release(m, &m->requests[last], false);
        free(m->requests[last].hashes);
        m->requests[last] = m->requests[--m->n_requests];
    }
}

size_t unit_model_release(struct unit_model *m, int64_t at, const struct kvr_bytes *ids, size_t n,
                          enum kvr_end how) {
    size_t done = 0;
    for (size_t i = 0; i < n; i++) {
        struct unit_model_request *r = unit_model_find_request(m, ids[i]);
        if (!r) {
            done += unit_model_unqueue(m, ids[i]);
            continue;
        }
        uint32_t rank;
        struct unit_model_worker *w = unit_model_owner(m, r->instance, &rank);
        if (how == KVR_RELEASED)
            core_learn_ended(&m->learnt, &w->rank[rank].learnt,
                             r->prefilled_at ? at - r->prefilled_at : -1, r->output);
        forget_prompt(m, r);
        unit_model_prediction_release(m, r, !r->prefilled && !r->output);
        free(r->hashes);
        *r = m->requests[--m->n_requests];
        done++;
    }
    if (done) m->stats.version++;
    return done;
}

static int64_t lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}

void unit_model_renew_all(struct unit_model *m, int64_t now) {
    m->renewed_floor = now;
    unit_model_queue_renew(m, now);
    for (size_t i = 0; i < m->n_requests; i++)
        m->requests[i].renewed = lesser(m->requests[i].renewed, now);
    for (size_t i = 0; i < m->n_sessions; i++)
        m->sessions[i].booked = lesser(m->sessions[i].booked, now);
    for (size_t i = 0; i < m->n_predictions; i++)
        m->predictions[i].renewed = true;
    for (size_t i = 0; i < m->n_workers; i++) {
        struct unit_model_worker *w = &m->workers[i];
        w->seen = lesser(w->seen, now);
        w->out_until = lesser(w->out_until, now + m->options.open_time);
    }
}

void unit_model_forget_renewal(struct unit_model *m) {
    m->renewed_floor = 0;
    for (size_t i = 0; i < m->n_predictions; i++)
        m->predictions[i].renewed = false;
}

bool unit_model_in_use(const struct unit_model *m, uint64_t hash) {
    for (size_t i = 0; i < m->n_predictions; i++)
        for (size_t k = 0; k < m->predictions[i].n; k++)
            if (m->predictions[i].hashes[k] == hash) return true;
    for (size_t i = 0; i < m->n_requests; i++)
        for (size_t k = 0; k < m->requests[i].n; k++)
            if (m->requests[i].hashes[k] == hash) return true;
    for (size_t i = 0; i < m->queue.n_waiting; i++)
        for (size_t k = 0; k < m->queue.waiting[i].q.n; k++)
            if (m->queue.waiting[i].q.hashes[k] == hash) return true;
    return false;
}
