// SPDX-License-Identifier: Apache-2.0
// See block_map.h. An entry's byte:
//
//     7   6   5   4   3   2   1   0
//   ┌───┬───┬───┬───┬───┴───┴───┴───┐
//   │ 0 │ S │ K │ H │ copies, 0…15  │    device tier; H, K: in the host's, the disk's tier
//   └───┴───┴───┴───┴───────────────┘    S: salted, its namespace is in `spaces`
#include "block_map.h"

#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/common/alloc.h"

enum {
    MAX_COUNTED_COPIES = 15,
    SALTED_BIT = 64,
    COPY_BITS = 63,
    PREFETCHED = 16, // blocks of an event that are on their way from memory
    GONE_AT_ONCE = 64,
};

static unsigned copies_in(uint8_t byte, int tier) {
    return tier == KVR_DEVICE ? byte & 15u : byte >> (3 + tier) & 1u;
}

static uint8_t with_copies(uint8_t byte, int tier, unsigned copies) {
    unsigned shift = tier == KVR_DEVICE ? 0 : 3 + (unsigned)tier;
    unsigned mask = tier == KVR_DEVICE ? 15 : 1;
    return (uint8_t)((byte & ~(mask << shift)) | copies << shift);
}

void bridge_map_init(struct bridge_map *m, const struct bridge_map_options *options,
                     const struct bridge_map_sink *sink) {
    *m = (struct bridge_map){.options = *options, .sink = *sink};
    bridge_table_init(&m->spaces, options->secret);
}

static void forget(struct bridge_map *m) {
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS; i++)
        if (m->groups[i].blocks) bridge_table_free(m->groups[i].blocks);
    bridge_table_free(&m->spaces);
    m->copies = 0;
}

void bridge_map_free(struct bridge_map *m) {
    forget(m);
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS; i++)
        free(m->groups[i].blocks);
    free(m->prefixes);
}

void bridge_map_reset(struct bridge_map *m) {
    forget(m);
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS; i++)
        m->groups[i].used = m->groups[i].known = false;
    m->sink.cleared(m->sink.ctx, -1);
}

size_t bridge_map_blocks(const struct bridge_map *m) {
    size_t n = 0;
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS; i++)
        if (m->groups[i].blocks) n += m->groups[i].blocks->count;
    return n;
}

size_t bridge_map_bytes(const struct bridge_map *m) {
    size_t n = sizeof *m + m->spaces.memory + m->cap_prefixes * sizeof *m->prefixes;
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS; i++)
        if (m->groups[i].blocks) n += sizeof(struct bridge_table) + m->groups[i].blocks->memory;
    return n;
}

bool bridge_map_overfull(const struct bridge_map *m) {
    return m->options.capacity && m->copies > m->options.capacity;
}

// ---- Groups and media ----------------------------------------------------------------------------

// The group of an event if its blocks are indexed, else NULL.
static struct bridge_map_group *group_of(struct bridge_map *m, const struct bridge_event *e) {
    uint32_t number = e->has_group ? e->group : 0;
    struct bridge_map_group *g = NULL;
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS && !g; i++)
        if (m->groups[i].used && m->groups[i].number == number) g = &m->groups[i];
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS && !g; i++) {
        if (m->groups[i].used) continue;
        g = &m->groups[i];
        g->used = true;
        g->known = false;
        g->indexed = number == 0;
        g->number = number;
    }
    if (g && e->kind.p) {
        g->known = true;
        g->indexed = bridge_kind_indexed(e->kind);
    }
    if (!g || !g->indexed) {
        m->stats.other_groups++;
        return NULL;
    }
    if (!g->blocks) {
        g->blocks = malloc(sizeof *g->blocks);
        if (!g->blocks) {
            m->stats.refused += e->n_hashes;
            return NULL;
        }
        bridge_table_init(g->blocks, m->options.secret);
    }
    return g;
}

