// SPDX-License-Identifier: Apache-2.0
// Requests and their hashes; see bench_workload.h.
#include "bench_workload.h"

#include <kvroute/hash.h>
#include <stdlib.h>

#include "bench_memory.h"
#include "hashmap.h"

void bench_workload_add(struct bench_workload *w, const struct bench_request *r) {
    w->requests = bench_grow(w->requests, &w->room, w->n + 1, sizeof *r);
    w->requests[w->n++] = *r;
}

uint64_t *bench_workload_more_hashes(struct bench_workload *w, size_t n) {
    w->hashes = bench_grow(w->hashes, &w->room_hashes, w->n_hashes + n, sizeof *w->hashes);
    return w->hashes + w->n_hashes;
}

size_t bench_workload_hash(struct bench_workload *w, const uint32_t *tokens, size_t n,
                           size_t hashed) {
    size_t size = w->block_size, more = n / size - hashed;
    if (!more) return hashed;
    uint64_t *to = bench_workload_more_hashes(w, more);
    kvr_hash_tokens(tokens + hashed * size, more * size, size, KVR_HASH_SEED,
                    hashed ? to - 1 : NULL, to);
    w->n_hashes += more;
    return hashed + more;
}

// ---- Order ---------------------------------------------------------------------------------------

struct request_place {
    double at;
    uint32_t index;
};

static int by_time(const void *left, const void *right) {
    const struct request_place *a = left, *b = right;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

void bench_workload_sort(struct bench_workload *w) {
    struct request_place *order = bench_calloc(w->n, sizeof *order);
    struct bench_request *sorted = bench_calloc(w->n, sizeof *sorted);
    uint32_t *place = bench_calloc(w->n, sizeof *place);
    for (uint32_t i = 0; i < w->n; i++)
        order[i] = (struct request_place){w->requests[i].at, i};
    qsort(order, w->n, sizeof *order, by_time);
    for (uint32_t i = 0; i < w->n; i++)
        place[order[i].index] = i;
    for (size_t i = 0; i < w->n; i++) {
        sorted[i] = w->requests[order[i].index];
        if (sorted[i].after != BENCH_NO_REQUEST) sorted[i].after = place[sorted[i].after];
    }
    free(order);
    free(place);
    free(w->requests);
    w->requests = sorted;
    w->room = w->n;
}

// ---- Sessions ------------------------------------------------------------------------------------

// The map has for each piece whose first prompt had it, and whether one of that session's prompts ended
// with it: 1 + 2 · session + ended.
void bench_workload_guess_sessions(struct bench_workload *w, uint32_t piece) {
    struct bench_map pieces = {0};
    w->sessions = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct bench_request *r = &w->requests[i];
        const uint64_t *hashes = bench_request_hashes(w, i);
        uint32_t n = r->blocks / piece, known = 0;
        uint64_t before = 0;
        for (uint64_t x; known < n && (x = bench_map_get(&pieces, hashes[(known + 1) * piece - 1]));
             known++)
            before = x;
        bool ended = before && (before - 1) % 2;
        r->session = ended ? (uint32_t)((before - 1) / 2) : w->sessions++;
        for (uint32_t k = known; k < n; k++)
            bench_map_set(&pieces, hashes[(k + 1) * piece - 1], 1 + 2 * (uint64_t)r->session);
        uint64_t end = n ? bench_map_get(&pieces, hashes[n * piece - 1]) : 0;
        if (end == 1 + 2 * (uint64_t)r->session)
            bench_map_set(&pieces, hashes[n * piece - 1], end + 1);
    }
    bench_map_free(&pieces);
}

void bench_workload_free(struct bench_workload *w) {
    free(w->requests);
    free(w->hashes);
    *w = (struct bench_workload){0};
}
