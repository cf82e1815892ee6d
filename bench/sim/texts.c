// SPDX-License-Identifier: Apache-2.0
// The tree of prompts that text routers keep; see texts.h.
#include "texts.h"

#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"

enum { ROOT = 0, NONE = UINT32_MAX };

// Whom a node's text was sent to. used counts up; 0: only on the way to something longer.
struct holder {
    uint32_t worker;
    uint64_t used;
};

struct node {
    const uint64_t *hashes; // the load's
    uint32_t blocks, tokens;
    uint32_t parent, child, next, prev; // the first child; siblings. A spare node: next
    uint32_t owner;                     // who brought it
    uint32_t n, room;
    struct holder *holders; // in the order in which they came
};

struct texts {
    const struct workload *load;
    struct node *nodes; // 0 is the root
    size_t n, room;
    uint32_t spare;
    uint32_t *table; // nodes by their first block, linear probing; ROOT: empty
    size_t mask, filled;
    uint64_t *size, total; // tokens; by worker
    uint32_t workers;
    uint64_t used;
};

// ---- The table: a prefix hash names all that precedes it, so it finds a child without its parent --------

static size_t place(const struct texts *t, uint64_t hash) {
    size_t i = random_mix(hash) & t->mask;
    while (t->table[i] != ROOT && t->nodes[t->table[i]].hashes[0] != hash)
        i = (i + 1) & t->mask;
    return i;
}

static void grow_table(struct texts *t) {
    uint32_t *old = t->table;
    size_t size = t->mask + 1;
    t->mask = 2 * size - 1;
    t->table = memory_take(2 * size, sizeof *t->table);
    for (size_t i = 0; i < size; i++)
        if (old[i] != ROOT) t->table[place(t, t->nodes[old[i]].hashes[0])] = old[i];
    free(old);
}

static void put(struct texts *t, uint32_t at) {
    if (!t->nodes[at].blocks) return; // only what no other prompt has
    if (++t->filled * 2 > t->mask) grow_table(t);
    t->table[place(t, t->nodes[at].hashes[0])] = at;
}

static void take_out(struct texts *t, uint32_t at) {
    if (!t->nodes[at].blocks) return;
    size_t i = place(t, t->nodes[at].hashes[0]);
    t->table[i] = ROOT;
    t->filled--;
    for (size_t j = (i + 1) & t->mask; t->table[j] != ROOT; j = (j + 1) & t->mask) {
        size_t home = random_mix(t->nodes[t->table[j]].hashes[0]) & t->mask;
        if (((j - home) & t->mask) < ((j - i) & t->mask)) continue;
        t->table[i] = t->table[j];
        t->table[j] = ROOT;
        i = j;
    }
}

// ---- Nodes ---------------------------------------------------------------------------------------

static void adopt(struct texts *t, uint32_t parent, uint32_t at) {
    struct node *x = &t->nodes[at];
    x->parent = parent;
    x->prev = NONE;
    x->next = t->nodes[parent].child;
    if (x->next != NONE) t->nodes[x->next].prev = at;
    t->nodes[parent].child = at;
}

static void leave(struct texts *t, uint32_t at) {
    struct node *x = &t->nodes[at];
    if (x->prev != NONE)
        t->nodes[x->prev].next = x->next;
    else
        t->nodes[x->parent].child = x->next;
    if (x->next != NONE) t->nodes[x->next].prev = x->prev;
}

static uint32_t new_node(struct texts *t, const uint64_t *hashes, uint32_t blocks, uint32_t tokens,
                         uint32_t owner) {
    uint32_t at = t->spare;
    if (at != NONE) {
        t->spare = t->nodes[at].next;
    } else {
        t->nodes = memory_grow(t->nodes, &t->room, t->n + 1, sizeof *t->nodes);
        at = (uint32_t)t->n++;
        t->nodes[at] = (struct node){0};
    }
    struct node *x = &t->nodes[at];
    *x = (struct node){.hashes = hashes,
                       .blocks = blocks,
                       .tokens = tokens,
                       .child = NONE,
                       .owner = owner,
                       .room = x->room,
                       .holders = x->holders};
    return at;
}

