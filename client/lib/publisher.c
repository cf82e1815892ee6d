// SPDX-License-Identifier: Apache-2.0
// The publisher's calls: the truth, and ops where the stream has to hear of it. See publisher_impl.h.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "publisher_impl.h"

static size_t or_default(size_t value, size_t otherwise) {
    return value ? value : otherwise;
}

static size_t clamp(size_t value, size_t least, size_t most) {
    return value < least ? least : value > most ? most : value;
}

// A batch may have twice as many words as blocks; a few of them always fit into the ring, and half of
// the ring is left for changes that come while the other half is under way.
static void set_sizes(struct kvr_publisher *p, const struct kvr_publisher_options *o) {
    p->ring_bytes = clamp(or_default(o->ring_bytes, (size_t)4 << 20), 4096, SIZE_MAX / 2);
    size_t most = clamp(p->ring_bytes / 64, 1, KVR_MAX_BLOCKS);
    p->batch_blocks = clamp(or_default(o->batch_blocks, 4096), 1, most);
    p->window_bytes = clamp(p->ring_bytes / 2, 1, WINDOW_BYTES);
    p->linger = o->linger > 0 ? o->linger : o->linger < 0 ? 0 : 2;
    if (p->linger > KVR_MAX_MS) p->linger = KVR_MAX_MS;
}

struct kvr_publisher *publisher_open(const struct publisher_port *port, struct kvr_bytes worker,
                                     uint32_t rank, const struct kvr_publisher_options *options) {
    static const struct kvr_publisher_options defaults;
    const struct kvr_publisher_options *o = options ? options : &defaults;
    if (worker.n < 1 || worker.n > KVR_MAX_NAME || rank >= KVR_MAX_RANKS || o->epoch > INT64_MAX)
        return NULL;
    struct kvr_publisher *p = kvr_alloc_zeroed(port->alloc, sizeof *p);
    if (!p) return NULL;
    size_t max_blocks = clamp(or_default(o->max_blocks, (size_t)1 << 23), 1, (size_t)1 << 31);
    if (truth_init(&p->truth, port->alloc, port->random, max_blocks)) {
        kvr_alloc_free(port->alloc, p);
        return NULL;
    }
    p->port = *port;
    memcpy(p->worker, worker.p, worker.n);
    p->worker_n = worker.n;
    p->rank = rank;
    p->random = port->random;
    p->armed = NEVER;
    set_sizes(p, o);
    ops_init(&p->batch, port->alloc);
    ring_init(&p->ring, port->alloc);
    p->follower.wake_at = NEVER;
    p->follower.history = publisher_history;
    p->follower.wake = publisher_wake;
    port->follow(port->handle, &p->follower);
    // The first epoch is there at once. Its first event is due even if nothing is stored: it makes the
    // pool drop what an earlier life of this rank has left.
    p->epoch = o->epoch;
    if (!p->epoch && !publisher_mint(p, 1)) p->epoch = 1;
    p->round = 1;
    p->next = 1;
    p->due = port->now(port->handle) + p->linger;
    publisher_arm(p);
    return p;
}

void kvr_publisher_free(struct kvr_publisher *p) {
    if (!p) return;
    for (size_t i = 0; i < WINDOW; i++)
        if (p->flights[i].busy) p->port.detach(p->port.handle, &p->flights[i]);
    p->port.unfollow(p->port.handle, &p->follower);
    ops_free(&p->batch);
    ring_free(&p->ring);
    truth_free(&p->truth);
    kvr_alloc_free(p->port.alloc, p);
}

void publisher_log(struct kvr_publisher *p, enum kvr_level level, const char *format, ...) {
    char line[320];
    int n = snprintf(line, sizeof line, "publisher ");
    for (size_t i = 0; i < p->worker_n && i < 64; i++)
        line[n++] = p->worker[i] > ' ' && p->worker[i] < 127 ? p->worker[i] : '?';
    n += snprintf(line + n, sizeof line - (size_t)n, ":%u: ", (unsigned)p->rank);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    p->port.log(p->port.handle, level, line);
}

// ---- Changes -------------------------------------------------------------------------------------

// Frees the node and those before it as far as they are there for nothing else.
static void prune(struct kvr_publisher *p, uint32_t id) {
    while (truth_unneeded(&p->truth, id)) {
        struct node *n = truth_node(&p->truth, id);
        if (is_told(p, n)) say_gone(p, n, ALL_TIERS);
        if (p->walk.at == id) walk_past(p, &p->walk);
        id = truth_drop(&p->truth, id);
    }
}

static void hold(struct kvr_publisher *p, uint32_t id, int tier, enum put what) {
    struct node *n = truth_node(&p->truth, id);
    bool joined = what == PUT_JOINED;
    if ((n->flags & NODE_REFUSED) && !n->held) { // it was removed, if only its children kept it
        truth_forgive(&p->truth, id);
        joined = true;
    }
    truth_hold(&p->truth, id, tier);
    if (!(n->flags & NODE_PLACED)) return;
    if (joined) {
        if (is_covered(p, n->parent)) walk_whole(p, id);
        return;
    }
    if (what == PUT_NEW && is_covered(p, n->parent)) {
        n->told_in = p->round;
        n->told = 0;
    }
    if (!is_told(p, n) || (n->told & bit_of(tier))) return;
    n->told |= (uint8_t)bit_of(tier);
    say_stored(p, tier, n, &n->hash, 1);
}

