// SPDX-License-Identifier: Apache-2.0
// The model's workers and holdings; see unit_model.h.
#include "unit_model.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define STAT(name, counted)                                                                        \
    { #name, offsetof(struct kvr_stats, name), counted }
const struct unit_stat unit_model_stats[UNIT_MODEL_STATS] = {STAT(version, false),
                                                             STAT(workers, false),
                                                             STAT(instances, false),
                                                             STAT(eligible, false),
                                                             STAT(open_circuits, false),
                                                             STAT(blocks, false),
                                                             STAT(holdings, false),
                                                             STAT(predicted, false),
                                                             STAT(requests, false),
                                                             STAT(sessions, false),
                                                             STAT(selects, true),
                                                             STAT(repeats, true),
                                                             STAT(select_blocks, true),
                                                             STAT(overlap_blocks, true),
                                                             STAT(expected_blocks, true),
                                                             STAT(events, true),
                                                             STAT(stored_blocks, true),
                                                             STAT(removed_blocks, true),
                                                             STAT(gaps, true),
                                                             STAT(stale, true),
                                                             STAT(waiting, false),
                                                             STAT(waiting_tokens, false),
                                                             STAT(admitted, true),
                                                             STAT(refused, true),
                                                             STAT(limited, true)};
#undef STAT

const char *const unit_error_names[] = {"OK",       "NOWORKER", "GAP",     "STALE",   "NOPARENT",
                                        "BADCHAIN", "RANGE",    "LIMIT",   "BUSY",    "CORRUPT",
                                        "NOMEM",    "NOROOM",   "LIMITED", "NOCLASS", "WAITED"};

void unit_model_init(struct unit_model *m, const struct kvr_options *o) {
    memset(m, 0, sizeof *m);
    m->options = *o;
    core_learn_start(&m->learnt);
    unit_model_queue_init(m);
    m->stats.version = 1; // a pool that was created has changed once
}

void unit_model_free(struct unit_model *m) {
    for (size_t i = 0; i < m->n_workers; i++)
        free(m->workers[i].rank);
    for (size_t i = 0; i < m->n_requests; i++)
        free(m->requests[i].hashes);
    for (size_t i = 0; i < m->n_predictions; i++)
        free(m->predictions[i].hashes);
    unit_model_queue_free(m);
    free(m->workers);
    free(m->requests);
    free(m->predictions);
    free(m->sessions);
    unit_table_free(&m->held);
    unit_table_free(&m->known);
    unit_table_free(&m->held_before);
    unit_table_free(&m->known_before);
}

enum kvr_err unit_model_alter(struct unit_model *m, const struct kvr_options *o) {
    if (kvr_options_check(o) != KVR_OK || o->block_size != m->options.block_size) return KVR_RANGE;
    m->options = *o;
    for (size_t i = 0; i < m->n_workers && !o->failures; i++) {
        m->workers[i].failures = 0;
        m->workers[i].tripped = false;
    }
    m->stats.version++;
    return KVR_OK;
}

// ---- Holdings ------------------------------------------------------------------------------------

static uint64_t tag_of(uint64_t instance, int tier) {
    return instance * KVR_TIERS + (uint64_t)tier;
}

bool unit_model_known(const struct unit_model *m, uint64_t hash) {
    return unit_table_find(&m->known, hash, 0) != NULL;
}

bool unit_model_holds(const struct unit_model *m, uint64_t instance, int tier, uint64_t hash) {
    return unit_table_find(&m->held, hash, tag_of(instance, tier)) != NULL;
}

// One thing less needs the block: when it was the last, the block is forgotten, and its parent has
// one child less.
static void unneed(struct unit_model *m, uint64_t hash) {
    for (;;) {
        struct unit_row *r = unit_table_find(&m->known, hash, 0);
        if (--r->refs) return;
        bool has_parent = r->has_parent;
        uint64_t parent = r->parent;
        unit_table_drop(&m->known, hash, 0);
        if (!has_parent) return;
        hash = parent;
    }
}

static bool unhold(struct unit_model *m, uint64_t instance, int tier, uint64_t hash) {
    if (!unit_table_drop(&m->held, hash, tag_of(instance, tier))) return false;
    unit_table_find(&m->known, hash, 0)->holders--;
    unneed(m, hash);
    return true;
}

// Drops what an instance holds in a tier (-1: in any).
void unit_model_clear(struct unit_model *m, uint64_t instance, int tier) {
    size_t n = 0, room = m->held.n;
    struct unit_row *mine = unit_must_alloc(room * sizeof *mine);
    for (size_t i = 0; i < m->held.cap; i++) {
        const struct unit_row *r = &m->held.rows[i];
        if (!r->used || r->tag / KVR_TIERS != instance) continue;
        if (tier < 0 || (int)(r->tag % KVR_TIERS) == tier) mine[n++] = *r;
    }
    for (size_t i = 0; i < n; i++)
        unhold(m, instance, (int)(mine[i].tag % KVR_TIERS), mine[i].key);
    free(mine);
}

static enum kvr_err store(struct unit_model *m, uint64_t instance, const struct kvr_pool_op *op) {
    if (op->has_parent && !unit_model_known(m, op->parent)) return KVR_NOPARENT;
    bool has_parent = op->has_parent;
    uint64_t parent = op->parent;
    for (size_t i = 0; i < op->n; i++) {
        bool added;
        struct unit_row *r = unit_table_put(&m->known, op->hashes[i], 0, &added);
        if (!added && (r->has_parent != has_parent || (has_parent && r->parent != parent)))
            return KVR_BADCHAIN;
        if (added) {
            r->has_parent = has_parent;
            r->parent = has_parent ? parent : 0;
            if (has_parent) unit_table_find(&m->known, parent, 0)->refs++;
        }
        bool new_holding;
        unit_table_put(&m->held, op->hashes[i], tag_of(instance, op->tier), &new_holding);
        if (new_holding) {
            r = unit_table_find(&m->known, op->hashes[i], 0);
            r->refs++;
            r->holders++;
            m->stats.stored_blocks++;
        }
        has_parent = true;
        parent = op->hashes[i];
    }
    return KVR_OK;
}

static enum kvr_err apply(struct unit_model *m, uint64_t instance, const struct kvr_pool_op *op) {
    switch (op->kind) {
    case KVR_STORED:
        return store(m, instance, op);
    case KVR_REMOVED:
        for (size_t i = 0; i < op->n; i++)
            if (unhold(m, instance, op->tier, op->hashes[i])) m->stats.removed_blocks++;
        return KVR_OK;
    case KVR_CLEARED:
        unit_model_clear(m, instance, op->tier);
        return KVR_OK;
    }
    return KVR_RANGE;
}

enum kvr_err unit_model_event(struct unit_model *m, struct kvr_bytes worker, uint32_t rank,
                              uint64_t epoch, uint64_t seq, const struct kvr_pool_op *ops,
                              size_t n_ops, struct kvr_event_result *out) {
    memset(out, 0, sizeof *out);
    if (epoch < 1 || seq < 1 || epoch > INT64_MAX) return KVR_RANGE;
    struct unit_model_rank *r = unit_model_find_rank(m, worker, rank);
    if (!r) return KVR_NOWORKER;
    if (epoch < r->epoch) {
        out->epoch = r->epoch;
        m->stats.stale++;
        return KVR_STALE;
    }
    bool fresh = epoch > r->epoch;
    uint64_t expected = fresh ? 1 : r->seq + 1;
    if (seq > expected) {
        out->expected = expected;
        m->stats.gaps++;
        return KVR_GAP;
    }
    if (seq < expected) {
        out->seq = r->seq;
        out->repeat = true;
        return KVR_OK;
    }
    struct kvr_stats stats = m->stats;
    unit_table_copy(&m->held_before, &m->held);
    unit_table_copy(&m->known_before, &m->known);
    enum kvr_err err = KVR_OK;
    if (fresh) unit_model_clear(m, r->id, -1);
    for (size_t i = 0; i < n_ops && err == KVR_OK; i++)
        err = apply(m, r->id, &ops[i]);
    if (err != KVR_OK) {
        unit_table_copy(&m->held, &m->held_before);
        unit_table_copy(&m->known, &m->known_before);
        m->stats = stats;
        return err;
    }
    bool forget = fresh;
    for (size_t i = 0; i < n_ops; i++)
        if (ops[i].kind == KVR_CLEARED && ops[i].tier <= KVR_DEVICE) forget = true;
    if (forget) unit_model_prediction_drop_instance(m, r->id);
    r->epoch = epoch;
    r->seq = seq;
    m->stats.events++;
    m->stats.version++;
    out->seq = seq;
    return KVR_OK;
}

// ---- Workers -------------------------------------------------------------------------------------

struct unit_model_worker *unit_model_find_worker(const struct unit_model *m,
                                                 struct kvr_bytes name) {
    for (size_t i = 0; i < m->n_workers; i++)
        if (unit_bytes_compare(model_name(&m->workers[i]), name) == 0) return &m->workers[i];
    return NULL;
}

struct unit_model_rank *unit_model_find_rank(const struct unit_model *m, struct kvr_bytes worker,
                                             uint32_t rank) {
    struct unit_model_worker *w = unit_model_find_worker(m, worker);
    return w && rank < w->ranks ? &w->rank[rank] : NULL;
}

struct unit_model_worker *unit_model_owner(const struct unit_model *m, uint64_t instance,
                                           uint32_t *rank) {
    for (size_t i = 0; i < m->n_workers; i++)
        for (uint32_t k = 0; k < m->workers[i].ranks; k++)
            if (m->workers[i].rank[k].id == instance) {
                if (rank) *rank = k;
                return &m->workers[i];
            }
    return NULL;
}

static int64_t worker_time(const struct unit_model *m, const struct unit_model_worker *w) {
    return w->seen > m->renewed_floor ? w->seen : m->renewed_floor;
}

static int64_t ttl_of(const struct unit_model *m, const struct unit_model_worker *w) {
    return w->ttl < 0 ? m->options.worker_ttl : w->ttl;
}

int64_t unit_model_expires_at(const struct unit_model *m, const struct unit_model_worker *w) {
    return ttl_of(m, w) ? worker_time(m, w) + ttl_of(m, w) : INT64_MAX;
}

int64_t unit_model_deleted_at(const struct unit_model *m, const struct unit_model_worker *w) {
    if (!ttl_of(m, w) || !m->options.worker_grace) return INT64_MAX;
    return unit_model_expires_at(m, w) + m->options.worker_grace;
}

enum kvr_circuit unit_model_circuit(const struct unit_model_worker *w, int64_t now) {
    if (!w->tripped) return KVR_CLOSED;
    return now < w->out_until ? KVR_OPEN : KVR_HALF_OPEN;
}

enum kvr_err unit_model_report(struct unit_model *m, int64_t at, struct kvr_bytes name, bool ok,
                               enum kvr_circuit *circuit, bool *changed) {
    struct unit_model_worker *w = unit_model_find_worker(m, name);
    if (!w) return KVR_NOWORKER;
    *changed = false;
    if (ok) {
        *changed = w->failures || w->tripped;
        w->failures = 0;
        w->tripped = false;
    } else if (m->options.failures) {
        *changed = true;
        w->failures++;
        if (w->tripped || w->failures >= m->options.failures) {
            w->tripped = true;
            w->out_until = at + m->options.open_time;
            for (uint32_t i = 0; i < w->ranks; i++)
                unit_model_prediction_drop_instance(m, w->rank[i].id);
        }
    }
    if (*changed) m->stats.version++;
    *circuit = unit_model_circuit(w, at);
    return KVR_OK;
}

size_t unit_model_instances(const struct unit_model *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->n_workers; i++)
        n += m->workers[i].ranks;
    return n;
}