static struct holder *holder_of(const struct texts *t, uint32_t at, uint32_t worker) {
    const struct node *x = &t->nodes[at];
    for (uint32_t i = 0; i < x->n; i++)
        if (x->holders[i].worker == worker) return &x->holders[i];
    return NULL;
}

static void append_holder(struct node *x, struct holder h) {
    size_t room = x->room;
    x->holders = memory_grow(x->holders, &room, x->n + 1, sizeof *x->holders);
    x->room = (uint32_t)room;
    x->holders[x->n++] = h;
}

static void count(struct texts *t, uint32_t worker, uint64_t tokens) {
    t->size[worker] += tokens;
    t->total += tokens;
}

static void attach(struct texts *t, uint32_t at, uint32_t worker) {
    if (at == ROOT || holder_of(t, at, worker)) return;
    append_holder(&t->nodes[at], (struct holder){worker, 0});
    count(t, worker, t->nodes[at].tokens);
}

// Parts a node after its first blocks, of which at least one is left; returns the new first part.
static uint32_t split(struct texts *t, uint32_t at, uint32_t blocks) {
    uint32_t tokens = blocks * t->load->block_size;
    uint32_t front = new_node(t, t->nodes[at].hashes, blocks, tokens, t->nodes[at].owner);
    struct node *x = &t->nodes[at];
    for (uint32_t i = 0; i < x->n; i++)
        append_holder(&t->nodes[front], x->holders[i]);
    take_out(t, at);
    leave(t, at);
    adopt(t, x->parent, front);
    adopt(t, front, at);
    x->hashes += blocks;
    x->blocks -= blocks;
    x->tokens -= tokens;
    put(t, front);
    put(t, at);
    return front;
}

struct texts *texts_new(const struct workload *load, uint32_t workers) {
    struct texts *t = memory_take(1, sizeof *t);
    *t = (struct texts){.load = load,
                        .spare = NONE,
                        .mask = 1023,
                        .table = memory_take(1024, sizeof *t->table),
                        .size = memory_take(workers, sizeof *t->size),
                        .workers = workers};
    new_node(t, NULL, 0, 0, 0);
    t->nodes[ROOT].next = t->nodes[ROOT].prev = NONE;
    return t;
}

void texts_free(struct texts *t) {
    if (!t) return;
    for (size_t i = 0; i < t->n; i++)
        free(t->nodes[i].holders);
    free(t->nodes);
    free(t->table);
    free(t->size);
    free(t);
}

// ---- Searching and inserting ---------------------------------------------------------------------

// Goes down from a node as long as whole nodes agree with the request, of which `done` blocks are behind.
// Returns the last of these; *partly is the next if it agrees in its first *shared blocks, else ROOT.
struct descent {
    uint32_t at, partly, shared;
    uint32_t done; // blocks
};

static uint32_t child_of(const struct texts *t, uint64_t hash) {
    return t->table[place(t, hash)];
}

static uint32_t agree(const struct node *x, const uint64_t *hashes, uint32_t n) {
    uint32_t i = 0;
    while (i < x->blocks && i < n && x->hashes[i] == hashes[i])
        i++;
    return i;
}

static struct descent descend(const struct texts *t, uint32_t request) {
    const uint64_t *hashes = request_hashes(t->load, request);
    uint32_t n = t->load->requests[request].blocks;
    struct descent d = {ROOT, ROOT, 0, 0};
    while (d.done < n) {
        uint32_t child = child_of(t, hashes[d.done]);
        if (child == ROOT) return d;
        const struct node *x = &t->nodes[child];
        uint32_t same = agree(x, hashes + d.done, n - d.done);
        if (same < x->blocks || x->tokens > x->blocks * t->load->block_size) {
            d.partly = child;
            d.shared = same;
            return d;
        }
        d.done += same;
        d.at = child;
    }
    return d;
}

