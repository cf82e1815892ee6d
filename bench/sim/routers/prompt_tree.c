// SPDX-License-Identifier: Apache-2.0
// The tree of prompts that text routers keep; see prompt_tree.h.
#include "prompt_tree.h"

#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_heap.h"
#include "bench/common/bench_memory.h"
#include "bench/common/hashmap.h"

enum { PROMPT_ROOT = 0, NO_PROMPT = UINT32_MAX };

// Whom a node's text was sent to. used counts up; 0: only on the way to something longer.
struct prompt_holder {
    uint32_t worker;
    uint32_t below; // children that the same worker holds; 0: a leaf, for it
    uint64_t used;
};

struct prompt_node {
    const uint64_t *hashes; // the load's
    uint32_t blocks, tokens;
    uint32_t parent; // children are found by their first blocks. A free node: the next one
    uint32_t owner;  // who brought it
    uint32_t n, room;
    struct prompt_holder *holders; // in the order in which they came
};

struct sim_prompts {
    const struct bench_workload *load;
    struct prompt_node *nodes; // 0 is the root
    size_t n, room;
    uint32_t freed;
    struct bench_map by_first; // nodes, by their first block: it names all that precedes it
    uint64_t *size, total;     // tokens; by worker
    uint32_t workers;
    uint64_t used;
};

// ---- Nodes ---------------------------------------------------------------------------------------

static void index_node(struct sim_prompts *t, uint32_t at) {
    const struct prompt_node *x = &t->nodes[at];
    if (x->blocks)
        bench_map_set(&t->by_first, x->hashes[0], at); // else only what no other prompt has
}

static uint32_t new_node(struct sim_prompts *t, struct prompt_node x) {
    uint32_t at = t->freed;
    if (at != NO_PROMPT) {
        t->freed = t->nodes[at].parent;
    } else {
        t->nodes = bench_grow(t->nodes, &t->room, t->n + 1, sizeof *t->nodes);
        at = (uint32_t)t->n++;
        t->nodes[at] = (struct prompt_node){0};
    }
    x.room = t->nodes[at].room;
    x.holders = t->nodes[at].holders;
    t->nodes[at] = x;
    return at;
}

static struct prompt_holder *holder_of(const struct sim_prompts *t, uint32_t at, uint32_t worker) {
    const struct prompt_node *x = &t->nodes[at];
    for (uint32_t i = 0; i < x->n; i++)
        if (x->holders[i].worker == worker) return &x->holders[i];
    return NULL;
}

static void append_holder(struct prompt_node *x, struct prompt_holder h) {
    size_t room = x->room;
    x->holders = bench_grow(x->holders, &room, x->n + 1, sizeof *x->holders);
    x->room = (uint32_t)room;
    x->holders[x->n++] = h;
}

static void count(struct sim_prompts *t, uint32_t worker, uint64_t tokens) {
    t->size[worker] += tokens;
    t->total += tokens;
}

static void attach(struct sim_prompts *t, uint32_t at, uint32_t worker) {
    if (at == PROMPT_ROOT || holder_of(t, at, worker)) return;
    uint32_t parent = t->nodes[at].parent;
    attach(t, parent, worker); // whoever holds a text holds what precedes it
    if (parent != PROMPT_ROOT) holder_of(t, parent, worker)->below++;
    append_holder(&t->nodes[at], (struct prompt_holder){worker, 0, 0});
    count(t, worker, t->nodes[at].tokens);
}

// Parts a node after its first blocks, of which at least one is left; returns the new first part.
static uint32_t split(struct sim_prompts *t, uint32_t at, uint32_t blocks) {
    uint32_t tokens = blocks * t->load->block_size;
    struct prompt_node first = t->nodes[at];
    first.blocks = blocks;
    first.tokens = tokens;
    first.n = 0;
    uint32_t front = new_node(t, first);
    struct prompt_node *x = &t->nodes[at];
    for (uint32_t i = 0; i < x->n; i++)
        append_holder(&t->nodes[front],
                      (struct prompt_holder){x->holders[i].worker, 1, x->holders[i].used});
    x->parent = front;
    x->hashes += blocks;
    x->blocks -= blocks;
    x->tokens -= tokens;
    index_node(t, front);
    index_node(t, at);
    return front;
}

struct sim_prompts *sim_prompts_new(const struct bench_workload *load, uint32_t workers) {
    struct sim_prompts *t = bench_calloc(1, sizeof *t);
    *t = (struct sim_prompts){.load = load,
                              .freed = NO_PROMPT,
                              .size = bench_calloc(workers, sizeof *t->size),
                              .workers = workers};
    new_node(t, (struct prompt_node){0}); // the root
    return t;
}