static int tier_of(struct bridge_map *m, const struct bridge_event *e) {
    static const struct {
        const char *medium;
        enum kvr_tier tier;
    } media[] = {{"GPU", KVR_DEVICE},         {"CPU", KVR_HOST},  {"CPU_PINNED", KVR_HOST},
                 {"STORAGE", KVR_DISK},       {"DISK", KVR_DISK}, {"EXTERNAL", KVR_DISK},
                 {"SHARED_STORAGE", KVR_DISK}};
    if (!e->locality.p || bridge_text_is(e->locality, "LOCAL")) {
        if (!e->medium.p) return KVR_DEVICE;
        for (size_t i = 0; i < sizeof media / sizeof *media; i++)
            if (bridge_text_is(e->medium, media[i].medium)) return (int)media[i].tier;
    }
    m->stats.other_media++;
    return -1;
}

// The entry of this hash in the group, or in another indexed one.
static bool find_anywhere(const struct bridge_map *m, const struct bridge_map_group *g,
                          uint64_t hash, struct bridge_table_entry *place) {
    if (g->blocks && bridge_table_find(g->blocks, hash, place)) return true;
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS; i++) {
        const struct bridge_map_group *other = &m->groups[i];
        if (other != g && other->used && other->blocks &&
            bridge_table_find(other->blocks, hash, place))
            return true;
    }
    return false;
}

static bool held_elsewhere(const struct bridge_map *m, const struct bridge_map_group *g,
                           uint64_t hash, int tier) {
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS; i++) {
        const struct bridge_map_group *other = &m->groups[i];
        struct bridge_table_entry place;
        if (other == g || !other->used || !other->blocks) continue;
        if (bridge_table_find(other->blocks, hash, &place) && copies_in(*place.byte, tier))
            return true;
    }
    return false;
}

// The i-th block of the event will be looked for soon.
static void prefetch(const struct bridge_map_group *g, const struct bridge_event *e, size_t i) {
    bool here = e->type == BRIDGE_EVENT_REMOVED;
    if (i < e->n_hashes) bridge_table_prefetch(g->blocks, e->hashes[i], here);
}

static void prefetch_first(const struct bridge_map_group *g, const struct bridge_event *e) {
    for (size_t i = 0; i < PREFETCHED; i++)
        prefetch(g, e, i);
}

// ---- Seeds ---------------------------------------------------------------------------------------

static uint64_t lora_part(const struct bridge_event *e) {
    char number[24];
    if (e->lora.n) return kvr_hash_salt(e->lora.p, e->lora.n, NULL, 0) - KVR_HASH_SEED;
    if (e->lora.p || !e->has_lora_id) return 0;
    int n = snprintf(number, sizeof number, "%lld", (long long)e->lora_id);
    return kvr_hash_salt(number, (size_t)n, NULL, 0) - KVR_HASH_SEED;
}

static uint64_t space_part(struct kvr_bytes salt) {
    return kvr_hash_salt(NULL, 0, salt.p, salt.n) - KVR_HASH_SEED;
}

static uint64_t mix_key(uint64_t x, const struct bridge_msgpack_value *key, uint64_t offset) {
    return XXH3_64bits_withSeed(key->bytes, key->n, x + 2) + offset;
}

