// SPDX-License-Identifier: Apache-2.0
// Reading a pool's queue. Who waits is added as if it came just now; then the tags are set as they were. What the
// records can't show one by one, core_waiting_validate finds at the end.
#include "module/core/rule/policy.h"
#include "module/core/state/fair_order.h"
#include "module/core/state/flow.h"
#include "module/core/state/ledger.h"
#include "module/core/state/service_class.h"
#include "module/core/state/waiting.h"
#include "snapshot_read.h"

static enum kvr_err refusal(enum kvr_err err) {
    return err == KVR_NOMEM || err == KVR_OK ? err : KVR_CORRUPT;
}

enum kvr_err core_snapshot_load_class(struct kvr_loader *l, struct snapshot_reader *r) {
    struct kvr_pool *p = l->pool;
    struct kvr_bytes name = get_bytes(r, KVR_MAX_ID);
    int64_t priority = get_i64(r);
    struct kvr_class_info info = {.weight = get_f64(r)};
    info.max_waiting = get(r, 8);
    info.room = get(r, 8);
    uint64_t admitted = get(r, 8), refused = get(r, 8), version = p->version;
    if (r->bad || priority < -KVR_MAX_PRIORITY || priority > KVR_MAX_PRIORITY) return KVR_CORRUPT;
    info.priority = (int)priority;
    int created;
    enum kvr_err err = kvr_class_set(
        p, name, KVR_CLASS_PRIORITY | KVR_CLASS_WEIGHT | KVR_CLASS_WAITING | KVR_CLASS_ROOM, &info,
        &created);
    p->version = version;
    if (err) return refusal(err);
    struct core_class *c = core_class_find(p, name);
    if (!created && c != p->queue.default_class) return KVR_CORRUPT;
    c->admitted = admitted;
    c->refused = refused;
    return KVR_OK;
}

enum kvr_err core_snapshot_load_flow(struct kvr_loader *l, struct snapshot_reader *r) {
    struct kvr_pool *p = l->pool;
    struct kvr_bytes name = get_bytes(r, KVR_MAX_ID);
    struct kvr_flow_info info = {.weight = get_f64(r)};
    info.max_requests = get(r, 8);
    info.rate = get_i64(r);
    info.burst = get_i64(r);
    int64_t left = get_i64(r), at = get_i64(r);
    uint64_t version = p->version;
    if (r->bad || core_flow_find(p, name)) return KVR_CORRUPT;
    int created;
    enum kvr_err err = kvr_flow_set(
        p, at, name, KVR_FLOW_WEIGHT | KVR_FLOW_REQUESTS | KVR_FLOW_RATE | KVR_FLOW_BURST, &info,
        true, &left, &created);
    p->version = version;
    return refusal(err);
}

// One of the four lists: how many names, put behind the `n` that are there.
static enum kvr_err get_names(struct kvr_loader *l, struct snapshot_reader *r, size_t *n,
                              size_t max, size_t *count) {
    *count = get_u32(r);
    if (r->bad || *count > (size_t)(r->end - r->at) / sizeof(uint32_t)) return KVR_CORRUPT;
    if (core_mem_grow(&l->mem, &l->names, &l->cap_names, *n + *count, sizeof *l->names))
        return KVR_NOMEM;
    for (size_t i = 0; i < *count; i++)
        l->names[(*n)++] = get_bytes(r, max);
    return KVR_OK;
}

static enum kvr_err get_lists(struct kvr_loader *l, struct snapshot_reader *r,
                              struct kvr_query *q) {
    size_t n = 0, *const counts[] = {&q->n_among, &q->n_exclude, &q->n_with, &q->n_without};
    const struct kvr_bytes **const lists[] = {&q->among, &q->exclude, &q->with, &q->without};
    enum kvr_err err = KVR_OK;
    for (size_t i = 0; i < 4 && !err; i++)
        err = get_names(l, r, &n, SIZE_MAX, counts[i]);
    n = 0;
    for (size_t i = 0; i < 4 && !err; i++) {
        *lists[i] = *counts[i] ? l->names + n : NULL; // nothing is added to NULL
        n += *counts[i];
    }
    return err;
}

