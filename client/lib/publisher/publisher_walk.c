// SPDX-License-Identifier: Apache-2.0
#include "publisher_walk.h"

enum { WALK_RUN = 256 }; // blocks in a row that are looked at together

// ---- Ops -----------------------------------------------------------------------------------------

static void said(struct kvr_publisher *p, int failed) {
    if (failed)
        kvr_publisher_renew(p, "out of memory");
    else if (p->batch.blocks >= p->batch_blocks || p->batch.n >= 2 * p->batch_blocks)
        kvr_publisher_seal(p);
    else if (p->due == KVR_NEVER)
        p->due = kvr_publisher_now(p) + p->linger;
}

void kvr_publisher_say_stored(struct kvr_publisher *p, int tier, const struct kvr_held_node *n,
                              const uint64_t *hashes, size_t count) {
    uint32_t above = kvr_held_parent(&p->held, n);
    uint64_t above_hash = kvr_held_node(&p->held, above)->hash;
    const uint64_t *parent = above ? &above_hash : NULL;
    while (count && p->state == KVR_STREAM_RUNNING) {
        size_t room = p->batch_blocks - p->batch.blocks, now = count < room ? count : room;
        said(p, kvr_ops_stored(&p->batch, tier, parent, hashes, now));
        parent = &hashes[now - 1];
        hashes += now;
        count -= now;
    }
}

void kvr_publisher_say_cleared(struct kvr_publisher *p, int tier) {
    if (p->state == KVR_STREAM_RUNNING) said(p, kvr_ops_cleared(&p->batch, tier));
}

void kvr_publisher_say_gone(struct kvr_publisher *p, struct kvr_held_node *n, unsigned tiers) {
    uint64_t hash = n->hash;
    for (int tier = 0; tier < KVR_TIERS; tier++)
        if (n->told & tiers & kvr_tier_bit(tier) && p->state == KVR_STREAM_RUNNING)
            said(p, kvr_ops_removed(&p->batch, tier, &hash, 1));
    n->told &= (uint8_t)~tiers;
}

// ---- Walks ---------------------------------------------------------------------------------------

void kvr_publisher_walk_begin(struct kvr_publisher *p, struct kvr_publisher_walk *w,
                              uint32_t root) {
    uint32_t at = root ? root : kvr_held_child(&p->held, kvr_held_node(&p->held, 0));
    *w = (struct kvr_publisher_walk){.at = at, .root = root};
}

void kvr_publisher_walk_past(struct kvr_publisher *p, struct kvr_publisher_walk *w) {
    const struct kvr_held_node *n = kvr_held_node(&p->held, w->at);
    if (w->at == w->root) {
        w->at = 0;
        return;
    }
    uint32_t next = kvr_held_next(&p->held, n);
    w->leaving = !next;
    w->at = next ? next : kvr_held_parent(&p->held, n);
}

// Goes down from `at` as long as the first child is held in the same tiers, and tells of all these
// together: one op a tier, which goes on where the last one ended.
static void enter(struct kvr_publisher *p, struct kvr_publisher_walk *w) {
    struct kvr_held_blocks *t = &p->held;
    struct kvr_held_node *first = kvr_held_node(t, w->at), *n = first;
    uint64_t hashes[WALK_RUN];
    size_t count = 0;
    unsigned tiers = first->held ? first->held : kvr_tier_bit(KVR_DEVICE); // a ghost's
    for (;;) {
        n->told_in = p->round;
        n->told = (uint8_t)tiers;
        n->flags |= KVR_NODE_OPEN;
        hashes[count++] = n->hash;
        if (count == WALK_RUN || !n->child) break;
        uint32_t child_id = kvr_held_child(t, n);
        struct kvr_held_node *child = kvr_held_node(t, child_id);
        if (!(child->flags & KVR_NODE_PLACED) || child->held != first->held) break;
        w->at = child_id;
        n = child;
    }
    w->leaving = !n->child;
    if (n->child) w->at = kvr_held_child(t, n);
    for (int tier = 0; tier < KVR_TIERS; tier++)
        if (tiers & kvr_tier_bit(tier)) kvr_publisher_say_stored(p, tier, first, hashes, count);
}

void kvr_publisher_walk_step(struct kvr_publisher *p, struct kvr_publisher_walk *w) {
    struct kvr_held_node *n = kvr_held_node(&p->held, w->at);
    if (!w->leaving && (n->flags & KVR_NODE_PLACED) && !kvr_publisher_told(p, n)) {
        enter(p, w);
        return;
    }
    // What has been told of while it was ahead of the walk was told of with all that is below it.
    if (w->leaving && kvr_publisher_told(p, n)) {
        n->flags &= (uint8_t)~KVR_NODE_OPEN;
        kvr_publisher_say_gone(p, n, n->told & ~(unsigned)n->held);
    }
    kvr_publisher_walk_past(p, w);
}

void kvr_publisher_walk_whole(struct kvr_publisher *p, uint32_t root) {
    struct kvr_publisher_walk w;
    kvr_publisher_walk_begin(p, &w, root);
    while (w.at && p->state == KVR_STREAM_RUNNING)
        kvr_publisher_walk_step(p, &w);
}
