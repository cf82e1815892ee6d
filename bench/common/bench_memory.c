// SPDX-License-Identifier: Apache-2.0
// Memory, or the end; see bench_memory.h.
#include "bench_memory.h"

#include <stdlib.h>

#include "tests/support/support_home.h"

static void *checked(void *p) {
    if (p) return p;
    support_fail("out of memory");
}

void *bench_calloc(size_t n, size_t width) {
    return checked(calloc(n ? n : 1, width));
}

void *bench_grow(void *p, size_t *room, size_t need, size_t width) {
    if (need <= *room) return p;
    size_t n = *room * 2 > need ? *room * 2 : need + 16;
    p = checked(reallocarray(p, n, width));
    *room = n;
    return p;
}
