// SPDX-License-Identifier: Apache-2.0
// The model's requests, loads, predictions and choices; see model.h.
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- Live requests -------------------------------------------------------------------------------

struct model_request *model_request(const struct model *m, struct kvr_bytes id) {
    for (size_t i = 0; i < m->n_requests; i++)
        if (bytes_compare((struct kvr_bytes){m->requests[i].id, m->requests[i].id_len}, id) == 0)
            return &m->requests[i];
    return NULL;
}

int64_t model_deadline(const struct model *m, const struct model_request *r) {
    if (!r->lease) return INT64_MAX;
    return (r->renewed > m->renewed_floor ? r->renewed : m->renewed_floor) + r->lease;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Sorts and drops repeats; returns how many remain.
static size_t distinct(uint64_t *all, size_t n) {
    qsort(all, n, sizeof *all, by_value);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || all[i] != all[i - 1]) all[kept++] = all[i];
    return kept;
}

// The distinct prefix hashes of the requests that are live on an instance, in order of value.
static uint64_t *live_hashes(const struct model *m, uint64_t instance, size_t *n) {
    size_t room = 0, total = 0;
    for (size_t i = 0; i < m->n_requests; i++)
        if (m->requests[i].instance == instance) room += m->requests[i].n;
    uint64_t *all = must_alloc(room * sizeof *all);
    for (size_t i = 0; i < m->n_requests; i++) {
        const struct model_request *r = &m->requests[i];
        if (r->instance != instance || !r->n) continue;
        memcpy(all + total, r->hashes, r->n * sizeof *all);
        total += r->n;
    }
    *n = distinct(all, total);
    return all;
}

void model_load(const struct model *m, uint64_t instance, struct kvr_rank_info *out) {
    out->requests = out->prefill_tokens = out->decode_blocks = 0;
    for (size_t i = 0; i < m->n_requests; i++) {
        const struct model_request *r = &m->requests[i];
        if (r->instance != instance) continue;
        out->requests++;
        if (!r->prefilled) out->prefill_tokens += (uint64_t)(r->isl - r->cached);
        int64_t size = m->options.block_size;
        out->decode_blocks += (uint64_t)((r->output + size - 1) / size);
    }
    size_t n;
    free(live_hashes(m, instance, &n));
    out->decode_blocks += n;
}

static bool booking_in_range(struct kvr_bytes id, const struct kvr_booking *b, int64_t isl) {
    return id.n >= 1 && id.n <= KVR_MAX_ID && b->n <= KVR_MAX_BLOCKS && isl >= 0 &&
           isl <= KVR_MAX_TOKENS && b->osl >= 0 && b->osl <= KVR_MAX_TOKENS && b->cached >= 0 &&
           b->cached <= isl && b->output >= 0 && b->output <= KVR_MAX_TOKENS && b->lease >= -1 &&
           b->lease <= KVR_MAX_MS && b->created >= 0 && b->renewed >= 0 && b->predict_until >= 0;
}

static void guess(struct model *m, uint64_t instance, uint64_t capacity,
                  const struct kvr_booking *b);

