// SPDX-License-Identifier: Apache-2.0
// Memory, or the end; see memory.h.
#define _GNU_SOURCE // program_invocation_short_name
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void *checked(void *p) {
    if (p) return p;
    fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
    exit(3);
}

void *memory_take(size_t n, size_t width) {
    return checked(calloc(n ? n : 1, width));
}

void *memory_grow(void *p, size_t *room, size_t need, size_t width) {
    if (need <= *room) return p;
    size_t n = *room * 2 > need ? *room * 2 : need + 16;
    p = checked(reallocarray(p, n, width));
    *room = n;
    return p;
}