struct texts_match texts_find(struct texts *t, uint32_t request) {
    struct descent d = descend(t, request);
    uint32_t at = d.partly != ROOT ? d.partly : d.at;
    struct node *x = &t->nodes[at];
    struct texts_match m = {.tokens = (uint64_t)(d.done + d.shared) * t->load->block_size};
    t->used++;
    if (at == ROOT || !x->n) return m;
    if (!holder_of(t, at, x->owner)) x->owner = x->holders[0].worker;
    m.owner = x->owner;
    while (m.n_holders < x->n && m.n_holders < TEXTS_HOLDERS) {
        m.holders[m.n_holders] = x->holders[m.n_holders].worker;
        m.n_holders++;
    }
    if (t->used % 8 == 0) holder_of(t, at, x->owner)->used = t->used;
    return m;
}

void texts_insert(struct texts *t, uint32_t request, uint32_t worker) {
    const struct request *q = &t->load->requests[request];
    struct descent d = descend(t, request);
    if (d.partly != ROOT) {
        d.at = split(t, d.partly, d.shared);
        d.done += d.shared;
    }
    for (uint32_t at = d.at; at != ROOT; at = t->nodes[at].parent)
        attach(t, at, worker);
    uint32_t rest = q->isl - d.done * t->load->block_size;
    t->used++;
    if (rest) {
        uint32_t leaf = new_node(t, request_hashes(t->load, request) + d.done, q->blocks - d.done,
                                 rest, worker);
        adopt(t, d.at, leaf);
        put(t, leaf);
        attach(t, leaf, worker);
        d.at = leaf;
    }
    if (d.at != ROOT) holder_of(t, d.at, worker)->used = t->used;
}

// ---- Forgetting ----------------------------------------------------------------------------------

static bool is_leaf_for(const struct texts *t, uint32_t at, uint32_t worker) {
    for (uint32_t c = t->nodes[at].child; c != NONE; c = t->nodes[c].next)
        if (holder_of(t, c, worker)) return false;
    return true;
}

static void drop_holder(struct texts *t, uint32_t at, struct holder *h) {
    struct node *x = &t->nodes[at];
    count(t, h->worker, -(uint64_t)x->tokens);
    size_t i = (size_t)(h - x->holders);
    memmove(h, h + 1, (--x->n - i) * sizeof *h);
    if (x->n || x->child != NONE) return;
    take_out(t, at);
    leave(t, at);
    x->next = t->spare;
    t->spare = at;
}

// Leaves, the one used longest ago first: a heap.
struct leaf {
    uint64_t used;
    uint32_t at, worker;
};
struct leaves {
    struct leaf *heap;
    size_t n, room;
};

static bool older(const struct leaf *a, const struct leaf *b) {
    if (a->used != b->used) return a->used < b->used;
    return a->at != b->at ? a->at < b->at : a->worker < b->worker;
}

