// SPDX-License-Identifier: Apache-2.0
// Consistent hashing of whose a request is: any number of routers agree without a word.
//
//   session-hash   a session's requests go to the engine that the session's hash belongs to, come what may
//                  (vllm-router's consistent_hash with X-Session-ID, smg's consistent_hashing)
//   affinity       the same, but no engine gets more than 1.25 times the mean of this router's requests:
//                  then it is the next one's on the ring (Mirrokni, Thorup and Zadimoghaddam, 2018;
//                  KubeAI's PrefixHash). With --affinity N the first N tokens of a prompt are hashed.
#include <math.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "client/common/random.h"
#include "hash_ring.h"
#include "open_requests.h"
#include "routers.h"

enum { POINTS = 256 }; // for each engine
static const double bound = 1.25;

struct affinity {
    struct sim_local local;
    struct sim_ring ring;
};

static void *open_ring(const struct sim_world *w) {
    struct affinity *a = bench_calloc(1, sizeof *a);
    sim_local_open(&a->local, w);
    sim_ring_open(&a->ring, w->workers, POINTS);
    return a;
}

static uint64_t hash_of_session(const struct affinity *a, uint32_t request) {
    return kvr_random_mix(0x5e55 + (uint64_t)a->local.world.load->requests[request].session);
}

// The hash of the beginning: the prefix hash of its last full block. Of a shorter prompt, its own last.
static uint64_t hash_of_prompt(const struct affinity *a, uint32_t request) {
    const struct bench_workload *load = a->local.world.load;
    size_t blocks = a->local.world.plan->affinity / load->block_size;
    if (blocks < 1) blocks = 1;
    if (blocks > load->requests[request].blocks) blocks = load->requests[request].blocks;
    return blocks ? kvr_random_mix(bench_request_hashes(load, request)[blocks - 1])
                  : kvr_random_mix(request);
}

// The first engine on the ring that has fewer than `most` requests of this router.
static uint32_t walk(struct affinity *a, unsigned router, uint64_t key, uint32_t avoid,
                     double most) {
    size_t place = sim_ring_place(&a->ring, key);
    for (size_t i = 0; i < a->ring.n; i++) {
        uint32_t w = sim_ring_worker(&a->ring, place, i);
        if (sim_local_may(&a->local, w, avoid) && a->local.router[router].open[w] < most) return w;
    }
    return sim_local_least(&a->local, router, avoid);
}

static uint32_t choose_session(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct affinity *a = self;
    uint64_t key = hash_of_session(a, request);
    return sim_local_take(&a->local, router, walk(a, router, key, avoid, INFINITY));
}

static uint32_t choose_bounded(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct affinity *a = self;
    unsigned there = 0;
    for (unsigned w = 0; w < a->local.world.workers; w++)
        there += a->local.world.there[w];
    double most = bound * (a->local.router[router].total + 1) / (there ? there : 1);
    uint64_t key =
        a->local.world.plan->affinity ? hash_of_prompt(a, request) : hash_of_session(a, request);
    return sim_local_take(&a->local, router, walk(a, router, key, avoid, most));
}

static void close_ring(void *self) {
    struct affinity *a = self;
    sim_ring_close(&a->ring);
    free(a);
}

static const struct sim_router_events events = {
    .news = sim_local_news, .lost = sim_local_lost, .close = close_ring};
const struct sim_router sim_affinity_routers[] = {
    {"session-hash", "consistent hashing of the session", open_ring, choose_session, &events,
     .cached = false},
    {"affinity", "consistent hashing of the session, bounded load", open_ring, choose_bounded,
     &events, .cached = false},
};
