// SPDX-License-Identifier: Apache-2.0
// Which workers are shown, and in which order.
#ifndef TOP_ROWS_H
#define TOP_ROWS_H

#include "top_view.h"

struct top_row {
    const struct top_worker *worker;
    double key;       // what it is sorted by, and
    const char *word; // where these are equal, this; then the name
};

struct top_rows {
    struct top_row *items;
    size_t n, cap;
};

// The workers with `filter` in one of their texts, whatever its case, sorted. Numbers: the highest first; words: by the
// alphabet; reverse: the other way round. What isn't known stands last or, reversed, first. False: no memory.
bool top_rows_fill(struct top_rows *rows, const struct top_list *workers, enum top_order order,
                   bool reverse, const char *filter);

// As the table calls it.
const char *top_state_name(enum kvr_state s);
const char *top_circuit_name(enum kvr_circuit c);
const char *top_role_name(enum kvr_role r);

#endif