// Reads one block's extra keys: what they add to its seed. `first`: of a sequence; then the last
// string that isn't the adapter's name is the salt.
static uint64_t read_keys(struct bridge_msgpack *s, const struct bridge_event *e, bool first,
                          struct kvr_bytes *salt) {
    struct bridge_msgpack_value list, key, offset, held = {.kind = BRIDGE_MSGPACK_NIL};
    uint64_t x = 0;
    bool lora = false;
    bridge_msgpack_next(s, &list);
    if (list.kind == BRIDGE_MSGPACK_STR || list.kind == BRIDGE_MSGPACK_BIN)
        return mix_key(0, &list, 0);
    if (list.kind == BRIDGE_MSGPACK_MAP)
        for (uint32_t i = 0; i < 2 * list.n; i++)
            bridge_msgpack_skip(s);
    if (list.kind != BRIDGE_MSGPACK_ARRAY) return 0;
    for (uint32_t i = 0; i < list.n; i++) {
        struct bridge_msgpack whole = *s;
        bridge_msgpack_next(s, &key);
        uint64_t at = 0;
        if (key.kind == BRIDGE_MSGPACK_ARRAY) {
            uint32_t n = key.n;
            struct bridge_msgpack_value first_of = {.kind = BRIDGE_MSGPACK_NIL};
            if (n) bridge_msgpack_next(s, &first_of);
            if (n > 1 &&
                (first_of.kind == BRIDGE_MSGPACK_STR || first_of.kind == BRIDGE_MSGPACK_BIN)) {
                bridge_msgpack_next(s, &offset);
                if (offset.kind == BRIDGE_MSGPACK_INT) at = offset.number;
            }
            key = first_of;
            *s = whole;
            bridge_msgpack_skip(s);
        } else if (key.kind == BRIDGE_MSGPACK_MAP) {
            *s = whole;
            bridge_msgpack_skip(s);
        } else if (key.kind == BRIDGE_MSGPACK_STR) {
            struct kvr_bytes word = {(const char *)key.bytes, key.n};
            if (!lora && e->lora.n && word.n == e->lora.n && !memcmp(word.p, e->lora.p, word.n)) {
                lora = true;
                continue;
            }
            if (first) { // it is the salt unless another one follows
                if (held.kind == BRIDGE_MSGPACK_STR) x = mix_key(x, &held, 0);
                held = key;
                continue;
            }
        }
        if (key.kind == BRIDGE_MSGPACK_STR || key.kind == BRIDGE_MSGPACK_BIN)
            x = mix_key(x, &key, at);
    }
    if (held.kind == BRIDGE_MSGPACK_STR)
        *salt = (struct kvr_bytes){(const char *)held.bytes, held.n};
    return x;
}

// ---- Stores --------------------------------------------------------------------------------------

struct block_origin { // of a stored event's first block
    bool has_parent;
    uint64_t parent; // prefix hash
    uint64_t space;  // what the namespace adds to seeds
};

static bool find_origin(struct bridge_map *m, const struct bridge_map_group *g,
                        const struct bridge_event *e, struct block_origin *o) {
    struct bridge_table_entry place;
    *o = (struct block_origin){.has_parent = e->has_parent};
    if (e->has_parent) {
        if (!find_anywhere(m, g, e->parent, &place)) return false;
        o->parent = *place.value;
        if ((*place.byte & SALTED_BIT) && bridge_table_find(&m->spaces, e->parent, &place))
            o->space = *place.value;
    }
    if (e->salt.n) o->space = space_part(e->salt);
    return true;
}

static void soon(const struct bridge_map *m, uint64_t prefix) {
    if (m->sink.soon) m->sink.soon(m->sink.ctx, prefix);
}

static void hash_blocks(struct bridge_map *m, const struct bridge_event *e,
                        struct block_origin *o) {
    struct bridge_msgpack extra = e->extra;
    uint64_t lora = lora_part(e), prefix = o->parent;
    for (size_t i = 0; i < e->n_hashes; i++) {
        bool first = i == 0 && !o->has_parent;
        struct kvr_bytes salt = {0};
        uint64_t keys = i < e->n_extra ? read_keys(&extra, e, first, &salt) : 0;
        if (salt.n && !e->salt.n) o->space = space_part(salt);
        uint64_t seed = KVR_HASH_SEED + lora + o->space + keys;
        uint64_t block = kvr_hash_block(e->tokens + i * e->block_size, e->block_size, seed);
        prefix = first ? block : kvr_hash_chain(prefix, block);
        m->prefixes[i] = prefix;
        soon(m, prefix);
    }
}

static void drop(struct bridge_map *m, struct bridge_map_group *g, uint64_t hash, uint8_t byte) {
    bridge_table_remove(g->blocks, hash);
    struct bridge_table_entry place;
    if ((byte & SALTED_BIT) && !find_anywhere(m, g, hash, &place) &&
        bridge_table_find(&m->spaces, hash, &place))
        bridge_table_remove(&m->spaces, hash);
}

