// SPDX-License-Identifier: Apache-2.0
// The runs that were made; see results.h.
#include "results.h"

#include <stdlib.h>

#include "bench/common/memory.h"

struct row *results_add(struct results *r) {
    r->rows = memory_grow(r->rows, &r->room, r->n + 1, sizeof *r->rows);
    struct row *row = &r->rows[r->n++];
    *row = (struct row){0};
    return row;
}

void results_free(struct results *r) {
    for (size_t i = 0; i < r->n; i++)
        free(r->rows[i].stretches);
    free(r->rows);
    *r = (struct results){0};
}
