// SPDX-License-Identifier: Apache-2.0
// The naive pool; see model.h.
#include "flow_model.h"

#include <stdlib.h>
#include <string.h>

void flow_model_start(struct flow_model *m, int64_t block_size) {
    memset(m, 0, sizeof *m);
    m->block_size = block_size;
    m->overlap = m->prefill = 1;
    m->host = 0.75;
    m->disk = 0.25;
}

static bool is_instance(const struct flow_model *m, int worker, int rank) {
    return worker >= 0 && worker < FLOW_MODEL_WORKERS && m->workers[worker].registered &&
           rank >= 0 && rank < m->workers[worker].ranks;
}

// ---- What is held --------------------------------------------------------------------------------

static bool held_by_anyone(const struct flow_model *m, int block) {
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++)
        for (int r = 0; r < m->workers[w].ranks; r++)
            for (int t = 0; t < FLOW_MODEL_TIERS; t++)
                if (m->workers[w].rank[r].holds[t][block]) return true;
    return false;
}

// A block is known while it, or one behind it, is held.
static void forget_unneeded(struct flow_model *m) {
    bool needed[FLOW_MODEL_BLOCKS] = {false};
    for (int b = 0; b < FLOW_MODEL_BLOCKS; b++) {
        if (!m->known[b] || !held_by_anyone(m, b)) continue;
        for (int up = b; up >= 0 && !needed[up]; up = m->parent[up])
            needed[up] = true;
    }
    memcpy(m->known, needed, sizeof needed);
}

static void drop_predictions(struct flow_model *m, int worker, int rank) {
    int kept = 0;
    for (int i = 0; i < m->n_predictions; i++) {
        const struct flow_model_prediction *p = &m->predictions[i];
        if (p->worker != worker || p->rank != rank) m->predictions[kept++] = *p;
    }
    m->n_predictions = kept;
}

static void clear_rank(struct flow_model *m, int worker, int rank, int tier) {
    struct flow_model_rank *r = &m->workers[worker].rank[rank];
    for (int t = 0; t < FLOW_MODEL_TIERS; t++)
        if (tier < 0 || t == tier) memset(r->holds[t], 0, sizeof r->holds[t]);
    if (tier <= 0) drop_predictions(m, worker, rank);
    forget_unneeded(m);
}

static const char *store(struct flow_model *m, struct flow_model_rank *r,
                         const struct flow_model_op *op) {
    int parent = op->parent;
    if (parent >= 0 && !m->known[parent]) return "NOPARENT";
    for (int i = 0; i < op->list.n; i++) {
        int b = op->list.blocks[i];
        if (m->known[b] && m->parent[b] != parent) return "BADCHAIN";
        m->known[b] = true;
        m->parent[b] = parent;
        m->stored_blocks += !r->holds[op->tier][b];
        r->holds[op->tier][b] = true;
        parent = b;
    }
    return NULL;
}

const char *flow_model_event(struct flow_model *m, int worker, int rank, uint64_t epoch,
                             uint64_t seq, const struct flow_model_op *ops, int n_ops,
                             uint64_t *number) {
    if (!is_instance(m, worker, rank)) return "NOWORKER";
    struct flow_model_rank *r = &m->workers[worker].rank[rank];
    *number = r->epoch;
    if (epoch < r->epoch) {
        m->stale++;
        return "STALE";
    }
    *number = epoch > r->epoch ? 1 : r->seq + 1;
    if (seq > *number) {
        m->gaps++;
        return "GAP";
    }
    *number = r->seq;
    if (epoch == r->epoch && seq <= r->seq) return NULL;

    static struct flow_model before;
    before = *m;
    if (epoch > r->epoch) clear_rank(m, worker, rank, -1);
    for (int i = 0; i < n_ops; i++) {
        const char *error = NULL;
        if (ops[i].kind == FLOW_MODEL_CLEARED) clear_rank(m, worker, rank, ops[i].tier);
        if (ops[i].kind == FLOW_MODEL_STORED) error = store(m, r, &ops[i]);
        for (int k = 0; ops[i].kind == FLOW_MODEL_REMOVED && k < ops[i].list.n; k++) {
            bool *holds = &r->holds[ops[i].tier][ops[i].list.blocks[k]];
            m->removed_blocks += *holds;
            *holds = false;
        }
        if (error) {
            *m = before;
            return error;
        }
        forget_unneeded(m);
    }
    r->epoch = epoch;
    r->seq = *number = seq;
    m->events++;
    m->version++;
    return NULL;
}

// ---- Workers -------------------------------------------------------------------------------------

