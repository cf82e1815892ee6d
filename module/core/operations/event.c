// SPDX-License-Identifier: Apache-2.0
// Events: one publisher's ops, in order, all or nothing.
#include <string.h>

#include "module/core/state/instance.h"
#include "module/core/state/prediction.h"
#include "module/core/state/worker.h"

// What the ops do besides changing the tree; takes effect with the commit.
struct event_effect {
    uint64_t stored, removed;
    bool forget; // predictions of the instance
};

static enum kvr_err drop_tier(struct kvr_pool *p, struct core_instance *in, int tier) {
    if (in->slot[tier] && core_tree_drop(&p->tree, in->slot[tier])) return KVR_NOMEM;
    in->slot[tier] = 0;
    return KVR_OK;
}

static enum kvr_err clear(struct kvr_pool *p, struct core_instance *in, int tier,
                          struct event_effect *e) {
    enum kvr_err err = KVR_OK;
    for (int t = 0; t < KVR_TIERS && !err; t++)
        if (tier < 0 || tier == t) err = drop_tier(p, in, t);
    if (tier < 0 || tier == KVR_DEVICE) e->forget = true; // a prediction is of the device
    return err;
}

static enum kvr_err apply(struct kvr_pool *p, struct core_instance *in,
                          const struct kvr_pool_op *op, struct event_effect *e) {
    if (op->n > KVR_MAX_BLOCKS) return KVR_LIMIT;
    if (op->tier >= KVR_TIERS || (op->tier < 0 && op->kind != KVR_CLEARED)) return KVR_RANGE;
    switch (op->kind) {
    case KVR_STORED:
        if (op->n && !in->slot[op->tier]) {
            uint32_t slot = core_instance_new_slot(p, in, op->tier);
            if (!slot) return KVR_NOMEM;
            in->slot[op->tier] = slot;
        }
        return core_tree_store(&p->tree, in->slot[op->tier], op->has_parent ? &op->parent : NULL,
                               op->hashes, op->n, &e->stored);
    case KVR_REMOVED:
        return core_tree_remove(&p->tree, in->slot[op->tier], op->hashes, op->n, &e->removed);
    case KVR_CLEARED:
        return clear(p, in, op->tier, e);
    }
    return KVR_RANGE;
}

// Where the event stands to what was applied: KVR_OK, or why it isn't. *fresh: it starts a new epoch.
static enum kvr_err place(struct kvr_pool *p, const struct core_instance *in, uint64_t epoch,
                          uint64_t seq, bool *fresh, struct kvr_event_result *out) {
    *out = (struct kvr_event_result){.seq = in->seq, .epoch = in->epoch};
    *fresh = epoch > in->epoch;
    if (epoch < in->epoch) {
        p->stats.stale++;
        return KVR_STALE;
    }
    out->expected = *fresh ? 1 : in->seq + 1;
    if (seq > out->expected) {
        p->stats.gaps++;
        return KVR_GAP;
    }
    out->repeat = !*fresh && seq <= in->seq;
    return KVR_OK;
}

bool kvr_event_is_next(const struct kvr_pool *p, struct kvr_bytes worker, uint32_t rank,
                       uint64_t epoch, uint64_t seq) {
    uint32_t i = core_instance_find(p, worker, rank);
    if (i == CORE_NO_INSTANCE) return false;
    const struct core_instance *in = &p->instances[i];
    return epoch == in->epoch ? seq == in->seq + 1 : epoch > in->epoch && seq == 1;
}

enum kvr_err kvr_event(struct kvr_pool *p, struct kvr_bytes worker, uint32_t rank, uint64_t epoch,
                       uint64_t seq, const struct kvr_pool_op *ops, size_t n_ops, bool bounded,
                       struct kvr_event_result *out) {
    if (!epoch || epoch > INT64_MAX || !seq || seq > INT64_MAX) return KVR_RANGE;
    uint32_t i = core_instance_find(p, worker, rank);
    if (i == CORE_NO_INSTANCE) return KVR_NOWORKER;
    struct core_instance *in = &p->instances[i];
    bool fresh;
    enum kvr_err err = place(p, in, epoch, seq, &fresh, out);
    if (err || out->repeat) return err;

    uint32_t before[KVR_TIERS];
    memcpy(before, in->slot, sizeof before);
    struct event_effect e = {0};
    core_tree_begin(&p->tree, bounded ? CORE_KNOWN_BUDGET : -1);
    if (fresh) err = clear(p, in, -1, &e);
    for (size_t k = 0; k < n_ops && !err; k++)
        err = apply(p, in, &ops[k], &e);
    if (err) {
        core_tree_rollback(&p->tree);
        memcpy(in->slot, before, sizeof before);
        return err;
    }
    core_tree_commit(&p->tree);
    if (e.forget) core_predictions_drop(p, i);
    in->epoch = epoch;
    in->seq = out->seq = seq;
    core_instance_refresh(p, i);
    p->version++;
    p->stats.events++;
    p->stats.stored_blocks += e.stored;
    p->stats.removed_blocks += e.removed;
    size_t units = e.forget ? CORE_SWEEP_AT_DROP : CORE_SWEEP_AT_EVENT;
    if (p->tree.dropped) core_tree_sweep(&p->tree, units);
    if (p->dropped_slots) core_predictions_sweep(p, units);
    return KVR_OK;
}
