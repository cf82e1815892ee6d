// SPDX-License-Identifier: Apache-2.0
// Whether a pool holds what engines hold; see bench_compare.h.
//
// Each block that any engine holds is asked of the pool by itself (KVROUTE.TREE FROM), which names its
// holders. That finds what is missing, and what is too much among these; blocks that no engine has show in
// the numbers of blocks that the pool counts for each rank.
#include "bench_compare.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_engines.h"
#include "bench_memory.h"
#include "tests/support/support_http.h"
#include "tests/support/support_redis.h"

enum {
    COMPARE_PATIENCE_MS = 20000,
    COMPARE_PIPELINE = 256,
    COMPARE_TIERS = 2,
    COMPARE_MAX_RANKS = 16
};

// ---- What engines hold ---------------------------------------------------------------------------

struct held_block {
    uint64_t hash;
    unsigned engine, rank, tier;
};

struct all_blocks {
    struct held_block *items;
    size_t n, room;
    long counts[BENCH_MAX_ENGINES][COMPARE_MAX_RANKS][COMPARE_TIERS];
};

static void add_blocks(struct all_blocks *all, const json_t *blocks, struct held_block one) {
    size_t i;
    json_t *text;
    json_array_foreach(blocks, i, text) {
        one.hash = strtoull(json_string_value(text), NULL, 16);
        all->items = bench_grow(all->items, &all->room, all->n + 1, sizeof one);
        all->items[all->n++] = one;
    }
    all->counts[one.engine][one.rank][one.tier] = (long)json_array_size(blocks);
}

static bool is_idle(const json_t *row) {
    static const char *const busy[] = {"running", "waiting", "held", "pending"};
    for (size_t i = 0; i < sizeof busy / sizeof *busy; i++)
        if (json_integer_value(json_object_get(row, busy[i]))) return false;
    return true;
}

static bool read_engine(struct all_blocks *all, const struct bench_engine *e, unsigned number) {
    struct support_response a =
        support_http(e->http, "GET", "/mock/cache", NULL, NULL, COMPARE_PATIENCE_MS);
    json_t *cache = a.status == 200 ? json_loads(a.body, 0, NULL) : NULL, *row;
    json_t *ranks = json_object_get(cache, "ranks");
    bool good = json_array_size(ranks) == e->ranks;
    size_t i;
    json_array_foreach(ranks, i, row) {
        good = good && is_idle(row);
        if (!good) break;
        add_blocks(all, json_object_get(row, "blocks"),
                   (struct held_block){0, number, (unsigned)i, 0});
        add_blocks(all, json_object_get(row, "cpu"),
                   (struct held_block){0, number, (unsigned)i, 1});
    }
    json_decref(cache);
    support_response_free(&a);
    return good;
}

static int by_hash(const void *left, const void *right) {
    const struct held_block *a = left, *b = right;
    return a->hash < b->hash ? -1 : a->hash > b->hash;
}

// ---- What the pool says --------------------------------------------------------------------------

static int engine_named(const struct bench_engine *engines, size_t n, const char *name,
                        size_t len) {
    for (size_t i = 0; i < n; i++)
        if (strlen(engines[i].name) == len && !memcmp(engines[i].name, name, len)) return (int)i;
    return -1;
}

// "name:rank tier blocks"
static bool read_holder(const char *text, const struct bench_engine *engines, size_t n,
                        struct held_block *out) {
    const char *colon = strchr(text, ':');
    char tier[16];
    int engine = colon ? engine_named(engines, n, text, (size_t)(colon - text)) : -1;
    if (engine < 0 || sscanf(colon + 1, "%u %15s", &out->rank, tier) != 2) return false;
    out->engine = (unsigned)engine;
    out->tier = !strcmp(tier, "device") ? 0 : !strcmp(tier, "host") ? 1 : 2;
    return true;
}

static void note(struct bench_difference *out, const char *what, uint64_t hash, const char *who) {
    if (!out->first[0])
        snprintf(out->first, sizeof out->first, "%s %016" PRIx64 " %s", what, hash, who);
}

// The holders of one block, which held[0 … n) should be.
static void compare_block(const redisReply *r, const struct bench_engine *engines, size_t n_of,
                          const struct held_block *held, size_t n, struct bench_difference *out) {
    const redisReply *run = r->type == REDIS_REPLY_ARRAY && r->elements == 1 ? r->element[0] : NULL;
    const redisReply *holders = support_redis_field(run, "holders");
    bool found[BENCH_MAX_ENGINES * COMPARE_MAX_RANKS] = {false};
    size_t n_found = 0;
    for (size_t i = 0; holders && i < holders->elements; i++) {
        struct held_block h = {0};
        bool known = read_holder(holders->element[i]->str, engines, n_of, &h);
        size_t k = 0;
        while (known && k < n &&
               !(held[k].engine == h.engine && held[k].rank == h.rank && held[k].tier == h.tier))
            k++;
        if (known && k < n && k < sizeof found) {
            found[k] = true;
            n_found++;
        } else {
            out->surplus++;
            note(out, "surplus", held->hash, holders->element[i]->str);
        }
    }
    out->blocks += (long)(n - n_found);
    for (size_t k = 0; k < n && k < sizeof found; k++) {
        char who[80];
        snprintf(who, sizeof who, "%s:%u tier %u", engines[held[k].engine].name, held[k].rank,
                 held[k].tier);
        if (!found[k]) note(out, "missing", held[k].hash, who);
    }
}

