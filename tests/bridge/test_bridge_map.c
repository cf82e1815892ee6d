// SPDX-License-Identifier: Apache-2.0
// The map beside an engine in plain arrays: a forest of blocks of random tokens, in two groups and
// three tiers, with salts and images. Each block's prefix hash is computed the long way, from all
// tokens since the start of its sequence. After each event the sink holds what the engine holds.
#include <criterion/criterion.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bridge/block_map.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum { N_BLOCKS = 300, BLOCK_TOKENS = 4, N_GROUPS = 2, N_STEPS = 30000, MAX_CHAIN = 12 };

struct plain_block {
    int parent; // -1: a start
    unsigned depth;
    uint64_t hash, prefix; // the engine's; the pool's
    uint32_t tokens[BLOCK_TOKENS];
    const char *salt, *image; // the salt is the start's
    unsigned copies[N_GROUPS][KVR_TIERS];
};

struct plain_engine {
    uint64_t random;
    struct plain_block blocks[N_BLOCKS];
    bool held[KVR_TIERS][N_BLOCKS]; // what the sink was told
    bool set;
    size_t bad; // words of the sink that make no sense
};

static unsigned below(struct plain_engine *g, unsigned n) {
    g->random ^= g->random << 13, g->random ^= g->random >> 7, g->random ^= g->random << 17;
    return (unsigned)((g->random >> 20) % n);
}

static uint64_t image_part(const char *image) {
    return image ? XXH3_64bits_withSeed(image, strlen(image), 2) + 7 : 0;
}

static void make(struct plain_engine *g, uint64_t seed, bool set) {
    static const char *const salts[] = {NULL, NULL, "tenant a", "tenant b"};
    *g = (struct plain_engine){.random = seed, .set = set};
    for (int i = 0; i < N_BLOCKS; i++) {
        struct plain_block *b = &g->blocks[i];
        b->parent = i > 0 && below(g, 4) ? (int)below(g, (unsigned)i) : -1;
        if (b->parent >= 0 && g->blocks[b->parent].depth == MAX_CHAIN) b->parent = -1;
        const struct plain_block *p = b->parent < 0 ? NULL : &g->blocks[b->parent];
        b->depth = p ? p->depth + 1 : 0;
        b->hash = XXH3_64bits_withSeed(&i, sizeof i, seed);
        for (int k = 0; k < BLOCK_TOKENS; k++)
            b->tokens[k] = below(g, 1u << 31);
        b->salt = p ? p->salt : salts[below(g, 4)];
        b->image = below(g, 8) ? NULL : "image";
        uint64_t block = kvr_hash_block(
            b->tokens, BLOCK_TOKENS,
            kvr_hash_salt(NULL, 0, b->salt, b->salt ? strlen(b->salt) : 0) + image_part(b->image));
        b->prefix = p ? kvr_hash_chain(p->prefix, block) : block;
    }
}

static int find(const struct plain_engine *g, uint64_t prefix) {
    for (int i = 0; i < N_BLOCKS; i++)
        if (g->blocks[i].prefix == prefix) return i;
    return -1;
}

// ---- The sink ------------------------------------------------------------------------------------

static enum kvr_code on_stored(void *ctx, enum kvr_tier tier, const uint64_t *parent,
                               const uint64_t *hashes, size_t n) {
    struct plain_engine *g = ctx;
    for (size_t i = 0; i < n; i++) {
        int k = find(g, hashes[i]);
        if (k < 0) {
            g->bad++;
            continue;
        }
        const uint64_t *before = i ? &hashes[i - 1] : parent;
        int p = g->blocks[k].parent;
        if ((p < 0) != !before || (before && *before != g->blocks[p].prefix)) g->bad++;
        g->held[tier][k] = true;
    }
    return KVR_CODE_OK;
}

