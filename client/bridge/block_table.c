// SPDX-License-Identifier: Apache-2.0
#include "block_table.h"

#include <stdlib.h>
#include <string.h>

enum {
    TABLE_LINE = 64,
    MAX_TABLE_TAKEN = 13, // places of a bucket, on average
    MAX_TABLE_PASSED = UINT8_MAX,
};

_Static_assert(sizeof(struct bridge_bucket) == (size_t)4 * TABLE_LINE, "a bucket is four lines");

static uint64_t mix(const struct bridge_table *t, uint64_t key) {
    uint64_t x = (key ^ t->secret) * (t->secret | 1);
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static struct bridge_table_segment *segment_of(struct bridge_table *t, uint64_t mixed) {
    return &t->segments[mixed >> 56]; // by the high byte
}

// The low half chooses the bucket.
static struct bridge_bucket *bucket_of(const struct bridge_table_segment *s, uint64_t mixed) {
    return &s->buckets[(uint64_t)(uint32_t)mixed * s->n >> 32];
}

static struct bridge_bucket *after(const struct bridge_table_segment *s, struct bridge_bucket *b) {
    return b + 1 == s->buckets + s->n ? s->buckets : b + 1;
}

void bridge_table_init(struct bridge_table *t, uint64_t secret) {
    *t = (struct bridge_table){.secret = secret};
}

void bridge_table_free(struct bridge_table *t) {
    for (size_t i = 0; i < BRIDGE_TABLE_SEGMENTS; i++)
        free(t->segments[i].buckets);
    bridge_table_init(t, t->secret);
}

void bridge_table_prefetch(const struct bridge_table *t, uint64_t key, bool here) {
    uint64_t mixed = mix(t, key);
    const struct bridge_table_segment *s = &t->segments[mixed >> 56];
    if (!s->used) return;
    const char *bucket = (const char *)bucket_of(s, mixed);
    __builtin_prefetch(bucket);
    __builtin_prefetch(bucket + TABLE_LINE);
    if (!here) return;
    __builtin_prefetch(bucket + 2 * TABLE_LINE);
    __builtin_prefetch(bucket + 3 * TABLE_LINE);
}

struct table_place {
    struct bridge_bucket *bucket; // NULL: the key isn't here
    unsigned i;
};

static struct table_place place_of(const struct bridge_table_segment *s, uint64_t mixed,
                                   uint64_t key) {
    struct bridge_bucket *b = s->used ? bucket_of(s, mixed) : NULL;
    for (uint32_t left = b ? s->n : 0; left; left--, b = after(s, b)) {
        for (unsigned i = 0; i < BRIDGE_BUCKET_PLACES; i++)
            if (b->keys[i] == key && b->bytes[i]) return (struct table_place){b, i};
        if (!b->passed) break;
    }
    return (struct table_place){NULL, 0};
}

bool bridge_table_find(const struct bridge_table *t, uint64_t key,
                       struct bridge_table_entry *place) {
    uint64_t mixed = mix(t, key);
    struct table_place at = place_of(&t->segments[mixed >> 56], mixed, key);
    if (!at.bucket) return false;
    *place = (struct bridge_table_entry){&at.bucket->values[at.i], &at.bucket->bytes[at.i]};
    return true;
}

static void put(struct bridge_table_segment *s, uint64_t mixed, uint64_t key, uint64_t value,
                uint8_t byte) {
    for (struct bridge_bucket *b = bucket_of(s, mixed);; b = after(s, b)) {
        const uint8_t *place = memchr(b->bytes, 0, BRIDGE_BUCKET_PLACES);
        if (!place) {
            if (b->passed < MAX_TABLE_PASSED) b->passed++;
            continue;
        }
        size_t i = (size_t)(place - b->bytes);
        b->keys[i] = key;
        b->values[i] = value;
        b->bytes[i] = byte;
        s->used++;
        return;
    }
}

static void put_all(const struct bridge_table *t, struct bridge_table_segment *s,
                    const struct bridge_table_segment *old) {
    for (uint32_t k = 0; k < old->n; k++) {
        const struct bridge_bucket *b = &old->buckets[k];
        for (unsigned i = 0; i < BRIDGE_BUCKET_PLACES; i++)
            if (b->bytes[i]) put(s, mix(t, b->keys[i]), b->keys[i], b->values[i], b->bytes[i]);
    }
}

// There always is a free place, so `put` always ends.
bool bridge_table_reserve(struct bridge_table *t, uint64_t key) {
    struct bridge_table_segment *s = segment_of(t, mix(t, key)), old = *s;
    if ((uint64_t)old.used < (uint64_t)old.n * MAX_TABLE_TAKEN) return true;
    if (old.n > UINT32_MAX / 2) return false;
    uint32_t n = old.n + old.n / 16 + 1;
    size_t size = n * sizeof *s->buckets;
    struct bridge_bucket *buckets = aligned_alloc(sizeof *buckets, size);
    if (!buckets) return false;
    memset(buckets, 0, size);
    *s = (struct bridge_table_segment){.buckets = buckets, .n = n};
    put_all(t, s, &old);
    t->memory += (n - old.n) * sizeof *buckets;
    free(old.buckets);
    return true;
}

void bridge_table_add(struct bridge_table *t, uint64_t key, uint64_t value, uint8_t byte) {
    uint64_t mixed = mix(t, key);
    put(segment_of(t, mixed), mixed, key, value, byte);
    t->count++;
}

void bridge_table_remove(struct bridge_table *t, uint64_t key) {
    uint64_t mixed = mix(t, key);
    struct bridge_table_segment *s = segment_of(t, mixed);
    struct table_place at = place_of(s, mixed, key);
    for (struct bridge_bucket *b = bucket_of(s, mixed); b != at.bucket; b = after(s, b))
        if (b->passed < MAX_TABLE_PASSED) b->passed--;
    at.bucket->bytes[at.i] = 0;
    s->used--;
    t->count--;
}

void bridge_table_each(const struct bridge_table *t,
                       void (*each)(void *ctx, uint64_t key, uint64_t value, uint8_t *byte),
                       void *ctx) {
    for (size_t k = 0; k < BRIDGE_TABLE_SEGMENTS; k++) {
        const struct bridge_table_segment *s = &t->segments[k];
        for (uint32_t n = 0; n < s->n; n++) {
            struct bridge_bucket *b = &s->buckets[n];
            for (unsigned i = 0; i < BRIDGE_BUCKET_PLACES; i++)
                if (b->bytes[i]) each(ctx, b->keys[i], b->values[i], &b->bytes[i]);
        }
    }
}
