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
//
// Where engines have roles, it first chooses who is to put out the answer; if that one lacks more than
// plan.local_prefill tokens of the prompt (its decider by prefix; vllm-router has the same with 256), it chooses who
// computes the prompt, by the same scores.
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench/sim/engine/block_cache.h"
#include "client/common/random.h"
#include "open_requests.h"
#include "routers.h"

static const double queue_weight = 2, kv_weight = 2, prefix_weight = 3;
enum { LONGEST_PREFIX = 256, LIST_BLOCKS = 31250 };

struct picker_metrics {
    double waiting[SIM_MAX_WORKERS], used[SIM_MAX_WORKERS]; // requests; share of the cache
};

struct pickers {
    struct sim_local local; // for its draws, and who is there
    struct picker_metrics metrics[SIM_MAX_ROUTERS];
    struct sim_blocks *sent; // by router and engine
};

static void read_metrics(void *self, uint32_t router, uint32_t b) {
    struct pickers *p = self;
    for (uint32_t w = 0; w < p->local.world.workers; w++) {
        struct sim_engine_metrics l = sim_fleet_load(p->local.world.fleet, w);
        p->metrics[router].waiting[w] = l.waiting;
        p->metrics[router].used[w] = (double)l.filled / (double)p->local.world.capacity[w];
    }
    sim_fleet_later(p->local.world.fleet, p->local.world.plan->age, read_metrics, p, router, b);
}

static struct sim_blocks *sent_to(struct pickers *p, unsigned router, uint32_t worker) {
    return &p->sent[router * p->local.world.workers + worker];
}

// Pickers were started at different times, so they read at different times.
static void *open_pickers(const struct sim_world *w) {
    struct pickers *p = bench_calloc(1, sizeof *p);
    size_t lists = (size_t)w->plan->routers * w->workers;
    sim_local_open(&p->local, w);
    p->sent = bench_calloc(lists, sizeof *p->sent);
    for (size_t i = 0; i < lists; i++)
        sim_blocks_open(&p->sent[i], LIST_BLOCKS);
    for (unsigned r = 0; r < w->plan->routers; r++)
        sim_fleet_later(w->fleet, w->plan->age * r / w->plan->routers, read_metrics, p, r, 0);
    return p;
}

static size_t blocks_of(const struct pickers *p, uint32_t request) {
    size_t n = p->local.world.load->requests[request].blocks;
    return n < LONGEST_PREFIX ? n : LONGEST_PREFIX;
}

// A list, not a tree: each block is used and let go for itself, so the last of a prompt is the newest.
static void note(struct pickers *p, struct sim_blocks *sent, uint32_t request) {
    const uint64_t *hashes = bench_request_hashes(p->local.world.load, request);
    struct sim_block evicted;
    for (size_t i = 0; i < blocks_of(p, request); i++)
        sim_blocks_refresh(sent, hashes[i], 0, 0, &evicted);
}

// Blocks by engine, up to the first that nobody has.
static void match(struct pickers *p, unsigned router, uint32_t request, double *out) {
    const uint64_t *hashes = bench_request_hashes(p->local.world.load, request);
    size_t n = blocks_of(p, request);
    bool any = true;
    for (uint32_t w = 0; w < p->local.world.workers; w++)
        out[w] = 0;
    for (size_t i = 0; i < n && any; i++) {
        any = false;
        for (uint32_t w = 0; w < p->local.world.workers; w++)
            if (sim_blocks_find(sent_to(p, router, w), hashes[i])) out[w]++, any = true;
    }
}

typedef bool may_choose(const struct sim_local *l, uint32_t worker, uint32_t avoid);

// The engine with the highest score of those that may be chosen.
static uint32_t pick(struct pickers *p, unsigned router, uint32_t request, uint32_t avoid,
                     const double *matched, may_choose *may) {
    const struct picker_metrics *m = &p->metrics[router];
    double shortest = 0, longest = 0, best_score = -1;
    size_t n = blocks_of(p, request);
    uint32_t best = SIM_NOBODY, equals = 0;
    for (uint32_t w = 0, seen = 0; w < p->local.world.workers; w++) {
        if (!may(&p->local, w, avoid)) continue;
        if (!seen || m->waiting[w] < shortest) shortest = m->waiting[w];
        if (!seen++ || m->waiting[w] > longest) longest = m->waiting[w];
    }
    for (uint32_t w = 0; w < p->local.world.workers; w++) {
        if (!may(&p->local, w, avoid)) continue;
        double queue = longest > shortest ? (longest - m->waiting[w]) / (longest - shortest) : 1;
        double score = queue_weight * queue + kv_weight * (1 - m->used[w]) +
                       (n ? prefix_weight * matched[w] / (double)n : 0);
        if (best != SIM_NOBODY && score < best_score) continue;
        equals = best != SIM_NOBODY && score == best_score ? equals + 1 : 1;
        best_score = score;
        if (equals == 1 || kvr_random(&p->local.router[router].rng) % equals == 0) best = w;
    }
    return best;
}

// Who computes the prompt for the engine that was chosen; SIM_NOBODY: that one does.
static uint32_t pick_prefill(struct pickers *p, unsigned router, uint32_t request, uint32_t avoid,
                             const double *matched, uint32_t decode) {
    const struct sim_world *w = &p->local.world;
    double lacks = w->load->requests[request].isl - matched[decode] * w->load->block_size;
    if (!w->plan->pairs || lacks <= (double)w->plan->local_prefill) return SIM_NOBODY;
    uint32_t prefill = pick(p, router, request, avoid, matched, sim_local_may_prefill);
    return prefill == decode ? SIM_NOBODY : prefill;
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct pickers *p = self;
    double matched[SIM_MAX_WORKERS];
    match(p, router, request, matched);
    uint32_t best = pick(p, router, request, avoid, matched, sim_local_may);
    if (best == SIM_NOBODY) return best;
    uint32_t prefill = pick_prefill(p, router, request, avoid, matched, best);
    note(p, sent_to(p, router, best), request);
    if (prefill == SIM_NOBODY) return best;
    note(p, sent_to(p, router, prefill), request);
    sim_fleet_pair(p->local.world.fleet, request, prefill);
    return best;
}

static void forget(struct pickers *p, unsigned router, uint32_t worker) {
    struct sim_blocks *sent = sent_to(p, router, worker);
    sim_blocks_close(sent);
    sim_blocks_open(sent, LIST_BLOCKS);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct pickers *p = self;
    for (unsigned r = 0; r < p->local.world.plan->routers && !there; r++)
        forget(p, r, worker);
}

static void on_lost(void *self, unsigned router) {
    struct pickers *p = self;
    for (uint32_t w = 0; w < p->local.world.workers; w++)
        forget(p, router, w);
}

static void close_pickers(void *self) {
    struct pickers *p = self;
    for (size_t i = 0; i < (size_t)p->local.world.plan->routers * p->local.world.workers; i++)
        sim_blocks_close(&p->sent[i]);
    free(p->sent);
    free(p);
}

static const struct sim_router_events events = {
    .worker = on_worker, .lost = on_lost, .close = close_pickers};
const struct sim_router sim_llmd_routers[] = {
    {"llm-d", "llm-d: prompts it has sent where, queues and KV use from metrics", open_pickers,
     choose, &events, .cached = false, .pairs = true},
};
