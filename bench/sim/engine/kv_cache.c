// SPDX-License-Identifier: Apache-2.0
// The KV blocks of one engine; see kv_cache.h.
#include "kv_cache.h"

#include <assert.h>

void sim_kv_open(struct sim_kv *k, size_t capacity, struct sim_host *host) {
    *k = (struct sim_kv){.host = host};
    sim_blocks_open(&k->cached, capacity);
}

void sim_kv_close(struct sim_kv *k) {
    sim_blocks_close(&k->cached);
}

size_t sim_kv_match(const struct sim_kv *k, const uint64_t *hashes, size_t n, size_t *idle) {
    size_t i = 0;
    *idle = 0;
    for (uint32_t at; i < n && (at = sim_blocks_find(&k->cached, hashes[i])); i++) {
        sim_blocks_prefetch(&k->cached, hashes, i, n);
        *idle += !k->cached.blocks[at].uses;
    }
    return i;
}

void sim_kv_use(struct sim_kv *k, const uint64_t *hashes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        sim_blocks_prefetch(&k->cached, hashes, i, n);
        sim_blocks_use(&k->cached, sim_blocks_find(&k->cached, hashes[i]));
    }
}

void sim_kv_leave(struct sim_kv *k, const uint64_t *hashes, size_t n) {
    while (n-- > 0)
        sim_blocks_leave(&k->cached, sim_blocks_find(&k->cached, hashes[n]));
}

bool sim_kv_has_room(const struct sim_kv *k, size_t n) {
    return k->cached.used + k->reserved + n <= k->cached.capacity;
}

void sim_kv_reserve(struct sim_kv *k, size_t n) {
    assert(sim_kv_has_room(k, n));
    k->reserved += n;
}

size_t sim_kv_hold(struct sim_kv *k, size_t n, uint64_t *evicted) {
    size_t gone = 0;
    k->held += n;
    assert(k->held <= k->reserved);
    while (sim_blocks_count(&k->cached) + k->held > k->cached.capacity) {
        struct sim_block x = sim_blocks_remove_oldest(&k->cached);
        evicted[gone++] = x.hash;
        if (k->host) sim_host_put(k->host, x.hash, x.parent, x.depth);
    }
    return gone;
}

void sim_kv_unreserve(struct sim_kv *k, size_t n, size_t held) {
    assert(n <= k->reserved && held <= k->held && held <= n);
    k->reserved -= n;
    k->held -= held;
}

bool sim_kv_fill(struct sim_kv *k, const uint64_t *hashes, size_t depth) {
    uint32_t at = sim_blocks_find(&k->cached, hashes[depth]);
    sim_kv_unreserve(k, 1, 1);
    if (at)
        sim_blocks_use(&k->cached, at);
    else
        sim_blocks_add(&k->cached, hashes[depth], depth ? hashes[depth - 1] : 0, (uint32_t)depth);
    return !at;
}

struct kv_check {
    const struct sim_blocks *cached;
    const char *wrong;
};

static void check_parent(void *ctx, const struct sim_block *x) {
    struct kv_check *c = ctx;
    uint32_t parent = x->depth ? sim_blocks_find(c->cached, x->parent) : 0;
    if (x->depth && !parent) c->wrong = "a cached block has lost its parent";
    if (x->uses && parent && !c->cached->blocks[parent].uses)
        c->wrong = "a block is in use, and its parent isn't";
}

const char *sim_kv_validate(const struct sim_kv *k) {
    struct kv_check c = {&k->cached, sim_blocks_validate(&k->cached)};
    if (!c.wrong) sim_blocks_each(&k->cached, check_parent, &c);
    if (c.wrong) return c.wrong;
    if (sim_blocks_count(&k->cached) + k->held > k->cached.capacity) return "above capacity";
    if (!sim_kv_has_room(k, 0)) return "more is promised than there is";
    return k->held > k->reserved ? "more is held than was promised" : NULL;
}