enum kvr_err model_claim(struct model *m, struct kvr_bytes id, struct kvr_bytes worker,
                         uint32_t rank, const struct kvr_booking *b, int *booked) {
    int64_t isl = b->isl < 0 ? (int64_t)b->n * m->options.block_size : b->isl;
    *booked = 0;
    if (!booking_in_range(id, b, isl)) return KVR_RANGE;
    struct model_rank *r = model_rank(m, worker, rank);
    if (!r) return KVR_NOWORKER;
    if (model_request(m, id)) return KVR_OK;
    m->requests = must_resize(m->requests, (m->n_requests + 1) * sizeof *m->requests);
    struct model_request *q = &m->requests[m->n_requests++];
    memset(q, 0, sizeof *q);
    memcpy(q->id, id.p, id.n);
    q->id_len = id.n;
    q->instance = r->id;
    q->hashes = must_alloc(b->n * sizeof *q->hashes);
    if (b->n) memcpy(q->hashes, b->hashes, b->n * sizeof *q->hashes);
    q->n = b->n;
    q->isl = isl;
    q->osl = b->osl;
    q->cached = b->cached;
    q->output = b->output;
    q->prefilled = b->prefilled;
    q->lease = b->lease < 0 ? m->options.lease : b->lease;
    q->created = b->created;
    q->renewed = b->renewed;
    q->overlap = b->overlap ? b->overlap : (uint64_t)(b->cached / m->options.block_size);
    q->cost = b->cost;
    r->booked = ++m->last_booking;
    struct model_worker *w = model_worker(m, worker);
    if (model_circuit(w, b->created) == KVR_HALF_OPEN)
        w->out_until = b->created + m->options.open_time;
    if (b->predict_until) guess(m, r->id, w->capacity, b);
    m->stats.version++;
    *booked = 1;
    return KVR_OK;
}

enum kvr_err model_update(struct model *m, int64_t now, struct kvr_bytes id, bool prefilled,
                          int64_t output, int64_t lease, int *live) {
    *live = 0;
    if (output < -1 || output > KVR_MAX_TOKENS || lease < -1 || lease > KVR_MAX_MS)
        return KVR_RANGE;
    struct model_request *r = model_request(m, id);
    if (!r) return KVR_OK;
    if (prefilled) r->prefilled = true;
    if (output > r->output) r->output = output;
    if (lease >= 0) r->lease = lease;
    r->renewed = now;
    m->stats.version++;
    *live = 1;
    return KVR_OK;
}

size_t model_release(struct model *m, const struct kvr_bytes *ids, size_t n) {
    size_t done = 0;
    for (size_t i = 0; i < n; i++) {
        struct model_request *r = model_request(m, ids[i]);
        if (!r) continue;
        free(r->hashes);
        *r = m->requests[--m->n_requests];
        done++;
    }
    if (done) m->stats.version++;
    return done;
}

void model_renew_all(struct model *m, int64_t now) {
    if (now > m->renewed_floor) m->renewed_floor = now;
}

// ---- Predictions ---------------------------------------------------------------------------------

bool model_guessed(const struct model *m, uint64_t instance, uint64_t hash) {
    for (size_t i = 0; i < m->n_guesses; i++)
        for (size_t k = 0; m->guesses[i].instance == instance && k < m->guesses[i].n; k++)
            if (m->guesses[i].hashes[k] == hash) return true;
    return false;
}

uint64_t model_guesses(const struct model *m, uint64_t instance) {
    if (!m->n_guesses) return 0;
    size_t room = 0, n = 0;
    for (size_t i = 0; i < m->n_guesses; i++)
        if (m->guesses[i].instance == instance) room += m->guesses[i].n;
    uint64_t *all = must_alloc(room * sizeof *all);
    for (size_t i = 0; i < m->n_guesses; i++)
        for (size_t k = 0; m->guesses[i].instance == instance && k < m->guesses[i].n; k++)
            all[n++] = m->guesses[i].hashes[k];
    n = distinct(all, n);
    free(all);
    return n;
}

static void drop_guess(struct model *m, size_t i) {
    free(m->guesses[i].hashes);
    memmove(&m->guesses[i], &m->guesses[i + 1], (--m->n_guesses - i) * sizeof *m->guesses);
}

// Of a booking that is larger than the capacity by itself, the head counts.
static void guess(struct model *m, uint64_t instance, uint64_t capacity,
                  const struct kvr_booking *b) {
    size_t n = capacity && b->n > capacity ? (size_t)capacity : b->n;
    if (!n) return;
    m->guesses = must_resize(m->guesses, (m->n_guesses + 1) * sizeof *m->guesses);
    struct model_guess *g = &m->guesses[m->n_guesses++];
    *g = (struct model_guess){instance, must_alloc(n * sizeof *g->hashes), n, b->predict_until};
    memcpy(g->hashes, b->hashes, n * sizeof *g->hashes);
    model_guess_cap(m, instance, capacity);
}

