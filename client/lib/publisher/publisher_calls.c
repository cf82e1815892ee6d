// SPDX-License-Identifier: Apache-2.0
// The calls of publisher.h: what the rank holds, and ops where the stream has to hear of it.
#include "publisher_send.h"
#include "publisher_walk.h"

void kvr_publisher_soon(const struct kvr_publisher *p, uint64_t hash) {
    kvr_held_prefetch(&p->held, hash);
}

// ---- Changes -------------------------------------------------------------------------------------

// Frees the node and those before it as far as they are there for nothing else.
static void prune(struct kvr_publisher *p, uint32_t id) {
    while (kvr_held_unneeded(&p->held, id)) {
        struct kvr_held_node *n = kvr_held_node(&p->held, id);
        if (kvr_publisher_told(p, n)) kvr_publisher_say_gone(p, n, KVR_TIER_BITS);
        if (p->walk.at == id) kvr_publisher_walk_past(p, &p->walk);
        id = kvr_held_drop(&p->held, id);
    }
}

static void hold(struct kvr_publisher *p, uint32_t id, int tier, enum kvr_put what) {
    struct kvr_held_node *n = kvr_held_node(&p->held, id);
    bool joined = what == KVR_PUT_JOINED;
    if ((n->flags & KVR_NODE_REFUSED) && !n->held) { // it was removed, if only its children kept it
        kvr_held_forgive(&p->held, id);
        joined = true;
    }
    kvr_held_hold(&p->held, id, tier);
    if (!(n->flags & KVR_NODE_PLACED)) return;
    if (joined) {
        if (kvr_publisher_covered(p, kvr_held_parent(&p->held, n))) kvr_publisher_walk_whole(p, id);
        return;
    }
    if (what == KVR_PUT_NEW && kvr_publisher_covered(p, kvr_held_parent(&p->held, n))) {
        n->told_in = p->round;
        n->told = 0;
    }
    if (!kvr_publisher_told(p, n) || (n->told & kvr_tier_bit(tier))) return;
    n->told |= (uint8_t)kvr_tier_bit(tier);
    uint64_t hash = n->hash;
    kvr_publisher_say_stored(p, tier, n, &hash, 1);
}

enum kvr_code kvr_publisher_stored(struct kvr_publisher *p, enum kvr_tier tier,
                                   const uint64_t *parent, const uint64_t *hashes, size_t n) {
    if ((int)tier < 0 || tier >= KVR_TIERS || n > KVR_MAX_BLOCKS || (n && !hashes))
        return KVR_CODE_INVALID;
    if (!n) return KVR_CODE_OK;
    enum kvr_code code = kvr_held_reserve(&p->held, parent, hashes, n);
    if (code != KVR_CODE_OK) return code;
    struct kvr_chain chain = kvr_held_chain(&p->held, parent);
    for (size_t i = 0; i < n; i++) {
        enum kvr_put what;
        uint32_t id = kvr_held_put(&p->held, &chain, hashes[i], &what);
        if (!id) {
            p->stats.badchains++;
            break;
        }
        hold(p, id, (int)tier, what);
    }
    prune(p, chain.at); // a phantom, if the first block was refused
    kvr_publisher_arm(p);
    return KVR_CODE_OK;
}

// Blocks that are removed together are on their way from memory together: the index first, then the node.
static void prefetch(const struct kvr_held_blocks *t, const uint64_t *hashes, size_t n, size_t i) {
    enum { GONE_AHEAD = 16, GONE_NODE_AHEAD = 8 };
    for (size_t k = i ? i + GONE_AHEAD : 0; k < n && k <= i + GONE_AHEAD; k++)
        kvr_held_prefetch(t, hashes[k]);
    for (size_t k = i ? i + GONE_NODE_AHEAD : 0; k < n && k <= i + GONE_NODE_AHEAD; k++)
        kvr_held_prefetch_node(t, hashes[k]);
}

enum kvr_code kvr_publisher_removed(struct kvr_publisher *p, enum kvr_tier tier,
                                    const uint64_t *hashes, size_t n) {
    if ((int)tier < 0 || tier >= KVR_TIERS || n > KVR_MAX_BLOCKS || (n && !hashes))
        return KVR_CODE_INVALID;
    for (size_t i = 0; i < n; i++) {
        prefetch(&p->held, hashes, n, i);
        uint32_t id = kvr_held_find(&p->held, hashes[i]);
        struct kvr_held_node *node = kvr_held_node(&p->held, id);
        if (!id || !(node->held & kvr_tier_bit((int)tier))) continue;
        kvr_held_unhold(&p->held, id, (int)tier);
        // The last tier of an open node becomes a ghost: its children are still to come.
        bool ghost = (node->flags & KVR_NODE_OPEN) && !(node->told & node->held);
        if (kvr_publisher_told(p, node) && !ghost)
            kvr_publisher_say_gone(p, node, kvr_tier_bit((int)tier));
        prune(p, id);
    }
    kvr_publisher_arm(p);
    return KVR_CODE_OK;
}

