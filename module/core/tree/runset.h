// SPDX-License-Identifier: Apache-2.0
// A set of run ids: which runs a holder has a part in. Removing a holder walks its set, so that it
// costs its own holdings and not the tree's size.
//
// Laid out like the index (see there for why it can be undone without memory): segments of ids,
// scrambled so that they spread evenly, sorted, with gaps. About 5 bytes an id.
#ifndef CORE_RUNSET_H
#define CORE_RUNSET_H

#include <stdbool.h>
#include <stdint.h>

#include "module/core/base/mem.h"

enum { CORE_RUNSET_SEGMENTS = 16 };

struct core_runset_segment {
    uint32_t *slots; // scrambled ids; 0 is empty
    uint32_t size, used;
};

struct core_runset {
    struct core_runset_segment
        *segments; // CORE_RUNSET_SEGMENTS of them, or NULL while nothing was added
    uint32_t used;
    uint32_t cursor_segment, cursor_slot; // nothing stands before it: emptying the set is linear
};

void core_runset_free(struct core_runset *s, struct core_mem *m);
// Makes sure that core_runset_add of one id can't fail. 0, or -1 without memory.
int core_runset_reserve(struct core_runset *s, struct core_mem *m, uint32_t id);
void core_runset_prefetch(const struct core_runset *s,
                          uint32_t id); // brings near what both will look at
void core_runset_add(struct core_runset *s,
                     uint32_t id); // reserved, or just removed; not in the set
void core_runset_remove(struct core_runset *s, uint32_t id); // in the set
bool core_runset_has(const struct core_runset *s, uint32_t id);
uint32_t core_runset_any(struct core_runset *s); // some id, 0 when empty
const char *core_runset_validate(const struct core_runset *s);

#endif
