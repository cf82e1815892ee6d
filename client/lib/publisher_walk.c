// SPDX-License-Identifier: Apache-2.0
// What the stream is told: single ops, and whole subtrees. See publisher_impl.h.
#include "publisher_impl.h"

enum { RUN = 256 }; // blocks in a row that are looked at together

// ---- Ops -----------------------------------------------------------------------------------------

static void said(struct kvr_publisher *p, int failed) {
    if (failed)
        publisher_renew(p, "out of memory");
    else if (p->batch.blocks >= p->batch_blocks || p->batch.n >= 2 * p->batch_blocks)
        publisher_seal(p);
    else if (p->due == NEVER)
        p->due = p->port.now(p->port.handle) + p->linger;
}

void say_stored(struct kvr_publisher *p, int tier, const struct node *n, const uint64_t *hashes,
                size_t count) {
    const uint64_t *parent = n->parent ? &truth_node(&p->truth, n->parent)->hash : NULL;
    while (count && p->state == RUNNING) {
        size_t room = p->batch_blocks - p->batch.blocks, now = count < room ? count : room;
        said(p, ops_stored(&p->batch, tier, parent, hashes, now));
        parent = &hashes[now - 1];
        hashes += now;
        count -= now;
    }
}

void say_removed(struct kvr_publisher *p, int tier, uint64_t hash) {
    if (p->state == RUNNING) said(p, ops_removed(&p->batch, tier, &hash, 1));
}

void say_cleared(struct kvr_publisher *p, int tier) {
    if (p->state == RUNNING) said(p, ops_cleared(&p->batch, tier));
}

void say_gone(struct kvr_publisher *p, struct node *n, unsigned tiers) {
    for (int tier = 0; tier < KVR_TIERS; tier++)
        if (n->told & tiers & bit_of(tier)) say_removed(p, tier, n->hash);
    n->told &= (uint8_t)~tiers;
}

// ---- Walks ---------------------------------------------------------------------------------------

void walk_begin(struct kvr_publisher *p, struct walk *w, uint32_t root) {
    *w = (struct walk){.at = root ? root : truth_node(&p->truth, 0)->child, .root = root};
}

void walk_past(struct kvr_publisher *p, struct walk *w) {
    const struct node *n = truth_node(&p->truth, w->at);
    if (w->at == w->root) {
        w->at = 0;
        return;
    }
    w->leaving = !n->next;
    w->at = n->next ? n->next : n->parent;
}

// Goes down from `at` as long as the first child is held in the same tiers, and tells of all these
// together: one op a tier, which goes on where the last one ended.
static void enter(struct kvr_publisher *p, struct walk *w) {
    struct truth *t = &p->truth;
    struct node *first = truth_node(t, w->at), *n = first;
    uint64_t hashes[RUN];
    size_t count = 0;
    unsigned tiers = first->held ? first->held : bit_of(KVR_DEVICE); // a ghost's
    for (;;) {
        n->told_in = p->round;
        n->told = (uint8_t)tiers;
        n->flags |= NODE_OPEN;
        hashes[count++] = n->hash;
        if (count == RUN || !n->child) break;
        struct node *child = truth_node(t, n->child);
        if (!(child->flags & NODE_PLACED) || child->held != first->held) break;
        w->at = n->child;
        n = child;
    }
    w->leaving = !n->child;
    if (n->child) w->at = n->child;
    for (int tier = 0; tier < KVR_TIERS; tier++)
        if (tiers & bit_of(tier)) say_stored(p, tier, first, hashes, count);
}

void walk_step(struct kvr_publisher *p, struct walk *w) {
    struct node *n = truth_node(&p->truth, w->at);
    if (!w->leaving && (n->flags & NODE_PLACED) && !is_told(p, n)) {
        enter(p, w);
        return;
    }
    // What has been told of while it was ahead of the walk was told of with all that is below it.
    if (w->leaving && is_told(p, n)) {
        n->flags &= (uint8_t)~NODE_OPEN;
        say_gone(p, n, n->told & ~(unsigned)n->held);
    }
    walk_past(p, w);
}

void walk_whole(struct kvr_publisher *p, uint32_t root) {
    struct walk w;
    walk_begin(p, &w, root);
    while (w.at && p->state == RUNNING)
        walk_step(p, &w);
}
