// SPDX-License-Identifier: Apache-2.0
// Memory that is there or ends the program: a test's tool has nothing better to do without it.
#ifndef MOCK_MEMORY_H
#define MOCK_MEMORY_H

#include <stdlib.h>
#include <string.h>

// n zeroed elements; never NULL.
static inline void *mock_take(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) abort();
    return p;
}

// Room for at least need elements; *room is how many there is room for.
static inline void *mock_grow(void *p, size_t *room, size_t need, size_t size) {
    if (need <= *room) return p;
    size_t more = *room * 2 > need ? *room * 2 : need;
    p = reallocarray(p, more, size);
    if (!p) abort();
    *room = more;
    return p;
}

static inline char *mock_copy_text(const char *text) {
    char *p = text ? strdup(text) : NULL;
    if (text && !p) abort();
    return p;
}

#endif
