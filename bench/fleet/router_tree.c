// SPDX-License-Identifier: Apache-2.0
// The cache-threshold rule of SGLang's gateway (sgl-model-gateway, policy cache_aware).
//
// Each router keeps an approximate tree of the prompts that it has sent to each engine; no engine tells
// it anything. If the requests that it has open are out of balance (max - min > 32 and max > 1.1 · min)
// the least busy engine is chosen. Else the engine with the longest match, if that is more than half of
// the prompt; else the one whose tree is smallest. The tree of an engine has a maximal size, beyond
// which the least recently used leaves go. (There by characters and every so often, here by blocks and
// at once.)
#include <stdlib.h>

#include "kv.h"
#include "memory.h"
#include "routers.h"

static const double threshold = 0.5, relative = 1.1;
enum { ABSOLUTE = 32, TREE_TOKENS = 1 << 24 };

struct trees {
    struct local local;
    struct world world;
    struct kv **tree; // by router and engine
    uint64_t *evicted;
    size_t room_evicted;
};

static struct kv *new_tree(const struct world *w) {
    return kv_new(TREE_TOKENS / w->load->block_size);
}

static struct kv **tree_of(struct trees *t, unsigned router, uint32_t worker) {
    return &t->tree[router * t->world.workers + worker];
}

static void *open_trees(const struct world *w) {
    struct trees *t = memory_take(1, sizeof *t);
    local_open(&t->local, w);
    t->world = *w;
    t->tree = memory_take((size_t)w->routers * w->workers, sizeof *t->tree);
    for (size_t i = 0; i < (size_t)w->routers * w->workers; i++)
        t->tree[i] = new_tree(w);
    return t;
}

static void remember(struct trees *t, struct kv *tree, uint32_t request) {
    const struct workload *load = t->world.load;
    const uint64_t *hashes = request_hashes(load, request);
    size_t idle, n = load->requests[request].blocks, had;
    if (n > kv_count(tree).capacity) n = kv_count(tree).capacity;
    had = kv_match(tree, hashes, n, &idle);
    kv_use(tree, hashes, had);
    t->evicted = memory_grow(t->evicted, &t->room_evicted, n, sizeof *t->evicted);
    kv_reserve(tree, n - had, t->evicted);
    for (size_t i = had; i < n; i++)
        kv_fill(tree, hashes, i);
    kv_leave(tree, hashes, n);
}

static uint32_t longest_match(struct trees *t, unsigned router, uint32_t request, uint32_t avoid,
                              double *share) {
    const struct workload *load = t->world.load;
    size_t most = 0, n = load->requests[request].blocks, idle;
    uint32_t best = NOBODY, smallest = NOBODY;
    for (uint32_t w = 0; w < t->world.workers; w++) {
        if (!local_may(&t->local, w, avoid)) continue;
        struct kv *tree = *tree_of(t, router, w);
        size_t match = kv_match(tree, request_hashes(load, request), n, &idle);
        if (match > most) most = match, best = w;
        if (smallest == NOBODY ||
            kv_count(tree).cached < kv_count(*tree_of(t, router, smallest)).cached)
            smallest = w;
    }
    *share = n ? (double)most / (double)n : 0;
    return *share > threshold ? best : smallest;
}

static bool out_of_balance(const struct trees *t, unsigned router) {
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t w = 0; w < t->world.workers; w++) {
        uint32_t open = t->local.router[router].open[w];
        if (!t->local.there[w]) continue;
        if (open < least) least = open;
        if (open > most) most = open;
    }
    return most > least && most - least > ABSOLUTE && most > relative * least;
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct trees *t = self;
    double share;
    uint32_t w = out_of_balance(t, router) ? local_least(&t->local, router, avoid)
                                           : longest_match(t, router, request, avoid, &share);
    if (w != NOBODY) remember(t, *tree_of(t, router, w), request);
    return local_take(&t->local, router, w);
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum news what) {
    struct trees *t = self;
    (void)request;
    local_news(&t->local, router, worker, what);
}

static void forget(struct trees *t, unsigned router, uint32_t worker) {
    struct kv **tree = tree_of(t, router, worker);
    kv_free(*tree);
    *tree = new_tree(&t->world);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct trees *t = self;
    if (there) return;
    for (unsigned r = 0; r < t->world.routers; r++)
        forget(t, r, worker);
}

static void on_lost(void *self, unsigned router) {
    struct trees *t = self;
    local_lost(&t->local, router);
    for (uint32_t w = 0; w < t->world.workers; w++)
        forget(t, router, w);
}

static void close_trees(void *self) {
    struct trees *t = self;
    for (size_t i = 0; i < (size_t)t->world.routers * t->world.workers; i++)
        kv_free(t->tree[i]);
    free(t->tree);
    free(t->evicted);
    free(t);
}

const struct router router_tree = {
    .name = "cache-threshold",
    .what = "SGLang's gateway: a tree of its own prompts for each router",
    .open = open_trees,
    .choose = choose,
    .news = on_news,
    .worker = on_worker,
    .lost = on_lost,
    .close = close_trees,
};
