// SPDX-License-Identifier: Apache-2.0
// The model's predictions and sessions; see unit_model.h.
#include "unit_model.h"

#include <stdlib.h>
#include <string.h>

// ---- Predictions ---------------------------------------------------------------------------------

int unit_model_by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

size_t unit_model_distinct(uint64_t *all, size_t n) {
    qsort(all, n, sizeof *all, unit_model_by_value);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || all[i] != all[i - 1]) all[kept++] = all[i];
    return kept;
}

static void drop_prediction(struct unit_model *m, size_t i) {
    free(m->predictions[i].hashes);
    memmove(&m->predictions[i], &m->predictions[i + 1],
            (--m->n_predictions - i) * sizeof *m->predictions);
}

bool unit_model_predicted(const struct unit_model *m, uint64_t instance, uint64_t hash) {
    for (size_t i = 0; i < m->n_predictions; i++)
        for (size_t k = 0; m->predictions[i].instance == instance && k < m->predictions[i].n; k++)
            if (m->predictions[i].hashes[k] == hash) return true;
    return false;
}

uint64_t unit_model_predicted_blocks(const struct unit_model *m, uint64_t instance) {
    if (!m->n_predictions) return 0;
    size_t room = 0, n = 0;
    for (size_t i = 0; i < m->n_predictions; i++)
        if (m->predictions[i].instance == instance) room += m->predictions[i].n;
    uint64_t *all = unit_must_alloc(room * sizeof *all);
    for (size_t i = 0; i < m->n_predictions; i++)
        for (size_t k = 0; m->predictions[i].instance == instance && k < m->predictions[i].n; k++)
            all[n++] = m->predictions[i].hashes[k];
    n = unit_model_distinct(all, n);
    free(all);
    return n;
}

// A request that was never prefilled takes what was guessed because of it with it.
void unit_model_prediction_release(struct unit_model *m, const struct unit_model_request *r,
                                   bool drop) {
    for (size_t i = m->n_predictions; i-- > 0;) {
        struct unit_model_prediction *g = &m->predictions[i];
        if (g->request_len != r->id_len || memcmp(g->request, r->id, r->id_len) != 0) continue;
        if (drop)
            drop_prediction(m, i);
        else
            g->request_len = 0;
    }
}

void unit_model_prediction_cap(struct unit_model *m, uint64_t instance, uint64_t capacity) {
    while (capacity && unit_model_predicted_blocks(m, instance) > capacity) {
        size_t oldest = 0;
        while (m->predictions[oldest].instance != instance)
            oldest++;
        drop_prediction(m, oldest);
    }
}

// Of a booking that is larger than the capacity by itself, the head counts.
void unit_model_predict(struct unit_model *m, const struct unit_model_request *r, uint64_t instance,
                        uint64_t capacity, const struct kvr_booking *b) {
    size_t n = capacity && b->n > capacity ? (size_t)capacity : b->n;
    if (!n) return;
    m->predictions =
        unit_must_resize(m->predictions, (m->n_predictions + 1) * sizeof *m->predictions);
    struct unit_model_prediction *g = &m->predictions[m->n_predictions++];
    *g = (struct unit_model_prediction){.instance = instance,
                                        .request_len = r->id_len,
                                        .hashes = unit_must_alloc(n * sizeof *g->hashes),
                                        .n = n,
                                        .until = b->predict_until};
    memcpy(g->request, r->id, r->id_len);
    memcpy(g->hashes, b->hashes, n * sizeof *g->hashes);
    unit_model_prediction_cap(m, instance, capacity);
}

void unit_model_prediction_drop_instance(struct unit_model *m, uint64_t instance) {
    for (size_t i = m->n_predictions; i-- > 0;)
        if (m->predictions[i].instance == instance) drop_prediction(m, i);
}

int64_t unit_model_prediction_end(const struct unit_model *m,
                                  const struct unit_model_prediction *g) {
    return g->renewed ? m->renewed_floor + m->options.predict : g->until;
}

size_t unit_model_forget(struct unit_model *m, int64_t at, size_t max) {
    size_t n = 0;
    for (; n < max && m->n_predictions; n++) {
        if (unit_model_prediction_end(m, &m->predictions[0]) > at) break;
        drop_prediction(m, 0);
    }
    if (n) m->stats.version++;
    return n;
}

// ---- Sessions ------------------------------------------------------------------------------------

struct unit_model_session *unit_model_find_session(const struct unit_model *m,
                                                   struct kvr_bytes name) {
    for (size_t i = 0; i < m->n_sessions; i++) {
        struct unit_model_session *s = &m->sessions[i];
        if (unit_bytes_compare((struct kvr_bytes){s->name, s->name_len}, name) == 0) return s;
    }
    return NULL;
}

uint64_t unit_model_session_live(const struct unit_model *m, struct kvr_bytes name) {
    uint64_t n = 0;
    for (size_t i = 0; i < m->n_requests; i++) {
        const struct unit_model_request *r = &m->requests[i];
        n += unit_bytes_compare((struct kvr_bytes){r->session, r->session_len}, name) == 0;
    }
    return n;
}

int64_t unit_model_session_end(const struct unit_model *m, const struct unit_model_session *s) {
    return (s->booked > m->renewed_floor ? s->booked : m->renewed_floor) + m->options.session_ttl;
}

void unit_model_session_book(struct unit_model *m, struct kvr_bytes name, uint64_t instance,
                             int64_t at) {
    struct unit_model_session *s = unit_model_find_session(m, name);
    if (!s) {
        m->sessions = unit_must_resize(m->sessions, (m->n_sessions + 1) * sizeof *m->sessions);
        s = &m->sessions[m->n_sessions++];
        *s = (struct unit_model_session){.name_len = name.n};
        memcpy(s->name, name.p, name.n);
    }
    s->instance = instance;
    s->booked = at;
}

void unit_model_session_drop_instance(struct unit_model *m, uint64_t instance) {
    for (size_t i = m->n_sessions; i-- > 0;)
        if (m->sessions[i].instance == instance) m->sessions[i] = m->sessions[--m->n_sessions];
}

size_t unit_model_session_del(struct unit_model *m, const struct kvr_bytes *names, size_t n) {
    size_t gone = 0;
    for (size_t i = 0; i < n; i++) {
        struct unit_model_session *s = unit_model_find_session(m, names[i]);
        if (!s) continue;
        *s = m->sessions[--m->n_sessions];
        gone++;
    }
    if (gone) m->stats.version++;
    return gone;
}
