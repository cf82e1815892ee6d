// SPDX-License-Identifier: Apache-2.0
#include "held_blocks.h"

#include <string.h>

enum { MIN_SEGMENT = 16 };

// ---- The index -----------------------------------------------------------------------------------

static uint64_t mix(const struct kvr_held_blocks *t, uint64_t hash) {
    uint64_t x = (hash ^ t->secret) * (t->secret | 1);
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static struct kvr_held_segment *segment_of(struct kvr_held_blocks *t, uint64_t mixed) {
    return &t->segments[mixed >> 56];
}

uint32_t kvr_held_find(const struct kvr_held_blocks *t, uint64_t hash) {
    uint64_t mixed = mix(t, hash);
    const struct kvr_held_segment *s = &t->segments[mixed >> 56];
    if (!s->size) return 0;
    for (uint32_t i = (uint32_t)mixed;; i++) {
        uint32_t id = s->ids[i & (s->size - 1)];
        if (!id || kvr_held_node(t, id)->hash == hash) return id;
    }
}

static void insert(struct kvr_held_segment *s, uint64_t mixed, uint32_t id) {
    uint32_t i = (uint32_t)mixed & (s->size - 1);
    while (s->ids[i])
        i = (i + 1) & (s->size - 1);
    s->ids[i] = id;
    s->used++;
}

// Room for so many more, with a quarter of the places free.
static int segment_reserve(struct kvr_held_blocks *t, struct kvr_held_segment *s, uint32_t more) {
    uint32_t size = s->size ? s->size : MIN_SEGMENT;
    while ((uint64_t)s->used + more > (uint64_t)size / 4 * 3)
        size *= 2;
    if (size == s->size) return 0;
    uint32_t *ids = kvr_alloc_zeroed(t->alloc, size * sizeof *ids);
    if (!ids) return -1;
    struct kvr_held_segment old = *s;
    *s = (struct kvr_held_segment){ids, size, 0};
    for (uint32_t i = 0; i < old.size; i++)
        if (old.ids[i]) insert(s, mix(t, kvr_held_node(t, old.ids[i])->hash), old.ids[i]);
    kvr_alloc_free(t->alloc, old.ids);
    t->bytes += (size - old.size) * sizeof *ids;
    return 0;
}

// What stands behind in the same stretch moves up, unless it would pass its own first place.
static void index_remove(struct kvr_held_blocks *t, uint32_t id) {
    uint64_t mixed = mix(t, kvr_held_node(t, id)->hash);
    struct kvr_held_segment *s = segment_of(t, mixed);
    uint32_t mask = s->size - 1, hole = (uint32_t)mixed & mask;
    while (s->ids[hole] != id)
        hole = (hole + 1) & mask;
    for (uint32_t i = (hole + 1) & mask; s->ids[i]; i = (i + 1) & mask) {
        uint32_t first = (uint32_t)mix(t, kvr_held_node(t, s->ids[i])->hash) & mask;
        if (((i - first) & mask) < ((i - hole) & mask)) continue;
        s->ids[hole] = s->ids[i];
        hole = i;
    }
    s->ids[hole] = 0;
    s->used--;
}

// ---- Memory --------------------------------------------------------------------------------------

static int add_chunk(struct kvr_held_blocks *t) {
    size_t before = t->cap_chunks;
    if (kvr_alloc_grow(t->alloc, &t->chunks, &t->cap_chunks, t->n_chunks + 1, sizeof *t->chunks))
        return -1;
    t->bytes += (t->cap_chunks - before) * sizeof *t->chunks;
    // Not zeroed: a node is written when it is first used.
    struct kvr_held_node *chunk =
        t->alloc->resize(t->alloc->ctx, NULL, KVR_HELD_CHUNK * sizeof *chunk);
    if (!chunk) return -1;
    t->chunks[t->n_chunks++] = chunk;
    t->bytes += KVR_HELD_CHUNK * sizeof *chunk;
    return 0;
}

static void make_top(struct kvr_held_blocks *t) {
    *kvr_held_node(t, 0) = (struct kvr_held_node){.flags = KVR_NODE_USED | KVR_NODE_PLACED};
    t->n_ids = 1;
    t->free = 0;
    t->blocks = t->holdings = t->orphans = t->refused = 0;
}

int kvr_held_init(struct kvr_held_blocks *t, const struct kvr_alloc *a, uint64_t secret,
                  size_t max_blocks) {
    *t = (struct kvr_held_blocks){.alloc = a, .secret = secret, .max_blocks = max_blocks};
    if (add_chunk(t)) {
        kvr_held_free(t);
        return -1;
    }
    make_top(t);
    return 0;
}

void kvr_held_free(struct kvr_held_blocks *t) {
    for (size_t i = 0; i < t->n_chunks; i++)
        kvr_alloc_free(t->alloc, t->chunks[i]);
    for (size_t i = 0; i < KVR_HELD_SEGMENTS; i++)
        kvr_alloc_free(t->alloc, t->segments[i].ids);
    kvr_alloc_free(t->alloc, t->chunks);
    *t = (struct kvr_held_blocks){.alloc = t->alloc};
}

void kvr_held_clear(struct kvr_held_blocks *t) {
    for (size_t i = 0; i < KVR_HELD_SEGMENTS; i++) {
        struct kvr_held_segment *s = &t->segments[i];
        if (s->used) memset(s->ids, 0, s->size * sizeof *s->ids);
        s->used = 0;
    }
    make_top(t);
}

enum kvr_code kvr_held_reserve(struct kvr_held_blocks *t, const uint64_t *parent,
                               const uint64_t *hashes, size_t n) {
    uint32_t more[KVR_HELD_SEGMENTS] = {0};
    size_t fresh = 0;
    for (size_t i = 0; i <= n; i++) {
        const uint64_t *hash = i < n ? &hashes[i] : parent;
        if (!hash || kvr_held_find(t, *hash)) continue;
        more[mix(t, *hash) >> 56]++;
        fresh++;
    }
    if (fresh > t->max_blocks - t->blocks) return KVR_CODE_FULL;
    while (t->n_chunks * KVR_HELD_CHUNK - 1 - t->blocks < fresh)
        if (add_chunk(t)) return KVR_CODE_NOMEM;
    for (size_t i = 0; i < KVR_HELD_SEGMENTS; i++)
        if (more[i] && segment_reserve(t, &t->segments[i], more[i])) return KVR_CODE_NOMEM;
    return KVR_CODE_OK;
}

static uint32_t make(struct kvr_held_blocks *t, uint64_t hash, unsigned flags) {
    uint32_t id = t->free ? t->free : t->n_ids++;
    struct kvr_held_node *n = kvr_held_node(t, id);
    if (t->free) t->free = n->next;
    *n = (struct kvr_held_node){.hash = hash, .flags = (uint8_t)(KVR_NODE_USED | flags)};
    uint64_t mixed = mix(t, hash);
    insert(segment_of(t, mixed), mixed, id);
    t->blocks++;
    return id;
}

// ---- Links ---------------------------------------------------------------------------------------

static void attach(struct kvr_held_blocks *t, uint32_t id, uint32_t parent) {
    struct kvr_held_node *n = kvr_held_node(t, id), *above = kvr_held_node(t, parent);
    n->parent = parent;
    n->prev = 0;
    n->next = above->child;
    if (n->next) kvr_held_node(t, n->next)->prev = id;
    above->child = id;
}

static void detach(struct kvr_held_blocks *t, uint32_t id) {
    struct kvr_held_node *n = kvr_held_node(t, id);
    if (n->flags & KVR_NODE_PHANTOM) return; // in no list
    if (n->prev)
        kvr_held_node(t, n->prev)->next = n->next;
    else
        kvr_held_node(t, n->parent)->child = n->next;
    if (n->next) kvr_held_node(t, n->next)->prev = n->prev;
}

uint32_t kvr_held_after(const struct kvr_held_blocks *t, uint32_t id, uint32_t root, bool past) {
    const struct kvr_held_node *n = kvr_held_node(t, id);
    if (!past && n->child) return n->child;
    while (id != root && !n->next) {
        id = n->parent;
        n = kvr_held_node(t, id);
    }
    return id == root ? 0 : n->next;
}

// All from id on is placed now, but for what hangs on refused blocks.
static void place(struct kvr_held_blocks *t, uint32_t id) {
    for (uint32_t at = id; at;) {
        struct kvr_held_node *n = kvr_held_node(t, at);
        bool refused = n->flags & KVR_NODE_REFUSED;
        if (!refused) {
            n->flags |= KVR_NODE_PLACED;
            t->orphans--;
        }
        at = kvr_held_after(t, at, id, refused);
    }
}

static bool is_placed(const struct kvr_held_blocks *t, uint32_t id) {
    return kvr_held_node(t, id)->flags & KVR_NODE_PLACED;
}

// ---- Storing -------------------------------------------------------------------------------------

struct kvr_chain kvr_held_chain(struct kvr_held_blocks *t, const uint64_t *parent) {
    struct kvr_chain c = {0};
    if (!parent) return c;
    c.at = kvr_held_find(t, *parent);
    if (!c.at) c.at = make(t, *parent, KVR_NODE_PHANTOM);
    return c;
}

// Whether the chain comes from this node, which is a phantom or the child of one.
static bool comes_from(const struct kvr_held_blocks *t, struct kvr_chain *c, uint32_t id) {
    if (is_placed(t, c->at)) return false; // neither is ever above what is placed
    if (!c->head) {
        c->head = c->at;
        for (uint32_t above; (above = kvr_held_node(t, c->head)->parent); c->head = above)
            c->second = c->head;
    }
    return c->head == id || c->second == id;
}

uint32_t kvr_held_put(struct kvr_held_blocks *t, struct kvr_chain *c, uint64_t hash,
                      enum kvr_put *what) {
    uint32_t id = kvr_held_find(t, hash);
    if (!id) {
        bool placed = is_placed(t, c->at);
        id = make(t, hash, placed ? KVR_NODE_PLACED : 0);
        attach(t, id, c->at);
        t->orphans += !placed;
        *what = KVR_PUT_NEW;
    } else {
        struct kvr_held_node *n = kvr_held_node(t, id);
        bool phantom = n->flags & KVR_NODE_PHANTOM;
        if (!phantom && n->parent == c->at) {
            *what = KVR_PUT_OLD;
        } else {
            uint32_t old = n->parent;
            *what = KVR_PUT_REFUSED;
            if (!phantom && !(kvr_held_node(t, old)->flags & KVR_NODE_PHANTOM)) return 0;
            if (comes_from(t, c, id)) return 0;
            detach(t, id);
            n->flags &= (uint8_t)~KVR_NODE_PHANTOM;
            attach(t, id, c->at);
            t->orphans += phantom;
            if (!phantom && kvr_held_unneeded(t, old)) kvr_held_drop(t, old);
            if (is_placed(t, c->at)) place(t, id);
            *what = KVR_PUT_JOINED;
        }
    }
    if (c->head && !c->second) c->second = id;
    c->at = id;
    return id;
}

void kvr_held_hold(struct kvr_held_blocks *t, uint32_t id, int tier) {
    struct kvr_held_node *n = kvr_held_node(t, id);
    unsigned bit = 1u << tier;
    t->holdings += !(n->held & bit);
    n->held |= (uint8_t)bit;
}

void kvr_held_unhold(struct kvr_held_blocks *t, uint32_t id, int tier) {
    struct kvr_held_node *n = kvr_held_node(t, id);
    unsigned bit = 1u << tier;
    t->holdings -= !!(n->held & bit);
    n->held &= (uint8_t)~bit;
}

bool kvr_held_unneeded(const struct kvr_held_blocks *t, uint32_t id) {
    const struct kvr_held_node *n = kvr_held_node(t, id);
    return id && !n->held && !n->child;
}

uint32_t kvr_held_drop(struct kvr_held_blocks *t, uint32_t id) {
    struct kvr_held_node *n = kvr_held_node(t, id);
    uint32_t parent = n->parent;
    detach(t, id);
    index_remove(t, id);
    t->blocks--;
    t->refused -= !!(n->flags & KVR_NODE_REFUSED);
    t->orphans -= !(n->flags & (KVR_NODE_PLACED | KVR_NODE_PHANTOM | KVR_NODE_REFUSED));
    *n = (struct kvr_held_node){.next = t->free};
    t->free = id;
    return parent;
}

// ---- Refused by the pool -------------------------------------------------------------------------

void kvr_held_refuse(struct kvr_held_blocks *t, uint32_t id) {
    for (uint32_t at = id; at;) {
        struct kvr_held_node *n = kvr_held_node(t, at);
        bool placed = n->flags & KVR_NODE_PLACED;
        if (placed) {
            n->flags &= (uint8_t)~KVR_NODE_PLACED;
            n->told_in = 0;
            t->orphans++;
        }
        at = kvr_held_after(t, at, id, !placed);
    }
    kvr_held_node(t, id)->flags |= KVR_NODE_REFUSED;
    t->refused++;
    t->orphans--;
}

void kvr_held_forgive(struct kvr_held_blocks *t, uint32_t id) {
    struct kvr_held_node *n = kvr_held_node(t, id);
    n->flags &= (uint8_t)~KVR_NODE_REFUSED;
    t->refused--;
    t->orphans++;
    if (is_placed(t, n->parent)) place(t, id);
}

void kvr_held_forgive_all(struct kvr_held_blocks *t) {
    for (uint32_t id = 1; t->refused && id < t->n_ids; id++)
        if (kvr_held_node(t, id)->flags & KVR_NODE_REFUSED) kvr_held_forgive(t, id);
}
