// SPDX-License-Identifier: Apache-2.0
// Blocks that the pool refuses: it knows them under another parent. See publisher_impl.h.
//
// The answer BADCHAIN names an event, not a block. The event is cut in two, and the first half goes
// alone: if it is refused, it is cut again; if not, the other half is next. So the block is found in
// as many rounds as its event has blocks in binary digits, and all before it is applied.
//
// From there on, whatever stores that block, or what the stream had put below it, is dropped; the block
// is marked in the truth, and what hangs on it isn't placed any more. What is left keeps its order. A
// block may have been moved meanwhile (removed, and stored under another parent): then its place is
// good, but its ops are gone; it is told of again at the end.
//
// The pool can hardly have holdings of ours at or below the block, or it would know it under our parent.
// It can when the block is one that we don't hold: while all below it was refused, too, it was known for
// nobody's sake, and has come under another parent since. So REMOVED stays in the stream, and is said
// again of all that was told below the block. It does no harm where nothing is held.
//
// Rejected: a new epoch without the block. It would publish everything once for each refused block,
// and what an engine with another hash function stores is refused block by block.
#include "publisher_impl.h"

// ---- Halving -------------------------------------------------------------------------------------

static size_t stored_in(const struct event *e) {
    size_t stored = 0;
    struct kvr_op op;
    for (size_t at = 0; at < e->n;) {
        at = ops_read(e->words, at, &op);
        if (op.kind == KVR_OP_STORED) stored += op.n;
    }
    return stored;
}

// Where the event's `half`-th stored block ends: the op that it is in, that op's first word, how many
// of its blocks come before, and how many blocks of all ops.
struct cut {
    struct kvr_op op;
    size_t at, taken, blocks;
};

