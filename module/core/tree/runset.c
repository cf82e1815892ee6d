// SPDX-License-Identifier: Apache-2.0
#include "runset.h"

#include <string.h>

// A bijection of the 32-bit numbers with 0 ↦ 0, and its inverse (the finaliser of MurmurHash3; the
// constants of the inverse are those of the forward ones modulo 2^32).
static uint32_t scramble(uint32_t x) {
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

static uint32_t unscramble(uint32_t x) {
    x = (x ^ x >> 16) * 0x7ed1b41du;
    x = (x ^ x >> 13 ^ x >> 26) * 0xa5cb9243u;
    return x ^ x >> 16;
}

static size_t bytes_of(uint32_t size) {
    return size ? ((size_t)size + 1) * sizeof(uint32_t) : 0;
}

static uint32_t homes_of(uint32_t size) {
    uint32_t slack = size / 64;
    return size - (slack ? slack : 1);
}

static uint32_t home_of(uint32_t key, uint32_t size) {
    return (uint32_t)(((uint64_t)(key << 4) * homes_of(size)) >> 32);
}

static uint32_t next_size(uint32_t size) {
    if (size == 0) return 3;
    uint32_t slots = size + 1, floor = 1;
    while (floor <= slots / 2)
        floor *= 2;
    return size + (floor < 16 ? 4 : floor / 4);
}

static struct core_runset_segment *segment_of(const struct core_runset *s, uint32_t key) {
    return &s->segments[key >> 28];
}

void core_runset_free(struct core_runset *s, struct core_mem *m) {
    if (!s->segments) return;
    for (int i = 0; i < CORE_RUNSET_SEGMENTS; i++)
        core_mem_free(m, s->segments[i].slots, bytes_of(s->segments[i].size));
    core_mem_free(m, s->segments, CORE_RUNSET_SEGMENTS * sizeof *s->segments);
    *s = (struct core_runset){0};
}

static int grow(struct core_runset_segment *seg, struct core_mem *m) {
    for (uint32_t size = next_size(seg->size);; size = next_size(size)) {
        uint32_t *to = core_mem_calloc(m, bytes_of(size));
        if (!to) return -1;
        uint32_t free = 0, i = 0;
        for (; i < seg->size; i++) {
            uint32_t key = seg->slots[i];
            if (!key) continue;
            uint32_t home = home_of(key, size);
            if (free < home) free = home;
            if (free >= size) break;
            to[free++] = key;
        }
        if (i == seg->size) {
            core_mem_free(m, seg->slots, bytes_of(seg->size));
            seg->slots = to;
            seg->size = size;
            return 0;
        }
        core_mem_free(m, to, bytes_of(size));
    }
}

// Where the key is, or where it would go.
static uint32_t place_of(const struct core_runset_segment *seg, uint32_t key) {
    uint32_t at = home_of(key, seg->size);
    while (seg->slots[at] && seg->slots[at] < key)
        at++;
    return at;
}

static uint32_t gap_after(const struct core_runset_segment *seg, uint32_t at) {
    while (seg->slots[at])
        at++;
    return at;
}

void core_runset_prefetch(const struct core_runset *s, uint32_t id) {
    if (!s->segments) return;
    uint32_t key = scramble(id);
    const struct core_runset_segment *seg = segment_of(s, key);
    if (seg->size) __builtin_prefetch(&seg->slots[home_of(key, seg->size)]);
}

int core_runset_reserve(struct core_runset *s, struct core_mem *m, uint32_t id) {
    if (!s->segments) {
        s->segments = core_mem_calloc(m, CORE_RUNSET_SEGMENTS * sizeof *s->segments);
        if (!s->segments) return -1;
    }
    uint32_t key = scramble(id);
    struct core_runset_segment *seg = segment_of(s, key);
    while ((seg->used + 1) * (uint64_t)25 > seg->size * (uint64_t)24 ||
           gap_after(seg, place_of(seg, key)) >= seg->size)
        if (grow(seg, m)) return -1;
    return 0;
}

void core_runset_add(struct core_runset *s, uint32_t id) {
    uint32_t key = scramble(id);
    struct core_runset_segment *seg = segment_of(s, key);
    uint32_t at = place_of(seg, key), gap = gap_after(seg, at);
    memmove(&seg->slots[at + 1], &seg->slots[at], (gap - at) * sizeof *seg->slots);
    seg->slots[at] = key;
    seg->used++;
    s->used++;
    s->cursor_segment = s->cursor_slot = 0;
}

void core_runset_remove(struct core_runset *s, uint32_t id) {
    uint32_t key = scramble(id);
    struct core_runset_segment *seg = segment_of(s, key);
    uint32_t at = place_of(seg, key), end = at + 1;
    while (seg->slots[end] && home_of(seg->slots[end], seg->size) < end)
        end++;
    memmove(&seg->slots[at], &seg->slots[at + 1], (end - at - 1) * sizeof *seg->slots);
    seg->slots[end - 1] = 0;
    seg->used--;
    s->used--;
}

bool core_runset_has(const struct core_runset *s, uint32_t id) {
    if (!s->segments) return false;
    uint32_t key = scramble(id);
    const struct core_runset_segment *seg = segment_of(s, key);
    return seg->size && seg->slots[place_of(seg, key)] == key;
}

uint32_t core_runset_any(struct core_runset *s) {
    if (!s->used) return 0;
    for (;; s->cursor_segment++, s->cursor_slot = 0) {
        const struct core_runset_segment *seg = &s->segments[s->cursor_segment];
        if (!seg->used) continue;
        for (; s->cursor_slot < seg->size; s->cursor_slot++)
            if (seg->slots[s->cursor_slot]) return unscramble(seg->slots[s->cursor_slot]);
    }
}

const char *core_runset_validate(const struct core_runset *s) {
    uint32_t total = 0;
    for (uint32_t i = 0; s->segments && i < CORE_RUNSET_SEGMENTS; i++) {
        const struct core_runset_segment *seg = &s->segments[i];
        uint32_t used = 0, last = 0;
        for (uint32_t at = 0; at < seg->size; at++) {
            uint32_t key = seg->slots[at];
            if (!key) continue;
            used++;
            if (key <= last || key >> 28 != i) return "runset: a segment is out of order";
            last = key;
            uint32_t home = home_of(key, seg->size);
            if (at < home || (at > home && !seg->slots[at - 1])) return "runset: an id is lost";
            if (scramble(unscramble(key)) != key) return "runset: an id doesn't come back";
        }
        if (used != seg->used) return "runset: a segment's count is wrong";
        total += used;
    }
    return total == s->used ? NULL : "runset: the count is wrong";
}
