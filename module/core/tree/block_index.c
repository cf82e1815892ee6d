// SPDX-License-Identifier: Apache-2.0
#include "block_index.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <string.h>

// A segment's array has one slot more than `size`; the last is always empty and stops every search.
static size_t bytes_of(uint32_t size) {
    return size ? ((size_t)size + 1) * sizeof(uint64_t) : 0;
}

static uint64_t entry_of(uint64_t fingerprint, uint32_t run, unsigned offset) {
    return fingerprint << 40 | (uint64_t)offset << 32 | run;
}

static uint32_t home_of(uint64_t entry, uint32_t size) {
    return core_index_home(entry >> 40, size);
}

// Array sizes, the sentinel included, follow the allocator's classes: four to a doubling.
static uint32_t next_size(uint32_t size) {
    if (size == 0) return 3;
    uint32_t slots = size + 1, floor = 1;
    while (floor <= slots / 2)
        floor *= 2;
    uint32_t step = floor / 4;
    return size + (step < 2 ? 2 : step);
}

int core_index_init(struct core_index *ix, struct core_mem *m, uint64_t seed) {
    ix->mem = m;
    ix->seed = seed;
    ix->segments = core_mem_calloc(m, CORE_INDEX_SEGMENTS * sizeof *ix->segments);
    return ix->segments ? 0 : -1;
}

void core_index_free(struct core_index *ix) {
    if (!ix->segments) return;
    for (int i = 0; i < CORE_INDEX_SEGMENTS; i++)
        core_mem_free(ix->mem, ix->segments[i].slots, bytes_of(ix->segments[i].size));
    core_mem_free(ix->mem, ix->segments, CORE_INDEX_SEGMENTS * sizeof *ix->segments);
    ix->segments = NULL;
}

// A segment that gets more than the mean grows all the same. So do all of a small index, where few need any room.
int core_index_reserve(struct core_index *ix, uint64_t n) {
    enum { WORTH_IT = 16 };
    uint64_t mean = n / CORE_INDEX_SEGMENTS;
    uint32_t size = 0;
    if (mean < WORTH_IT) return 0;
    while (size * (uint64_t)24 < mean * (uint64_t)25)
        size = next_size(size);
    for (int i = 0; i < CORE_INDEX_SEGMENTS; i++) {
        struct core_index_segment *s = &ix->segments[i];
        s->slots = core_mem_calloc(ix->mem, bytes_of(size));
        if (!s->slots) return -1;
        s->size = size;
    }
    return 0;
}

// Lays the entries out in an array of `size`, in order, and empties the slots between them: so a new array
// is written once. False: they run into the sentinel.
static bool lay_out(const struct core_index_segment *s, uint64_t *to, uint32_t size) {
    uint32_t free = 0;
    for (uint32_t i = 0; i < s->size; i++) {
        uint64_t e = s->slots[i];
        if (!e) continue;
        uint32_t home = home_of(e, size);
        while (free < home)
            to[free++] = 0;
        if (free >= size) return false;
        to[free++] = e;
    }
    memset(to + free, 0, bytes_of(size) - free * sizeof *to);
    return true;
}

static int grow(struct core_index *ix, struct core_index_segment *s) {
    for (uint32_t size = next_size(s->size);; size = next_size(size)) {
        uint64_t *to = core_mem_alloc(ix->mem, bytes_of(size));
        if (!to) return -1;
        if (lay_out(s, to, size)) {
            core_mem_free(ix->mem, s->slots, bytes_of(s->size));
            s->slots = to;
            s->size = size;
            return 0;
        }
        core_mem_free(ix->mem, to, bytes_of(size));
    }
}

// Whether the array has got too full for one more.
static bool is_full(const struct core_index_segment *s) {
    return (s->used + 1) * (uint64_t)25 > s->size * (uint64_t)24;
}

// The first empty slot from `at` on; the sentinel is the last.
static uint32_t next_gap(const struct core_index_segment *s, uint32_t at) {
#ifdef __SSE2__
    // Eight slots at a time: in an array nearly full, gaps are some hundred slots apart.
    const __m128i zero = _mm_setzero_si128();
    for (; at + 8 <= s->size; at += 8) {
        const __m128i *p = (const __m128i *)(const void *)&s->slots[at];
        __m128i a = _mm_cmpeq_epi32(_mm_loadu_si128(p), zero);
        __m128i b = _mm_cmpeq_epi32(_mm_loadu_si128(p + 1), zero);
        __m128i c = _mm_cmpeq_epi32(_mm_loadu_si128(p + 2), zero);
        __m128i d = _mm_cmpeq_epi32(_mm_loadu_si128(p + 3), zero);
        // Two bits a slot, one for each of its halves.
        int halves =
            _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
        unsigned empty = (unsigned)(halves & halves >> 1) & 0x5555;
        if (empty) return at + (unsigned)__builtin_ctz(empty) / 2;
    }
#endif
    while (s->slots[at])
        at++;
    return at;
}

