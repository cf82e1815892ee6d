// SPDX-License-Identifier: Apache-2.0
// See truth.h.
#include "truth.h"

#include <string.h>

enum { SEGMENT_FIRST = 16 };

// ---- The index -----------------------------------------------------------------------------------

static uint64_t mix(const struct truth *t, uint64_t hash) {
    uint64_t x = (hash ^ t->secret) * (t->secret | 1);
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static struct segment *segment_of(struct truth *t, uint64_t mixed) {
    return &t->segments[mixed >> 56];
}

uint32_t truth_find(const struct truth *t, uint64_t hash) {
    uint64_t mixed = mix(t, hash);
    const struct segment *s = &t->segments[mixed >> 56];
    if (!s->size) return 0;
    for (uint32_t i = (uint32_t)mixed;; i++) {
        uint32_t id = s->ids[i & (s->size - 1)];
        if (!id || truth_node(t, id)->hash == hash) return id;
    }
}

static void insert(struct segment *s, uint64_t mixed, uint32_t id) {
    uint32_t i = (uint32_t)mixed & (s->size - 1);
    while (s->ids[i])
        i = (i + 1) & (s->size - 1);
    s->ids[i] = id;
    s->used++;
}

// Room for so many more, with a quarter of the places free.
static int segment_reserve(struct truth *t, struct segment *s, uint32_t more) {
    uint32_t size = s->size ? s->size : SEGMENT_FIRST;
    while ((uint64_t)s->used + more > (uint64_t)size / 4 * 3)
        size *= 2;
    if (size == s->size) return 0;
    uint32_t *ids = kvr_alloc_zeroed(t->alloc, size * sizeof *ids);
    if (!ids) return -1;
    struct segment old = *s;
    *s = (struct segment){ids, size, 0};
    for (uint32_t i = 0; i < old.size; i++)
        if (old.ids[i]) insert(s, mix(t, truth_node(t, old.ids[i])->hash), old.ids[i]);
    kvr_alloc_free(t->alloc, old.ids);
    t->bytes += (size - old.size) * sizeof *ids;
    return 0;
}

// What stands behind in the same stretch moves up, unless it would pass its own first place.
static void index_remove(struct truth *t, uint32_t id) {
    uint64_t mixed = mix(t, truth_node(t, id)->hash);
    struct segment *s = segment_of(t, mixed);
    uint32_t mask = s->size - 1, hole = (uint32_t)mixed & mask;
    while (s->ids[hole] != id)
        hole = (hole + 1) & mask;
    for (uint32_t i = (hole + 1) & mask; s->ids[i]; i = (i + 1) & mask) {
        uint32_t first = (uint32_t)mix(t, truth_node(t, s->ids[i])->hash) & mask;
        if (((i - first) & mask) < ((i - hole) & mask)) continue;
        s->ids[hole] = s->ids[i];
        hole = i;
    }
    s->ids[hole] = 0;
    s->used--;
}

// ---- Memory --------------------------------------------------------------------------------------

static int add_chunk(struct truth *t) {
    size_t before = t->cap_chunks;
    if (kvr_alloc_grow(t->alloc, &t->chunks, &t->cap_chunks, t->n_chunks + 1, sizeof *t->chunks))
        return -1;
    t->bytes += (t->cap_chunks - before) * sizeof *t->chunks;
    // Not zeroed: a node is written when it is first used.
    struct node *chunk = t->alloc->resize(t->alloc->ctx, NULL, TRUTH_CHUNK * sizeof *chunk);
    if (!chunk) return -1;
    t->chunks[t->n_chunks++] = chunk;
    t->bytes += TRUTH_CHUNK * sizeof *chunk;
    return 0;
}

static void make_top(struct truth *t) {
    *truth_node(t, 0) = (struct node){.flags = NODE_USED | NODE_PLACED};
    t->n_ids = 1;
    t->free = 0;
    t->blocks = t->holdings = t->orphans = t->refused = 0;
}

int truth_init(struct truth *t, const struct kvr_alloc *a, uint64_t secret, size_t max_blocks) {
    *t = (struct truth){.alloc = a, .secret = secret, .max_blocks = max_blocks};
    if (add_chunk(t)) {
        truth_free(t);
        return -1;
    }
    make_top(t);
    return 0;
}

void truth_free(struct truth *t) {
    for (size_t i = 0; i < t->n_chunks; i++)
        kvr_alloc_free(t->alloc, t->chunks[i]);
    for (size_t i = 0; i < TRUTH_SEGMENTS; i++)
        kvr_alloc_free(t->alloc, t->segments[i].ids);
    kvr_alloc_free(t->alloc, t->chunks);
    *t = (struct truth){.alloc = t->alloc};
}

void truth_clear(struct truth *t) {
    for (size_t i = 0; i < TRUTH_SEGMENTS; i++) {
        struct segment *s = &t->segments[i];
        if (s->used) memset(s->ids, 0, s->size * sizeof *s->ids);
        s->used = 0;
    }
    make_top(t);
}

enum kvr_code truth_reserve(struct truth *t, const uint64_t *parent, const uint64_t *hashes,
                            size_t n) {
    uint32_t more[TRUTH_SEGMENTS] = {0};
    size_t fresh = 0;
    for (size_t i = 0; i <= n; i++) {
        const uint64_t *hash = i < n ? &hashes[i] : parent;
        if (!hash || truth_find(t, *hash)) continue;
        more[mix(t, *hash) >> 56]++;
        fresh++;
    }
    if (fresh > t->max_blocks - t->blocks) return KVR_CODE_FULL;
    while (t->n_chunks * TRUTH_CHUNK - 1 - t->blocks < fresh)
        if (add_chunk(t)) return KVR_CODE_NOMEM;
    for (size_t i = 0; i < TRUTH_SEGMENTS; i++)
        if (more[i] && segment_reserve(t, &t->segments[i], more[i])) return KVR_CODE_NOMEM;
    return KVR_CODE_OK;
}

static uint32_t make(struct truth *t, uint64_t hash, unsigned flags) {
    uint32_t id = t->free ? t->free : t->n_ids++;
    struct node *n = truth_node(t, id);
    if (t->free) t->free = n->next;
    *n = (struct node){.hash = hash, .flags = (uint8_t)(NODE_USED | flags)};
    uint64_t mixed = mix(t, hash);
    insert(segment_of(t, mixed), mixed, id);
    t->blocks++;
    return id;
}

// ---- Links ---------------------------------------------------------------------------------------

static void attach(struct truth *t, uint32_t id, uint32_t parent) {
    struct node *n = truth_node(t, id), *above = truth_node(t, parent);
    n->parent = parent;
    n->prev = 0;
    n->next = above->child;
    if (n->next) truth_node(t, n->next)->prev = id;
    above->child = id;
}

static void detach(struct truth *t, uint32_t id) {
    struct node *n = truth_node(t, id);
    if (n->flags & NODE_PHANTOM) return; // in no list
    if (n->prev)
        truth_node(t, n->prev)->next = n->next;
    else
        truth_node(t, n->parent)->child = n->next;
    if (n->next) truth_node(t, n->next)->prev = n->prev;
}

uint32_t truth_after(const struct truth *t, uint32_t id, uint32_t root, bool past) {
    const struct node *n = truth_node(t, id);
    if (!past && n->child) return n->child;
    while (id != root && !n->next) {
        id = n->parent;
        n = truth_node(t, id);
    }
    return id == root ? 0 : n->next;
}

// All from id on is placed now, but for what hangs on refused blocks.
static void place(struct truth *t, uint32_t id) {
    for (uint32_t at = id; at;) {
        struct node *n = truth_node(t, at);
        bool refused = n->flags & NODE_REFUSED;
        if (!refused) {
            n->flags |= NODE_PLACED;
            t->orphans--;
        }
        at = truth_after(t, at, id, refused);
    }
}

static bool is_placed(const struct truth *t, uint32_t id) {
    return truth_node(t, id)->flags & NODE_PLACED;
}

// ---- Storing -------------------------------------------------------------------------------------

struct chain truth_chain(struct truth *t, const uint64_t *parent) {
    struct chain c = {0};
    if (!parent) return c;
    c.at = truth_find(t, *parent);
    if (!c.at) c.at = make(t, *parent, NODE_PHANTOM);
    return c;
}

// Whether the chain comes from this node, which is a phantom or the child of one.
static bool comes_from(const struct truth *t, struct chain *c, uint32_t id) {
    if (is_placed(t, c->at)) return false; // neither is ever above what is placed
    if (!c->head) {
        c->head = c->at;
        for (uint32_t above; (above = truth_node(t, c->head)->parent); c->head = above)
            c->second = c->head;
    }
    return c->head == id || c->second == id;
}

uint32_t truth_put(struct truth *t, struct chain *c, uint64_t hash, enum put *what) {
    uint32_t id = truth_find(t, hash);
    if (!id) {
        bool placed = is_placed(t, c->at);
        id = make(t, hash, placed ? NODE_PLACED : 0);
        attach(t, id, c->at);
        t->orphans += !placed;
        *what = PUT_NEW;
    } else {
        struct node *n = truth_node(t, id);
        bool phantom = n->flags & NODE_PHANTOM;
        if (!phantom && n->parent == c->at) {
            *what = PUT_OLD;
        } else {
            uint32_t old = n->parent;
            *what = PUT_REFUSED;
            if (!phantom && !(truth_node(t, old)->flags & NODE_PHANTOM)) return 0;
            if (comes_from(t, c, id)) return 0;
            detach(t, id);
            n->flags &= (uint8_t)~NODE_PHANTOM;
            attach(t, id, c->at);
            t->orphans += phantom;
            if (!phantom && truth_unneeded(t, old)) truth_drop(t, old);
            if (is_placed(t, c->at)) place(t, id);
            *what = PUT_JOINED;
        }
    }
    if (c->head && !c->second) c->second = id;
    c->at = id;
    return id;
}

void truth_hold(struct truth *t, uint32_t id, int tier) {
    struct node *n = truth_node(t, id);
    unsigned bit = 1u << tier;
    t->holdings += !(n->held & bit);
    n->held |= (uint8_t)bit;
}

void truth_unhold(struct truth *t, uint32_t id, int tier) {
    struct node *n = truth_node(t, id);
    unsigned bit = 1u << tier;
    t->holdings -= !!(n->held & bit);
    n->held &= (uint8_t)~bit;
}

bool truth_unneeded(const struct truth *t, uint32_t id) {
    const struct node *n = truth_node(t, id);
    return id && !n->held && !n->child;
}

uint32_t truth_drop(struct truth *t, uint32_t id) {
    struct node *n = truth_node(t, id);
    uint32_t parent = n->parent;
    detach(t, id);
    index_remove(t, id);
    t->blocks--;
    t->refused -= !!(n->flags & NODE_REFUSED);
    t->orphans -= !(n->flags & (NODE_PLACED | NODE_PHANTOM | NODE_REFUSED));
    *n = (struct node){.next = t->free};
    t->free = id;
    return parent;
}

// ---- Refused by the pool -------------------------------------------------------------------------

void truth_refuse(struct truth *t, uint32_t id) {
    for (uint32_t at = id; at;) {
        struct node *n = truth_node(t, at);
        bool placed = n->flags & NODE_PLACED;
        if (placed) {
            n->flags &= (uint8_t)~NODE_PLACED;
            n->told_in = 0;
            t->orphans++;
        }
        at = truth_after(t, at, id, !placed);
    }
    truth_node(t, id)->flags |= NODE_REFUSED;
    t->refused++;
    t->orphans--;
}

void truth_forgive(struct truth *t, uint32_t id) {
    struct node *n = truth_node(t, id);
    n->flags &= (uint8_t)~NODE_REFUSED;
    t->refused--;
    t->orphans++;
    if (is_placed(t, n->parent)) place(t, id);
}

void truth_forgive_all(struct truth *t) {
    for (uint32_t id = 1; t->refused && id < t->n_ids; id++)
        if (truth_node(t, id)->flags & NODE_REFUSED) truth_forgive(t, id);
}
