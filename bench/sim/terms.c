// SPDX-License-Identifier: Apache-2.0
// Names of the delay rule's terms; see terms.h.
#include "terms.h"

#include <stdio.h>
#include <string.h>

#include "module/core/pool.h"

const char *const term_names[TERMS] = {"expected", "queue", "arrivals", "reuse",
                                       "pace",     "first", "rounding"};
_Static_assert(KVR_TERM_EXPECTED == 1 && KVR_TERM_QUEUE == 1 << 1 && KVR_TERM_ARRIVALS == 1 << 2 &&
                   KVR_TERM_REUSE == 1 << 3 && KVR_TERM_PACE == 1 << 4 &&
                   KVR_TERM_FIRST == 1 << 5 && KVR_TERM_ROUNDING == 1 << 6,
               "the names stand in the order of enum kvr_term");

unsigned term_find(const char *name) {
    for (unsigned i = 0; i < TERMS; i++)
        if (!strcmp(term_names[i], name)) return 1u << i;
    return 0;
}

int terms_text(unsigned terms, char *room, size_t n) {
    if (terms == TERMS_ALL) return snprintf(room, n, "terms");
    int at = snprintf(room, n, "%s", "");
    for (unsigned i = 0; i < TERMS; i++) {
        size_t left = (size_t)at < n ? n - (size_t)at : 0;
        if (terms & 1u << i)
            at += snprintf(left ? room + at : NULL, left, "%s%s", at ? " or " : "", term_names[i]);
    }
    return at;
}
