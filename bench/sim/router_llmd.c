// SPDX-License-Identifier: Apache-2.0
// llm-d's endpoint picker (0.8) with the weights of its sample configuration: queue 2, KV use 2, prefix 3.
//
//   score = 2 · (longest queue − queue) / (longest − shortest)     1 if all are equally long
//         + 2 · (1 − share of the KV cache in use)
//         + 3 · blocks of the prompt thought to be cached / its blocks
//
// The highest score wins, by chance among equals. Queue and KV use are the engines' metrics, read every 50 ms
// (--age): between two readings a picker doesn't see what it has itself decided. What is cached it guesses:
// for each engine a list of the last 31,250 blocks that it has sent there, the one used longest ago forgotten
// first (its default; lists as long as the engines' caches, autoTune, are worse for it on the trace). At most
// the first 256 blocks of a prompt are looked at.
#include <stdlib.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"
#include "kv.h"
#include "routers.h"

static const double queue_weight = 2, kv_weight = 2, prefix_weight = 3;
enum { LONGEST_PREFIX = 256, LIST_BLOCKS = 31250 };

struct metrics {
    double waiting[MAX_WORKERS], used[MAX_WORKERS]; // requests; share of the cache
};

struct pickers {
    struct local local; // for its draws, and who is there
    struct world world;
    struct metrics metrics[MAX_ROUTERS];
    struct kv **sent; // by router and engine
};

static void read_metrics(void *self, uint32_t router, uint32_t b) {
    struct pickers *p = self;
    for (uint32_t w = 0; w < p->world.workers; w++) {
        struct engine_load l = fleet_load(p->world.fleet, w);
        p->metrics[router].waiting[w] = l.waiting;
        p->metrics[router].used[w] = (double)l.filled / (double)p->world.capacity[w];
    }
    fleet_later(p->world.fleet, p->world.age, read_metrics, p, router, b);
}

static struct kv **sent_to(struct pickers *p, unsigned router, uint32_t worker) {
    return &p->sent[router * p->world.workers + worker];
}

// Pickers were started at different times, so they read at different times.
static void *open_pickers(const struct world *w) {
    struct pickers *p = memory_take(1, sizeof *p);
    size_t lists = (size_t)w->routers * w->workers;
    local_open(&p->local, w);
    p->world = *w;
    p->sent = memory_take(lists, sizeof(struct kv *));
    for (size_t i = 0; i < lists; i++)
        p->sent[i] = kv_new(LIST_BLOCKS);
    for (unsigned r = 0; r < w->routers; r++)
        fleet_later(w->fleet, w->age * r / w->routers, read_metrics, p, r, 0);
    return p;
}

static size_t blocks_of(const struct pickers *p, uint32_t request) {
    size_t n = p->world.load->requests[request].blocks;
    return n < LONGEST_PREFIX ? n : LONGEST_PREFIX;
}

// A list, not a tree: each block is used and let go for itself, so the last of a prompt is the newest.
static void note(struct pickers *p, struct kv *sent, uint32_t request) {
    const uint64_t *hashes = request_hashes(p->world.load, request);
    size_t n = blocks_of(p, request), idle;
    uint64_t gone[1];
    for (size_t i = 0; i < n; i++) {
        if (kv_match(sent, hashes + i, 1, &idle)) {
            kv_use(sent, hashes + i, 1);
        } else {
            kv_reserve(sent, 1);
            kv_hold(sent, 1, gone);
            kv_fill(sent, hashes, i);
        }
        kv_leave(sent, hashes + i, 1);
    }
}

// Blocks by engine, up to the first that nobody has.
static void match(struct pickers *p, unsigned router, uint32_t request, double *out) {
    const uint64_t *hashes = request_hashes(p->world.load, request);
    size_t n = blocks_of(p, request), idle;
    bool any = true;
    for (uint32_t w = 0; w < p->world.workers; w++)
        out[w] = 0;
    for (size_t i = 0; i < n && any; i++) {
        any = false;
        for (uint32_t w = 0; w < p->world.workers; w++)
            if (kv_match(*sent_to(p, router, w), hashes + i, 1, &idle)) out[w]++, any = true;
    }
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct pickers *p = self;
    const struct metrics *m = &p->metrics[router];
    double matched[MAX_WORKERS], shortest = 0, longest = 0, best_score = -1;
    size_t n = blocks_of(p, request);
    uint32_t best = NOBODY, equals = 0;
    match(p, router, request, matched);
    for (uint32_t w = 0, seen = 0; w < p->world.workers; w++) {
        if (!local_may(&p->local, w, avoid)) continue;
        if (!seen || m->waiting[w] < shortest) shortest = m->waiting[w];
        if (!seen++ || m->waiting[w] > longest) longest = m->waiting[w];
    }
    for (uint32_t w = 0; w < p->world.workers; w++) {
        if (!local_may(&p->local, w, avoid)) continue;
        double queue = longest > shortest ? (longest - m->waiting[w]) / (longest - shortest) : 1;
        double score = queue_weight * queue + kv_weight * (1 - m->used[w]) +
                       (n ? prefix_weight * matched[w] / (double)n : 0);
        if (best != NOBODY && score < best_score) continue;
        equals = best != NOBODY && score == best_score ? equals + 1 : 1;
        best_score = score;
        if (equals == 1 || random_next(&p->local.router[router].rng) % equals == 0) best = w;
    }
    if (best != NOBODY) note(p, *sent_to(p, router, best), request);
    return best;
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum news what) {
    (void)self, (void)router, (void)request, (void)worker, (void)what;
}

static void forget(struct pickers *p, unsigned router, uint32_t worker) {
    struct kv **sent = sent_to(p, router, worker);
    kv_free(*sent);
    *sent = kv_new(LIST_BLOCKS);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct pickers *p = self;
    for (unsigned r = 0; r < p->world.routers && !there; r++)
        forget(p, r, worker);
}

static void on_lost(void *self, unsigned router) {
    struct pickers *p = self;
    for (uint32_t w = 0; w < p->world.workers; w++)
        forget(p, router, w);
}

static void close_pickers(void *self) {
    struct pickers *p = self;
    for (size_t i = 0; i < (size_t)p->world.routers * p->world.workers; i++)
        kv_free(p->sent[i]);
    free(p->sent);
    free(p);
}

const struct router router_llmd = {
    .name = "llm-d",
    .what = "llm-d: prompts it has sent where, queues and KV use from metrics",
    .open = open_pickers,
    .choose = choose,
    .news = on_news,
    .worker = on_worker,
    .lost = on_lost,
    .close = close_pickers,
};
