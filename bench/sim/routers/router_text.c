// SPDX-License-Identifier: Apache-2.0
// Gateways that go by the text of prompts and by what they themselves have sent where; no engine tells them
// what it caches. All defaults are those of their command lines.
//
//   cache-aware       sglang-router 0.3.2, policy cache_aware
//   vllm-router       vllm-router 0.1.17, policy cache_aware: of several that hold a match the least busy.
//                     (So it chose in 98 % of 778 such cases, see docs/simulator.md, Against real processes.)
//   smg               smg 1.13, policy cache_aware over HTTP
//   smg-no-veto       the same with --disable-worker-overload-protection
//   smg-prefix-hash   smg 1.13, policy prefix_hash
//
// A load is the open requests of this gateway, to the end of their streams. A prompt counts as sent when it
// is. Sizes are in characters there; four make a token here, as smg has it.
#include <math.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "client/common/random.h"
#include "hash_ring.h"
#include "open_requests.h"
#include "prompt_tree.h"
#include "routers.h"

static const double threshold = 0.3; // share of the prompt that a match must exceed
static const double relative = 1.5;
enum { TEXT_MARGIN = 64 };                         // requests
enum { FORGET_AFTER = 60, TEXT_TOKENS = 1 << 24 }; // seconds; 2^26 characters

// smg looks at the engines' metrics every so often, and leaves out who has too much, unless all have.
enum { POLL_AFTER = 10, TOO_MANY_WAIT = 8 };
static const double too_full = 0.8;

enum { PREFIX_TOKENS = 256, PREFIX_POINTS = 150, PREFIX_ABSOLUTE = 10 };
static const double prefix_relative = 1.25;

struct gateways {
    struct sim_local local;
    struct sim_prompts *prompts[SIM_MAX_ROUTERS];
    struct sim_ring ring;                                 // of smg-prefix-hash
    uint32_t processed[SIM_MAX_ROUTERS][SIM_MAX_WORKERS]; // requests ever given
    bool over[SIM_MAX_ROUTERS][SIM_MAX_WORKERS];          // as of the last look
};

// ---- What goes on in the background --------------------------------------------------------------

static void forget(void *self, uint32_t router, uint32_t each) {
    struct gateways *g = self;
    sim_prompts_evict(g->prompts[router], TEXT_TOKENS, each);
    sim_fleet_later(g->local.world.fleet, FORGET_AFTER, forget, g, router, each);
}

static void look(void *self, uint32_t router, uint32_t b) {
    struct gateways *g = self;
    for (uint32_t w = 0; w < g->local.world.workers; w++) {
        struct sim_engine_metrics l = sim_fleet_load(g->local.world.fleet, w);
        g->over[router][w] = l.waiting >= TOO_MANY_WAIT ||
                             (double)l.filled >= too_full * (double)g->local.world.capacity[w];
    }
    sim_fleet_later(g->local.world.fleet, POLL_AFTER, look, g, router, b);
}

static struct gateways *open_gateways(const struct sim_world *w, bool each) {
    struct gateways *g = bench_calloc(1, sizeof *g);
    sim_local_open(&g->local, w);
    for (unsigned r = 0; r < w->plan->routers; r++) {
        g->prompts[r] = sim_prompts_new(w->load, w->workers);
        sim_fleet_later(w->fleet, FORGET_AFTER, forget, g, r, each);
    }
    return g;
}

static void *open_cache_aware(const struct sim_world *w) {
    return open_gateways(w, true);
}

static void *open_smg_no_veto(const struct sim_world *w) {
    return open_gateways(w, false);
}

// Gateways were started at different times, so they look at different times.
static void *open_smg(const struct sim_world *w) {
    struct gateways *g = open_smg_no_veto(w);
    sim_ring_open(&g->ring, w->workers, PREFIX_POINTS);
    for (unsigned r = 0; r < w->plan->routers; r++)
        sim_fleet_later(w->fleet, POLL_AFTER * (r + 1.0) / w->plan->routers, look, g, r, 0);
    return g;
}

static uint32_t give(struct gateways *g, unsigned router, uint32_t worker) {
    if (worker != SIM_NOBODY) g->processed[router][worker]++;
    return sim_local_take(&g->local, router, worker);
}

static bool matches(const struct gateways *g, uint32_t request, const struct sim_match *m) {
    return (double)m->tokens > threshold * g->local.world.load->requests[request].isl;
}

