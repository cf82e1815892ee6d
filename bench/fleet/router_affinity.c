// SPDX-License-Identifier: Apache-2.0
// Prefix affinity: consistent hashing of a prompt's beginning, with bounded loads (Mirrokni, Thorup and
// Zadimoghaddam, 2018; KubeAI's PrefixHash is of this kind).
//
// Each engine has points on a ring. A request goes to the engine of the first point after the hash of
// its first tokens that has fewer than 1.25 times the mean of this router's requests, this one included.
#include <stdlib.h>

#include "memory.h"
#include "random.h"
#include "routers.h"

enum { POINTS = 256 }; // for each engine
static const double bound = 1.25;

struct point {
    uint64_t at;
    uint32_t worker;
};

struct affinity {
    struct local local;
    struct world world;
    struct point *ring;
    size_t n;
};

static int by_place(const void *left, const void *right) {
    const struct point *a = left, *b = right;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return a->worker < b->worker ? -1 : a->worker > b->worker;
}

static void *open_ring(const struct world *w) {
    struct affinity *a = memory_take(1, sizeof *a);
    local_open(&a->local, w);
    a->world = *w;
    a->n = (size_t)w->workers * POINTS;
    a->ring = memory_take(a->n, sizeof *a->ring);
    for (size_t i = 0; i < a->n; i++)
        a->ring[i] = (struct point){random_mix(0x51 + i), (uint32_t)(i / POINTS)};
    qsort(a->ring, a->n, sizeof *a->ring, by_place);
    return a;
}

// The hash of the beginning: the prefix hash of its last full block. Of a shorter prompt, its own last.
static uint64_t key_of(const struct affinity *a, uint32_t request) {
    const struct workload *load = a->world.load;
    size_t blocks = a->world.affinity / load->block_size;
    if (blocks < 1) blocks = 1;
    if (blocks > load->requests[request].blocks) blocks = load->requests[request].blocks;
    return blocks ? random_mix(request_hashes(load, request)[blocks - 1]) : random_mix(request);
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct affinity *a = self;
    const struct local_router *r = &a->local.router[router];
    unsigned there = 0;
    for (unsigned w = 0; w < a->world.workers; w++)
        there += a->local.there[w];
    double most = bound * (r->total + 1) / (there ? there : 1);
    uint64_t key = key_of(a, request);
    size_t from = 0, to = a->n;
    while (from < to) {
        size_t mid = (from + to) / 2;
        if (a->ring[mid].at < key)
            from = mid + 1;
        else
            to = mid;
    }
    for (size_t i = 0; i < a->n; i++) {
        uint32_t w = a->ring[(from + i) % a->n].worker;
        if (local_may(&a->local, w, avoid) && r->open[w] < most)
            return local_take(&a->local, router, w);
    }
    return local_take(&a->local, router, local_least(&a->local, router, avoid));
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum news what) {
    struct affinity *a = self;
    (void)request;
    local_news(&a->local, router, worker, what);
}

static void on_lost(void *self, unsigned router) {
    struct affinity *a = self;
    local_lost(&a->local, router);
}

static void close_ring(void *self) {
    struct affinity *a = self;
    free(a->ring);
    free(a);
}

const struct router router_affinity = {
    .name = "affinity",
    .what = "consistent hashing of the prompt's beginning, bounded load",
    .open = open_ring,
    .choose = choose,
    .news = on_news,
    .lost = on_lost,
    .close = close_ring,
};
