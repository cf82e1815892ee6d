// SPDX-License-Identifier: Apache-2.0
// See naive_truth.h.
#include "naive_truth.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Chance --------------------------------------------------------------------------------------

uint64_t dice_next(struct dice *d) {
    uint64_t x = d->state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

unsigned dice_below(struct dice *d, size_t n) {
    return (unsigned)(dice_next(d) % n);
}

bool dice_chance(struct dice *d, unsigned percent) {
    return dice_below(d, 100) < percent;
}

static uint64_t seed_now; // of the round under way in this test's process

void with_seeds(size_t rounds, void (*round)(void *ctx, uint64_t seed), void *ctx) {
    const char *text = getenv("KVROUTE_SEED");
    bool given = text && *text;
    seed_now = given ? strtoull(text, NULL, 0) : 1;
    for (size_t i = 0; i < (given ? 1 : rounds); i++, seed_now++)
        round(ctx, seed_now);
}

void must(bool holds, const char *format, ...) {
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

void universe_make(struct universe *u, struct dice *d, size_t n, unsigned straight) {
    int order[MOST_BLOCKS];
    u->n = n;
    for (size_t i = 0; i < n; i++)
        u->hash[i] = dice_next(d);
    u->hash[0] = 0;
    u->hash[1] = UINT64_MAX;
    qsort(u->hash, n, sizeof *u->hash, by_value);
    for (size_t i = 0; i < n; i++) { // an order in which parents come first
        size_t k = dice_below(d, i + 1);
        order[i] = order[k];
        order[k] = (int)i;
    }
    for (size_t i = 0; i < n; i++) {
        int at = order[i], parent = NOBODY;
        if (i && dice_chance(d, straight))
            parent = order[i - 1];
        else if (i && dice_chance(d, 80))
            parent = order[dice_below(d, i)];
        u->parent[at] = parent;
        u->depth[at] = parent == NOBODY ? 1 : u->depth[parent] + 1;
    }
}

int universe_find(const struct universe *u, uint64_t hash) {
    const uint64_t *at = bsearch(&hash, u->hash, u->n, sizeof hash, by_value);
    return at ? (int)(at - u->hash) : NOBODY;
}

size_t draw_chain(const struct universe *u, struct dice *d, unsigned nonsense, int *parent,
                  int *blocks, size_t room) {
    int last = (int)dice_below(d, u->n);
    size_t n = 1 + dice_below(d, u->depth[last] < room ? u->depth[last] : room);
    int at = last;
    for (size_t i = n; i-- > 0; at = u->parent[at])
        blocks[i] = at;
    *parent = at;
    if (!dice_chance(d, nonsense)) return n;
    switch (dice_below(d, 4)) {
    case 0: // under somebody else
        *parent = (int)dice_below(d, u->n);
        break;
    case 1: // as a start
        *parent = NOBODY;
        break;
    case 2: // with a strange block in it, perhaps one of its own
        blocks[dice_below(d, n)] =
            dice_chance(d, 50) ? blocks[dice_below(d, n)] : (int)dice_below(d, u->n);
        break;
    default: // upwards
        for (size_t i = 0; i < n / 2; i++) {
            int other = blocks[i];
            blocks[i] = blocks[n - 1 - i];
            blocks[n - 1 - i] = other;
        }
    }
    return n;
}

// ---- The naive truth -----------------------------------------------------------------------------

void naive_init(struct naive_truth *t, const struct universe *u, size_t max_blocks) {
    memset(t, 0, sizeof *t);
    t->universe = u;
    t->max_blocks = max_blocks;
}

bool naive_has_children(const struct naive_truth *t, int block) {
    for (size_t i = 0; i < t->universe->n; i++)
        if (t->block[i].here && !t->block[i].phantom && t->block[i].parent == block) return true;
    return false;
}

bool naive_placed(const struct naive_truth *t, int block) {
    for (; block != NOBODY; block = t->block[block].parent)
        if (!t->block[block].here || t->block[block].phantom || t->block[block].refused)
            return false;
    return true;
}

static void prune(struct naive_truth *t, int block) {
    while (block != NOBODY && t->block[block].here && !t->block[block].held &&
           !naive_has_children(t, block)) {
        int parent = t->block[block].parent;
        t->block[block] = (struct naive_block){0};
        block = parent;
    }
}

static bool is_above(const struct naive_truth *t, int above, int block) {
    for (; block != NOBODY; block = t->block[block].parent)
        if (block == above) return true;
    return false;
}

// Whether a block may be put under `parent`. What it hung on before: *left.
static bool put(struct naive_truth *t, int block, int parent, int *left) {
    struct naive_block *b = &t->block[block];
    *left = NOBODY;
    if (!b->here) {
        *b = (struct naive_block){.here = true, .parent = parent};
        return true;
    }
    if (!b->phantom && b->parent == parent) return true;
    bool loose = b->phantom || (b->parent != NOBODY && t->block[b->parent].phantom);
    if (!loose || is_above(t, block, parent)) return false;
    *left = b->parent;
    b->phantom = false;
    b->parent = parent;
    return true;
}

static size_t count_here(const struct naive_truth *t) {
    size_t n = 0;
    for (size_t i = 0; i < t->universe->n; i++)
        n += t->block[i].here;
    return n;
}

enum kvr_code naive_store(struct naive_truth *t, int tier, int parent, const int *blocks, size_t n,
                          size_t *stored) {
    *stored = 0;
    if (!n) return KVR_CODE_OK;
    size_t fresh = parent != NOBODY && !t->block[parent].here;
    for (size_t i = 0; i < n; i++)
        fresh += !t->block[blocks[i]].here;
    if (count_here(t) + fresh > t->max_blocks) return KVR_CODE_FULL;
    int at = parent, left;
    if (at != NOBODY && !t->block[at].here)
        t->block[at] = (struct naive_block){.here = true, .phantom = true, .parent = NOBODY};
    for (size_t i = 0; i < n && put(t, blocks[i], at, &left); i++) {
        struct naive_block *b = &t->block[blocks[i]];
        if (!b->held) b->refused = false;
        b->held |= 1u << tier;
        at = blocks[i];
        prune(t, left);
        ++*stored;
    }
    prune(t, parent);
    return KVR_CODE_OK;
}

void naive_remove(struct naive_truth *t, int tier, int block) {
    if (!(t->block[block].held & 1u << tier)) return;
    t->block[block].held &= ~(1u << tier);
    prune(t, block);
}

void naive_clear(struct naive_truth *t, int tier) {
    if (tier < 0) {
        memset(t->block, 0, sizeof t->block);
        return;
    }
    for (size_t i = 0; i < t->universe->n; i++)
        naive_remove(t, tier, (int)i);
}

// ---- Checks --------------------------------------------------------------------------------------

static void check_links(const struct kvr_truth *t, uint32_t id) {
    const struct kvr_truth_node *n = kvr_truth_node(t, id), *parent = kvr_truth_node(t, n->parent);
    must(parent->flags & KVR_NODE_USED, "a parent has been freed");
    uint32_t before = n->prev ? kvr_truth_node(t, n->prev)->next : parent->child;
    must(before == id, "the link from before to a node is wrong");
    if (!n->next) return;
    const struct kvr_truth_node *next = kvr_truth_node(t, n->next);
    must(next->prev == id && next->parent == n->parent, "the next sibling is wrong");
}

static void check_node(const struct kvr_truth *t, uint32_t id) {
    const struct kvr_truth_node *n = kvr_truth_node(t, id);
    must(kvr_truth_find(t, n->hash) == id, "a node is not in the index");
    must(n->held || n->child, "a node is there for nothing");
    if (n->child) must(kvr_truth_node(t, n->child)->parent == id, "a child is wrong");
    if (n->flags & KVR_NODE_PHANTOM) {
        must(!n->parent && !n->next && !n->prev && !n->held, "a phantom has a place");
        must(!(n->flags & (KVR_NODE_PLACED | KVR_NODE_REFUSED)), "a phantom is placed or refused");
        return;
    }
    check_links(t, id);
    bool above = kvr_truth_node(t, n->parent)->flags & KVR_NODE_PLACED;
    bool placed = above && !(n->flags & KVR_NODE_REFUSED);
    must(placed == !!(n->flags & KVR_NODE_PLACED), "a node is placed wrongly");
}

void truth_check(const struct kvr_truth *t) {
    size_t blocks = 0, holdings = 0, orphans = 0, refused = 0, indexed = 0, unused = 0, linked = 0;
    for (uint32_t id = 1; id < t->n_ids; id++) {
        const struct kvr_truth_node *n = kvr_truth_node(t, id);
        if (!(n->flags & KVR_NODE_USED)) {
            unused++;
            continue;
        }
        check_node(t, id);
        blocks++;
        holdings += (size_t)__builtin_popcount(n->held);
        refused += !!(n->flags & KVR_NODE_REFUSED);
        orphans += !(n->flags & (KVR_NODE_PHANTOM | KVR_NODE_REFUSED | KVR_NODE_PLACED));
    }
    for (uint32_t id = t->free; id; id = kvr_truth_node(t, id)->next, unused--)
        must(unused && !(kvr_truth_node(t, id)->flags & KVR_NODE_USED), "a used node is free");
    for (size_t i = 0; i < KVR_TRUTH_SEGMENTS; i++)
        indexed += t->segments[i].used;
    // No circles: everything is met by going down from the top and the phantoms.
    for (uint32_t id = 0; id < t->n_ids; id++) {
        if (id && !(kvr_truth_node(t, id)->flags & KVR_NODE_PHANTOM)) continue;
        for (uint32_t at = id; (at = kvr_truth_after(t, at, id, false));)
            must(++linked <= blocks, "there is a circle");
        linked += id != 0;
    }
    must(linked == blocks, "%zu of %zu nodes hang on something", linked, blocks);
    must(indexed == blocks, "%zu of %zu nodes are in the index", indexed, blocks);
    must(!unused, "a node is lost");
    must(t->blocks == blocks && t->holdings == holdings, "blocks or holdings are miscounted");
    must(t->orphans == orphans && t->refused == refused, "orphans or refused are miscounted");
}

static void compare_block(const struct kvr_truth *t, const struct naive_truth *n, int block) {
    const struct naive_block *b = &n->block[block];
    uint32_t id = kvr_truth_find(t, n->universe->hash[block]);
    must(!!id == b->here, "block %d is %s", block, b->here ? "missing" : "there");
    if (!id) return;
    const struct kvr_truth_node *node = kvr_truth_node(t, id);
    must(!!(node->flags & KVR_NODE_PHANTOM) == b->phantom, "block %d: phantom or not", block);
    must(!!(node->flags & KVR_NODE_REFUSED) == b->refused, "block %d: refused or not", block);
    must(!!(node->flags & KVR_NODE_PLACED) == naive_placed(n, block), "block %d: placed or not",
         block);
    must(node->held == b->held, "block %d is held in %u, not %u", block, node->held, b->held);
    int parent =
        node->parent ? universe_find(n->universe, kvr_truth_node(t, node->parent)->hash) : NOBODY;
    must(parent == b->parent, "block %d is under %d, not %d", block, parent, b->parent);
}

void truth_compare(const struct kvr_truth *t, const struct naive_truth *n) {
    size_t here = 0;
    for (size_t i = 0; i < n->universe->n; i++) {
        compare_block(t, n, (int)i);
        here += n->block[i].here;
    }
    must(t->blocks == here, "%zu blocks, not %zu", t->blocks, here);
}
