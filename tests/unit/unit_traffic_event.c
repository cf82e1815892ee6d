// SPDX-License-Identifier: Apache-2.0
// Events of random traffic: mostly what an engine would publish, sometimes what it must not.
#include "unit_traffic.h"

#include <stdlib.h>
#include <string.h>

enum { UNIT_TRAFFIC_EVENT_MAX_OPS = 4, UNIT_TRAFFIC_EVENT_MAX_LISTED = 4096 };

struct unit_event {
    struct kvr_pool_op ops[UNIT_TRAFFIC_EVENT_MAX_OPS];
    uint64_t *room[UNIT_TRAFFIC_EVENT_MAX_OPS];
    size_t n;
};

static int draw_tier(struct unit_traffic *t) {
    return t->profile->tiers > 1 ? (int)unit_source_below(&t->source, KVR_TIERS) : KVR_DEVICE;
}

// What an engine must not publish: the wrong parent, the wrong order. Only of a block that is known
// already, or it would be taken for the truth.
static void spoil(struct unit_traffic *t, struct kvr_pool_op *op, uint64_t *hashes) {
    struct unit_source *s = &t->source;
    size_t at =
        op->n > 1 && unit_source_chance(s, 50) ? 1 + unit_source_below(s, (uint32_t)op->n - 1) : 0;
    if (!unit_model_known(&t->pair->model, hashes[at])) return;
    if (at) {
        uint64_t before = hashes[at - 1];
        hashes[at - 1] = hashes[at];
        hashes[at] = before;
    } else if (unit_source_chance(s, 50)) {
        op->has_parent = !op->has_parent;
    } else {
        op->has_parent = true;
        op->parent = t->nodes[unit_source_below(s, t->profile->nodes)].hash;
    }
}

// A piece of a path, under a parent that is known in most cases.
static void draw_stored(struct unit_traffic *t, struct kvr_pool_op *op, uint64_t *room,
                        bool may_spoil) {
    struct unit_source *s = &t->source;
    size_t n = unit_traffic_path(t, (int)unit_source_below(s, t->profile->nodes), room);
    size_t from = unit_source_below(s, (uint32_t)n);
    while (from && !unit_model_known(&t->pair->model, room[from - 1]) && !unit_source_chance(s, 5))
        from = unit_source_below(s, (uint32_t)from);
    op->has_parent = from > 0;
    op->parent = from ? room[from - 1] : 0;
    op->hashes = room + from;
    op->n = n - from;
    if (unit_source_chance(s, 20)) op->n = unit_source_below(s, (uint32_t)op->n) + 1;
    if (may_spoil && unit_source_chance(s, 8)) spoil(t, op, room + from);
}

// Some of them, in any order.
static size_t mix(struct unit_source *s, uint64_t *hashes, size_t n) {
    unsigned keep = 20 + unit_source_below(s, 81);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!unit_source_chance(s, keep)) continue;
        size_t at = unit_source_below(s, (uint32_t)kept + 1);
        uint64_t x = hashes[i];
        hashes[kept] = hashes[at];
        hashes[at] = x;
        kept++;
    }
    return kept;
}

static void draw_removed(struct unit_traffic *t, struct kvr_pool_op *op, uint64_t *room) {
    struct unit_source *s = &t->source;
    op->hashes = room;
    if (unit_source_chance(s, 50)) { // the end of a path, as an engine evicts, or its middle
        size_t n = unit_traffic_path(t, (int)unit_source_below(s, t->profile->nodes), room);
        size_t from = unit_source_below(s, (uint32_t)n);
        op->hashes = room + from;
        op->n = n - from;
        if (unit_source_chance(s, t->profile->holes))
            op->n = unit_source_below(s, (uint32_t)op->n) + 1;
        if (unit_source_chance(s, 30)) op->n = mix(s, room + from, op->n);
        return;
    }
    op->n = unit_source_below(s, 6);
    for (size_t i = 0; i < op->n; i++)
        room[i] = t->nodes[unit_source_below(s, t->profile->nodes)].hash;
}

static void draw_op(struct unit_traffic *t, struct unit_event *e, bool fresh) {
    struct unit_source *s = &t->source;
    struct kvr_pool_op *op = &e->ops[e->n];
    memset(op, 0, sizeof *op);
    op->tier = draw_tier(t);
    unsigned k = unit_source_below(s, 100);
    if (k < 64) {
        op->kind = KVR_STORED;
        draw_stored(t, op, e->room[e->n], e->n == 0 && !fresh);
    } else if (k < 97) {
        op->kind = KVR_REMOVED;
        draw_removed(t, op, e->room[e->n]);
    } else {
        op->kind = KVR_CLEARED;
        if (unit_source_chance(s, 50)) op->tier = -1;
    }
    e->n++;
}

