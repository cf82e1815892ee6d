// SPDX-License-Identifier: Apache-2.0
#include "held_blocks.h"

#include <string.h>

enum {
    HELD_LINE = 64,
    MAX_HELD_TAKEN = 13, // places of a bucket, on average
    HELD_AHEAD = 16,     // blocks of a call that are on their way from memory
};

_Static_assert(sizeof(struct kvr_held_bucket) == HELD_LINE, "a bucket is a line");

// ---- The index -----------------------------------------------------------------------------------

// Its high byte chooses the segment, its low half the bucket; what is between is the word's part of it.
static uint64_t mix(const struct kvr_held_blocks *t, uint64_t hash) {
    uint64_t x = (hash ^ t->secret) * (t->secret | 1);
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static struct kvr_held_bucket *bucket_of(const struct kvr_held_segment *s, uint64_t mixed) {
    return &s->buckets[(uint64_t)(uint32_t)mixed * s->n >> 32];
}

static struct kvr_held_bucket *after(const struct kvr_held_segment *s, struct kvr_held_bucket *b) {
    return b + 1 == s->buckets + s->n ? s->buckets : b + 1;
}

static uint32_t id_mask(uint32_t bits) {
    return (uint32_t)(((uint64_t)1 << bits) - 1);
}

static uint32_t mark_of(uint64_t mixed, uint32_t mask) {
    return (uint32_t)(mixed >> 24) & ~mask;
}

// The bits that an id may need now.
static uint32_t id_bits(const struct kvr_held_blocks *t) {
    uint32_t bits = 1;
    while ((uint64_t)1 << bits < t->n_chunks * KVR_HELD_CHUNK)
        bits++;
    return bits;
}

uint32_t kvr_held_find(const struct kvr_held_blocks *t, uint64_t hash) {
    uint64_t mixed = mix(t, hash);
    const struct kvr_held_segment *s = &t->segments[mixed >> 56];
    if (!s->used) return 0;
    uint32_t mask = id_mask(s->bits), mark = mark_of(mixed, mask);
    struct kvr_held_bucket *b = bucket_of(s, mixed);
    for (uint32_t left = s->n; left; left--, b = after(s, b)) {
        for (unsigned i = 0; i < KVR_HELD_BUCKET; i++) {
            uint32_t id = b->words[i] & mask;
            if ((b->words[i] & ~mask) == mark && id && kvr_held_node(t, id)->hash == hash)
                return id;
        }
        if (!b->passed) return 0;
    }
    return 0;
}

void kvr_held_prefetch(const struct kvr_held_blocks *t, uint64_t hash) {
    uint64_t mixed = mix(t, hash);
    const struct kvr_held_segment *s = &t->segments[mixed >> 56];
    if (s->used) __builtin_prefetch(bucket_of(s, mixed));
}

void kvr_held_prefetch_node(const struct kvr_held_blocks *t, uint64_t hash) {
    uint64_t mixed = mix(t, hash);
    const struct kvr_held_segment *s = &t->segments[mixed >> 56];
    if (!s->used) return;
    uint32_t mask = id_mask(s->bits), mark = mark_of(mixed, mask);
    const struct kvr_held_bucket *b = bucket_of(s, mixed);
    for (unsigned i = 0; i < KVR_HELD_BUCKET; i++)
        if ((b->words[i] & ~mask) == mark) __builtin_prefetch(kvr_held_node(t, b->words[i] & mask));
}

// Ids have outgrown their bits: less of each hash stays.
static void widen_ids(struct kvr_held_segment *s, uint32_t bits) {
    uint32_t keep = id_mask(s->bits) | ~id_mask(bits);
    for (uint32_t k = 0; k < s->n; k++)
        for (unsigned i = 0; i < KVR_HELD_BUCKET; i++)
            s->buckets[k].words[i] &= keep;
    s->bits = bits;
}

static void insert(struct kvr_held_segment *s, uint64_t mixed, uint32_t id) {
    for (struct kvr_held_bucket *b = bucket_of(s, mixed);; b = after(s, b)) {
        unsigned i = 0;
        while (i < KVR_HELD_BUCKET && b->words[i])
            i++;
        if (i < KVR_HELD_BUCKET) {
            b->words[i] = mark_of(mixed, id_mask(s->bits)) | id;
            s->used++;
            return;
        }
        b->passed++;
    }
}

static size_t segment_bytes(const struct kvr_held_segment *s) {
    return s->memory ? s->n * sizeof *s->buckets + HELD_LINE : 0;
}

static void insert_all(struct kvr_held_blocks *t, struct kvr_held_segment *s,
                       const struct kvr_held_segment *old) {
    uint32_t mask = id_mask(old->bits);
    for (uint32_t k = 0; k < old->n; k++) {
        const struct kvr_held_bucket *b = &old->buckets[k];
        for (unsigned i = 0; i < KVR_HELD_BUCKET; i++) {
            uint32_t id = b->words[i] & mask;
            if (k + 2 < old->n) __builtin_prefetch(kvr_held_node(t, b[2].words[i] & mask));
            if (id) insert(s, mix(t, kvr_held_node(t, id)->hash), id);
        }
    }
}

// Room for so many more.
static int segment_reserve(struct kvr_held_blocks *t, struct kvr_held_segment *s, uint32_t more) {
    struct kvr_held_segment old = *s;
    uint32_t n = old.n;
    while ((uint64_t)old.used + more > (uint64_t)n * MAX_HELD_TAKEN)
        n += n / 8 + 1;
    if (n == old.n) return 0;
    size_t size = n * sizeof *s->buckets + HELD_LINE;
    char *memory = kvr_alloc_zeroed(t->alloc, size);
    if (!memory) return -1;
    char *line = memory + HELD_LINE - (uintptr_t)memory % HELD_LINE;
    *s = (struct kvr_held_segment){.memory = memory,
                                   .buckets = (struct kvr_held_bucket *)(void *)line,
                                   .n = n,
                                   .bits = id_bits(t)};
    insert_all(t, s, &old);
    t->bytes += size - segment_bytes(&old);
    kvr_alloc_free(t->alloc, old.memory);
    return 0;
}

static void index_add(struct kvr_held_blocks *t, uint64_t hash, uint32_t id) {
    uint64_t mixed = mix(t, hash);
    struct kvr_held_segment *s = &t->segments[mixed >> 56];
    if (id & ~id_mask(s->bits)) widen_ids(s, id_bits(t));
    insert(s, mixed, id);
}

static void index_remove(struct kvr_held_blocks *t, uint32_t id) {
    uint64_t mixed = mix(t, kvr_held_node(t, id)->hash);
    struct kvr_held_segment *s = &t->segments[mixed >> 56];
    uint32_t mask = id_mask(s->bits);
    for (struct kvr_held_bucket *b = bucket_of(s, mixed);; b = after(s, b)) {
        for (unsigned i = 0; i < KVR_HELD_BUCKET; i++) {
            if ((b->words[i] & mask) != id) continue;
            b->words[i] = 0;
            s->used--;
            return;
        }
        b->passed--;
    }
}

// ---- Memory --------------------------------------------------------------------------------------

// One more chunk of nodes or links, whose pointers are in *chunks. Not zeroed: what is in it is written when it is
// first used.
static int add_chunk(struct kvr_held_blocks *t, void *chunks, size_t *n, size_t *cap,
                     size_t width) {
    void **list, *chunk;
    size_t before = *cap;
    if (kvr_alloc_grow(t->alloc, chunks, cap, *n + 1, sizeof *list)) return -1;
    t->bytes += (*cap - before) * sizeof *list;
    chunk = t->alloc->resize(t->alloc->ctx, NULL, KVR_HELD_CHUNK * width);
    if (!chunk) return -1;
    memcpy(&list, chunks, sizeof list);
    list[(*n)++] = chunk;
    t->bytes += KVR_HELD_CHUNK * width;
    return 0;
}

static int add_nodes(struct kvr_held_blocks *t) {
    return add_chunk(t, &t->chunks, &t->n_chunks, &t->cap_chunks, sizeof(struct kvr_held_node));
}

static int add_links(struct kvr_held_blocks *t) {
    return add_chunk(t, &t->link_chunks, &t->n_link_chunks, &t->cap_link_chunks,
                     sizeof(struct kvr_held_link));
}

static void make_top(struct kvr_held_blocks *t) {
    *kvr_held_node(t, 0) = (struct kvr_held_node){.flags = KVR_NODE_USED | KVR_NODE_PLACED};
    t->n_ids = t->n_links = 1;
    t->free = t->free_link = 0;
    t->blocks = t->links = t->holdings = t->orphans = t->refused = 0;
}

int kvr_held_init(struct kvr_held_blocks *t, const struct kvr_alloc *a, uint64_t secret,
                  size_t max_blocks) {
    *t = (struct kvr_held_blocks){.alloc = a, .secret = secret, .max_blocks = max_blocks};
    if (add_nodes(t)) {
        kvr_held_free(t);
        return -1;
    }
    make_top(t);
    return 0;
}

void kvr_held_free(struct kvr_held_blocks *t) {
    for (size_t i = 0; i < t->n_chunks; i++)
        kvr_alloc_free(t->alloc, t->chunks[i]);
    for (size_t i = 0; i < t->n_link_chunks; i++)
        kvr_alloc_free(t->alloc, t->link_chunks[i]);
    for (size_t i = 0; i < KVR_HELD_SEGMENTS; i++)
        kvr_alloc_free(t->alloc, t->segments[i].memory);
    kvr_alloc_free(t->alloc, t->chunks);
    kvr_alloc_free(t->alloc, t->link_chunks);
    *t = (struct kvr_held_blocks){.alloc = t->alloc};
}

void kvr_held_clear(struct kvr_held_blocks *t) {
    for (size_t i = 0; i < KVR_HELD_SEGMENTS; i++) {
        struct kvr_held_segment *s = &t->segments[i];
        if (s->used) memset(s->buckets, 0, s->n * sizeof *s->buckets);
        s->used = 0;
    }
    make_top(t);
}

void kvr_held_untell(struct kvr_held_blocks *t) {
    for (uint32_t id = 0; id < t->n_ids; id++)
        kvr_held_node(t, id)->told_in = 0;
}

// What a call needs at the most.
struct held_need {
    size_t blocks, links;
};

// A block that has its place already needs nothing, one that comes after a block that is new as well no link: that
// has no child yet. Any other may be the second child somewhere, which takes two links.
static struct held_need count_need(struct kvr_held_blocks *t, const uint64_t *parent,
                                   const uint64_t *hashes, size_t n) {
    struct held_need need = {0};
    uint32_t before = parent ? kvr_held_find(t, *parent) : 0;
    bool fresh = parent && !before;
    if (fresh) {
        need.blocks++;
        t->segments[mix(t, *parent) >> 56].wanted++;
    }
    for (size_t i = 0; i < n; i++) {
        if (i + HELD_AHEAD < n) kvr_held_prefetch(t, hashes[i + HELD_AHEAD]);
        uint32_t id = kvr_held_find(t, hashes[i]);
        const struct kvr_held_node *node = kvr_held_node(t, id);
        bool in_place =
            id && !fresh && !(node->flags & KVR_NODE_PHANTOM) && kvr_held_parent(t, node) == before;
        if (!in_place && (id || !fresh)) need.links += 2;
        fresh = !id;
        before = id;
        if (!fresh) continue;
        need.blocks++;
        t->segments[mix(t, hashes[i]) >> 56].wanted++;
    }
    return need;
}

static enum kvr_code take_memory(struct kvr_held_blocks *t, const struct held_need *need) {
    if (need->blocks > t->max_blocks - t->blocks) return KVR_CODE_FULL;
    while (t->n_chunks * KVR_HELD_CHUNK - 1 - t->blocks < need->blocks)
        if (add_nodes(t)) return KVR_CODE_NOMEM;
    while (need->links && t->n_link_chunks * KVR_HELD_CHUNK < need->links + t->links + 1)
        if (add_links(t)) return KVR_CODE_NOMEM;
    return KVR_CODE_OK;
}

enum kvr_code kvr_held_reserve(struct kvr_held_blocks *t, const uint64_t *parent,
                               const uint64_t *hashes, size_t n) {
    if (parent) kvr_held_prefetch(t, *parent);
    for (size_t i = 0; i < n && i < HELD_AHEAD; i++)
        kvr_held_prefetch(t, hashes[i]);
    struct held_need need = count_need(t, parent, hashes, n);
    enum kvr_code code = take_memory(t, &need);
    for (size_t i = 0; need.blocks && i <= n; i++) {
        const uint64_t *hash = i < n ? &hashes[i] : parent;
        struct kvr_held_segment *s = hash ? &t->segments[mix(t, *hash) >> 56] : NULL;
        if (!s || !s->wanted) continue;
        if (code == KVR_CODE_OK && segment_reserve(t, s, s->wanted)) code = KVR_CODE_NOMEM;
        s->wanted = 0;
    }
    return code;
}

static uint32_t make(struct kvr_held_blocks *t, uint64_t hash, unsigned flags) {
    uint32_t id = t->free ? t->free : t->n_ids++;
    struct kvr_held_node *n = kvr_held_node(t, id);
    if (t->free) t->free = n->parent;
    *n = (struct kvr_held_node){.hash = hash, .flags = (uint8_t)(KVR_NODE_USED | flags)};
    index_add(t, hash, id);
    t->blocks++;
    return id;
}

// ---- Links ---------------------------------------------------------------------------------------

// A link to this node, in front of `next`. There is one free: kvr_held_reserve saw to it.
static uint32_t take_link(struct kvr_held_blocks *t, uint32_t node, uint32_t parent,
                          uint32_t next) {
    uint32_t link = t->free_link ? t->free_link : t->n_links++;
    struct kvr_held_link *l = kvr_held_link(t, link);
    if (t->free_link) t->free_link = l->next;
    *l = (struct kvr_held_link){node, parent, next, 0};
    if (next) kvr_held_link(t, next)->prev = link;
    struct kvr_held_node *n = kvr_held_node(t, node);
    n->parent = link;
    n->flags |= KVR_NODE_SIBLING;
    t->links++;
    return link;
}

// Its node is an only child, or nobody's.
static void drop_link(struct kvr_held_blocks *t, uint32_t link, uint32_t parent) {
    struct kvr_held_link *l = kvr_held_link(t, link);
    struct kvr_held_node *n = kvr_held_node(t, l->node);
    n->parent = parent;
    n->flags &= (uint8_t)~KVR_NODE_SIBLING;
    *l = (struct kvr_held_link){.next = t->free_link};
    t->free_link = link;
    t->links--;
}

// As the first child.
static void attach(struct kvr_held_blocks *t, uint32_t id, uint32_t parent) {
    struct kvr_held_node *above = kvr_held_node(t, parent);
    if (!above->child) {
        above->child = id;
        kvr_held_node(t, id)->parent = parent;
        return;
    }
    if (!(above->flags & KVR_NODE_FORK)) {
        above->child = take_link(t, above->child, parent, 0);
        above->flags |= KVR_NODE_FORK;
    }
    above->child = take_link(t, id, parent, above->child);
}

static void detach(struct kvr_held_blocks *t, uint32_t id) {
    struct kvr_held_node *n = kvr_held_node(t, id);
    if (n->flags & KVR_NODE_PHANTOM) return; // it is nobody's child
    uint32_t parent = kvr_held_parent(t, n);
    struct kvr_held_node *above = kvr_held_node(t, parent);
    if (!(n->flags & KVR_NODE_SIBLING)) {
        above->child = 0;
        n->parent = 0;
        return;
    }
    const struct kvr_held_link *l = kvr_held_link(t, n->parent);
    if (l->prev)
        kvr_held_link(t, l->prev)->next = l->next;
    else
        above->child = l->next;
    if (l->next) kvr_held_link(t, l->next)->prev = l->prev;
    drop_link(t, n->parent, 0);
    uint32_t first = above->child;
    if (kvr_held_link(t, first)->next) return;
    above->child = kvr_held_link(t, first)->node; // it is alone now
    above->flags &= (uint8_t)~KVR_NODE_FORK;
    drop_link(t, first, parent);
}

uint32_t kvr_held_after(const struct kvr_held_blocks *t, uint32_t id, uint32_t root, bool past) {
    const struct kvr_held_node *n = kvr_held_node(t, id);
    if (!past && n->child) return kvr_held_child(t, n);
    for (; id != root; n = kvr_held_node(t, id)) {
        uint32_t next = kvr_held_next(t, n);
        if (next) return next;
        id = kvr_held_parent(t, n);
    }
    return 0;
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
        for (uint32_t above; (above = kvr_held_parent(t, kvr_held_node(t, c->head)));
             c->head = above)
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
        uint32_t old = kvr_held_parent(t, n);
        if (!phantom && old == c->at) {
            *what = KVR_PUT_OLD;
        } else {
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
    uint32_t parent = kvr_held_parent(t, n);
    detach(t, id);
    index_remove(t, id);
    t->blocks--;
    t->refused -= !!(n->flags & KVR_NODE_REFUSED);
    t->orphans -= !(n->flags & (KVR_NODE_PLACED | KVR_NODE_PHANTOM | KVR_NODE_REFUSED));
    *n = (struct kvr_held_node){.parent = t->free};
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
    if (is_placed(t, kvr_held_parent(t, n))) place(t, id);
}

void kvr_held_forgive_all(struct kvr_held_blocks *t) {
    for (uint32_t id = 1; t->refused && id < t->n_ids; id++)
        if (kvr_held_node(t, id)->flags & KVR_NODE_REFUSED) kvr_held_forgive(t, id);
}