void model_guess_drop_instance(struct model *m, uint64_t instance) {
    for (size_t i = m->n_guesses; i-- > 0;)
        if (m->guesses[i].instance == instance) drop_guess(m, i);
}

void model_guess_cap(struct model *m, uint64_t instance, uint64_t capacity) {
    while (capacity && model_guesses(m, instance) > capacity) {
        size_t oldest = 0;
        while (m->guesses[oldest].instance != instance)
            oldest++;
        drop_guess(m, oldest);
    }
}

static size_t guesses_until(const struct model *m, int64_t until) {
    size_t n = 0;
    for (size_t i = 0; i < m->n_guesses; i++)
        if (m->guesses[i].until <= until) n++;
    return n;
}

size_t model_forget(struct model *m, int64_t at, size_t max, bool *cut) {
    int64_t last = INT64_MIN; // all with a deadline up to this one go
    for (size_t i = 0; i < m->n_guesses; i++) {
        int64_t until = m->guesses[i].until;
        if (until <= at && until > last && guesses_until(m, until) <= max) last = until;
    }
    size_t dropped = guesses_until(m, last);
    *cut = dropped < max && dropped < guesses_until(m, at);
    if (*cut) return 0;
    for (size_t i = m->n_guesses; i-- > 0;)
        if (m->guesses[i].until <= last) drop_guess(m, i);
    if (dropped) m->stats.version++;
    return dropped;
}

bool model_in_use(const struct model *m, uint64_t hash) {
    for (size_t i = 0; i < m->n_guesses; i++)
        for (size_t k = 0; k < m->guesses[i].n; k++)
            if (m->guesses[i].hashes[k] == hash) return true;
    for (size_t i = 0; i < m->n_requests; i++)
        for (size_t k = 0; k < m->requests[i].n; k++)
            if (m->requests[i].hashes[k] == hash) return true;
    return false;
}

// ---- Choosing ------------------------------------------------------------------------------------

static bool listed(struct kvr_bytes name, const struct kvr_bytes *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bytes_compare(name, list[i]) == 0) return true;
    return false;
}

// The rule `delay`, step by step as it is documented: rounded sums may fall on either side of a limit
// between two costs if they are added in another order.
static double delay_cost(const struct model *m, const struct kvr_query *q,
                         const struct kvr_rank_info *load, int64_t isl,
                         const uint32_t by_tier[KVR_TIERS]) {
    double size = m->options.block_size, queued = (double)load->prefill_tokens;
    double requests = (double)load->requests;
    double credit = by_tier[KVR_DEVICE] + m->options.host * by_tier[KVR_HOST] +
                    m->options.disk * by_tier[KVR_DISK];
    double own = (double)isl - q->rule.overlap * size * credit;
    if (own < 0) own = 0;
    double waits = 4 * queued + own * (8 + requests + queued / 128);
    double cost = (q->rule.prefill * waits + 256 * requests) / size +
                  (double)load->decode_blocks / 10 + q->rule.requests * requests;
    int exponent;
    double two_bits = rint(frexp(cost, &exponent) * 4) / 4;
    return ldexp(two_bits, exponent);
}