// The engine uses the hash for something else now: what it named before is gone.
static void displace(struct bridge_map *m, struct bridge_map_group *g, uint64_t hash,
                     const struct bridge_table_entry *place) {
    uint8_t byte = *place->byte;
    uint64_t prefix = *place->value;
    for (int tier = 0; tier < KVR_TIERS; tier++) {
        if (!copies_in(byte, tier)) continue;
        if (tier == KVR_DEVICE) m->copies -= copies_in(byte, tier);
        m->sink.removed(m->sink.ctx, (enum kvr_tier)tier, &prefix, 1);
    }
    m->stats.moved++;
    drop(m, g, hash, byte);
}

static void collapse_one(void *ctx, uint64_t key, uint64_t value, uint8_t *byte) {
    struct bridge_map *m = ctx;
    (void)key;
    (void)value;
    if (!copies_in(*byte, KVR_DEVICE)) return;
    m->copies -= copies_in(*byte, KVR_DEVICE) - 1;
    *byte = with_copies(*byte, KVR_DEVICE, 1);
}

// More copies than the engine has blocks: some were repeats. See block_map.h.
static void collapse(struct bridge_map *m) {
    for (size_t i = 0; i < BRIDGE_MAX_GROUPS; i++)
        if (m->groups[i].blocks) bridge_table_each(m->groups[i].blocks, collapse_one, m);
    m->stats.collapsed++;
}

// Notes one more copy. The room for a new entry is there.
static void note(struct bridge_map *m, struct bridge_map_group *g, uint64_t hash, uint64_t prefix,
                 int tier, uint64_t space) {
    struct bridge_table_entry place;
    if (!bridge_table_find(g->blocks, hash, &place)) {
        bool salted = space && bridge_table_reserve(&m->spaces, hash);
        uint8_t byte = (uint8_t)(with_copies(0, tier, 1) | (salted ? SALTED_BIT : 0));
        bridge_table_add(g->blocks, hash, prefix, byte);
        if (salted && bridge_table_find(&m->spaces, hash, &place))
            *place.value = space;
        else if (salted)
            bridge_table_add(&m->spaces, hash, space, 1);
        m->copies += tier == KVR_DEVICE;
        return;
    }
    unsigned copies = copies_in(*place.byte, tier);
    unsigned most = m->options.as_set || tier != KVR_DEVICE ? 1 : MAX_COUNTED_COPIES;
    if (copies >= most) return;
    *place.byte = with_copies(*place.byte, tier, copies + 1);
    m->copies += tier == KVR_DEVICE;
}

static void store(struct bridge_map *m, struct bridge_map_group *g, const struct bridge_event *e,
                  int tier) {
    struct block_origin o;
    struct bridge_table_entry place;
    if (e->block_size != m->options.block_size) {
        m->stats.wrong_size += e->n_hashes;
        m->stats.seen_size = e->block_size;
        return;
    }
    // Sparse events were let through for groups that aren't indexed only.
    if ((uint64_t)e->n_hashes * e->block_size != e->n_tokens) return;
    prefetch_first(g, e);
    if (!find_origin(m, g, e, &o)) {
        m->stats.orphans += e->n_hashes;
        return;
    }
    if (kvr_alloc_grow(&kvr_alloc_default, &m->prefixes, &m->cap_prefixes, e->n_hashes,
                       sizeof *m->prefixes)) {
        m->stats.refused += e->n_hashes;
        return;
    }
    hash_blocks(m, e, &o);
    size_t n = 0;
    for (; n < e->n_hashes && bridge_table_reserve(g->blocks, e->hashes[n]); n++) {
        prefetch(g, e, n + PREFETCHED);
        if (bridge_table_find(g->blocks, e->hashes[n], &place) && *place.value != m->prefixes[n])
            displace(m, g, e->hashes[n], &place);
    }
    if (n < e->n_hashes ||
        m->sink.stored(m->sink.ctx, (enum kvr_tier)tier, o.has_parent ? &o.parent : NULL,
                       m->prefixes, n) != KVR_CODE_OK) {
        m->stats.refused += e->n_hashes;
        return;
    }
    // Room was reserved for each as if it were alone.
    for (size_t i = 0; i < n; i++) {
        if (!bridge_table_reserve(g->blocks, e->hashes[i])) {
            m->sink.removed(m->sink.ctx, (enum kvr_tier)tier, m->prefixes + i, n - i);
            m->stats.refused += n - i;
            break;
        }
        note(m, g, e->hashes[i], m->prefixes[i], tier, o.space);
    }
    m->stats.stored += n;
    if (bridge_map_overfull(m)) collapse(m);
}