void sim_prompts_free(struct sim_prompts *t) {
    if (!t) return;
    for (size_t i = 0; i < t->n; i++)
        free(t->nodes[i].holders);
    free(t->nodes);
    bench_map_free(&t->by_first);
    free(t->size);
    free(t);
}

// ---- Searching and inserting ---------------------------------------------------------------------

// Goes down from a node as long as whole nodes agree with the request, of which `done` blocks are behind.
// Returns the last of these; *partly is the next if it agrees in its first *shared blocks, else PROMPT_ROOT.
struct prompt_match {
    uint32_t at, partly, shared;
    uint32_t done; // blocks
};

static uint32_t child_of(const struct sim_prompts *t, uint64_t hash) {
    return (uint32_t)bench_map_get(&t->by_first, hash);
}

static uint32_t agree(const struct prompt_node *x, const uint64_t *hashes, uint32_t n) {
    uint32_t i = 0;
    while (i < x->blocks && i < n && x->hashes[i] == hashes[i])
        i++;
    return i;
}

static struct prompt_match descend(const struct sim_prompts *t, uint32_t request) {
    const uint64_t *hashes = bench_request_hashes(t->load, request);
    uint32_t n = t->load->requests[request].blocks;
    struct prompt_match d = {PROMPT_ROOT, PROMPT_ROOT, 0, 0};
    while (d.done < n) {
        uint32_t child = child_of(t, hashes[d.done]);
        if (child == PROMPT_ROOT) return d;
        const struct prompt_node *x = &t->nodes[child];
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

struct sim_match sim_prompts_find(struct sim_prompts *t, uint32_t request) {
    struct prompt_match d = descend(t, request);
    uint32_t at = d.partly != PROMPT_ROOT ? d.partly : d.at;
    struct prompt_node *x = &t->nodes[at];
    struct sim_match m = {.tokens = (uint64_t)(d.done + d.shared) * t->load->block_size};
    t->used++;
    if (at == PROMPT_ROOT || !x->n) return m;
    if (!holder_of(t, at, x->owner)) x->owner = x->holders[0].worker;
    m.owner = x->owner;
    while (m.n_holders < x->n && m.n_holders < SIM_MAX_HOLDERS) {
        m.holders[m.n_holders] = x->holders[m.n_holders].worker;
        m.n_holders++;
    }
    if (t->used % 8 == 0) holder_of(t, at, x->owner)->used = t->used;
    return m;
}

void sim_prompts_insert(struct sim_prompts *t, uint32_t request, uint32_t worker) {
    const struct bench_request *q = &t->load->requests[request];
    struct prompt_match d = descend(t, request);
    if (d.partly != PROMPT_ROOT) {
        d.at = split(t, d.partly, d.shared);
        d.done += d.shared;
    }
    attach(t, d.at, worker);
    uint32_t rest = q->isl - d.done * t->load->block_size;
    t->used++;
    if (rest) {
        uint32_t leaf = new_node(
            t, (struct prompt_node){.hashes = bench_request_hashes(t->load, request) + d.done,
                                    .blocks = q->blocks - d.done,
                                    .tokens = rest,
                                    .parent = d.at,
                                    .owner = worker});
        index_node(t, leaf);
        attach(t, leaf, worker);
        d.at = leaf;
    }
    if (d.at != PROMPT_ROOT) holder_of(t, d.at, worker)->used = t->used;
}

// ---- Forgetting ----------------------------------------------------------------------------------

static void drop_holder(struct sim_prompts *t, uint32_t at, struct prompt_holder *h) {
    struct prompt_node *x = &t->nodes[at];
    count(t, h->worker, -(uint64_t)x->tokens);
    size_t i = (size_t)(h - x->holders);
    memmove(h, h + 1, (--x->n - i) * sizeof *h);
    if (x->n) return; // else nobody holds what is below it either
    if (t->nodes[at].blocks) bench_map_remove(&t->by_first, t->nodes[at].hashes[0]);
    x->parent = t->freed;
    t->freed = at;
}

struct held_leaf {
    uint64_t used;
    uint32_t at, worker;
};
struct leaf_heap {
    struct held_leaf *heap;
    size_t n, room;
};

static bool older(const void *left, const void *right) {
    const struct held_leaf *a = left, *b = right;
    if (a->used != b->used) return a->used < b->used;
    return a->at != b->at ? a->at < b->at : a->worker < b->worker;
}

static void leaves_put(struct leaf_heap *l, struct held_leaf x) {
    l->heap = bench_grow(l->heap, &l->room, l->n + 1, sizeof *l->heap);
    bench_heap_put(l->heap, l->n++, sizeof x, older, &x);
}

static struct held_leaf leaves_take(struct leaf_heap *l) {
    struct held_leaf first = l->heap[0];
    bench_heap_remove(l->heap, l->n--, 0, sizeof first, older);
    return first;
}

// limit: of each worker, or (each false) of all.
static bool too_much(const struct sim_prompts *t, uint32_t worker, uint64_t limit, bool each) {
    return (each ? t->size[worker] : t->total) > limit;
}

static void offer_leaf(const struct sim_prompts *t, struct leaf_heap *l, uint32_t at,
                       uint32_t worker, bool by_use) {
    const struct prompt_holder *h = at == PROMPT_ROOT ? NULL : holder_of(t, at, worker);
    if (h && !h->below) leaves_put(l, (struct held_leaf){by_use ? h->used : 0, at, worker});
}

// Drops a leaf; what precedes it may be one now.
static void drop_leaf(struct sim_prompts *t, struct leaf_heap *l, struct held_leaf x, bool by_use) {
    uint32_t parent = t->nodes[x.at].parent;
    if (parent != PROMPT_ROOT) holder_of(t, parent, x.worker)->below--;
    drop_holder(t, x.at, holder_of(t, x.at, x.worker));
    offer_leaf(t, l, parent, x.worker, by_use);
}

void sim_prompts_evict(struct sim_prompts *t, uint64_t limit, bool each) {
    struct leaf_heap l = {0};
    bool any = !each && t->total > limit;
    for (uint32_t w = 0; w < t->workers; w++)
        any |= each && t->size[w] > limit;
    if (!any) return;
    for (uint32_t at = 1; at < t->n; at++)
        for (uint32_t i = 0; i < t->nodes[at].n; i++)
            offer_leaf(t, &l, at, t->nodes[at].holders[i].worker, true);
    while (l.n) {
        struct held_leaf x = leaves_take(&l);
        if (too_much(t, x.worker, limit, each)) drop_leaf(t, &l, x, true);
    }
    free(l.heap);
}

void sim_prompts_forget(struct sim_prompts *t, uint32_t worker) {
    struct leaf_heap l = {0};
    for (uint32_t at = 1; at < t->n; at++)
        offer_leaf(t, &l, at, worker, false);
    while (l.n)
        drop_leaf(t, &l, leaves_take(&l), false);
    free(l.heap);
}

// ---- Looking -------------------------------------------------------------------------------------

uint64_t sim_prompts_size(const struct sim_prompts *t, uint32_t worker) {
    return t->size[worker];
}

// Adds its tokens to size, and counts it at its parent in below, by node and worker.
static const char *validate_node(const struct sim_prompts *t, uint32_t at, uint64_t *size,
                                 uint32_t *below) {
    const struct prompt_node *x = &t->nodes[at];
    uint64_t tokens = (uint64_t)x->blocks * t->load->block_size;
    if (!x->tokens || x->tokens < tokens || x->tokens >= tokens + t->load->block_size)
        return "a text of another length than its blocks";
    if (x->blocks && child_of(t, x->hashes[0]) != at) return "a text that can't be found";
    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t w = x->holders[i].worker;
        size[w] += x->tokens;
        if (holder_of(t, at, w) != &x->holders[i]) return "a holder twice";
        below[x->parent * t->workers + w]++;
        if (x->parent != PROMPT_ROOT && !holder_of(t, x->parent, w))
            return "held without what precedes it";
    }
    return NULL;
}

const char *sim_prompts_validate(const struct sim_prompts *t) {
    uint64_t *size = bench_calloc(t->workers, sizeof *size), total = 0;
    uint32_t *below = bench_calloc(t->n * t->workers, sizeof *below);
    const char *wrong = NULL;
    for (uint32_t at = 1; at < t->n && !wrong; at++)
        if (t->nodes[at].n) wrong = validate_node(t, at, size, below);
    for (uint32_t at = 1; at < t->n && !wrong; at++)
        for (uint32_t i = 0; i < t->nodes[at].n; i++)
            if (t->nodes[at].holders[i].below !=
                below[at * t->workers + t->nodes[at].holders[i].worker])
                wrong = "children are miscounted";
    for (uint32_t w = 0; w < t->workers && !wrong; w++) {
        total += size[w];
        if (size[w] != t->size[w]) wrong = "a worker's tokens are miscounted";
    }
    if (!wrong && total != t->total) wrong = "tokens are miscounted";
    free(size);
    free(below);
    return wrong;
}