static enum kvr_code on_removed(void *ctx, enum kvr_tier tier, const uint64_t *hashes, size_t n) {
    struct plain_engine *g = ctx;
    for (size_t i = 0; i < n; i++) {
        int k = find(g, hashes[i]);
        if (k < 0 || !g->held[tier][k])
            g->bad++;
        else
            g->held[tier][k] = false;
    }
    return KVR_CODE_OK;
}

static enum kvr_code on_cleared(void *ctx, int tier) {
    struct plain_engine *g = ctx;
    g->bad += tier != -1;
    memset(g->held, 0, sizeof g->held);
    return KVR_CODE_OK;
}

static bool on_parent(void *ctx, uint64_t hash, uint64_t *parent, bool *has) {
    struct plain_engine *g = ctx;
    int k = find(g, hash);
    if (k < 0) return false;
    int p = g->blocks[k].parent;
    *has = p >= 0;
    *parent = p < 0 ? 0 : g->blocks[p].prefix;
    return true;
}

// ---- The engine's words --------------------------------------------------------------------------

static struct kvr_bytes medium(int tier) {
    static const char *const names[] = {"GPU", "CPU", "STORAGE"};
    return kvr_text(names[tier]);
}

static void put_str(uint8_t *at, size_t *n, const char *s) {
    at[(*n)++] = (uint8_t)(0xa0 | strlen(s));
    memcpy(at + *n, s, strlen(s));
    *n += strlen(s);
}

// A chain of blocks, told from `from` down to `last`.
static void tell_store(struct plain_engine *g, struct bridge_map *m, unsigned group, int tier,
                       int last, unsigned n) {
    int chain[MAX_CHAIN + 1];
    uint64_t hashes[MAX_CHAIN + 1];
    uint32_t tokens[(MAX_CHAIN + 1) * BLOCK_TOKENS];
    uint8_t extra[512];
    size_t bytes = 0;
    int k = last;
    for (unsigned i = n; i-- > 0; k = g->blocks[k].parent)
        chain[i] = k;
    struct bridge_event e = {
        .type = BRIDGE_EVENT_STORED, .hashes = hashes, .n_hashes = n, .tokens = tokens};
    e.has_parent = k >= 0;
    e.parent = k >= 0 ? g->blocks[k].hash : 0;
    for (unsigned i = 0; i < n; i++) {
        const struct plain_block *b = &g->blocks[chain[i]];
        bool salt = b->salt && b->parent < 0;
        hashes[i] = b->hash;
        memcpy(tokens + i * BLOCK_TOKENS, b->tokens, sizeof b->tokens);
        if (!salt && !b->image) {
            extra[bytes++] = 0xc0;
            continue;
        }
        extra[bytes++] = (uint8_t)(0x90 | (salt + (b->image != NULL)));
        if (b->image) {
            extra[bytes++] = 0x92;
            put_str(extra, &bytes, b->image);
            extra[bytes++] = 7;
        }
        if (salt) put_str(extra, &bytes, b->salt);
    }
    e.extra = (struct bridge_msgpack){extra, extra + bytes};
    e.n_extra = n;
    e.n_tokens = (size_t)n * BLOCK_TOKENS;
    e.block_size = BLOCK_TOKENS;
    e.medium = medium(tier);
    e.has_group = group > 0 || below(g, 2);
    e.group = group * 2;
    if (group) e.kind = kvr_text("mla_attention");
    bridge_map_event(m, &e);
    for (unsigned i = 0; i < n; i++) {
        unsigned *copies = &g->blocks[chain[i]].copies[group][tier];
        unsigned most = g->set || tier ? 1 : 15;
        if (*copies < most) ++*copies;
    }
}

static bool known(const struct plain_engine *g, int k) {
    for (int group = 0; group < N_GROUPS; group++)
        for (int tier = 0; tier < KVR_TIERS; tier++)
            if (g->blocks[k].copies[group][tier]) return true;
    return false;
}

