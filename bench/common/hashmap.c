// SPDX-License-Identifier: Apache-2.0
// A map from 64-bit keys to numbers; see hashmap.h.
#include "hashmap.h"

#include <stdlib.h>

#include "bench_memory.h"

static size_t slot_of(const struct bench_map *m, uint64_t key) {
    size_t i = kvr_random_mix(key) & m->mask;
    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & m->mask;
    return i;
}

uint64_t bench_map_get(const struct bench_map *m, uint64_t key) {
    return m->slots ? m->slots[slot_of(m, key)].value : 0;
}

static void grow(struct bench_map *m) {
    struct bench_map old = *m;
    m->mask = old.slots ? 2 * old.mask + 1 : 1023;
    m->slots = bench_calloc(m->mask + 1, sizeof *m->slots);
    for (size_t i = 0; old.slots && i <= old.mask; i++)
        if (old.slots[i].value) m->slots[slot_of(m, old.slots[i].key)] = old.slots[i];
    free(old.slots);
}

void bench_map_set(struct bench_map *m, uint64_t key, uint64_t value) {
    if (!m->slots || 2 * m->n > m->mask) grow(m);
    struct bench_map_slot *s = &m->slots[slot_of(m, key)];
    m->n += !s->value;
    *s = (struct bench_map_slot){key, value};
}

// Moves up what had to be put behind the slot that becomes empty.
void bench_map_remove(struct bench_map *m, uint64_t key) {
    size_t i = slot_of(m, key);
    if (!m->slots[i].value) return;
    m->n--;
    m->slots[i].value = 0;
    for (size_t j = (i + 1) & m->mask; m->slots[j].value; j = (j + 1) & m->mask) {
        size_t home = kvr_random_mix(m->slots[j].key) & m->mask;
        if (((j - home) & m->mask) < ((j - i) & m->mask)) continue;
        m->slots[i] = m->slots[j];
        m->slots[j].value = 0;
        i = j;
    }
}

void bench_map_free(struct bench_map *m) {
    free(m->slots);
    *m = (struct bench_map){0};
}