static void drop_rank(struct flow_model *m, int worker, int rank) {
    clear_rank(m, worker, rank, -1);
    for (int i = 0; i < FLOW_MODEL_REQUESTS; i++)
        if (m->live[i].worker == worker && m->live[i].rank == rank) m->live[i].live = false;
    for (int i = 0; i < FLOW_MODEL_SESSIONS; i++)
        if (m->sessions[i].worker == worker && m->sessions[i].rank == rank)
            m->sessions[i].remembered = false;
    memset(&m->workers[worker].rank[rank], 0, sizeof m->workers[worker].rank[rank]);
}

int flow_model_worker_set(struct flow_model *m, int worker,
                          const struct flow_model_worker_settings *set) {
    struct flow_model_worker *w = &m->workers[worker];
    bool created = !w->registered;
    if (created) *w = (struct flow_model_worker){.registered = true, .ranks = 1};
    if (set->addr >= 0) w->addr = set->addr;
    if (set->capacity >= 0) w->capacity = set->capacity;
    if (set->draining >= 0) w->draining = set->draining;
    if (set->speed >= 0) w->speed = set->speed;
    if (set->labels >= 0) w->labels = (unsigned)set->labels;
    if (set->ranks > 0) {
        for (int r = set->ranks; r < w->ranks; r++)
            drop_rank(m, worker, r);
        w->ranks = set->ranks;
    }
    m->version++;
    return created;
}

int flow_model_worker_del(struct flow_model *m, int worker) {
    struct flow_model_worker *w = &m->workers[worker];
    if (!w->registered) return 0;
    for (int r = 0; r < w->ranks; r++)
        drop_rank(m, worker, r);
    memset(w, 0, sizeof *w);
    m->version++;
    return 1;
}

// ---- Load ----------------------------------------------------------------------------------------

static bool is_on(const struct flow_model_request *q, int worker, int rank) {
    return q->live && q->worker == worker && q->rank == rank;
}

int64_t flow_model_requests(const struct flow_model *m, int worker, int rank) {
    int64_t n = 0;
    for (int i = 0; i < FLOW_MODEL_REQUESTS; i++)
        n += worker < 0 ? m->live[i].live : is_on(&m->live[i], worker, rank);
    return n;
}

int64_t flow_model_prefill_tokens(const struct flow_model *m, int worker, int rank) {
    int64_t n = 0;
    for (int i = 0; i < FLOW_MODEL_REQUESTS; i++)
        if (is_on(&m->live[i], worker, rank) && !m->live[i].prefilled)
            n += m->live[i].isl - m->live[i].cached;
    return n;
}

static bool is_live_on(const struct flow_model *m, int worker, int rank, int block) {
    for (int i = 0; i < FLOW_MODEL_REQUESTS; i++) {
        if (!is_on(&m->live[i], worker, rank)) continue;
        for (int k = 0; k < m->live[i].list.n; k++)
            if (m->live[i].list.blocks[k] == block) return true;
    }
    return false;
}

int64_t flow_model_decode_blocks(const struct flow_model *m, int worker, int rank) {
    int64_t n = 0;
    bool counted[FLOW_MODEL_BLOCKS] = {false};
    for (int i = 0; i < FLOW_MODEL_REQUESTS; i++) {
        if (!is_on(&m->live[i], worker, rank)) continue;
        n += (m->live[i].output + m->block_size - 1) / m->block_size;
        for (int k = 0; k < m->live[i].list.n; k++) {
            bool *seen = &counted[m->live[i].list.blocks[k]];
            n += !*seen;
            *seen = true;
        }
    }
    return n;
}

// ---- Choosing ------------------------------------------------------------------------------------

static bool is_predicted(const struct flow_model *m, int worker, int rank, int block) {
    for (int i = 0; i < m->n_predictions; i++) {
        const struct flow_model_prediction *p = &m->predictions[i];
        if (p->worker != worker || p->rank != rank) continue;
        for (int k = 0; k < p->list.n; k++)
            if (p->list.blocks[k] == block) return true;
    }
    return false;
}

static int best_tier(const struct flow_model *m, int worker, int rank, int block) {
    const struct flow_model_rank *r = &m->workers[worker].rank[rank];
    if (is_predicted(m, worker, rank, block)) return 0;
    for (int t = 0; t < FLOW_MODEL_TIERS; t++)
        if (r->holds[t][block]) return t;
    return -1;
}