// ---- Prefixes that move --------------------------------------------------------------------------

static bool below(const struct unit_traffic *t, int node, int top) {
    for (; node >= 0; node = t->nodes[node].parent)
        if (node == top) return true;
    return false;
}

// Whether nothing but `instance` would remember the node or what follows it.
static bool forgettable(const struct unit_traffic *t, int top) {
    for (unsigned i = 0; i < t->profile->nodes; i++)
        if (below(t, (int)i, top) && unit_model_in_use(&t->pair->model, t->nodes[i].hash))
            return false;
    return true;
}

static void move(struct unit_traffic *t, int node, int to) {
    t->nodes[node].parent = to;
    for (unsigned i = 0; i < t->profile->nodes; i++) {
        unsigned depth = 1;
        for (int at = t->nodes[i].parent; at >= 0; at = t->nodes[at].parent)
            depth++;
        t->nodes[i].depth = depth;
    }
}

// One event that removes a block with all that follows it and stores it elsewhere. Refused as long
// as others remember the block; then the prefix goes back to where it was.
static void moving_event(struct unit_traffic *t, struct kvr_bytes worker, uint32_t rank,
                         const struct unit_model_rank *r, struct unit_event *e) {
    struct unit_source *s = &t->source;
    int node = (int)unit_source_below(s, t->profile->nodes);
    int to = (int)unit_source_below(s, t->profile->nodes + 1) - 1;
    if (below(t, to, node) || !forgettable(t, node)) return;
    if (to >= 0 && t->nodes[to].depth > t->profile->nodes / 2) return;
    size_t n = 0;
    for (unsigned i = 0; i < t->profile->nodes && n < t->room; i++)
        if (below(t, (int)i, node)) e->room[0][n++] = t->nodes[i].hash;
    for (int tier = 0; tier < KVR_TIERS; tier++)
        e->ops[e->n++] = (struct kvr_pool_op){KVR_REMOVED, tier, false, 0, e->room[0], n};
    int from = t->nodes[node].parent;
    move(t, node, to);
    e->room[3][0] = t->nodes[node].hash;
    e->ops[e->n++] = (struct kvr_pool_op){
        KVR_STORED, draw_tier(t), to >= 0, to >= 0 ? t->nodes[to].hash : 0, e->room[3], 1};
    bool fresh = unit_source_chance(s, 20);
    enum kvr_err err = unit_pair_event(t->pair, worker, rank, fresh ? r->epoch + 1 : r->epoch,
                                       fresh ? 1 : r->seq + 1, e->ops, e->n, false);
    if (err != KVR_OK) move(t, node, from);
}

void unit_traffic_event(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    struct unit_pair *p = t->pair;
    char name[KVR_MAX_NAME];
    struct kvr_bytes worker = unit_traffic_worker(t, name);
    uint32_t rank = unit_source_below(s, t->profile->ranks);
    const struct unit_model_rank *r = unit_model_find_rank(&p->model, worker, rank);
    struct unit_event e = {.n = 0};
    for (int i = 0; i < UNIT_TRAFFIC_EVENT_MAX_OPS; i++)
        e.room[i] = unit_must_alloc(t->room * sizeof(uint64_t));
    uint64_t epoch = r && r->epoch ? r->epoch : 1, seq = r && r->epoch ? r->seq + 1 : 1;
    bool moved = r && r->epoch && unit_source_chance(s, 4);
    if (moved) {
        moving_event(t, worker, rank, r, &e);
    } else {
        unsigned k = unit_source_below(s, 100);
        if (k < 4) { // a new life
            epoch += 1 + unit_source_below(s, 3);
            seq = unit_source_chance(s, 90) ? 1 : 2;
        } else if (k < 8) { // a repeat
            seq -= unit_source_below(s, (uint32_t)(seq < 5 ? seq : 5));
        } else if (k < 11) { // something was lost
            seq += 1 + unit_source_below(s, 3);
        } else if (k < 13) { // an earlier life
            epoch -= unit_source_below(s, 2);
        }
        uint32_t n =
            unit_source_chance(s, 3) ? 0 : 1 + unit_source_below(s, UNIT_TRAFFIC_EVENT_MAX_OPS);
        while (e.n < n)
            draw_op(t, &e, r && epoch > r->epoch);
        bool bounded = unit_source_chance(s, 30);
        enum kvr_err err = unit_pair_event(p, worker, rank, epoch, seq, e.ops, e.n, bounded);
        if (err == KVR_BUSY) unit_pair_event(p, worker, rank, epoch, seq, e.ops, e.n, false);
    }
    for (int i = 0; i < UNIT_TRAFFIC_EVENT_MAX_OPS; i++)
        free(e.room[i]);
}
