// SPDX-License-Identifier: Apache-2.0
// The model's flows: limits and buckets; see unit_model_queue.h.
#include "unit_model.h"

#include <stdlib.h>
#include <string.h>

struct unit_model_flow *unit_model_find_flow(const struct unit_model *m, struct kvr_bytes name) {
    for (size_t i = 0; name.n && i < m->queue.n_flows; i++)
        if (unit_bytes_compare(model_bytes(&m->queue.flows[i].name), name) == 0)
            return &m->queue.flows[i];
    return NULL;
}

uint64_t unit_model_flow_live(const struct unit_model *m, struct kvr_bytes name) {
    uint64_t n = 0;
    for (size_t i = 0; i < m->n_requests; i++)
        n += unit_bytes_compare(model_bytes(&m->requests[i].flow), name) == 0;
    return n;
}

uint64_t unit_model_flow_waiting(const struct unit_model *m, struct kvr_bytes name) {
    uint64_t n = 0;
    for (size_t i = 0; i < m->queue.n_waiting; i++)
        n += unit_bytes_compare(m->queue.waiting[i].q.flow, name) == 0;
    return n;
}

static int64_t burst_of(const struct unit_model_flow *f) {
    return f->burst ? f->burst : f->rate;
}

// A token a second is a thousandth a millisecond.
int64_t unit_model_flow_left(const struct unit_model *m, const struct unit_model_flow *f,
                             int64_t now) {
    int64_t at = f->at > m->renewed_floor ? f->at : m->renewed_floor;
    int64_t full = burst_of(f) * 1000, left = f->left;
    if (now > at && left < full) {
        int64_t ms = now - at, missing = full - left;
        left = ms > missing / f->rate ? full : left + ms * f->rate;
    }
    return left < full ? left : full;
}

static int64_t needed(const struct unit_model_flow *f, int64_t tokens) {
    return (tokens < burst_of(f) ? tokens : burst_of(f)) * 1000;
}

int64_t unit_model_flow_wait(const struct unit_model *m, struct kvr_bytes flow, int64_t tokens,
                             int64_t now) {
    const struct unit_model_flow *f = unit_model_find_flow(m, flow);
    if (!f || !f->rate) return 0;
    int64_t missing = needed(f, tokens) - unit_model_flow_left(m, f, now);
    return missing > 0 ? (missing + f->rate - 1) / f->rate : 0;
}

bool unit_model_flow_passes(const struct unit_model *m, struct kvr_bytes flow, int64_t tokens,
                            int64_t now) {
    const struct unit_model_flow *f = unit_model_find_flow(m, flow);
    if (!f) return true;
    if (f->max_requests && unit_model_flow_live(m, flow) >= f->max_requests) return false;
    return unit_model_flow_wait(m, flow, tokens, now) == 0;
}

void unit_model_flow_pay(struct unit_model *m, struct kvr_bytes flow, int64_t tokens, int64_t at,
                         bool told, int64_t left) {
    struct unit_model_flow *f = unit_model_find_flow(m, flow);
    if (!f || !f->rate) return;
    f->left = told ? left : unit_model_flow_left(m, f, at) - tokens * 1000;
    f->at = at > f->at ? at : f->at;
}

enum kvr_err unit_model_flow_set(struct unit_model *m, int64_t at, struct kvr_bytes name,
                                 unsigned set, const struct kvr_flow_info *f, bool has_left,
                                 int64_t *left, int *created) {
    *created = 0;
    if (name.n < 1 || name.n > KVR_MAX_ID || at < 0) return KVR_RANGE;
    if (set & KVR_FLOW_WEIGHT && !(f->weight > 0 && f->weight <= KVR_MAX_SHARE)) return KVR_RANGE;
    if (set & KVR_FLOW_RATE && (f->rate < 0 || f->rate > KVR_MAX_TOKENS)) return KVR_RANGE;
    if (set & KVR_FLOW_BURST && (f->burst < 0 || f->burst > KVR_MAX_TOKENS)) return KVR_RANGE;
    struct unit_model_flow *at_flow = unit_model_find_flow(m, name);
    if (!at_flow) {
        struct unit_model_queue *q = &m->queue;
        q->flows = unit_must_resize(q->flows, (q->n_flows + 1) * sizeof *q->flows);
        at_flow = &q->flows[q->n_flows++];
        *at_flow = (struct unit_model_flow){.weight = 1, .name.n = name.n};
        memcpy(at_flow->name.bytes, name.p, name.n);
        *created = 1;
    }
    struct unit_model_flow before = *at_flow;
    if (set & KVR_FLOW_WEIGHT) at_flow->weight = f->weight;
    if (set & KVR_FLOW_REQUESTS) at_flow->max_requests = f->max_requests;
    if (set & KVR_FLOW_RATE) at_flow->rate = f->rate;
    if (set & KVR_FLOW_BURST) at_flow->burst = f->burst;
    int64_t full = burst_of(at_flow) * 1000;
    // What it has it keeps, as far as it goes into the bucket; a new bucket is full.
    int64_t has = before.rate ? unit_model_flow_left(m, &before, at) : full;
    at_flow->left = has_left ? *left : has < full ? has : full;
    at_flow->at = at;
    if (!at_flow->rate) at_flow->left = 0;
    *left = at_flow->left;
    m->stats.version++;
    return KVR_OK;
}

enum kvr_err unit_model_flow_del(struct unit_model *m, struct kvr_bytes name, int *deleted) {
    struct unit_model_flow *f = unit_model_find_flow(m, name);
    *deleted = f != NULL;
    if (!f) return KVR_OK;
    *f = m->queue.flows[--m->queue.n_flows];
    m->stats.version++;
    return KVR_OK;
}