static void step(struct plain_engine *g, struct bridge_map *m) {
    int k = (int)below(g, N_BLOCKS);
    unsigned group = below(g, N_GROUPS);
    int tier = below(g, 3) ? 0 : 1 + (int)below(g, 2);
    struct plain_block *b = &g->blocks[k];
    struct bridge_event e = {.hashes = &b->hash,
                             .n_hashes = 1,
                             .medium = medium(tier),
                             .has_group = group > 0,
                             .group = group * 2};
    unsigned what = below(g, 1000);
    if (what == 0) {
        e.type = BRIDGE_EVENT_CLEARED;
        bridge_map_event(m, &e);
        for (int i = 0; i < N_BLOCKS; i++)
            memset(g->blocks[i].copies, 0, sizeof g->blocks[i].copies);
    } else if (what < 500) { // with as many of those before it as is needed, or more
        unsigned n = 1;
        int p = b->parent;
        for (; p >= 0 && (!known(g, p) || below(g, 2)); p = g->blocks[p].parent)
            n++;
        tell_store(g, m, group, tier, k, n);
    } else if (what < 600) { // a placeholder
        e.type = BRIDGE_EVENT_STORED;
        bool was = known(g, k);
        bridge_map_event(m, &e);
        unsigned most = g->set || tier ? 1 : 15;
        if (was && b->copies[group][tier] < most) b->copies[group][tier]++;
    } else {
        e.type = BRIDGE_EVENT_REMOVED;
        bridge_map_event(m, &e);
        if (b->copies[group][tier]) b->copies[group][tier]--;
    }
}

static void compare(const struct plain_engine *g, const struct bridge_map *m, unsigned at) {
    size_t entries = 0;
    cr_assert_eq(g->bad, 0, "step %u", at);
    for (int i = 0; i < N_BLOCKS; i++)
        for (int tier = 0; tier < KVR_TIERS; tier++) {
            bool held = false;
            for (int group = 0; group < N_GROUPS; group++)
                held |= g->blocks[i].copies[group][tier] > 0;
            cr_assert_eq(held, g->held[tier][i], "step %u block %d tier %d", at, i, tier);
        }
    for (int i = 0; i < N_BLOCKS; i++)
        for (int group = 0; group < N_GROUPS; group++) {
            const unsigned *c = g->blocks[i].copies[group];
            entries += c[0] || c[1] || c[2];
        }
    cr_assert_eq(entries, bridge_map_blocks(m), "step %u", at);
}

static struct plain_engine *begin(struct bridge_map *m, uint64_t seed, bool set, size_t capacity) {
    struct plain_engine *g = malloc(sizeof *g);
    struct bridge_map_sink sink = {g, on_stored, on_removed, on_cleared, NULL, on_parent};
    struct bridge_map_options o = {
        .block_size = BLOCK_TOKENS, .as_set = set, .secret = seed, .capacity = capacity};
    make(g, seed, set);
    bridge_map_init(m, &o, &sink);
    return g;
}

static void end(struct plain_engine *g, struct bridge_map *m) {
    bridge_map_free(m);
    free(g);
}

// The first block is stored.
static struct bridge_event store_first(const struct plain_engine *g) {
    const struct plain_block *b = &g->blocks[0];
    return (struct bridge_event){.type = BRIDGE_EVENT_STORED,
                                 .hashes = &b->hash,
                                 .n_hashes = 1,
                                 .tokens = b->tokens,
                                 .n_tokens = BLOCK_TOKENS,
                                 .block_size = BLOCK_TOKENS};
}

Test(map, beside_plain_arrays) {
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct bridge_map m;
        struct plain_engine *g = begin(&m, seed * 7919, seed % 3 == 0, 0);
        for (unsigned i = 0; i < N_STEPS; i++) {
            step(g, &m);
            if (i % 16 == 0 || i < 500) compare(g, &m, i);
        }
        compare(g, &m, N_STEPS);
        cr_expect(m.stats.moved == 0 && m.stats.refused == 0);
        cr_expect_gt(m.stats.placeholders, 0u);
        bridge_map_reset(&m);
        cr_expect_eq(bridge_map_blocks(&m), 0u);
        end(g, &m);
    }
}

