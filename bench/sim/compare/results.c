// SPDX-License-Identifier: Apache-2.0
// The runs that were made; see results.h.
#include "results.h"

#include <stdlib.h>

#include "bench/common/bench_memory.h"

struct sim_row *sim_results_add(struct sim_results *r) {
    r->rows = bench_grow(r->rows, &r->room, r->n + 1, sizeof *r->rows);
    struct sim_row *row = &r->rows[r->n++];
    *row = (struct sim_row){0};
    return row;
}

void sim_results_free(struct sim_results *r) {
    for (size_t i = 0; i < r->n; i++)
        free(r->rows[i].stretches);
    free(r->rows);
    *r = (struct sim_results){0};
}
