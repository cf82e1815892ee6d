// SPDX-License-Identifier: Apache-2.0
#include "block_table.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SEGMENT_SIZE = 8, ENTRY_BYTES = 2 * sizeof(uint64_t) + 1 };

static uint64_t mix(const struct bridge_table *t, uint64_t key) {
    uint64_t x = (key ^ t->secret) * (t->secret | 1);
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

// The high byte chooses the segment, the low half the place in it.
static uint32_t first_place(const struct bridge_table_segment *s, uint64_t mixed) {
    return (uint32_t)((uint64_t)(uint32_t)mixed * s->size >> 32);
}

static uint32_t after(const struct bridge_table_segment *s, uint32_t i) {
    return i + 1 == s->size ? 0 : i + 1;
}

// How far it is from one place to another, going up.
static uint32_t distance(const struct bridge_table_segment *s, uint32_t from, uint32_t to) {
    return to >= from ? to - from : to + s->size - from;
}

void bridge_table_init(struct bridge_table *t, uint64_t secret) {
    *t = (struct bridge_table){.secret = secret};
}

void bridge_table_free(struct bridge_table *t) {
    for (size_t i = 0; i < BRIDGE_TABLE_SEGMENTS; i++)
        free(t->segments[i].keys);
    bridge_table_init(t, t->secret);
}

bool bridge_table_find(const struct bridge_table *t, uint64_t key,
                       struct bridge_table_entry *place) {
    uint64_t mixed = mix(t, key);
    const struct bridge_table_segment *s = &t->segments[mixed >> 56];
    if (!s->used) return false;
    for (uint32_t i = first_place(s, mixed); s->bytes[i]; i = after(s, i)) {
        if (s->keys[i] != key) continue;
        *place = (struct bridge_table_entry){&s->values[i], &s->bytes[i]};
        return true;
    }
    return false;
}

static void put(struct bridge_table_segment *s, uint64_t mixed, uint64_t key, uint64_t value,
                uint8_t byte) {
    uint32_t i = first_place(s, mixed);
    while (s->bytes[i])
        i = after(s, i);
    s->keys[i] = key;
    s->values[i] = value;
    s->bytes[i] = byte;
    s->used++;
}

// At the most seven places of eight are taken, so a search always ends.
bool bridge_table_reserve(struct bridge_table *t, uint64_t key) {
    struct bridge_table_segment *s = &t->segments[mix(t, key) >> 56], old = *s;
    if ((uint64_t)(old.used + 1) * 8 <= (uint64_t)old.size * 7) return true;
    if (old.size > UINT32_MAX / 2) return false;
    uint32_t size =
        old.size < FIRST_SEGMENT_SIZE ? FIRST_SEGMENT_SIZE : old.size + old.size / 10 + 1;
    uint64_t *piece = malloc((size_t)size * ENTRY_BYTES);
    if (!piece) return false;
    *s = (struct bridge_table_segment){piece, piece + size, (uint8_t *)(piece + 2 * (size_t)size),
                                       size, 0};
    memset(s->bytes, 0, size);
    for (uint32_t i = 0; i < old.size; i++)
        if (old.bytes[i]) put(s, mix(t, old.keys[i]), old.keys[i], old.values[i], old.bytes[i]);
    free(old.keys);
    t->memory += (size_t)(size - old.size) * ENTRY_BYTES;
    return true;
}

void bridge_table_add(struct bridge_table *t, uint64_t key, uint64_t value, uint8_t byte) {
    uint64_t mixed = mix(t, key);
    put(&t->segments[mixed >> 56], mixed, key, value, byte);
    t->count++;
}

// What stands behind in the same stretch moves up, unless it would pass its own first place.
void bridge_table_remove(struct bridge_table *t, uint64_t key) {
    uint64_t mixed = mix(t, key);
    struct bridge_table_segment *s = &t->segments[mixed >> 56];
    uint32_t hole = first_place(s, mixed);
    while (s->keys[hole] != key || !s->bytes[hole])
        hole = after(s, hole);
    for (uint32_t i = after(s, hole); s->bytes[i]; i = after(s, i)) {
        uint32_t first = first_place(s, mix(t, s->keys[i]));
        if (distance(s, first, i) < distance(s, hole, i)) continue;
        s->keys[hole] = s->keys[i];
        s->values[hole] = s->values[i];
        s->bytes[hole] = s->bytes[i];
        hole = i;
    }
    s->bytes[hole] = 0;
    s->used--;
    t->count--;
}

void bridge_table_each(const struct bridge_table *t,
                       void (*each)(void *ctx, uint64_t key, uint64_t value, uint8_t *byte),
                       void *ctx) {
    for (size_t k = 0; k < BRIDGE_TABLE_SEGMENTS; k++) {
        const struct bridge_table_segment *s = &t->segments[k];
        for (uint32_t i = 0; i < s->size; i++)
            if (s->bytes[i]) each(ctx, s->keys[i], s->values[i], &s->bytes[i]);
    }
}