enum kvr_err core_snapshot_load_waiting(struct kvr_loader *l, struct snapshot_reader *r) {
    struct kvr_pool *p = l->pool;
    struct kvr_query q = {0};
    struct kvr_bytes id = get_bytes(r, KVR_MAX_ID);
    uint64_t number = get(r, 8);
    int64_t since = get_i64(r);
    q.wait = get_i64(r);
    int64_t lease = get_i64(r);
    q.isl = get_i64(r);
    q.osl = get_i64(r);
    struct kvr_bytes policy = get_bytes(r, KVR_MAX_NAME);
    q.rule.policy = kvr_policy_find(policy.p, policy.n);
    q.rule.overlap = get_f64(r);
    q.rule.prefill = get_f64(r);
    q.rule.requests = get_f64(r);
    q.rule.temperature = get_f64(r);
    q.has_among = get(r, 1);
    q.pair = get(r, 1);
    enum kvr_err err = get_lists(l, r, &q);
    if (err) return err;
    q.session = get_bytes(r, KVR_MAX_ID);
    q.service_class = get_bytes(r, KVR_MAX_ID);
    q.flow = get_bytes(r, KVR_MAX_ID);
    q.notify = get_bytes(r, KVR_MAX_ID);
    q.n = get_u32(r);
    if (r->bad || !id.n || number <= l->arrival || number > p->queue.arrivals || since < 0 ||
        since > KVR_MAX_MS || lease < -1 || q.isl < 0 || core_request_find(p, id) ||
        core_waiting_find(p, id))
        return KVR_CORRUPT;
    if ((err = get_hashes(l, r, q.n))) return err;
    q.hashes = l->hashes;
    bool applied;
    uint64_t version = p->version, arrivals = p->queue.arrivals;
    p->queue.arrivals = number - 1;
    err = kvr_enqueue(p, since, id, &q, lease, &applied);
    p->queue.arrivals = arrivals;
    p->version = version;
    l->arrival = number;
    return refusal(err);
}

enum kvr_err core_snapshot_load_line(struct kvr_loader *l, struct snapshot_reader *r) {
    struct kvr_pool *p = l->pool;
    struct core_class *c = core_class_find(p, get_bytes(r, KVR_MAX_ID));
    bool has_flow = get(r, 1);
    struct kvr_bytes name = get_bytes(r, KVR_MAX_ID);
    double tag = get_f64(r);
    uint64_t number = get(r, 8);
    if (r->bad || !c || !c->lines || !core_tag_good(tag) || number > p->queue.arrivals ||
        has_flow != (name.n > 0))
        return KVR_CORRUPT;
    struct core_flow *f = has_flow ? core_flow_take(p, name) : NULL;
    struct core_line *line = has_flow && !f ? NULL : core_line_take(p, c, f);
    if (!line) {
        if (f) core_flow_drop(p, f);
        return KVR_NOMEM;
    }
    bool owes = !line->n;
    if (owes && (line->order.place || c->owing.n == CORE_MAX_OWING)) {
        core_line_drop(p, line);
        return KVR_CORRUPT; // there twice, or one too many
    }
    core_line_load(p, line, tag, number);
    return KVR_OK;
}

enum kvr_err core_snapshot_load_tags(struct kvr_loader *l, struct snapshot_reader *r) {
    struct core_class *c = core_class_find(l->pool, get_bytes(r, KVR_MAX_ID));
    double tag = get_f64(r), v = get_f64(r), level = get_f64(r);
    if (r->bad || !c || !core_tag_good(tag) || !core_tag_good(v) || !core_tag_good(level))
        return KVR_CORRUPT;
    c->tag = tag;
    c->v = v;
    core_class_level(l->pool, c)->v = level;
    return KVR_OK;
}
