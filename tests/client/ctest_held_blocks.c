// SPDX-License-Identifier: Apache-2.0
// See ctest_held_blocks.h.
#include "ctest_held_blocks.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Chance --------------------------------------------------------------------------------------

unsigned ctest_below(uint64_t *d, size_t n) {
    return (unsigned)(kvr_random(d) % n);
}

bool ctest_chance(uint64_t *d, unsigned percent) {
    return ctest_below(d, 100) < percent;
}

static uint64_t seed_now; // of the round under way in this test's process

void ctest_with_seeds(size_t rounds, void (*round)(void *ctx, uint64_t seed), void *ctx) {
    const char *text = getenv("KVROUTE_SEED");
    bool given = text && *text;
    seed_now = given ? strtoull(text, NULL, 0) : 1;
    for (size_t i = 0; i < (given ? 1 : rounds); i++, seed_now++)
        round(ctx, seed_now);
}

void ctest_must(bool holds, const char *format, ...) {
    if (holds) return;
    char what[200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    cr_assert_fail("KVROUTE_SEED=%" PRIu64 ": %s", seed_now, what);
}

// ---- The universe --------------------------------------------------------------------------------

static int by_value(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

void ctest_universe_make(struct ctest_universe *u, uint64_t *d, size_t n, unsigned straight) {
    int order[CTEST_MAX_BLOCKS];
    u->n = n;
    for (size_t i = 0; i < n; i++)
        u->hash[i] = kvr_random(d);
    u->hash[0] = 0;
    u->hash[1] = UINT64_MAX;
    qsort(u->hash, n, sizeof *u->hash, by_value);
    for (size_t i = 0; i < n; i++) { // an order in which parents come first
        size_t k = ctest_below(d, i + 1);
        order[i] = order[k];
        order[k] = (int)i;
    }
    for (size_t i = 0; i < n; i++) {
        int at = order[i], parent = CTEST_NOBODY;
        if (i && ctest_chance(d, straight))
            parent = order[i - 1];
        else if (i && ctest_chance(d, 80))
            parent = order[ctest_below(d, i)];
        u->parent[at] = parent;
        u->depth[at] = parent == CTEST_NOBODY ? 1 : u->depth[parent] + 1;
    }
}

int ctest_universe_find(const struct ctest_universe *u, uint64_t hash) {
    const uint64_t *at = bsearch(&hash, u->hash, u->n, sizeof hash, by_value);
    return at ? (int)(at - u->hash) : CTEST_NOBODY;
}

void ctest_reverse(int *blocks, size_t n) {
    for (size_t i = 0; i < n / 2; i++) {
        int other = blocks[i];
        blocks[i] = blocks[n - 1 - i];
        blocks[n - 1 - i] = other;
    }
}

size_t ctest_draw_chain(const struct ctest_universe *u, uint64_t *d, unsigned nonsense, int *parent,
                        int *blocks, size_t room) {
    int last = (int)ctest_below(d, u->n);
    size_t n = 1 + ctest_below(d, u->depth[last] < room ? u->depth[last] : room);
    int at = last;
    for (size_t i = n; i-- > 0; at = u->parent[at])
        blocks[i] = at;
    *parent = at;
    if (!ctest_chance(d, nonsense)) return n;
    switch (ctest_below(d, 4)) {
    case 0: // under somebody else
        *parent = (int)ctest_below(d, u->n);
        break;
    case 1: // as a start
        *parent = CTEST_NOBODY;
        break;
    case 2: // with a strange block in it, perhaps one of its own
        blocks[ctest_below(d, n)] =
            ctest_chance(d, 50) ? blocks[ctest_below(d, n)] : (int)ctest_below(d, u->n);
        break;
    default: // upwards
        ctest_reverse(blocks, n);
    }
    return n;
}

// ---- The model ------------------------------------------------------------------------------------

void ctest_truth_init(struct ctest_truth *t, const struct ctest_universe *u, size_t max_blocks) {
    memset(t, 0, sizeof *t);
    t->universe = u;
    t->max_blocks = max_blocks;
}

static bool has_children(const struct ctest_truth *t, int block) {
    for (size_t i = 0; i < t->universe->n; i++)
        if (t->block[i].here && !t->block[i].phantom && t->block[i].parent == block) return true;
    return false;
}

bool ctest_truth_placed(const struct ctest_truth *t, int block) {
    for (; block != CTEST_NOBODY; block = t->block[block].parent)
        if (!t->block[block].here || t->block[block].phantom || t->block[block].refused)
            return false;
    return true;
}

static void prune(struct ctest_truth *t, int block) {
    while (block != CTEST_NOBODY && t->block[block].here && !t->block[block].held &&
           !has_children(t, block)) {
        int parent = t->block[block].parent;
        t->block[block] = (struct ctest_block){0};
        block = parent;
    }
}

static bool is_above(const struct ctest_truth *t, int above, int block) {
    for (; block != CTEST_NOBODY; block = t->block[block].parent)
        if (block == above) return true;
    return false;
}

// Whether a block may be put under `parent`. What it hung on before: *left.
static bool put(struct ctest_truth *t, int block, int parent, int *left) {
    struct ctest_block *b = &t->block[block];
    *left = CTEST_NOBODY;
    if (!b->here) {
        *b = (struct ctest_block){.here = true, .parent = parent};
        return true;
    }
    if (!b->phantom && b->parent == parent) return true;
    bool loose = b->phantom || (b->parent != CTEST_NOBODY && t->block[b->parent].phantom);
    if (!loose || is_above(t, block, parent)) return false;
    *left = b->parent;
    b->phantom = false;
    b->parent = parent;
    return true;
}

static size_t count_here(const struct ctest_truth *t) {
    size_t n = 0;
    for (size_t i = 0; i < t->universe->n; i++)
        n += t->block[i].here;
    return n;
}

enum kvr_code ctest_truth_store(struct ctest_truth *t, int tier, int parent, const int *blocks,
                                size_t n, size_t *stored) {
    *stored = 0;
    if (!n) return KVR_CODE_OK;
    size_t fresh = parent != CTEST_NOBODY && !t->block[parent].here;
    for (size_t i = 0; i < n; i++)
        fresh += !t->block[blocks[i]].here;
    if (count_here(t) + fresh > t->max_blocks) return KVR_CODE_FULL;
    int at = parent, left;
    if (at != CTEST_NOBODY && !t->block[at].here)
        t->block[at] = (struct ctest_block){.here = true, .phantom = true, .parent = CTEST_NOBODY};
    for (size_t i = 0; i < n && put(t, blocks[i], at, &left); i++) {
        struct ctest_block *b = &t->block[blocks[i]];
        if (!b->held) b->refused = false;
        b->held |= 1u << tier;
        at = blocks[i];
        prune(t, left);
        ++*stored;
    }
    prune(t, parent);
    return KVR_CODE_OK;
}

void ctest_truth_remove(struct ctest_truth *t, int tier, int block) {
    if (!(t->block[block].held & 1u << tier)) return;
    t->block[block].held &= ~(1u << tier);
    prune(t, block);
}

void ctest_truth_clear(struct ctest_truth *t, int tier) {
    if (tier < 0) {
        memset(t->block, 0, sizeof t->block);
        return;
    }
    for (size_t i = 0; i < t->universe->n; i++)
        ctest_truth_remove(t, tier, (int)i);
}

// ---- Checks --------------------------------------------------------------------------------------

static void check_links(const struct kvr_held_blocks *t, uint32_t id) {
    const struct kvr_held_node *n = kvr_held_node(t, id);
    uint32_t parent_id = kvr_held_parent(t, n);
    const struct kvr_held_node *parent = kvr_held_node(t, parent_id);
    ctest_must(parent->flags & KVR_NODE_USED, "a parent has been freed");
    ctest_must(!(n->flags & KVR_NODE_SIBLING) == !(parent->flags & KVR_NODE_FORK),
               "who has siblings is a fork's child");
    if (!(n->flags & KVR_NODE_SIBLING)) {
        ctest_must(parent->child == id, "an only child is another");
        return;
    }
    const struct kvr_held_link *l = kvr_held_link(t, n->parent);
    ctest_must(l->node == id && l->parent == parent_id, "a link is another's");
    ctest_must(l->next || l->prev, "one that has no siblings has a link");
    uint32_t before = l->prev ? kvr_held_link(t, l->prev)->next : parent->child;
    ctest_must(before == n->parent, "the link from before to a node is wrong");
    if (!l->next) return;
    const struct kvr_held_link *next = kvr_held_link(t, l->next);
    ctest_must(next->prev == n->parent && next->parent == parent_id, "the next sibling is wrong");
}

static void check_node(const struct kvr_held_blocks *t, uint32_t id) {
    const struct kvr_held_node *n = kvr_held_node(t, id);
    ctest_must(kvr_held_find(t, n->hash) == id, "a node is not in the index");
    ctest_must(n->held || n->child, "a node is there for nothing");
    if (n->child) {
        const struct kvr_held_node *child = kvr_held_node(t, kvr_held_child(t, n));
        ctest_must(kvr_held_parent(t, child) == id, "a child is wrong");
    }
    if (n->flags & KVR_NODE_PHANTOM) {
        ctest_must(!n->parent && !(n->flags & KVR_NODE_SIBLING) && !n->held,
                   "a phantom has a place");
        ctest_must(!(n->flags & (KVR_NODE_PLACED | KVR_NODE_REFUSED)),
                   "a phantom is placed or refused");
        return;
    }
    check_links(t, id);
    bool above = kvr_held_node(t, kvr_held_parent(t, n))->flags & KVR_NODE_PLACED;
    bool placed = above && !(n->flags & KVR_NODE_REFUSED);
    ctest_must(placed == !!(n->flags & KVR_NODE_PLACED), "a node is placed wrongly");
}

void ctest_truth_check(const struct kvr_held_blocks *t) {
    size_t blocks = 0, holdings = 0, orphans = 0, refused = 0, indexed = 0, unused = 0, linked = 0,
           links = 0;
    for (uint32_t id = 1; id < t->n_ids; id++) {
        const struct kvr_held_node *n = kvr_held_node(t, id);
        if (!(n->flags & KVR_NODE_USED)) {
            unused++;
            continue;
        }
        check_node(t, id);
        blocks++;
        holdings += (size_t)__builtin_popcount(n->held);
        refused += !!(n->flags & KVR_NODE_REFUSED);
        orphans += !(n->flags & (KVR_NODE_PHANTOM | KVR_NODE_REFUSED | KVR_NODE_PLACED));
        links += !!(n->flags & KVR_NODE_SIBLING);
    }
    ctest_must(t->links == links, "%zu links for %zu nodes", t->links, links);
    for (uint32_t link = t->free_link; link; link = kvr_held_link(t, link)->next)
        links++;
    ctest_must(links + 1 == t->n_links, "a link is lost");
    for (uint32_t id = t->free; id; id = kvr_held_node(t, id)->parent, unused--)
        ctest_must(unused && !(kvr_held_node(t, id)->flags & KVR_NODE_USED), "a used node is free");
    for (size_t i = 0; i < KVR_HELD_SEGMENTS; i++) {
        indexed += t->segments[i].used;
        ctest_must(!t->segments[i].wanted, "something is still wanted");
    }
    // No circles: everything is met by going down from the top and the phantoms.
    for (uint32_t id = 0; id < t->n_ids; id++) {
        if (id && !(kvr_held_node(t, id)->flags & KVR_NODE_PHANTOM)) continue;
        for (uint32_t at = id; (at = kvr_held_after(t, at, id, false));)
            ctest_must(++linked <= blocks, "there is a circle");
        linked += id != 0;
    }
    ctest_must(linked == blocks, "%zu of %zu nodes hang on something", linked, blocks);
    ctest_must(indexed == blocks, "%zu of %zu nodes are in the index", indexed, blocks);
    ctest_must(!unused, "a node is lost");
    ctest_must(t->blocks == blocks && t->holdings == holdings, "blocks or holdings are miscounted");
    ctest_must(t->orphans == orphans && t->refused == refused, "orphans or refused are miscounted");
}

static void compare_block(const struct kvr_held_blocks *t, const struct ctest_truth *n, int block) {
    const struct ctest_block *b = &n->block[block];
    uint32_t id = kvr_held_find(t, n->universe->hash[block]);
    ctest_must(!!id == b->here, "block %d is %s", block, b->here ? "missing" : "there");
    if (!id) return;
    const struct kvr_held_node *node = kvr_held_node(t, id);
    ctest_must(!!(node->flags & KVR_NODE_PHANTOM) == b->phantom, "block %d: phantom or not", block);
    ctest_must(!!(node->flags & KVR_NODE_REFUSED) == b->refused, "block %d: refused or not", block);
    ctest_must(!!(node->flags & KVR_NODE_PLACED) == ctest_truth_placed(n, block),
               "block %d: placed or not", block);
    ctest_must(node->held == b->held, "block %d is held in %u, not %u", block, node->held, b->held);
    uint32_t above = kvr_held_parent(t, node);
    int parent =
        above ? ctest_universe_find(n->universe, kvr_held_node(t, above)->hash) : CTEST_NOBODY;
    ctest_must(parent == b->parent, "block %d is under %d, not %d", block, parent, b->parent);
}

void ctest_truth_compare(const struct kvr_held_blocks *t, const struct ctest_truth *n) {
    size_t here = 0;
    for (size_t i = 0; i < n->universe->n; i++) {
        compare_block(t, n, (int)i);
        here += n->block[i].here;
    }
    ctest_must(t->blocks == here, "%zu blocks, not %zu", t->blocks, here);
}