// ---- sglang-router, vllm-router ------------------------------------------------------------------

// The first of the least busy, and whether the fleet is out of balance.
static uint32_t first_least(const struct gateways *g, unsigned router, uint32_t avoid,
                            bool *out_of_balance) {
    const uint32_t *open = g->local.router[router].open;
    uint32_t best = SIM_NOBODY, least = UINT32_MAX, most = 0;
    for (uint32_t w = 0; w < g->local.world.workers; w++) {
        if (!g->local.world.there[w]) continue;
        if (open[w] < least) least = open[w];
        if (open[w] > most) most = open[w];
        if (sim_local_may(&g->local, w, avoid) && (best == SIM_NOBODY || open[w] < open[best]))
            best = w;
    }
    *out_of_balance = most > least && most - least > TEXT_MARGIN && most > relative * least;
    return best;
}

static uint32_t first_there(const struct gateways *g, uint32_t avoid) {
    for (uint32_t w = 0; w < g->local.world.workers; w++)
        if (sim_local_may(&g->local, w, avoid)) return w;
    return SIM_NOBODY;
}

static uint32_t choose_cache_aware(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct gateways *g = self;
    bool out_of_balance;
    uint32_t w = first_least(g, router, avoid, &out_of_balance);
    if (w == SIM_NOBODY) return SIM_NOBODY;
    if (!out_of_balance) {
        struct sim_match m = sim_prompts_find(g->prompts[router], request);
        if (matches(g, request, &m)) {
            if (!sim_local_may(&g->local, m.owner, avoid)) { // nothing is noted then
                sim_prompts_forget(g->prompts[router], m.owner);
                return give(g, router, first_there(g, avoid));
            }
            w = m.owner;
        }
    }
    sim_prompts_insert(g->prompts[router], request, w);
    return give(g, router, w);
}

// ---- smg -----------------------------------------------------------------------------------------

// Who can be chosen, and what the rules ask of them.
struct eligible {
    bool can[SIM_MAX_WORKERS];
    uint32_t n, first, least; // least: fewest open requests, then fewest ever given, then the first
    double sum;               // of open requests
};

static struct eligible eligible_of(const struct gateways *g, unsigned router, uint32_t avoid) {
    const uint32_t *open = g->local.router[router].open, *given = g->processed[router];
    struct eligible e = {.first = SIM_NOBODY, .least = SIM_NOBODY};
    bool all_over = true;
    for (uint32_t w = 0; w < g->local.world.workers; w++)
        if (sim_local_may(&g->local, w, avoid)) all_over &= g->over[router][w];
    for (uint32_t w = 0; w < g->local.world.workers; w++) {
        e.can[w] = sim_local_may(&g->local, w, avoid) && (all_over || !g->over[router][w]);
        if (!e.can[w]) continue;
        e.n++;
        e.sum += open[w];
        if (e.first == SIM_NOBODY) e.first = w;
        if (e.least == SIM_NOBODY || open[w] < open[e.least] ||
            (open[w] == open[e.least] && given[w] < given[e.least]))
            e.least = w;
    }
    return e;
}

// The least busy of those that hold the match; by chance among equals. SIM_NOBODY: none can be chosen.
static uint32_t least_holder(struct gateways *g, unsigned router, const struct eligible *e,
                             const struct sim_match *m) {
    struct sim_local_router *r = &g->local.router[router];
    uint32_t best = SIM_NOBODY, equals = 0;
    for (size_t i = 0; i < m->n_holders; i++) {
        uint32_t w = m->holders[i];
        if (!e->can[w]) continue;
        if (best != SIM_NOBODY && r->open[w] > r->open[best]) continue;
        equals = best != SIM_NOBODY && r->open[w] == r->open[best] ? equals + 1 : 1;
        if (equals == 1 || kvr_random(&r->rng) % equals == 0) best = w;
    }
    return best;
}

// The chosen one is too busy: beyond 1.5 times the mean, and by more requests than the mean's own swing
// (two standard deviations, at least four, at most 64).
static bool spills(double load, double mean) {
    double margin = fmin(TEXT_MARGIN, fmax(4, 2 * sqrt(mean)));
    return load > relative * mean && load > mean + margin;
}

