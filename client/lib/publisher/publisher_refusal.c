// SPDX-License-Identifier: Apache-2.0
#include "publisher_refusal.h"

#include "publisher_walk.h"

// ---- Halving -------------------------------------------------------------------------------------

static size_t stored_in(const struct kvr_ring_event *e) {
    size_t stored = 0;
    struct kvr_op op;
    for (size_t at = 0; at < e->n;) {
        at = kvr_ops_read(e->words, at, &op);
        if (op.kind == KVR_OP_STORED) stored += op.n;
    }
    return stored;
}

// Where the event's `half`-th stored block ends: the op that it is in, that op's first word, how many
// of its blocks come before, and how many blocks of all ops.
struct event_cut {
    struct kvr_op op;
    size_t at, taken, blocks;
};

static struct event_cut find_cut(const struct kvr_ring_event *e, size_t half) {
    struct event_cut c = {0};
    for (size_t next = 0;;) {
        c.at = next;
        next = kvr_ops_read(e->words, next, &c.op);
        if (c.op.kind == KVR_OP_STORED && c.op.n >= half) break;
        if (c.op.kind == KVR_OP_STORED) half -= c.op.n;
        c.blocks += c.op.n;
    }
    c.taken = half;
    c.blocks += half;
    return c;
}

// Puts what comes after the cut into an event of its own. false: no memory.
static bool cut_event(struct kvr_publisher *p, uint64_t seq) {
    struct kvr_ring_event *e = kvr_ring_at(&p->ring, seq);
    struct event_cut c = find_cut(e, stored_in(e) / 2);
    size_t rest = c.op.n - c.taken; // blocks of the op that is cut
    size_t end = (size_t)(c.op.hashes + c.taken - e->words);
    size_t n = e->n - end + (rest ? 2 : 0), blocks = e->blocks - c.blocks;
    uint64_t *words = kvr_ring_insert(&p->ring, seq + 1, n, blocks);
    if (!words) return false;
    e = kvr_ring_at(&p->ring, seq); // the ring may have moved
    if (rest) {
        *words++ = kvr_ops_head(KVR_OP_STORED, c.op.tier, true, rest);
        *words++ = e->words[end - 1];
    }
    for (size_t i = end; i < e->n; i++)
        *words++ = e->words[i];
    e->words[c.at] = kvr_ops_head(KVR_OP_STORED, c.op.tier, c.op.parent != NULL, c.taken);
    kvr_ring_shrink(&p->ring, seq, end, c.blocks);
    p->hunt_end++;
    p->walk_end += seq <= p->walk_end;
    return true;
}

// ---- Dropping ops --------------------------------------------------------------------------------

// What is gone: the refused block and all that the stream had put below it, in the structure that held blocks
// have.
struct gone_blocks {
    struct kvr_held_blocks set;
    bool first; // the next block stored is the refused one
    uint64_t hash, parent;
    bool has_parent, failed;
};

static bool is_gone(const struct gone_blocks *g, uint64_t hash) {
    return kvr_held_find(&g->set, hash) != 0;
}

static void add(struct gone_blocks *g, uint64_t hash) {
    struct kvr_chain top = {0};
    enum kvr_put what;
    if (kvr_held_reserve(&g->set, NULL, &hash, 1) != KVR_CODE_OK)
        g->failed = true;
    else
        kvr_held_put(&g->set, &top, hash, &what);
}

// How many of a STORED op's blocks stay: they hang on one another, so after one that is gone all are.
static size_t filter_op(struct gone_blocks *g, const struct kvr_op *op) {
    size_t kept = 0;
    bool gone = g->first || (op->parent && is_gone(g, *op->parent));
    if (g->first) {
        g->first = false;
        g->hash = op->hashes[0];
        g->has_parent = op->parent != NULL;
        if (op->parent) g->parent = *op->parent;
    }
    while (kept < op->n && !gone && !is_gone(g, op->hashes[kept]))
        kept++;
    for (size_t i = kept; i < op->n; i++)
        add(g, op->hashes[i]);
    return kept;
}

// In place. The number of words left, 0: none; *blocks in them.
static size_t filter(struct gone_blocks *g, uint64_t *words, size_t n, size_t *blocks) {
    size_t to = 0;
    struct kvr_op op;
    *blocks = 0;
    for (size_t at = 0; at < n;) {
        at = kvr_ops_read(words, at, &op);
        size_t kept = op.kind == KVR_OP_STORED ? filter_op(g, &op) : op.n;
        if (!kept && op.n) continue;
        words[to++] = kvr_ops_head(op.kind, op.tier, op.parent != NULL, kept);
        if (op.parent) words[to++] = *op.parent;
        for (size_t i = 0; i < kept; i++)
            words[to++] = op.hashes[i];
        *blocks += kept;
    }
    return to;
}