static struct flow_model_row row_of_instance(const struct flow_model *m,
                                             const struct flow_model_query *q, int worker,
                                             int rank) {
    struct flow_model_row row = {.worker = worker, .rank = rank};
    const int *blocks = q->list.blocks;
    int tier;
    while (row.overlap < q->list.n &&
           (tier = best_tier(m, worker, rank, blocks[row.overlap])) >= 0) {
        row.by_tier[tier]++;
        row.overlap++;
    }
    int live = 0;
    while (live < q->list.n && is_live_on(m, worker, rank, blocks[live]))
        live++;
    for (row.expected = row.overlap; row.expected < q->list.n; row.expected++)
        if (best_tier(m, worker, rank, blocks[row.expected]) < 0 &&
            !is_live_on(m, worker, rank, blocks[row.expected]))
            break;
    row.cached = row.expected * m->block_size;
    if (row.cached > q->isl) row.cached = q->isl;
    row.prefill_tokens = flow_model_prefill_tokens(m, worker, rank);
    row.decode_blocks = flow_model_decode_blocks(m, worker, rank);
    row.requests = flow_model_requests(m, worker, rank);
    double credit =
        q->overlap * (row.by_tier[0] + m->host * row.by_tier[1] + m->disk * row.by_tier[2]);
    double prefill = (double)(row.prefill_tokens + q->isl) / (double)m->block_size - credit;
    if (prefill < 0) prefill = 0;
    double decode = (double)(row.decode_blocks + q->list.n - live);
    row.cost = q->prefill * prefill + decode + q->requests * (double)row.requests;
    return row;
}

static bool goes_before(const struct flow_model *m, const struct flow_model_row *a,
                        const struct flow_model_row *b) {
    if (a->cost != b->cost) return a->cost < b->cost;
    uint64_t booked_a = m->workers[a->worker].rank[a->rank].booked;
    uint64_t booked_b = m->workers[b->worker].rank[b->rank].booked;
    if (booked_a != booked_b) return booked_a < booked_b;
    if (a->worker != b->worker) return a->worker < b->worker;
    return a->rank < b->rank;
}

int flow_model_score(const struct flow_model *m, const struct flow_model_query *q,
                     struct flow_model_row *rows) {
    int n = 0;
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++) {
        if (!m->workers[w].registered || m->workers[w].draining || q->exclude[w]) continue;
        if (q->among_given && !q->among[w]) continue;
        unsigned labels = m->workers[w].labels;
        if ((labels & q->with) != q->with || labels & q->without) continue;
        for (int r = 0; r < m->workers[w].ranks; r++) {
            struct flow_model_row row = row_of_instance(m, q, w, r);
            int at = n++;
            for (; at > 0 && goes_before(m, &row, &rows[at - 1]); at--)
                rows[at] = rows[at - 1];
            rows[at] = row;
        }
    }
    return n;
}

static int64_t predicted_on(const struct flow_model *m, int worker, int rank) {
    int64_t n = 0;
    for (int b = 0; b < FLOW_MODEL_BLOCKS; b++)
        n += is_predicted(m, worker, rank, b);
    return n;
}

static void drop_oldest_prediction(struct flow_model *m, int worker, int rank) {
    for (int i = 0; i < m->n_predictions; i++) {
        if (m->predictions[i].worker != worker || m->predictions[i].rank != rank) continue;
        m->n_predictions--;
        memmove(&m->predictions[i], &m->predictions[i + 1],
                sizeof m->predictions[0] * (size_t)(m->n_predictions - i));
        return;
    }
}

static void book(struct flow_model *m, int id, const struct flow_model_request *as) {
    m->live[id] = *as;
    m->live[id].live = true;
    m->workers[as->worker].rank[as->rank].booked = ++m->bookings;
    m->version++;
    int capacity = m->workers[as->worker].capacity;
    if (as->session >= 0)
        m->sessions[as->session] = (struct flow_model_session){true, as->worker, as->rank};
    struct flow_model_prediction p = {as->worker, as->rank, id, as->list};
    if (capacity && p.list.n > capacity) p.list.n = capacity;
    if (!m->predict || p.list.n == 0) return;
    if (m->n_predictions == FLOW_MODEL_PREDICTIONS) abort();
    m->predictions[m->n_predictions++] = p;
    while (capacity && predicted_on(m, as->worker, as->rank) > capacity)
        drop_oldest_prediction(m, as->worker, as->rank);
}

// The one that the session is held by, of rows in order of their cost; else the first.
static const struct flow_model_row *preferred(const struct flow_model *m,
                                              const struct flow_model_query *q,
                                              const struct flow_model_row *rows, int n) {
    const struct flow_model_session *s = q->session < 0 ? NULL : &m->sessions[q->session];
    double limit = rows[0].cost + q->prefill * m->stick / (double)m->block_size;
    for (int i = 0; s && s->remembered && i < n; i++)
        if (rows[i].worker == s->worker && rows[i].rank == s->rank && rows[i].cost <= limit)
            return &rows[i];
    return &rows[0];
}