static struct cut find_cut(const struct event *e, size_t half) {
    struct cut c = {0};
    for (size_t next = 0;;) {
        c.at = next;
        next = ops_read(e->words, next, &c.op);
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
    struct event *e = ring_at(&p->ring, seq);
    struct cut c = find_cut(e, stored_in(e) / 2);
    size_t rest = c.op.n - c.taken; // blocks of the op that is cut
    size_t end = (size_t)(c.op.hashes + c.taken - e->words);
    size_t n = e->n - end + (rest ? 2 : 0), blocks = e->blocks - c.blocks;
    uint64_t *words = ring_insert(&p->ring, seq + 1, n, blocks);
    if (!words) return false;
    e = ring_at(&p->ring, seq); // the ring may have moved
    if (rest) {
        *words++ = ops_head(KVR_OP_STORED, c.op.tier, true, rest);
        *words++ = e->words[end - 1];
    }
    for (size_t i = end; i < e->n; i++)
        *words++ = e->words[i];
    e->words[c.at] = ops_head(KVR_OP_STORED, c.op.tier, c.op.parent != NULL, c.taken);
    ring_shrink(&p->ring, seq, end, c.blocks);
    p->hunt_end++;
    p->walk_end += seq <= p->walk_end;
    return true;
}

// ---- Dropping ops --------------------------------------------------------------------------------

// What is gone: the refused block and all that the stream had put below it. A truth of its own does
// for a set.
struct gone {
    struct truth set;
    bool first; // the next block stored is the refused one
    uint64_t hash, parent;
    bool has_parent, failed;
};

static bool is_gone(const struct gone *g, uint64_t hash) {
    return truth_find(&g->set, hash) != 0;
}

static void add(struct gone *g, uint64_t hash) {
    struct chain top = {0};
    enum put what;
    if (truth_reserve(&g->set, NULL, &hash, 1) != KVR_CODE_OK)
        g->failed = true;
    else
        truth_put(&g->set, &top, hash, &what);
}

// How many of a STORED op's blocks stay: they hang on one another, so after one that is gone all are.
static size_t filter_op(struct gone *g, const struct kvr_op *op) {
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
static size_t filter(struct gone *g, uint64_t *words, size_t n, size_t *blocks) {
    size_t to = 0;
    struct kvr_op op;
    *blocks = 0;
    for (size_t at = 0; at < n;) {
        at = ops_read(words, at, &op);
        size_t kept = op.kind == KVR_OP_STORED ? filter_op(g, &op) : op.n;
        if (!kept && op.n) continue;
        words[to++] = ops_head(op.kind, op.tier, op.parent != NULL, kept);
        if (op.parent) words[to++] = *op.parent;
        for (size_t i = 0; i < kept; i++)
            words[to++] = op.hashes[i];
        *blocks += kept;
    }
    return to;
}

static void filter_stream(struct kvr_publisher *p, uint64_t seq, struct gone *g) {
    size_t blocks;
    for (; seq <= ring_made(&p->ring); seq++) {
        struct event *e = ring_at(&p->ring, seq);
        size_t n = filter(g, e->words, e->n, &blocks);
        // An event from which all is gone still counts: it may be the epoch's only one.
        if (!n) e->words[n++] = ops_head(KVR_OP_REMOVED, KVR_DEVICE, false, 0);
        ring_shrink(&p->ring, seq, n, blocks);
    }
    size_t left = filter(g, p->batch.words, p->batch.n, &blocks);
    ops_cut(&p->batch, left, blocks);
    if (!p->batch.n) p->due = NEVER;
}

// ---- The truth -----------------------------------------------------------------------------------

static void mark(struct kvr_publisher *p, const struct gone *g) {
    struct truth *t = &p->truth;
    uint32_t id = truth_find(t, g->hash);
    struct node *n = truth_node(t, id);
    if (!id || !(n->flags & NODE_PLACED) || g->has_parent != (n->parent != 0)) return;
    if (g->has_parent && truth_node(t, n->parent)->hash != g->parent) return;
    for (uint32_t at = id; at; at = truth_after(t, at, id, false)) {
        n = truth_node(t, at);
        if (is_told(p, n)) say_gone(p, n, ALL_TIERS);
    }
    truth_refuse(t, id);
}

// What is gone from the stream, but has got another place since.
static void tell_again(struct kvr_publisher *p, const struct gone *g) {
    struct truth *t = &p->truth;
    uint32_t top = truth_node(&g->set, 0)->child;
    for (uint32_t i = top; i; i = truth_node(&g->set, i)->next) {
        struct node *n = truth_node(t, truth_find(t, truth_node(&g->set, i)->hash));
        if (is_told(p, n)) n->told_in = 0;
    }
    for (uint32_t i = top; i && p->state == RUNNING; i = truth_node(&g->set, i)->next) {
        uint32_t id = truth_find(t, truth_node(&g->set, i)->hash);
        const struct node *n = truth_node(t, id);
        if (id && (n->flags & NODE_PLACED) && !is_told(p, n) && is_covered(p, n->parent))
            walk_whole(p, id);
    }
}

static void refuse_block(struct kvr_publisher *p, uint64_t seq) {
    struct gone g = {.first = true};
    if (truth_init(&g.set, p->port.alloc, p->truth.secret, SIZE_MAX / 2)) {
        publisher_renew(p, "out of memory");
        return;
    }
    filter_stream(p, seq, &g);
    if (g.failed) {
        publisher_renew(p, "out of memory");
    } else {
        mark(p, &g);
        tell_again(p, &g);
    }
    truth_free(&g.set);
    // Said once for each doubling: an engine with other hashes is refused again and again.
    p->stats.badchains++;
    if (!(p->stats.badchains & (p->stats.badchains - 1)))
        publisher_log(p, KVR_LOG_WARNING,
                      "the pool knows a block under another parent; it is left out");
}

void publisher_refused(struct kvr_publisher *p, uint64_t seq) {
    size_t stored = stored_in(ring_at(&p->ring, seq));
    p->next = seq;
    p->sent = p->acked = seq - 1; // the numbers from here on get other events
    if (p->hunt_end < seq) p->hunt_end = seq;
    if (stored > 1 ? !cut_event(p, seq) : !stored) {
        publisher_renew(p, stored ? "out of memory" : "an event without blocks was refused");
        return;
    }
    if (stored == 1) refuse_block(p, seq);
}
