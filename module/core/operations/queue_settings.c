// SPDX-License-Identifier: Apache-2.0
// Classes and flows as they are set, deleted and shown.
#include <math.h>

#include "module/core/state/fair_order.h"
#include "module/core/state/flow.h"
#include "module/core/state/queue_round.h"
#include "module/core/state/service_class.h"

static bool is_weight(double w) {
    return w > 0 && w <= KVR_MAX_SHARE; // not for NaN
}

// ---- Classes -------------------------------------------------------------------------------------

static bool class_good(struct kvr_bytes name, unsigned set, const struct kvr_class_info *c) {
    return name.n >= 1 && name.n <= KVR_MAX_ID &&
           (!(set & KVR_CLASS_PRIORITY) ||
            (c->priority >= -KVR_MAX_PRIORITY && c->priority <= KVR_MAX_PRIORITY)) &&
           (!(set & KVR_CLASS_WEIGHT) || is_weight(c->weight)) &&
           (!(set & KVR_CLASS_WAITING) || c->max_waiting <= KVR_MAX_WAITING) &&
           (!(set & KVR_CLASS_ROOM) || c->room <= 100);
}

enum kvr_err kvr_class_set(struct kvr_pool *p, struct kvr_bytes name, unsigned set,
                           const struct kvr_class_info *info, int *created) {
    if (!class_good(name, set, info)) return KVR_RANGE;
    struct core_class *c;
    enum kvr_err err = core_class_take(p, name, &c);
    if (err) return err;
    *created = !c->registered;
    core_class_register(p, c);
    if (set & KVR_CLASS_PRIORITY) core_class_move(p, c, info->priority);
    if (set & KVR_CLASS_WEIGHT) c->weight = info->weight;
    if (set & KVR_CLASS_WAITING) c->max_waiting = info->max_waiting;
    if (set & KVR_CLASS_ROOM) c->room = info->room;
    core_queue_gained_all(p);
    p->version++;
    return KVR_OK;
}

enum kvr_err kvr_class_del(struct kvr_pool *p, struct kvr_bytes name, int *deleted) {
    *deleted = 0;
    struct core_class *c = name.n ? core_class_find(p, name) : NULL;
    if (!c) return KVR_OK;
    if (c == p->queue.default_class) return KVR_RANGE;
    if (c->waiting) return KVR_WAITED;
    core_class_unregister(p, c);
    *deleted = 1;
    p->version++;
    return KVR_OK;
}

size_t kvr_class_count(const struct kvr_pool *p) {
    return p->queue.n_registered;
}

bool kvr_class_known(const struct kvr_pool *p, struct kvr_bytes name) {
    return core_class_find(p, name) != NULL;
}

// One look at each who waits, as there may be many classes and many of each.
static void find_oldest(struct kvr_pool *p) {
    struct core_queue *q = &p->queue;
    for (size_t i = 0; i < q->n_classes; i++)
        q->classes[i]->oldest = NULL;
    for (size_t i = 0; i < q->ends.n; i++) {
        const struct core_waiting *w = core_waiting_of(q->ends.heap[i]);
        struct core_class *c = w->line->service_class;
        if (!c->oldest || w->number < c->oldest->number) c->oldest = w;
    }
}

void kvr_classes(struct kvr_pool *p, int64_t now, struct kvr_class_info *out) {
    find_oldest(p);
    for (size_t i = 0; i < p->queue.n_classes; i++) {
        const struct core_class *c = p->queue.classes[i];
        if (!c->registered) continue;
        *out++ = (struct kvr_class_info){
            .name = core_class_name(c),
            .priority = c->priority,
            .weight = c->weight,
            .max_waiting = c->max_waiting,
            .room = c->room,
            .waiting = c->waiting,
            .tokens = c->tokens,
            .oldest = c->oldest && now > c->oldest->since ? now - c->oldest->since : 0,
            .admitted = c->admitted,
            .refused = c->refused,
        };
    }
}

// ---- Flows ---------------------------------------------------------------------------------------

