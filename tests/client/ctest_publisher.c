// SPDX-License-Identifier: Apache-2.0
// See ctest_publisher.h.
#include "ctest_publisher.h"

#include <stdlib.h>

enum { MAX_SETTLE_ROUNDS = 200000 }; // rounds until all must be published

// ---- Checks --------------------------------------------------------------------------------------

// The invariants at the head of publisher_stream.h.
static void check_told(const struct kvr_publisher *p, uint32_t id, bool *below) {
    const struct kvr_held_node *n = kvr_held_node(&p->held, id);
    bool placed = n->flags & KVR_NODE_PLACED, told = kvr_publisher_told(p, n);
    ctest_must(!told || placed, "what is told of is placed");
    ctest_must(!told || kvr_publisher_covered(p, kvr_held_parent(&p->held, n)),
               "what is told of has a parent that is told of");
    if (told && (n->flags & KVR_NODE_OPEN)) {
        ctest_must(below[id], "the walk isn't below an open node");
        ctest_must(n->told, "an open node isn't known to the pool");
    }
    if (told || !placed) return;
    ctest_must(p->walk.at, "nothing is left untold without a walk");
    uint32_t above = kvr_held_parent(&p->held, n);
    const struct kvr_held_node *parent = kvr_held_node(&p->held, above);
    ctest_must(!above || !kvr_publisher_told(p, parent) || (parent->flags & KVR_NODE_OPEN),
               "what isn't told of is under an open node, or one that isn't told of");
}

static void check_stream(const struct kvr_publisher *p) {
    bool *below = calloc(p->held.n_ids, 1); // the walk is there, or below
    for (uint32_t id = p->walk.at; id; id = kvr_held_parent(&p->held, kvr_held_node(&p->held, id)))
        below[id] = true;
    for (uint32_t id = 1; id < p->held.n_ids; id++) {
        const struct kvr_held_node *n = kvr_held_node(&p->held, id);
        if (!(n->flags & KVR_NODE_USED)) continue;
        check_told(p, id, below);
        if (kvr_publisher_told(p, n) && !(n->flags & KVR_NODE_OPEN))
            ctest_must(n->told == n->held, "what is told is what is held");
    }
    free(below);
    uint64_t made = kvr_ring_made(&p->ring);
    ctest_must(p->next <= made + 1 && p->sent <= made && p->acked <= p->sent, "seqs are in order");
    ctest_must(p->acked + 1 >= p->ring.first, "the ring has all that isn't acknowledged");
    ctest_must(p->under_way <= KVR_EVENT_WINDOW, "too many events are under way");
    // An event that is cut in two takes a little more; that counts when the next one comes.
    size_t cuts = p->ring.n * (sizeof(struct kvr_ring_event) + 2 * sizeof(uint64_t));
    ctest_must(p->ring.bytes <= p->ring_bytes + cuts || p->ring.n <= 1, "the ring is too big");
}

static void check_memory(const struct ctest_publisher *s) {
    struct kvr_publisher_stats st;
    kvr_publisher_stats(s->publisher, &st);
    size_t commands = 0;
    for (size_t i = 0; i < s->port.n; i++)
        commands++;
    // Commands under way are the handle's.
    if (!commands)
        ctest_must(st.memory_bytes == s->port.memory.bytes, "%zu bytes, %zu are said",
                   s->port.memory.bytes, st.memory_bytes);
}

void ctest_publisher_check(struct ctest_publisher *s) {
    const struct kvr_publisher *p = s->publisher;
    // Whether a block is refused isn't the model's to know; but the pool must have said so.
    for (size_t i = 0; i < s->universe.n; i++) {
        uint32_t id = kvr_held_find(&p->held, s->universe.hash[i]);
        bool refused = id && (kvr_held_node(&p->held, id)->flags & KVR_NODE_REFUSED);
        ctest_must(!refused || s->port.refused[i], "block %zu was never refused", i);
        s->model.block[i].refused = refused;
    }
    ctest_truth_check(&p->held);
    ctest_truth_compare(&p->held, &s->model);
    if (p->state == KVR_STREAM_RUNNING) check_stream(p);
    check_memory(s);
}

static void compare(const struct ctest_publisher *s) {
    for (size_t i = 0; i < s->universe.n; i++) {
        unsigned held = ctest_truth_placed(&s->model, (int)i) ? s->model.block[i].held : 0;
        unsigned pool = s->port.pool.block[i].ours;
        ctest_must(pool == held, "the pool has block %zu in %u, the rank in %u", i, pool, held);
    }
}

struct census {
    const struct ctest_publisher *trial;
    size_t holdings;
};

static void see(void *ctx, uint64_t hash, uint64_t parent, bool has_parent, unsigned tiers) {
    struct census *c = ctx;
    int i = ctest_universe_find(&c->trial->universe, hash);
    const struct ctest_block *b = &c->trial->model.block[i];
    ctest_must(b->held == tiers, "each() says what is held");
    // A phantom's child has a parent, too.
    ctest_must(has_parent == (b->parent != CTEST_NOBODY), "each() says whether there is a parent");
    if (has_parent)
        ctest_must(ctest_universe_find(&c->trial->universe, parent) == b->parent,
                   "each() says which");
    c->holdings += (size_t)__builtin_popcount(tiers);
}

