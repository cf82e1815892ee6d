// SPDX-License-Identifier: Apache-2.0
// Whose requests are, in a trace that doesn't say; see workload.h.
#include <stdlib.h>

#include "memory.h"
#include "random.h"
#include "workload.h"

struct piece {
    uint64_t hash;
    uint32_t session; // whose first prompt had it
    bool used, last;  // last: one of that session's prompts ended with it
};

struct pieces {
    struct piece *table; // linear probing
    size_t mask;
};

static struct piece *find(const struct pieces *p, uint64_t hash) {
    size_t i = random_mix(hash) & p->mask;
    while (p->table[i].used && p->table[i].hash != hash)
        i = (i + 1) & p->mask;
    return &p->table[i];
}

void workload_guess_sessions(struct workload *w, uint32_t piece) {
    struct pieces p = {.mask = 1023};
    while (p.mask < 2 * (w->n_hashes / piece + 1))
        p.mask = 2 * p.mask + 1;
    p.table = memory_take(p.mask + 1, sizeof *p.table);
    w->sessions = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct request *r = &w->requests[i];
        const uint64_t *hashes = request_hashes(w, i);
        uint32_t n = r->blocks / piece, known = 0;
        const struct piece *before = NULL;
        for (struct piece *x; known < n && (x = find(&p, hashes[(known + 1) * piece - 1]))->used;
             known++)
            before = x;
        r->session = before && before->last ? before->session : w->sessions++;
        for (uint32_t k = known; k < n; k++) {
            uint64_t hash = hashes[(k + 1) * piece - 1];
            *find(&p, hash) = (struct piece){.hash = hash, .session = r->session, .used = true};
        }
        struct piece *end = n ? find(&p, hashes[n * piece - 1]) : NULL;
        if (end && end->session == r->session) end->last = true;
    }
    free(p.table);
}
