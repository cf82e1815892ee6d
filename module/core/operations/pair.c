// SPDX-License-Identifier: Apache-2.0
#include "pair.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/state/room.h"
#include "module/core/state/worker.h"

#define LINK_PREFIX "link="
#define LINK_FACTOR 0.1

static bool is_link(const struct core_label *l) {
    return l->n >= strlen(LINK_PREFIX) && !memcmp(l->bytes, LINK_PREFIX, strlen(LINK_PREFIX));
}

void core_pair_prepare(struct kvr_pool *p) {
    struct core_columns *c = &p->columns;
    for (uint32_t i = 0; i < p->n_instances; i++) {
        const struct core_worker *w = p->instances[i].worker;
        bool eligible = w && c->cost[i] < INFINITY;
        if (!eligible || w->role == KVR_ROLE_DECODE) c->prefill_cost[i] = INFINITY;
        if (!eligible || w->role == KVR_ROLE_PREFILL) c->decode_cost[i] = INFINITY;
        // No more than its parts, whatever either is rounded to: so the best place for a prompt needs no other.
        double parts = c->prefill_cost[i] + c->decode_cost[i];
        c->own_cost[i] = c->cost[i] < parts ? c->cost[i] : parts;
        if (c->decode_cost[i] == INFINITY) c->own_cost[i] = INFINITY;
    }
}

// Whether i is the better place for a prompt: of equals the one booked longest ago, as everywhere.
static bool is_better(const struct kvr_pool *p, uint32_t i, uint32_t than) {
    const struct core_columns *c = &p->columns;
    if (than == CORE_NO_INSTANCE) return true;
    if (c->prefill_cost[i] != c->prefill_cost[than])
        return c->prefill_cost[i] < c->prefill_cost[than];
    if (c->booked[i] != c->booked[than]) return c->booked[i] < c->booked[than];
    return core_instance_before(p, i, than);
}

static bool may_prefill(const struct kvr_pool *p, uint32_t i, double percent) {
    return p->columns.prefill_cost[i] < INFINITY &&
           (percent < 0 || core_room_counted(p, i, percent));
}

static int by_label(const void *left, const void *right) {
    const struct core_pair_link *a = left, *b = right;
    return (a->label > b->label) - (a->label < b->label);
}

// The best place for a prompt of each link, ordered by label. How many.
static size_t collect_links(struct kvr_pool *p, double percent) {
    struct core_pair_link *links = p->pair_links;
    size_t n = 0, distinct = 0;
    for (size_t k = 0; k < p->n_workers; k++) {
        const struct core_worker *w = p->workers[k];
        uint32_t best = CORE_NO_INSTANCE;
        for (uint32_t r = 0; r < w->ranks; r++)
            if (may_prefill(p, w->instances[r], percent) && is_better(p, w->instances[r], best))
                best = w->instances[r];
        for (uint32_t l = 0; l < w->n_labels && best != CORE_NO_INSTANCE; l++)
            if (is_link(&w->labels[l]))
                links[n++] = (struct core_pair_link){w->labels[l].hash, best};
    }
    if (n) qsort(links, n, sizeof *links, by_label);
    for (size_t i = 0; i < n; i++) {
        if (distinct && links[distinct - 1].label == links[i].label) {
            if (is_better(p, links[i].instance, links[distinct - 1].instance))
                links[distinct - 1] = links[i];
        } else {
            links[distinct++] = links[i];
        }
    }
    return distinct;
}

struct pair_choice {
    double cost;
    uint32_t prefill; // CORE_NO_INSTANCE: by itself
};

static void consider(const struct kvr_pool *p, struct pair_choice *best, uint32_t i, uint32_t j,
                     double moved) {
    if (i == CORE_NO_INSTANCE || i == j) return;
    double cost = p->columns.prefill_cost[i] + p->columns.decode_cost[j] + moved;
    bool tie = cost == best->cost && best->prefill != CORE_NO_INSTANCE;
    if (cost < best->cost || (tie && is_better(p, i, best->prefill)))
        *best = (struct pair_choice){cost, i};
}

// Tokens of the prompt that are to come from elsewhere.
static double lacking(const struct kvr_pool *p, uint32_t j, double isl) {
    double lacks = isl - (double)p->columns.expected[j] * p->options.block_size;
    return lacks > 0 ? lacks : 0;
}

static struct pair_choice best_pair(const struct kvr_pool *p, double isl, uint32_t j,
                                    uint32_t anywhere, size_t n_links, double percent,
                                    double move) {
    const struct core_columns *c = &p->columns;
    const struct core_worker *w = p->instances[j].worker;
    double lacks = lacking(p, j, isl);
    struct pair_choice best = {INFINITY, CORE_NO_INSTANCE};
    if (c->decode_cost[j] == INFINITY) return best;
    bool local = lacks <= (double)p->options.local_prefill;
    if (local || may_prefill(p, j, percent)) best.cost = c->own_cost[j];
    if (local) return best;
    consider(p, &best, anywhere, j, move * lacks);
    for (uint32_t l = 0; l < w->n_labels && n_links; l++) {
        if (!is_link(&w->labels[l])) continue;
        const struct core_pair_link key = {w->labels[l].hash, 0},
                                    *link =
                                        bsearch(&key, p->pair_links, n_links, sizeof key, by_label);
        if (link) consider(p, &best, link->instance, j, LINK_FACTOR * move * lacks);
    }
    return best;
}

void core_pair_costs(struct kvr_pool *p, double isl, double percent, double move) {
    struct core_columns *c = &p->columns;
    uint32_t anywhere = CORE_NO_INSTANCE;
    bool any = false;
    for (uint32_t i = 0; i < p->n_instances; i++) {
        any |= c->prefill_cost[i] < INFINITY;
        if (may_prefill(p, i, percent) && is_better(p, i, anywhere)) anywhere = i;
    }
    size_t n_links = any ? collect_links(p, percent) : 0;
    for (uint32_t j = 0; j < p->n_instances; j++) {
        struct pair_choice best = {INFINITY, CORE_NO_INSTANCE};
        if (any) best = best_pair(p, isl, j, anywhere, n_links, percent, move);
        c->cost[j] = best.cost;
        c->prefill_of[j] = best.prefill;
    }
}

uint32_t core_pair_prefill(const struct kvr_pool *p, uint32_t decode) {
    return p->columns.prefill_of[decode];
}

static bool share_link(const struct core_worker *a, const struct core_worker *b) {
    for (uint32_t i = 0; i < a->n_labels; i++)
        for (uint32_t k = 0; is_link(&a->labels[i]) && k < b->n_labels; k++)
            if (a->labels[i].hash == b->labels[k].hash) return true;
    return false;
}

double core_pair_transfer(const struct kvr_pool *p, uint32_t decode, double isl, double move) {
    uint32_t prefill = p->columns.prefill_of[decode];
    if (prefill == CORE_NO_INSTANCE) return 0;
    double lacks = lacking(p, decode, isl);
    // Who is the best of all is the best of his links, too.
    return share_link(p->instances[prefill].worker, p->instances[decode].worker)
               ? LINK_FACTOR * move * lacks
               : move * lacks;
}