static bool compare_blocks(redisContext *c, const char *pool, const struct bench_engine *engines,
                           size_t n, const struct all_blocks *all, struct bench_difference *out) {
    size_t starts[COMPARE_PIPELINE + 1];
    for (size_t at = 0; at < all->n;) {
        size_t asked = 0;
        while (at < all->n && asked < COMPARE_PIPELINE) {
            starts[asked++] = at;
            redisAppendCommand(c, "KVROUTE.TREE %s FROM %016" PRIx64 " DEPTH 1 COUNT 1", pool,
                               all->items[at].hash);
            for (uint64_t hash = all->items[at].hash; at < all->n && all->items[at].hash == hash;)
                at++;
        }
        starts[asked] = at;
        for (size_t i = 0; i < asked; i++) {
            redisReply *r;
            if (redisGetReply(c, (void **)&r) != REDIS_OK) return false;
            compare_block(r, engines, n, all->items + starts[i], starts[i + 1] - starts[i], out);
            freeReplyObject(r);
        }
    }
    return true;
}

static bool compare_counts(redisContext *c, const char *pool, const struct bench_engine *engines,
                           size_t n, const struct all_blocks *all, struct bench_difference *out) {
    static const char *const names[COMPARE_TIERS] = {"device_blocks", "host_blocks"};
    redisReply *list = redisCommand(c, "KVROUTE.WORKER LIST %s", pool);
    bool good = list && list->type == REDIS_REPLY_ARRAY;
    long counted = 0, held = 0;
    size_t seen = 0;
    for (size_t i = 0; good && i < list->elements; i++) {
        const redisReply *name = support_redis_field(list->element[i], "worker");
        const redisReply *ranks = support_redis_field(list->element[i], "ranks");
        int e = name ? engine_named(engines, n, name->str, name->len) : -1;
        if (e < 0 || !ranks || ranks->elements != engines[e].ranks) continue;
        seen++;
        for (size_t k = 0; k < ranks->elements; k++)
            for (size_t t = 0; t < COMPARE_TIERS; t++) {
                const redisReply *v = support_redis_field(ranks->element[k], names[t]);
                counted += v ? (long)v->integer : 0;
                held += all->counts[e][k][t];
            }
    }
    if (list) freeReplyObject(list);
    // Blocks that no engine holds and the pool has: what is counted beyond what was found.
    long found = held - out->blocks, surplus = counted - found;
    if (surplus > out->surplus) out->surplus = surplus;
    out->blocks += out->surplus;
    return good && seen == n;
}

bool bench_compare(redisContext *c, const char *pool, const struct bench_engine *engines, size_t n,
                   struct bench_difference *out) {
    struct all_blocks *all = bench_calloc(1, sizeof *all);
    *out = (struct bench_difference){0};
    bool good = true;
    for (size_t i = 0; good && i < n; i++)
        good = read_engine(all, &engines[i], (unsigned)i);
    if (good && all->n) qsort(all->items, all->n, sizeof *all->items, by_hash);
    good = good && compare_blocks(c, pool, engines, n, all, out) &&
           compare_counts(c, pool, engines, n, all, out);
    out->held = all->n;
    free(all->items);
    free(all);
    return good;
}

static bool holds(const struct all_blocks *all, uint64_t hash, unsigned engine, unsigned rank) {
    struct held_block key = {.hash = hash};
    const struct held_block *end = all->items + all->n;
    const struct held_block *at =
        all->n ? bsearch(&key, all->items, all->n, sizeof key, by_hash) : NULL;
    while (at && at > all->items && at[-1].hash == hash)
        at--;
    for (; at && at < end && at->hash == hash; at++)
        if (at->engine == engine && at->rank == rank) return true;
    return false;
}

static long score_engine(redisContext *c, const char *pool, const struct bench_engine *e,
                         unsigned number, const struct all_blocks *all, const uint64_t *hashes,
                         size_t n) {
    redisReply *r = redisCommand(c, "KVROUTE.SCORE %s HASHES %b AMONG 1 %s", pool, hashes,
                                 n * sizeof *hashes, e->name);
    bool good = r && r->type == REDIS_REPLY_ARRAY && r->elements == e->ranks;
    long differ = good ? 0 : -1;
    for (size_t i = 0; good && i < r->elements; i++) {
        const redisReply *rank = support_redis_field(r->element[i], "rank");
        const redisReply *overlap = support_redis_field(r->element[i], "overlap");
        size_t held = 0;
        if (!rank || !overlap) {
            differ++;
            continue;
        }
        while (held < n && holds(all, hashes[held], number, (unsigned)rank->integer))
            held++;
        differ += overlap->integer != (long long)held;
    }
    if (r) freeReplyObject(r);
    return differ;
}

long bench_compare_scores(redisContext *c, const char *pool, const struct bench_engine *engines,
                          size_t n, const uint64_t *hashes, size_t n_hashes) {
    struct all_blocks *all = bench_calloc(1, sizeof *all);
    long differ = 0;
    for (size_t i = 0; differ >= 0 && i < n; i++)
        if (!read_engine(all, &engines[i], (unsigned)i)) differ = -1;
    if (all->n) qsort(all->items, all->n, sizeof *all->items, by_hash);
    for (size_t i = 0; differ >= 0 && i < n; i++) {
        long one = score_engine(c, pool, &engines[i], (unsigned)i, all, hashes, n_hashes);
        differ = one < 0 ? -1 : differ + one;
    }
    free(all->items);
    free(all);
    return differ;
}