static void take_census(const struct ctest_publisher *s) {
    struct census c = {s, 0};
    struct kvr_publisher_stats st;
    kvr_publisher_each(s->publisher, see, &c);
    kvr_publisher_stats(s->publisher, &st);
    ctest_must(c.holdings == st.holdings, "each() says all");
}

// ---- Calls ---------------------------------------------------------------------------------------

static const uint64_t *hashes_of(const struct ctest_publisher *s, const int *blocks, size_t n) {
    static uint64_t hashes[CTEST_MAX_BLOCKS];
    for (size_t i = 0; i < n; i++)
        hashes[i] = s->universe.hash[blocks[i]];
    return hashes;
}

void ctest_publisher_store(struct ctest_publisher *s, int tier, int parent, const int *blocks,
                           size_t n) {
    size_t stored;
    enum kvr_code code = kvr_publisher_stored(
        s->publisher, (enum kvr_tier)tier,
        parent == CTEST_NOBODY ? NULL : &s->universe.hash[parent], hashes_of(s, blocks, n), n);
    if (code == KVR_CODE_NOMEM) {
        ctest_must(s->port.memory.one_in, "memory is short");
        return;
    }
    ctest_must(code == ctest_truth_store(&s->model, tier, parent, blocks, n, &stored),
               "stored, or no room");
}

void ctest_publisher_remove(struct ctest_publisher *s, int tier, const int *blocks, size_t n) {
    ctest_must(kvr_publisher_removed(s->publisher, (enum kvr_tier)tier, hashes_of(s, blocks, n),
                                     n) == KVR_CODE_OK,
               "removing can't fail");
    for (size_t i = 0; i < n; i++)
        ctest_truth_remove(&s->model, tier, blocks[i]);
}

static void clear(struct ctest_publisher *s, int tier) {
    ctest_must(kvr_publisher_cleared(s->publisher, tier) == KVR_CODE_OK, "clearing can't fail");
    ctest_truth_clear(&s->model, tier);
}

// ---- Random steps --------------------------------------------------------------------------------

static void store_op(struct ctest_publisher *s) {
    int parent, blocks[128];
    size_t n =
        ctest_draw_chain(&s->universe, &s->random, s->profile->nonsense, &parent, blocks, 128);
    ctest_publisher_store(s, (int)ctest_below(&s->random, KVR_TIERS), parent, blocks, n);
}

static void remove_op(struct ctest_publisher *s) {
    int parent, blocks[128];
    size_t n = ctest_draw_chain(&s->universe, &s->random, 50, &parent, blocks, 128);
    if (s->profile->busy && n > 4) n = 4;
    if (ctest_chance(&s->random, 50)) // as engines do: the ends of the sequences first
        ctest_reverse(blocks, n);
    if (ctest_chance(&s->random, 60)) {
        ctest_publisher_remove(s, (int)ctest_below(&s->random, KVR_TIERS), blocks, n);
        return;
    }
    for (int tier = 0; tier < KVR_TIERS; tier++)
        ctest_publisher_remove(s, tier, blocks, n);
}

static void others_op(struct ctest_publisher *s) {
    int parent, blocks[8];
    if (ctest_chance(&s->random, 20)) {
        ctest_port_other_removes(&s->port, (int)ctest_below(&s->random, s->universe.n));
        return;
    }
    size_t n = ctest_draw_chain(&s->universe, &s->random, 60, &parent, blocks, 8);
    ctest_port_other_stores(&s->port, parent, blocks, n);
}

// Somebody else takes the rank, by a clock that is before ours or behind.
static void foreigner_op(struct ctest_publisher *s) {
    struct ctest_pool *p = &s->port.pool;
    p->epoch += 1 + ctest_below(&s->random, 1000000);
    if (ctest_chance(&s->random, 50)) p->epoch += 1000000000;
    p->seq = 1 + ctest_below(&s->random, 3);
}

static void handle_op(struct ctest_publisher *s) {
    struct ctest_port *m = &s->port;
    unsigned n = s->down ? 0 : ctest_below(&s->random, 12);
    if (!m->pool.exists && ctest_chance(&s->random, 20)) m->pool.exists = true;
    if (!m->pool.has_worker && ctest_chance(&s->random, 20)) m->pool.has_worker = true;
    if (ctest_chance(&s->random, 60))
        ctest_port_tick(m, ctest_below(&s->random, ctest_chance(&s->random, 5) ? 200 : 3));
    for (unsigned i = 0; i < n; i++)
        if (ctest_chance(&s->random, 50))
            ctest_port_carry_out(m);
        else
            ctest_port_answer(m);
}

static bool falls(unsigned *k, unsigned often) { // whether the draw falls into the next `often`
    bool here = *k < often;
    *k -= here ? 0 : often;
    return here;
}