static bool flow_good(struct kvr_bytes name, unsigned set, const struct kvr_flow_info *f) {
    return name.n >= 1 && name.n <= KVR_MAX_ID &&
           (!(set & KVR_FLOW_WEIGHT) || is_weight(f->weight)) &&
           (!(set & KVR_FLOW_REQUESTS) || f->max_requests <= CORE_MAX_CAPACITY) &&
           (!(set & KVR_FLOW_RATE) || (f->rate >= 0 && f->rate <= KVR_MAX_TOKENS)) &&
           (!(set & KVR_FLOW_BURST) || (f->burst >= 0 && f->burst <= KVR_MAX_TOKENS));
}

// A new rate begins with a full bucket; another burst keeps what is in it, as far as it fits.
static void set_bucket(struct kvr_pool *p, struct core_flow *f, int64_t at, unsigned set,
                       const struct kvr_flow_info *info) {
    bool had_rate = f->rate > 0;
    int64_t left = core_flow_left(p, f, at);
    if (set & KVR_FLOW_RATE) f->rate = info->rate;
    if (set & KVR_FLOW_BURST) f->burst = info->burst;
    int64_t full = f->rate ? core_flow_burst(f) * CORE_BUCKET_UNITS : 0;
    f->left = !f->rate || !had_rate || left > full ? full : left;
    f->at = at;
    if (at > p->latest) p->latest = at;
}

enum kvr_err kvr_flow_set(struct kvr_pool *p, int64_t at, struct kvr_bytes name, unsigned set,
                          const struct kvr_flow_info *info, bool has_left, int64_t *left,
                          int *created) {
    if (!flow_good(name, set, info) || at < 0 || at > KVR_MAX_MS ||
        (has_left && *left < CORE_MIN_LEFT))
        return KVR_RANGE;
    struct core_flow *f = core_flow_take(p, name);
    if (!f) return KVR_NOMEM;
    *created = !f->registered;
    p->queue.n_flows += !f->registered;
    f->registered = true;
    if (set & KVR_FLOW_WEIGHT) f->weight = info->weight;
    if (set & KVR_FLOW_REQUESTS) f->max_requests = info->max_requests;
    set_bucket(p, f, at, set, info);
    if (has_left && f->rate) f->left = *left;
    *left = f->left;
    core_flow_ready(p, f);
    core_queue_gained_all(p);
    p->version++;
    return KVR_OK;
}

enum kvr_err kvr_flow_del(struct kvr_pool *p, struct kvr_bytes name, int *deleted) {
    struct core_flow *f = core_flow_find(p, name);
    *deleted = f && f->registered;
    if (!*deleted) return KVR_OK;
    p->queue.n_flows--;
    f->registered = false;
    f->weight = 1;
    f->max_requests = 0;
    f->rate = f->burst = f->left = f->at = 0;
    core_flow_ready(p, f);
    core_queue_gained_all(p);
    core_flow_drop(p, f);
    p->version++;
    return KVR_OK;
}

bool kvr_flow_get(const struct kvr_pool *p, int64_t now, struct kvr_bytes name,
                  struct kvr_flow_info *out) {
    const struct core_flow *f = core_flow_find(p, name);
    if (!f) return false;
    int64_t left = core_flow_left(p, f, now);
    // Whole tokens, and of a debt all of it.
    int64_t tokens = left >= 0 ? left / CORE_BUCKET_UNITS
                               : -((-left + CORE_BUCKET_UNITS - 1) / CORE_BUCKET_UNITS);
    *out = (struct kvr_flow_info){
        .name = core_flow_name(f),
        .weight = f->weight,
        .max_requests = f->max_requests,
        .rate = f->rate,
        .burst = f->rate ? core_flow_burst(f) : f->burst,
        .requests = core_flow_live(p, f, UINT64_MAX),
        .waiting = f->waiting,
        .left = f->rate ? tokens : -1,
        .exact = left,
    };
    return true;
}

uint64_t kvr_flow_scan(const struct kvr_pool *p, uint64_t cursor, size_t count,
                       void (*f)(void *ctx, struct kvr_bytes name), void *ctx) {
    const struct core_hash_map *h = &p->queue.flows;
    for (; cursor < h->n_buckets; cursor++) {
        if (count-- == 0) return cursor;
        for (struct core_hash_map_item *i = core_hash_map_bucket(h, cursor); i; i = i->next) {
            const struct core_flow *flow = (const struct core_flow *)i;
            if (flow->registered || flow->live || flow->waiting) f(ctx, core_flow_name(flow));
        }
    }
    return 0;
}