static void leaves_put(struct leaves *l, struct leaf x) {
    l->heap = memory_grow(l->heap, &l->room, l->n + 1, sizeof *l->heap);
    size_t i = l->n++;
    for (; i && older(&x, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = x;
}

static struct leaf leaves_take(struct leaves *l) {
    struct leaf first = l->heap[0], last = l->heap[--l->n];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < l->n; i = c) {
        if (c + 1 < l->n && older(&l->heap[c + 1], &l->heap[c])) c++;
        if (!older(&l->heap[c], &last)) break;
        l->heap[i] = l->heap[c];
    }
    if (l->n) l->heap[i] = last;
    return first;
}

// limit: of each worker, or (each false) of all.
static bool too_much(const struct texts *t, uint32_t worker, uint64_t limit, bool each) {
    return (each ? t->size[worker] : t->total) > limit;
}

static void evict(struct texts *t, uint64_t limit, bool each) {
    struct leaves l = {0};
    bool any = !each && t->total > limit;
    for (uint32_t w = 0; w < t->workers; w++)
        any |= each && t->size[w] > limit;
    if (!any) return;
    for (uint32_t at = 1; at < t->n; at++)
        for (uint32_t i = 0; i < t->nodes[at].n; i++) {
            const struct holder *h = &t->nodes[at].holders[i];
            if (is_leaf_for(t, at, h->worker))
                leaves_put(&l, (struct leaf){h->used, at, h->worker});
        }
    while (l.n) {
        struct leaf x = leaves_take(&l);
        if (!too_much(t, x.worker, limit, each)) continue;
        uint32_t parent = t->nodes[x.at].parent;
        drop_holder(t, x.at, holder_of(t, x.at, x.worker));
        const struct holder *h = parent == ROOT ? NULL : holder_of(t, parent, x.worker);
        if (h && is_leaf_for(t, parent, x.worker))
            leaves_put(&l, (struct leaf){h->used, parent, x.worker});
    }
    free(l.heap);
}

void texts_evict_each(struct texts *t, uint64_t tokens) {
    evict(t, tokens, true);
}

void texts_evict_all(struct texts *t, uint64_t tokens) {
    evict(t, tokens, false);
}

void texts_forget(struct texts *t, uint32_t worker) {
    struct leaves l = {0};
    for (uint32_t at = 1; at < t->n; at++)
        if (t->nodes[at].n && holder_of(t, at, worker) && is_leaf_for(t, at, worker))
            leaves_put(&l, (struct leaf){0, at, worker});
    while (l.n) {
        struct leaf x = leaves_take(&l);
        uint32_t parent = t->nodes[x.at].parent;
        drop_holder(t, x.at, holder_of(t, x.at, worker));
        if (parent != ROOT && holder_of(t, parent, worker) && is_leaf_for(t, parent, worker))
            leaves_put(&l, (struct leaf){0, parent, worker});
    }
    free(l.heap);
}

// ---- Looking -------------------------------------------------------------------------------------

uint64_t texts_size(const struct texts *t, uint32_t worker) {
    return t->size[worker];
}

static const char *validate_node(const struct texts *t, uint32_t at, uint64_t *size) {
    const struct node *x = &t->nodes[at];
    uint64_t tokens = (uint64_t)x->blocks * t->load->block_size;
    if (!x->n) return "a text that nobody holds";
    if (!x->tokens || x->tokens < tokens || x->tokens >= tokens + t->load->block_size)
        return "a text of another length than its blocks";
    if (x->blocks && child_of(t, x->hashes[0]) != at) return "a text that can't be found";
    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t w = x->holders[i].worker;
        size[w] += x->tokens;
        if (holder_of(t, at, w) != &x->holders[i]) return "a holder twice";
        if (x->parent != ROOT && !holder_of(t, x->parent, w))
            return "held without what precedes it";
    }
    return NULL;
}

static const char *validate_below(const struct texts *t, uint32_t at, uint64_t *size) {
    const char *wrong = NULL;
    for (uint32_t c = t->nodes[at].child; c != NONE && !wrong; c = t->nodes[c].next) {
        wrong = t->nodes[c].parent == at ? validate_node(t, c, size) : "a child of somebody else";
        if (!wrong) wrong = validate_below(t, c, size);
    }
    return wrong;
}

const char *texts_validate(const struct texts *t) {
    uint64_t *size = memory_take(t->workers, sizeof *size), total = 0;
    const char *wrong = validate_below(t, ROOT, size);
    for (uint32_t w = 0; w < t->workers && !wrong; w++) {
        total += size[w];
        if (size[w] != t->size[w]) wrong = "a worker's tokens are miscounted";
    }
    if (!wrong && total != t->total) wrong = "tokens are miscounted";
    free(size);
    return wrong;
}
