// SPDX-License-Identifier: Apache-2.0
#include "mem.h"

#include <stdint.h>
#include <string.h>

void *mem_resize(struct mem *m, void *p, size_t old_size, size_t size) {
    void *q = m->alloc.resize(m->alloc.ctx, p, size);
    if (!q && size) return NULL;
    m->used += size - old_size;
    return q;
}

void *mem_alloc(struct mem *m, size_t size) {
    return mem_resize(m, NULL, 0, size);
}

void *mem_calloc(struct mem *m, size_t size) {
    void *p = mem_alloc(m, size);
    if (p) memset(p, 0, size);
    return p;
}

void mem_free(struct mem *m, void *p, size_t size) {
    if (p) mem_resize(m, p, size, 0);
}

int mem_grow(struct mem *m, void *p, size_t *cap, size_t need, size_t width) {
    if (need <= *cap) return 0;
    size_t want = *cap ? *cap * 2 : 8;
    if (want < need) want = need;
    void *old;
    memcpy(&old, p, sizeof old);
    void *grown = mem_resize(m, old, *cap * width, want * width);
    if (!grown) return -1;
    memcpy(p, &grown, sizeof grown);
    *cap = want;
    return 0;
}
