// SPDX-License-Identifier: Apache-2.0
// What traffic is about: a tree of prefixes, and the names of workers and requests; see unit_traffic.h.
#include "unit_traffic.h"

#include <stdio.h>
#include <string.h>

static const uint64_t special_hashes[] = {0, UINT64_MAX, 1, UINT64_MAX - 1, (uint64_t)1 << 63};

void unit_traffic_plant(struct unit_traffic *t) {
    const struct unit_profile *f = t->profile;
    // The shape is the generator's even under a fuzzer: its bytes are for what is done.
    struct unit_source shape = {t->source.bytes ? 7 : unit_source_next(&t->source), NULL, 0};
    t->nodes = unit_must_alloc(f->nodes * sizeof *t->nodes);
    for (unsigned i = 0; i < f->nodes; i++) {
        struct unit_node *n = &t->nodes[i];
        n->hash = unit_source_next(&shape);
        n->parent = (int)i - 1;
        if (i && !unit_source_chance(&shape, f->straight))
            n->parent = unit_source_chance(&shape, 15) ? -1 : (int)unit_source_below(&shape, i);
        n->depth = n->parent < 0 ? 1 : t->nodes[n->parent].depth + 1;
    }
    for (size_t i = 0; i < sizeof special_hashes / sizeof *special_hashes; i++)
        t->nodes[(i * 7 + 1) % f->nodes].hash = special_hashes[i];
}

size_t unit_traffic_path(const struct unit_traffic *t, int node, uint64_t *to) {
    unsigned n = t->nodes[node].depth;
    for (unsigned i = n; i-- > 0; node = t->nodes[node].parent)
        to[i] = t->nodes[node].hash;
    return n;
}

// Names that try the order: prefixes of one another, and bytes that text doesn't have.
struct kvr_bytes unit_traffic_name(unsigned k, char *room) {
    if (k % 7 == 3)
        return (struct kvr_bytes){memset(room, 'x', KVR_MAX_NAME), 1 + k % KVR_MAX_NAME};
    int n = snprintf(room, KVR_MAX_NAME, "w%u", k);
    if (k % 5 == 2) room[n++] = '\0';
    if (k % 11 == 4) room[0] = (char)0xff;
    return (struct kvr_bytes){room, (size_t)n};
}

struct kvr_bytes unit_traffic_worker(struct unit_traffic *t, char *room) {
    return unit_traffic_name(unit_source_below(&t->source, t->profile->workers), room);
}

struct kvr_bytes unit_traffic_id(struct unit_traffic *t, char *room) {
    unsigned k = unit_source_below(&t->source, t->profile->requests);
    int n = snprintf(room, KVR_MAX_ID, "r%u", k);
    if (k % 9 == 4) {
        memset(room + n, 0, KVR_MAX_ID - (size_t)n);
        n = KVR_MAX_ID;
    }
    return (struct kvr_bytes){room, (size_t)n};
}