// One tier, of all blocks. CLEARED has just been said of it.
static void clear_tier(struct kvr_publisher *p, int tier) {
    for (uint32_t id = 1; id < p->held.n_ids; id++) {
        struct kvr_held_node *n = kvr_held_node(&p->held, id);
        if (!(n->flags & KVR_NODE_USED)) continue;
        n->told &= (uint8_t)~kvr_tier_bit(tier);
        if (!(n->held & kvr_tier_bit(tier))) continue;
        kvr_held_unhold(&p->held, id, tier);
        prune(p, id);
    }
}

enum kvr_code kvr_publisher_cleared(struct kvr_publisher *p, int tier) {
    if (tier < KVR_ALL_TIERS || tier >= KVR_TIERS) return KVR_CODE_INVALID;
    // Ghosts go with a tier that is cleared, and what is below them would have no parent.
    if (tier >= 0 && p->walk.at)
        kvr_publisher_renew(p, "a tier was cleared while all was sent anew");
    kvr_publisher_say_cleared(p, tier);
    if (tier >= 0) {
        clear_tier(p, tier);
    } else {
        kvr_held_clear(&p->held);
        p->walk.at = 0;
    }
    kvr_publisher_arm(p);
    return KVR_CODE_OK;
}

void kvr_publisher_flush(struct kvr_publisher *p) {
    if (p->state == KVR_STREAM_RUNNING) kvr_publisher_seal(p);
    kvr_publisher_arm(p);
}

void kvr_publisher_republish(struct kvr_publisher *p) {
    if (p->state == KVR_STREAM_CLOSED) return;
    kvr_publisher_void(p, KVR_STREAM_ANEW);
    p->renewals = 0;
    p->not_before = 0;
    kvr_publisher_arm(p);
}

// ---- Looking -------------------------------------------------------------------------------------

bool kvr_publisher_settled(const struct kvr_publisher *p) {
    return p->state == KVR_STREAM_RUNNING && !p->trouble && !p->under_way && !p->walking &&
           !p->batch.n && !p->probe && p->acked && p->acked == kvr_ring_made(&p->ring);
}

void kvr_publisher_stats(const struct kvr_publisher *p, struct kvr_publisher_stats *out) {
    *out = p->stats;
    out->epoch = p->epoch;
    out->seq = kvr_ring_made(&p->ring);
    out->acked = p->acked;
    out->holdings = p->held.holdings;
    out->blocks = p->held.blocks;
    out->orphans = p->held.orphans;
    out->refused = p->held.refused;
    out->memory_bytes = sizeof *p + p->held.bytes + p->batch.cap * sizeof *p->batch.words +
                        p->ring.bytes + (p->ring.cap - p->ring.n) * sizeof *p->ring.events;
    out->superseded = p->state == KVR_STREAM_SUPERSEDED;
}

void kvr_publisher_each(const struct kvr_publisher *p,
                        void (*each)(void *ctx, uint64_t hash, uint64_t parent, bool has_parent,
                                     unsigned tiers),
                        void *ctx) {
    for (uint32_t id = 1; id < p->held.n_ids; id++) {
        const struct kvr_held_node *n = kvr_held_node(&p->held, id);
        if (!n->held) continue;
        uint32_t parent = kvr_held_parent(&p->held, n);
        each(ctx, n->hash, parent ? kvr_held_node(&p->held, parent)->hash : 0, parent != 0,
             n->held);
    }
}

bool kvr_publisher_parent(const struct kvr_publisher *p, uint64_t hash, uint64_t *parent,
                          bool *has_parent) {
    uint32_t id = kvr_held_find(&p->held, hash);
    if (!id) return false;
    const struct kvr_held_node *n = kvr_held_node(&p->held, id);
    if (n->flags & KVR_NODE_PHANTOM) return false;
    uint32_t above = kvr_held_parent(&p->held, n);
    *has_parent = above != 0;
    *parent = above ? kvr_held_node(&p->held, above)->hash : 0;
    return true;
}