// Blocks said to be in one more medium, without their tokens.
static void place_again(struct bridge_map *m, struct bridge_map_group *g,
                        const struct bridge_event *e, int tier) {
    for (size_t i = 0; i < e->n_hashes; i++) {
        struct bridge_table_entry place;
        uint64_t hash = e->hashes[i], prefix, parent, space = 0;
        bool has_parent;
        if (!find_anywhere(m, g, hash, &place)) {
            m->stats.unknown++;
            continue;
        }
        prefix = *place.value;
        if ((*place.byte & SALTED_BIT) && bridge_table_find(&m->spaces, hash, &place))
            space = *place.value;
        if (!bridge_table_reserve(g->blocks, hash) ||
            !m->sink.parent(m->sink.ctx, prefix, &parent, &has_parent) ||
            m->sink.stored(m->sink.ctx, (enum kvr_tier)tier, has_parent ? &parent : NULL, &prefix,
                           1) != KVR_CODE_OK) {
            m->stats.refused++;
            continue;
        }
        note(m, g, hash, prefix, tier, space);
        m->stats.placeholders++;
    }
    if (bridge_map_overfull(m)) collapse(m);
}

// ---- Removals ------------------------------------------------------------------------------------

static void take_away(struct bridge_map *m, struct bridge_map_group *g,
                      const struct bridge_event *e, int tier) {
    uint64_t gone[GONE_AT_ONCE];
    size_t n = 0;
    prefetch_first(g, e);
    for (size_t i = 0; i < e->n_hashes; i++) {
        struct bridge_table_entry place;
        uint64_t hash = e->hashes[i];
        prefetch(g, e, i + PREFETCHED);
        if (!bridge_table_find(g->blocks, hash, &place) || !copies_in(*place.byte, tier)) {
            m->stats.unknown++;
            continue;
        }
        unsigned copies = copies_in(*place.byte, tier) - 1;
        *place.byte = with_copies(*place.byte, tier, copies);
        m->copies -= tier == KVR_DEVICE;
        m->stats.removed++;
        if (copies) continue;
        if (!held_elsewhere(m, g, hash, tier)) {
            soon(m, *place.value);
            gone[n++] = *place.value;
        }
        if (n == GONE_AT_ONCE) {
            m->sink.removed(m->sink.ctx, (enum kvr_tier)tier, gone, n);
            n = 0;
        }
        if (*place.byte & COPY_BITS) continue;
        uint8_t byte = *place.byte;
        // A place whose byte is 0 is free, and bridge_table_remove looks for a taken one.
        *place.byte |= SALTED_BIT;
        drop(m, g, hash, byte);
    }
    if (n) m->sink.removed(m->sink.ctx, (enum kvr_tier)tier, gone, n);
}

void bridge_map_event(struct bridge_map *m, const struct bridge_event *e) {
    if (e->type == BRIDGE_EVENT_CLEARED) { // all groups, all media of the rank
        m->stats.cleared++;
        forget(m);
        m->sink.cleared(m->sink.ctx, -1);
        return;
    }
    int tier = tier_of(m, e);
    struct bridge_map_group *g = tier < 0 ? NULL : group_of(m, e);
    if (!g) return;
    if (e->type == BRIDGE_EVENT_REMOVED)
        take_away(m, g, e, tier);
    else if (!e->n_tokens)
        place_again(m, g, e, tier);
    else
        store(m, g, e, tier);
}
