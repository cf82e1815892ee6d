// SPDX-License-Identifier: Apache-2.0
// Answers of pool and model compared, and what is said where they differ; see unit_pair.h.
#include "unit_pair.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

// Notes an operation for unit_pair_differs.
void unit_pair_log(struct unit_pair *p, const char *format, ...) {
    char *line = p->log[p->logged++ % UNIT_PAIR_LOG];
    va_list args;
    va_start(args, format);
    vsnprintf(line, UNIT_PAIR_LINE, format, args);
    va_end(args);
    if (getenv("KVROUTE_TRACE")) fprintf(stderr, "%s\n", line);
}

void unit_pair_differs(struct unit_pair *p, const char *format, ...) {
    fprintf(stderr, "\npool and model differ (%s)\n", p->label);
    unsigned first = p->logged > UNIT_PAIR_LOG ? p->logged - UNIT_PAIR_LOG : 0;
    for (unsigned i = first; i < p->logged; i++)
        fprintf(stderr, "  %u %s\n", i, p->log[i % UNIT_PAIR_LOG]);
    fprintf(stderr, "  => ");
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    abort();
}

// True when the operation ran out of memory, which is then all that is to be said about it.
bool unit_pair_out_of_memory(struct unit_pair *p, enum kvr_err got, uint64_t failures) {
    if (got != KVR_NOMEM) return false;
    if (p->mem.failures == failures) unit_pair_differs(p, "NOMEM though no allocation failed");
    p->no_memory++;
    return true;
}

void unit_pair_same_error(struct unit_pair *p, enum kvr_err got, enum kvr_err want) {
    if (got != want)
        unit_pair_differs(p, "%s instead of %s", unit_error_names[got], unit_error_names[want]);
}

void unit_pair_same(struct unit_pair *p, const char *what, uint64_t got, uint64_t want) {
    if (got != want) unit_pair_differs(p, "%s %" PRIu64 " instead of %" PRIu64, what, got, want);
}

void unit_pair_same_bytes(struct unit_pair *p, const char *what, struct kvr_bytes got,
                          struct kvr_bytes want) {
    if (unit_bytes_compare(got, want) != 0)
        unit_pair_differs(p, "%s '%.*s' instead of '%.*s'", what, (int)got.n, got.p, (int)want.n,
                          want.p);
}