// What isn't to be indexed, and what makes children orphans.
Test(map, leaves_out) {
    struct bridge_map m;
    struct plain_engine *g = begin(&m, 5, false, 0);
    struct bridge_event good = store_first(g);
    struct bridge_event e = good;
    e.has_group = true, e.group = 1;
    bridge_map_event(&m, &e); // its kind isn't known
    e.kind = kvr_text("sliding_window");
    bridge_map_event(&m, &e);
    cr_expect_eq(m.stats.other_groups, 2u);
    e = good, e.locality = kvr_text("REMOTE");
    bridge_map_event(&m, &e);
    e = good, e.medium = kvr_text("TAPE");
    bridge_map_event(&m, &e);
    cr_expect_eq(m.stats.other_media, 2u);
    e = good, e.block_size = 2, e.n_tokens = 2;
    bridge_map_event(&m, &e);
    cr_expect_eq(m.stats.wrong_size, 1u);
    e = good, e.has_parent = true, e.parent = 99;
    bridge_map_event(&m, &e);
    cr_expect_eq(m.stats.orphans, 1u);
    e = good, e.kind = kvr_text("mamba"); // group 0 itself may be of another kind
    bridge_map_event(&m, &e);
    e = good;
    bridge_map_event(&m, &e);
    cr_expect_eq(m.stats.other_groups, 4u);
    cr_expect_eq(bridge_map_blocks(&m), 0u);
    end(g, &m);
}

// The names that a router gives: the same prefix hashes as from hash.h.
Test(map, salts_are_those_of_hash_h) {
    static const uint32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const uint64_t hashes[] = {100, 200};
    static const uint8_t extra[] = {0x92, 0xa2, 'a', 'd', 0xa1, 's', 0x91, 0xa2, 'a', 'd'};
    struct bridge_map m;
    uint64_t expected[2];
    struct plain_engine *g = begin(&m, 5, false, 0);
    kvr_hash_tokens(tokens, 8, BLOCK_TOKENS, kvr_hash_salt("ad", 2, "s", 1), NULL, expected);
    struct bridge_event e = {.type = BRIDGE_EVENT_STORED,
                             .hashes = hashes,
                             .n_hashes = 2,
                             .tokens = tokens,
                             .n_tokens = 8,
                             .block_size = BLOCK_TOKENS,
                             .lora = kvr_text("ad"),
                             .extra = {extra, extra + sizeof extra},
                             .n_extra = 2};
    bridge_map_event(&m, &e);
    for (int i = 0; i < 2; i++) {
        struct bridge_table_entry place;
        cr_assert(bridge_table_find(m.groups[0].blocks, hashes[i], &place));
        cr_expect_eq(*place.value, expected[i]);
    }
    // A child is told without the salt, and has it.
    static const uint64_t child[] = {300};
    e.hashes = child, e.n_hashes = 1, e.n_tokens = 4, e.n_extra = 0;
    e.has_parent = true, e.parent = 200;
    bridge_map_event(&m, &e);
    struct bridge_table_entry place;
    cr_assert(bridge_table_find(m.groups[0].blocks, 300, &place));
    uint64_t want;
    kvr_hash_tokens(tokens, 4, BLOCK_TOKENS, kvr_hash_salt("ad", 2, "s", 1), &expected[1], &want);
    cr_expect_eq(*place.value, want);
    end(g, &m);
}

// Stores repeated on request are no copies: with a capacity known, counting them ends.
Test(map, more_copies_than_there_can_be) {
    struct bridge_map m;
    struct plain_engine *g = begin(&m, 9, false, 2);
    struct bridge_event e = store_first(g);
    for (int i = 0; i < 3; i++)
        bridge_map_event(&m, &e);
    cr_expect_eq(m.stats.collapsed, 1u);
    cr_expect_eq(m.copies, 1u);
    cr_expect_not(bridge_map_overfull(&m));
    e.type = BRIDGE_EVENT_REMOVED;
    bridge_map_event(&m, &e);
    cr_expect_eq(bridge_map_blocks(&m), 0u);
    end(g, &m);
}