// Puts the entry at `at`, the first place that isn't before it. Entries from there to the next gap move by one.
// Numbers are fingerprints, a dot is an empty slot, | stands before the sentinel:
//
//   place of 35     [ 10 · 31 33 38 41 ·  57 · |·]      38 is the first that is larger
//   moved           [ 10 · 31 33 ── 38 41 57 · |·]      up to the gap before 57
//   put             [ 10 · 31 33 35 38 41 57 · |·]
//
//   1. The place is a gap: nothing moves.
//   2. There is a gap behind it: what stands between moves into it. No entry comes before its home by this.
//   3. There is none before the sentinel: false, and the segment has to grow first.
static bool put(struct core_index_segment *s, uint32_t at, uint64_t entry) {
    uint32_t gap = next_gap(s, at);
    if (gap >= s->size) return false;
    memmove(&s->slots[at + 1], &s->slots[at], (gap - at) * sizeof *s->slots);
    s->slots[at] = entry;
    s->used++;
    return true;
}

static int add_growing(struct core_index *ix, struct core_index_segment *s, uint64_t entry) {
    for (;;) {
        if (grow(ix, s)) return -1;
        uint32_t at = home_of(entry, s->size);
        while (s->slots[at] && s->slots[at] >> 40 <= entry >> 40)
            at++;
        if (!is_full(s) && put(s, at, entry)) return 0;
    }
}

int core_index_add_at(struct core_index *ix, const struct core_index_probe *end, uint32_t run,
                      unsigned offset) {
    struct core_index_segment *s = &ix->segments[end->segment];
    uint64_t entry = entry_of(end->fingerprint, run, offset);
    if (!is_full(s) && put(s, (uint32_t)(end->at - s->slots), entry)) return 0;
    return add_growing(ix, s, entry);
}

int core_index_add(struct core_index *ix, uint64_t hash, uint32_t run, unsigned offset) {
    struct core_index_probe p = core_index_first(ix, hash);
    uint32_t other;
    unsigned at;
    while (core_index_next(&p, &other, &at)) {
    }
    return core_index_add_at(ix, &p, run, offset);
}

static uint64_t *locate(struct core_index *ix, uint64_t hash, uint32_t run, unsigned offset) {
    uint64_t mixed = core_index_mix(ix, hash);
    struct core_index_segment *s = &ix->segments[core_index_segment_of(mixed)];
    uint64_t wanted = entry_of(core_index_fingerprint_of(mixed), run, offset);
    uint64_t *at = s->slots + home_of(wanted, s->size);
    while (*at != wanted)
        at++;
    return at;
}

// The inverse: entries behind the hole move back into it, up to the first that stands at its home already, or to
// a gap. So no gap ever comes between an entry and its home, and a search may end at the first gap.
//
//   remove 35       [ 10 · 31 33 ── 38 41 57 · |·]      38 and 41 aren't at home, 57 is
//                   [ 10 · 31 33 38 41 ·  57 · |·]
void core_index_remove(struct core_index *ix, uint64_t hash, uint32_t run, unsigned offset) {
    struct core_index_segment *s = &ix->segments[core_index_segment_of(core_index_mix(ix, hash))];
    uint64_t *at = locate(ix, hash, run, offset);
    uint32_t i = (uint32_t)(at - s->slots), end = i + 1;
    while (s->slots[end] && home_of(s->slots[end], s->size) < end)
        end++;
    memmove(at, at + 1, (end - i - 1) * sizeof *at);
    s->slots[end - 1] = 0;
    s->used--;
}

void core_index_trim(struct core_index *ix, uint64_t hash) {
    struct core_index_segment *s = &ix->segments[core_index_segment_of(core_index_mix(ix, hash))];
    if (s->used * 4 >= s->size) return;
    uint32_t size = 0;
    while (size * (uint64_t)3 < s->used * (uint64_t)4)
        size = next_size(size);
    uint64_t *to = NULL;
    if (size) {
        to = core_mem_alloc(ix->mem, bytes_of(size));
        if (!to) return;
        if (!lay_out(s, to, size)) {
            core_mem_free(ix->mem, to, bytes_of(size));
            return;
        }
    }
    core_mem_free(ix->mem, s->slots, bytes_of(s->size));
    s->slots = to;
    s->size = size;
}

void core_index_move(struct core_index *ix, uint64_t hash, uint32_t run, unsigned offset,
                     uint32_t new_run, unsigned new_offset) {
    uint64_t *at = locate(ix, hash, run, offset);
    *at = entry_of(*at >> 40, new_run, new_offset);
}

// Hashes are spread evenly, so a segment tells how large all are.
void core_index_memory(const struct core_index *ix, void (*f)(void *ctx, void *at, size_t bytes),
                       void *ctx) {
    enum { LARGE = 1024 };
    if (ix->segments[0].size < LARGE) return;
    for (int i = 0; i < CORE_INDEX_SEGMENTS; i++)
        if (ix->segments[i].size) f(ctx, ix->segments[i].slots, bytes_of(ix->segments[i].size));
}

const char *core_index_validate(const struct core_index *ix, uint64_t *entries) {
    *entries = 0;
    for (int i = 0; i < CORE_INDEX_SEGMENTS; i++) {
        const struct core_index_segment *s = &ix->segments[i];
        uint32_t used = 0;
        uint64_t last = 0;
        for (uint32_t at = 0; at < s->size; at++) {
            uint64_t e = s->slots[at];
            if (!e) continue;
            used++;
            if (e >> 40 < last) return "index: a segment is out of order";
            last = e >> 40;
            uint32_t home = home_of(e, s->size);
            if (at < home) return "index: an entry stands before its home";
            if (at > home && !s->slots[at - 1]) return "index: a gap before an entry's home";
        }
        if (s->size && s->slots[s->size]) return "index: a segment has lost its sentinel";
        if (used != s->used) return "index: a segment's count is wrong";
        *entries += used;
    }
    return NULL;
}
