// SPDX-License-Identifier: Apache-2.0
// A set of numbers; see mock_rooms.h. Open addressing, at most half full; 0 is a free slot.
#include "mock_rooms.h"

#include "mock_memory.h"
#include <kvroute/hash.h>

enum { FIRST_SLOTS = 64 };

struct mock_rooms {
    uint64_t *slots;
    size_t n, n_slots;
};

struct mock_rooms *mock_rooms_new(void) {
    struct mock_rooms *r = mock_take(1, sizeof *r);
    mock_rooms_clear(r);
    return r;
}

void mock_rooms_free(struct mock_rooms *r) {
    free(r->slots);
    free(r);
}

void mock_rooms_clear(struct mock_rooms *r) {
    free(r->slots);
    *r = (struct mock_rooms){.slots = mock_take(FIRST_SLOTS, sizeof(uint64_t)),
                             .n_slots = FIRST_SLOTS};
}

static bool put(struct mock_rooms *r, uint64_t value) {
    size_t i = XXH3_64bits(&value, sizeof value) & (r->n_slots - 1);
    for (; r->slots[i]; i = (i + 1) & (r->n_slots - 1))
        if (r->slots[i] == value) return false;
    r->slots[i] = value;
    r->n++;
    return true;
}

bool mock_rooms_add(struct mock_rooms *r, uint64_t room) {
    if (2 * r->n >= r->n_slots) {
        struct mock_rooms old = *r;
        *r = (struct mock_rooms){.slots = mock_take(2 * old.n_slots, sizeof(uint64_t)),
                                 .n_slots = 2 * old.n_slots};
        for (size_t i = 0; i < old.n_slots; i++)
            if (old.slots[i]) put(r, old.slots[i]);
        free(old.slots);
    }
    return put(r, room + 1);
}
