// SPDX-License-Identifier: Apache-2.0
// A set of run ids: which runs a holder has a part in. Removing a holder walks its set, so that it
// costs its own holdings and not the tree's size.
//
// Laid out like the index (see there for why it can be undone without memory): segments of ids,
// scrambled so that they spread evenly, sorted, with gaps. About 5 bytes an id.
#ifndef KVR_RUNSET_H
#define KVR_RUNSET_H

#include <stdbool.h>
#include <stdint.h>

#include "mem.h"

enum { RUNSET_SEGMENTS = 16 };

struct runset_segment {
    uint32_t *slots; // scrambled ids; 0 is empty
    uint32_t size, used;
};

struct runset {
    struct runset_segment *segments; // RUNSET_SEGMENTS of them, or NULL while nothing was added
    uint32_t used;
    uint32_t cursor_segment, cursor_slot; // nothing stands before it: emptying the set is linear
};

void runset_free(struct runset *s, struct mem *m);
// Makes sure that runset_add of one id can't fail. 0, or -1 without memory.
int runset_reserve(struct runset *s, struct mem *m, uint32_t id);
void runset_prefetch(const struct runset *s, uint32_t id); // brings near what both will look at
void runset_add(struct runset *s, uint32_t id);    // reserved, or just removed; not in the set
void runset_remove(struct runset *s, uint32_t id); // in the set
bool runset_has(const struct runset *s, uint32_t id);
uint32_t runset_any(struct runset *s); // some id, 0 when empty
const char *runset_validate(const struct runset *s);

#endif