static void filter_stream(struct kvr_publisher *p, uint64_t seq, struct gone_blocks *g) {
    size_t blocks;
    for (; seq <= kvr_ring_made(&p->ring); seq++) {
        struct kvr_ring_event *e = kvr_ring_at(&p->ring, seq);
        size_t n = filter(g, e->words, e->n, &blocks);
        // An event from which all is gone still counts: it may be the epoch's only one.
        if (!n) e->words[n++] = kvr_ops_head(KVR_OP_REMOVED, KVR_DEVICE, false, 0);
        kvr_ring_shrink(&p->ring, seq, n, blocks);
    }
    size_t left = filter(g, p->batch.words, p->batch.n, &blocks);
    kvr_ops_cut(&p->batch, left, blocks);
    if (!p->batch.n) p->due = KVR_NEVER;
}

// ---- What the rank holds -------------------------------------------------------------------------

static void mark(struct kvr_publisher *p, const struct gone_blocks *g) {
    struct kvr_held_blocks *t = &p->held;
    uint32_t id = kvr_held_find(t, g->hash);
    struct kvr_held_node *n = kvr_held_node(t, id);
    uint32_t parent = kvr_held_parent(t, n);
    if (!id || !(n->flags & KVR_NODE_PLACED) || g->has_parent != (parent != 0)) return;
    if (g->has_parent && kvr_held_node(t, parent)->hash != g->parent) return;
    for (uint32_t at = id; at; at = kvr_held_after(t, at, id, false)) {
        n = kvr_held_node(t, at);
        if (kvr_publisher_told(p, n)) kvr_publisher_say_gone(p, n, KVR_TIER_BITS);
    }
    kvr_held_refuse(t, id);
}

// What is gone from the stream, but has got another place since.
static void tell_again(struct kvr_publisher *p, const struct gone_blocks *g) {
    struct kvr_held_blocks *t = &p->held;
    uint32_t top = kvr_held_child(&g->set, kvr_held_node(&g->set, 0));
    for (uint32_t i = top; i; i = kvr_held_next(&g->set, kvr_held_node(&g->set, i))) {
        struct kvr_held_node *n =
            kvr_held_node(t, kvr_held_find(t, kvr_held_node(&g->set, i)->hash));
        if (kvr_publisher_told(p, n)) n->told_in = 0;
    }
    for (uint32_t i = top; i && p->state == KVR_STREAM_RUNNING;
         i = kvr_held_next(&g->set, kvr_held_node(&g->set, i))) {
        uint32_t id = kvr_held_find(t, kvr_held_node(&g->set, i)->hash);
        const struct kvr_held_node *n = kvr_held_node(t, id);
        if (id && (n->flags & KVR_NODE_PLACED) && !kvr_publisher_told(p, n) &&
            kvr_publisher_covered(p, kvr_held_parent(t, n)))
            kvr_publisher_walk_whole(p, id);
    }
}

static void refuse_block(struct kvr_publisher *p, uint64_t seq) {
    struct gone_blocks g = {.first = true};
    if (kvr_held_init(&g.set, p->port.alloc, p->held.secret, SIZE_MAX / 2)) {
        kvr_publisher_renew(p, "out of memory");
        return;
    }
    filter_stream(p, seq, &g);
    if (g.failed) {
        kvr_publisher_renew(p, "out of memory");
    } else {
        mark(p, &g);
        tell_again(p, &g);
    }
    kvr_held_free(&g.set);
    // Said once for each doubling: an engine with other hashes is refused again and again.
    p->stats.badchains++;
    if (!(p->stats.badchains & (p->stats.badchains - 1)))
        kvr_publisher_log(p, KVR_LOG_WARNING,
                          "the pool knows a block under another parent; it is left out");
}

void kvr_publisher_refused(struct kvr_publisher *p, uint64_t seq) {
    size_t stored = stored_in(kvr_ring_at(&p->ring, seq));
    p->next = seq;
    p->sent = p->acked = seq - 1; // the numbers from here on get other events
    if (p->hunt_end < seq) p->hunt_end = seq;
    if (stored > 1 ? !cut_event(p, seq) : !stored) {
        kvr_publisher_renew(p, stored ? "out of memory" : "an event without blocks was refused");
        return;
    }
    if (stored == 1) refuse_block(p, seq);
}