static uint32_t choose_vllm(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct gateways *g = self;
    bool out_of_balance;
    uint32_t w = first_least(g, router, avoid, &out_of_balance);
    if (w == SIM_NOBODY) return SIM_NOBODY;
    if (!out_of_balance) {
        struct eligible e = eligible_of(g, router, avoid);
        struct sim_match m = sim_prompts_find(g->prompts[router], request);
        uint32_t holder = matches(g, request, &m) ? least_holder(g, router, &e, &m) : SIM_NOBODY;
        if (holder != SIM_NOBODY) w = holder;
    }
    sim_prompts_insert(g->prompts[router], request, w);
    return give(g, router, w);
}

static uint32_t choose_smg(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct gateways *g = self;
    struct eligible e = eligible_of(g, router, avoid);
    if (!e.n) return SIM_NOBODY;
    uint32_t w = e.least;
    struct sim_match m = sim_prompts_find(g->prompts[router], request);
    if (matches(g, request, &m)) {
        w = least_holder(g, router, &e, &m);
        if (w == SIM_NOBODY) return give(g, router, e.first); // nothing is noted then
        if (spills(g->local.router[router].open[w], e.sum / e.n)) w = e.least;
    }
    sim_prompts_insert(g->prompts[router], request, w);
    return give(g, router, w);
}

// The first 256 tokens (1,024 characters). A prompt that has fewer full blocks is like no other's.
static uint64_t key_of_prefix(const struct gateways *g, uint32_t request) {
    const struct bench_workload *load = g->local.world.load;
    size_t blocks = PREFIX_TOKENS / load->block_size;
    if (blocks < 1) blocks = 1;
    if (load->requests[request].blocks < blocks) return kvr_random_mix(0x9e3f + (uint64_t)request);
    return kvr_random_mix(bench_request_hashes(load, request)[blocks - 1]);
}

static uint32_t choose_prefix_hash(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct gateways *g = self;
    const uint32_t *open = g->local.router[router].open;
    struct eligible e = eligible_of(g, router, avoid);
    if (!e.n) return SIM_NOBODY;
    double mean = (e.sum + 1) / e.n;
    double most = fmax(mean * prefix_relative, mean + PREFIX_ABSOLUTE);
    size_t place = sim_ring_place(&g->ring, key_of_prefix(g, request)), i = 0;
    while (!e.can[sim_ring_worker(&g->ring, place, i)])
        i++;
    uint32_t home = sim_ring_worker(&g->ring, place, i), least = SIM_NOBODY;
    if (open[home] <= most) return give(g, router, home);
    for (uint32_t w = 0; w < g->local.world.workers; w++)
        if (e.can[w] && open[w] <= most && (least == SIM_NOBODY || open[w] < open[least]))
            least = w;
    return give(g, router, least == SIM_NOBODY ? home : least);
}

// ---- All -----------------------------------------------------------------------------------------

static void on_worker(void *self, uint32_t worker, bool there) {
    struct gateways *g = self;
    for (unsigned r = 0; r < g->local.world.plan->routers && !there; r++)
        sim_prompts_forget(g->prompts[r], worker);
}

static void on_lost(void *self, unsigned router) {
    struct gateways *g = self;
    sim_local_lost(self, router);
    sim_prompts_free(g->prompts[router]);
    g->prompts[router] = sim_prompts_new(g->local.world.load, g->local.world.workers);
    for (uint32_t w = 0; w < g->local.world.workers; w++)
        g->processed[router][w] = 0;
}

static void close_gateways(void *self) {
    struct gateways *g = self;
    for (unsigned r = 0; r < g->local.world.plan->routers; r++)
        sim_prompts_free(g->prompts[r]);
    sim_ring_close(&g->ring);
    free(g);
}

static const struct sim_router_events events = {
    .news = sim_local_news, .worker = on_worker, .lost = on_lost, .close = close_gateways};
const struct sim_router sim_text_routers[] = {
    {"cache-aware", "sglang-router: a tree of the prompts it has sent where", open_cache_aware,
     choose_cache_aware, &events, .cached = false},
    {"vllm-router", "vllm-router: the same tree, the least busy of those that hold a prompt",
     open_cache_aware, choose_vllm, &events, .cached = false},
    {"smg", "smg: the same tree, the least busy of those that hold a prompt", open_smg, choose_smg,
     &events, .cached = false},
    {"smg-no-veto", "smg without overload protection", open_smg_no_veto, choose_smg, &events,
     .cached = false},
    {"smg-prefix-hash", "smg: consistent hashing of the prompt's first 256 tokens", open_smg,
     choose_prefix_hash, &events, .cached = false},
};