enum kvr_code kvr_publisher_stored(struct kvr_publisher *p, enum kvr_tier tier,
                                   const uint64_t *parent, const uint64_t *hashes, size_t n) {
    if ((int)tier < 0 || tier >= KVR_TIERS || n > KVR_MAX_BLOCKS || (n && !hashes))
        return KVR_CODE_INVALID;
    if (!n) return KVR_CODE_OK;
    enum kvr_code code = truth_reserve(&p->truth, parent, hashes, n);
    if (code != KVR_CODE_OK) return code;
    struct chain chain = truth_chain(&p->truth, parent);
    for (size_t i = 0; i < n; i++) {
        enum put what;
        uint32_t id = truth_put(&p->truth, &chain, hashes[i], &what);
        if (!id) {
            p->stats.badchains++;
            break;
        }
        hold(p, id, (int)tier, what);
    }
    prune(p, chain.at); // a phantom, if the first block was refused
    publisher_arm(p);
    return KVR_CODE_OK;
}

enum kvr_code kvr_publisher_removed(struct kvr_publisher *p, enum kvr_tier tier,
                                    const uint64_t *hashes, size_t n) {
    if ((int)tier < 0 || tier >= KVR_TIERS || n > KVR_MAX_BLOCKS || (n && !hashes))
        return KVR_CODE_INVALID;
    for (size_t i = 0; i < n; i++) {
        uint32_t id = truth_find(&p->truth, hashes[i]);
        struct node *node = truth_node(&p->truth, id);
        if (!id || !(node->held & bit_of((int)tier))) continue;
        truth_unhold(&p->truth, id, (int)tier);
        // The last tier of an open node becomes a ghost: its children are still to come.
        bool ghost = (node->flags & NODE_OPEN) && !(node->told & node->held);
        if (is_told(p, node) && !ghost) say_gone(p, node, bit_of((int)tier));
        prune(p, id);
    }
    publisher_arm(p);
    return KVR_CODE_OK;
}

// One tier, of all blocks. CLEARED has just been said of it.
static void clear_tier(struct kvr_publisher *p, int tier) {
    for (uint32_t id = 1; id < p->truth.n_ids; id++) {
        struct node *n = truth_node(&p->truth, id);
        if (!(n->flags & NODE_USED)) continue;
        n->told &= (uint8_t)~bit_of(tier);
        if (!(n->held & bit_of(tier))) continue;
        truth_unhold(&p->truth, id, tier);
        prune(p, id);
    }
}

enum kvr_code kvr_publisher_cleared(struct kvr_publisher *p, int tier) {
    if (tier < KVR_ALL_TIERS || tier >= KVR_TIERS) return KVR_CODE_INVALID;
    // Ghosts go with a tier that is cleared, and what is below them would have no parent.
    if (tier >= 0 && p->walk.at) publisher_renew(p, "a tier was cleared while all was sent anew");
    say_cleared(p, tier);
    if (tier >= 0) {
        clear_tier(p, tier);
    } else {
        truth_clear(&p->truth);
        p->walk.at = 0;
    }
    publisher_arm(p);
    return KVR_CODE_OK;
}

void kvr_publisher_flush(struct kvr_publisher *p) {
    if (p->state == RUNNING) publisher_seal(p);
    publisher_arm(p);
}

void kvr_publisher_republish(struct kvr_publisher *p) {
    if (p->state == CLOSED) return;
    publisher_void(p, ANEW);
    p->renewals = 0;
    p->not_before = 0;
    publisher_arm(p);
}

// ---- Looking -------------------------------------------------------------------------------------

bool kvr_publisher_settled(const struct kvr_publisher *p) {
    return p->state == RUNNING && !p->trouble && !p->under_way && !p->walking && !p->batch.n &&
           !p->probe && p->acked && p->acked == ring_made(&p->ring);
}

void kvr_publisher_stats(const struct kvr_publisher *p, struct kvr_publisher_stats *out) {
    *out = p->stats;
    out->epoch = p->epoch;
    out->seq = ring_made(&p->ring);
    out->acked = p->acked;
    out->holdings = p->truth.holdings;
    out->blocks = p->truth.blocks;
    out->orphans = p->truth.orphans;
    out->refused = p->truth.refused;
    out->memory_bytes = sizeof *p + p->truth.bytes + p->batch.cap * sizeof *p->batch.words +
                        p->ring.bytes + (p->ring.cap - p->ring.n) * sizeof *p->ring.events;
    out->superseded = p->state == SUPERSEDED;
}

void kvr_publisher_each(const struct kvr_publisher *p,
                        void (*each)(void *ctx, uint64_t hash, uint64_t parent, bool has_parent,
                                     unsigned tiers),
                        void *ctx) {
    for (uint32_t id = 1; id < p->truth.n_ids; id++) {
        const struct node *n = truth_node(&p->truth, id);
        if (!n->held) continue;
        each(ctx, n->hash, n->parent ? truth_node(&p->truth, n->parent)->hash : 0, n->parent != 0,
             n->held);
    }
}