// As many requests for one prompt as an engine computes at once, each with a copy of its own: the block is
// there until the last has gone.
Test(map, many_copies) {
    struct bridge_map m;
    struct plain_engine *g = begin(&m, 9, false, 0);
    const struct plain_block *b = &g->blocks[0];
    struct bridge_event e = {.hashes = &b->hash,
                             .n_hashes = 1,
                             .tokens = b->tokens,
                             .n_tokens = BLOCK_TOKENS,
                             .block_size = BLOCK_TOKENS};
    for (int i = 0; i < 15 + 14; i++) {
        e.type = i < 15 ? BRIDGE_EVENT_STORED : BRIDGE_EVENT_REMOVED;
        bridge_map_event(&m, &e);
        cr_assert_eq(bridge_map_blocks(&m), 1u, "after %d events", i + 1);
    }
    bridge_map_event(&m, &e);
    cr_expect_eq(bridge_map_blocks(&m), 0u);
    cr_expect_eq(m.copies, 0u);
    end(g, &m);
}

Test(map, memory_of_an_entry) {
    struct bridge_table t;
    struct bridge_table_entry place;
    size_t worst = 0;
    bridge_table_init(&t, 77);
    for (uint64_t i = 0; i < 1000000; i++) {
        cr_assert(bridge_table_reserve(&t, i * 3));
        bridge_table_add(&t, i * 3, ~i, 1);
        if (i > 100000 && t.memory * 10 / t.count > worst) worst = t.memory * 10 / t.count;
    }
    cr_expect_leq(worst, 212u, "%zu tenths of a byte", worst);
    for (uint64_t i = 0; i < 1000000; i += 2)
        bridge_table_remove(&t, i * 3);
    for (uint64_t i = 0; i < 1000000; i++) {
        bool here = bridge_table_find(&t, i * 3, &place);
        cr_assert_eq(here, i % 2 == 1);
        if (here) cr_assert_eq(*place.value, ~i);
    }
    bridge_table_free(&t);
}

// As a plain array would have it, at all fills: nearly full segments, from which entries go in any order.
Test(map, a_table_beside_an_array) {
    enum { MAP_TABLE_KEYS = 20000, MAP_TABLE_STEPS = 400000 };
    static struct {
        uint64_t value;
        uint8_t byte; // 0: not here
    } plain[MAP_TABLE_KEYS];
    struct bridge_table t;
    struct bridge_table_entry place;
    uint64_t random = support_seed();
    size_t count = 0;
    bridge_table_init(&t, kvr_random(&random));
    for (size_t step = 0; step < MAP_TABLE_STEPS; step++) {
        uint64_t key = kvr_random(&random) % MAP_TABLE_KEYS;
        unsigned fill = step / 50000 % 2 ? 30 : 90; // percent of the steps that add what isn't here
        bool here = bridge_table_find(&t, key, &place);
        cr_assert_eq(here, plain[key].byte != 0, "step %zu", step);
        if (here) cr_assert(*place.value == plain[key].value && *place.byte == plain[key].byte);
        bool wanted = kvr_random(&random) % 100 < fill;
        if (here && !wanted) {
            bridge_table_remove(&t, key);
            plain[key].byte = 0;
            count--;
        } else if (!here && wanted) {
            plain[key].value = kvr_random(&random);
            plain[key].byte = (uint8_t)(1 + step % 255);
            cr_assert(bridge_table_reserve(&t, key));
            bridge_table_add(&t, key, plain[key].value, plain[key].byte);
            count++;
        }
        cr_assert_eq(t.count, count);
    }
    for (uint64_t key = 0; key < MAP_TABLE_KEYS; key++)
        cr_assert_eq(bridge_table_find(&t, key, &place), plain[key].byte != 0);
    bridge_table_free(&t);
    cr_assert(!t.count && !t.memory);
}