static struct kvr_score score(const struct model *m, const struct model_worker *w, uint32_t rank,
                              const struct kvr_query *q) {
    const struct model_rank *r = &w->rank[rank];
    struct kvr_score s = {.worker = model_name(w), .addr = {w->addr, w->addr_len}, .rank = rank};
    for (size_t i = 0; i < q->n; i++, s.overlap++) {
        if (model_holds(m, r->id, KVR_DEVICE, q->hashes[i]) ||
            model_guessed(m, r->id, q->hashes[i]))
            s.by_tier[KVR_DEVICE]++;
        else if (model_holds(m, r->id, KVR_HOST, q->hashes[i]))
            s.by_tier[KVR_HOST]++;
        else if (model_holds(m, r->id, KVR_DISK, q->hashes[i]))
            s.by_tier[KVR_DISK]++;
        else
            break;
    }
    int64_t isl = q->isl < 0 ? (int64_t)q->n * m->options.block_size : q->isl;
    s.cached = (int64_t)s.overlap * m->options.block_size;
    if (s.cached > isl) s.cached = isl;
    struct kvr_rank_info load;
    model_load(m, r->id, &load);
    s.prefill_tokens = load.prefill_tokens;
    s.decode_blocks = load.decode_blocks;
    s.requests = load.requests;
    size_t n_live, live = 0;
    uint64_t *all = live_hashes(m, r->id, &n_live);
    while (live < q->n && bsearch(&q->hashes[live], all, n_live, sizeof *all, by_value))
        live++;
    free(all);
    double credit =
        q->rule.overlap * (s.by_tier[KVR_DEVICE] + m->options.host * s.by_tier[KVR_HOST] +
                           m->options.disk * s.by_tier[KVR_DISK]);
    double prefill = ((double)load.prefill_tokens + (double)isl) / m->options.block_size - credit;
    if (prefill < 0) prefill = 0;
    double decode = (double)load.decode_blocks + (double)q->n - (double)live;
    s.cost = q->rule.policy == 1
                 ? delay_cost(m, q, &load, isl, s.by_tier)
                 : q->rule.prefill * prefill + decode + q->rule.requests * (double)load.requests;
    return s;
}

// A score with what breaks ties.
struct candidate {
    struct kvr_score score;
    uint64_t booked;
};

static int by_preference(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->score.cost != y->score.cost) return x->score.cost < y->score.cost ? -1 : 1;
    if (x->booked != y->booked) return x->booked < y->booked ? -1 : 1;
    int c = bytes_compare(x->score.worker, y->score.worker);
    if (c) return c;
    return x->score.rank < y->score.rank ? -1 : x->score.rank > y->score.rank;
}

static bool in_question(const struct model *m, const struct model_worker *w, int64_t now,
                        const struct kvr_query *q) {
    struct kvr_bytes name = model_name(w);
    return model_eligible(m, w, now) && !listed(name, q->exclude, q->n_exclude) &&
           (!q->has_among || listed(name, q->among, q->n_among));
}

void model_scores(const struct model *m, int64_t now, const struct kvr_query *q,
                  struct kvr_score **out, size_t *n) {
    struct kvr_stats counts;
    model_counts(m, now, &counts);
    struct candidate *all = must_alloc(counts.instances * sizeof *all);
    bool somebody = false; // whose circuit isn't open
    for (size_t i = 0; i < m->n_workers; i++)
        somebody |= in_question(m, &m->workers[i], now, q) &&
                    model_circuit(&m->workers[i], now) != KVR_OPEN;
    *n = 0;
    for (size_t i = 0; i < m->n_workers; i++) {
        const struct model_worker *w = &m->workers[i];
        if (!in_question(m, w, now, q)) continue;
        if (somebody && model_circuit(w, now) == KVR_OPEN) continue;
        for (uint32_t k = 0; k < w->ranks; k++)
            all[(*n)++] = (struct candidate){score(m, w, k, q), w->rank[k].booked};
    }
    qsort(all, *n, sizeof *all, by_preference);
    *out = must_alloc(*n * sizeof **out);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = all[i].score;
    free(all);
}

void model_selected(struct model *m, const struct kvr_score *chosen, size_t blocks, bool repeat) {
    if (repeat) {
        m->stats.repeats++;
        return;
    }
    m->stats.selects++;
    m->stats.select_blocks += blocks;
    m->stats.overlap_blocks += chosen->overlap;
}