bool unit_model_eligible(const struct unit_model *m, const struct unit_model_worker *w,
                         int64_t now) {
    return w->state == KVR_READY && now < unit_model_expires_at(m, w);
}

void unit_model_counts(const struct unit_model *m, int64_t now, struct kvr_stats *out) {
    *out = m->stats;
    out->workers = m->n_workers;
    out->instances = unit_model_instances(m);
    out->eligible = 0;
    out->open_circuits = 0;
    for (size_t i = 0; i < m->n_workers; i++) {
        const struct unit_model_worker *w = &m->workers[i];
        if (unit_model_circuit(w, now) == KVR_OPEN)
            out->open_circuits++;
        else if (unit_model_eligible(m, w, now))
            out->eligible += w->ranks;
    }
    out->blocks = 0;
    for (size_t i = 0; i < m->known.cap; i++)
        if (m->known.rows[i].used && m->known.rows[i].holders) out->blocks++;
    out->holdings = m->held.n;
    out->predicted = 0;
    for (size_t i = 0; i < m->n_workers; i++)
        for (uint32_t k = 0; k < m->workers[i].ranks; k++)
            out->predicted += unit_model_predicted_blocks(m, m->workers[i].rank[k].id);
    out->requests = m->n_requests;
    out->sessions = m->n_sessions;
    unit_model_queue_counts(m, out);
}