static void draw_op(struct ctest_publisher *s) {
    const struct ctest_profile *f = s->profile;
    unsigned k = ctest_below(&s->random, 1000);
    if (falls(&k, f->clears)) {
        clear(s, (int)ctest_below(&s->random, KVR_TIERS + 1) - 1);
    } else if (falls(&k, f->republishes)) {
        kvr_publisher_republish(s->publisher);
    } else if (falls(&k, f->failovers)) {
        ctest_port_failover(&s->port);
    } else if (falls(&k, f->restarts)) {
        ctest_port_restart(&s->port);
    } else if (falls(&k, f->outages)) {
        s->down = ctest_below(&s->random, 400);
    } else if (falls(&k, f->others)) {
        others_op(s);
    } else if (falls(&k, f->foreigners)) {
        foreigner_op(s);
    } else if (falls(&k, f->postponements)) {
        ctest_port_postpone(&s->port);
    } else if (falls(&k, f->failovers)) {
        ctest_port_remember(&s->port);
    } else if (falls(&k, 20)) {
        kvr_publisher_flush(s->publisher);
    } else if (falls(&k, 250)) {
        store_op(s);
    } else if (falls(&k, 250)) {
        remove_op(s);
    } else {
        handle_op(s);
    }
}

void ctest_publisher_step(struct ctest_publisher *s) {
    struct kvr_publisher_stats st;
    s->down -= s->down > 0;
    draw_op(s);
    ctest_publisher_check(s);
    kvr_publisher_stats(s->publisher, &st);
    if (st.superseded && ctest_chance(&s->random, 10)) kvr_publisher_republish(s->publisher);
}

// ---- From beginning to end -----------------------------------------------------------------------

static void open_publisher(struct ctest_publisher *s) {
    const struct ctest_profile *f = s->profile;
    struct kvr_publisher_port port = ctest_port_interface(&s->port);
    struct kvr_publisher_options o = {.max_blocks = f->max_blocks, .ring_bytes = f->ring_bytes};
    o.batch_blocks = 1 + ctest_below(&s->random, f->batch_blocks);
    if (ctest_chance(&s->random, 30)) o.linger = ctest_chance(&s->random, 50) ? -1 : 20;
    s->port.batch_blocks = o.batch_blocks;
    while (!s->publisher) // memory may fail
        s->publisher = kvr_publisher_open(&port, kvr_text("w"), 3, &o);
    ctest_truth_init(&s->model, &s->universe, s->publisher->held.max_blocks);
}

struct ctest_publisher *ctest_publisher_new(const struct ctest_profile *f, uint64_t seed) {
    struct ctest_publisher *s = calloc(1, sizeof *s);
    s->profile = f;
    s->random = seed;
    ctest_universe_make(&s->universe, &s->random, f->blocks, f->straight);
    ctest_port_init(&s->port, &s->universe, kvr_random(&s->random));
    s->port.fails = f->fails;
    s->port.memory.one_in = f->one_in;
    // What an earlier life has left.
    int left = (int)ctest_below(&s->random, f->blocks);
    s->port.pool.epoch = 1 + ctest_below(&s->random, 3) * 1000000;
    s->port.pool.seq = 7;
    s->port.pool.block[left] = (struct ctest_pool_block){true, CTEST_NOBODY, 5, 0, 0};
    open_publisher(s);
    return s;
}

void ctest_publisher_free(struct ctest_publisher *s) {
    kvr_publisher_free(s->publisher);
    ctest_port_finish(&s->port);
    free(s);
}

void ctest_publisher_work(struct ctest_publisher *s) {
    ctest_port_tick(&s->port, 1);
    while (ctest_port_carry_out(&s->port) || ctest_port_answer(&s->port))
        ;
}

void ctest_publisher_settle(struct ctest_publisher *s) {
    s->port.memory.one_in = s->port.fails = 0;
    s->port.pool.exists = s->port.pool.has_worker = true;
    for (size_t i = 0; !kvr_publisher_settled(s->publisher); i++) {
        ctest_must(i < MAX_SETTLE_ROUNDS, "it doesn't settle");
        ctest_publisher_work(s);
        ctest_publisher_check(s);
        if (s->publisher->state == KVR_STREAM_SUPERSEDED) kvr_publisher_republish(s->publisher);
    }
    compare(s);
    take_census(s);
    s->port.memory.one_in = s->profile->one_in;
    s->port.fails = s->profile->fails;
}

void ctest_publisher_run(void *ctx, uint64_t seed) {
    const struct ctest_profile *f = ctx;
    struct ctest_publisher *s = ctest_publisher_new(f, seed);
    for (size_t i = 1; i <= f->steps; i++) {
        ctest_publisher_step(s);
        if (i == f->steps || ctest_below(&s->random, 70) == 0) ctest_publisher_settle(s);
    }
    const struct ctest_port *m = &s->port;
    // Where nobody else stores and no answer is made up, the pool always knows the parents.
    if (!f->others && !f->fails) {
        ctest_must(!m->answered[KVR_CODE_NOPARENT], "an event had an unknown parent");
        ctest_must(!m->answered[KVR_CODE_BADCHAIN], "an event had a block in another place");
    }
    for (size_t i = 0; i < 3; i++)
        ctest_publisher_step(s);
    ctest_publisher_free(s);
}