const char *flow_model_select(struct flow_model *m, int id, const struct flow_model_query *q,
                              struct flow_model_row *row, bool *repeat) {
    const struct flow_model_request *before = &m->live[id];
    *repeat = before->live;
    if (before->live) {
        *row = (struct flow_model_row){.worker = before->worker,
                                       .rank = before->rank,
                                       .overlap = before->overlap,
                                       .expected = before->expected,
                                       .cached = before->cached,
                                       .cost = before->cost};
        m->repeats++;
        return NULL;
    }
    struct flow_model_row rows[FLOW_MODEL_ROWS];
    int n = flow_model_score(m, q, rows);
    if (n == 0) return "NOWORKER";
    *row = *preferred(m, q, rows, n);
    struct flow_model_request as = {.worker = row->worker,
                                    .rank = row->rank,
                                    .overlap = row->overlap,
                                    .expected = row->expected,
                                    .session = q->session,
                                    .isl = q->isl,
                                    .cached = row->cached,
                                    .chosen = true,
                                    .cost = row->cost,
                                    .list = q->list};
    book(m, id, &as);
    m->selects++;
    m->select_blocks += q->list.n;
    m->overlap_blocks += row->overlap;
    m->expected_blocks += row->expected;
    return NULL;
}

const char *flow_model_claim(struct flow_model *m, int id, int worker, int rank,
                             const struct flow_model_request *as, int *booked) {
    if (!is_instance(m, worker, rank)) return "NOWORKER";
    *booked = !m->live[id].live;
    if (*booked) book(m, id, as);
    return NULL;
}

int flow_model_update(struct flow_model *m, int id, bool prefilled, int64_t output) {
    struct flow_model_request *q = &m->live[id];
    if (!q->live) return 0;
    if (prefilled) q->prefilled = true;
    if (output > q->output) q->output = output;
    m->version++;
    return 1;
}

// The request has ended: what was predicted for it goes too, if its engine never came to it.
static void end_predictions(struct flow_model *m, int request, bool drop) {
    int kept = 0;
    for (int i = 0; i < m->n_predictions; i++) {
        struct flow_model_prediction p = m->predictions[i];
        if (p.request == request && drop) continue;
        if (p.request == request) p.request = -1;
        m->predictions[kept++] = p;
    }
    m->n_predictions = kept;
}

int flow_model_release(struct flow_model *m, const int *ids, int n) {
    int live = 0;
    for (int i = 0; i < n; i++) {
        live += m->live[ids[i]].live;
        if (m->live[ids[i]].live)
            end_predictions(m, ids[i], !m->live[ids[i]].prefilled && !m->live[ids[i]].output);
        m->live[ids[i]].live = false;
    }
    m->version += live > 0;
    return live;
}

int flow_model_session_del(struct flow_model *m, const int *sessions, int n) {
    int gone = 0;
    for (int i = 0; i < n; i++) {
        gone += m->sessions[sessions[i]].remembered;
        m->sessions[sessions[i]].remembered = false;
    }
    m->version += gone > 0;
    return gone;
}

int64_t flow_model_session_requests(const struct flow_model *m, int session) {
    int64_t n = 0;
    for (int i = 0; i < FLOW_MODEL_REQUESTS; i++)
        n += m->live[i].live && m->live[i].session == session;
    return n;
}

// ---- Counts --------------------------------------------------------------------------------------

int64_t flow_model_held(const struct flow_model_rank *r, int tier) {
    int64_t n = 0;
    for (int b = 0; b < FLOW_MODEL_BLOCKS; b++)
        n += r->holds[tier][b];
    return n;
}

int64_t flow_model_blocks(const struct flow_model *m) {
    int64_t n = 0;
    for (int b = 0; b < FLOW_MODEL_BLOCKS; b++)
        n += held_by_anyone(m, b);
    return n;
}

int64_t flow_model_holdings(const struct flow_model *m) {
    int64_t n = 0;
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++)
        for (int r = 0; r < m->workers[w].ranks; r++)
            for (int t = 0; t < FLOW_MODEL_TIERS; t++)
                n += flow_model_held(&m->workers[w].rank[r], t);
    return n;
}

int64_t flow_model_predicted(const struct flow_model *m) {
    int64_t n = 0;
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++)
        for (int r = 0; r < m->workers[w].ranks; r++)
            n += predicted_on(m, w, r);
    return n;
}
