// SPDX-License-Identifier: Apache-2.0
#include "mem.h"

#include <stdint.h>
#include <string.h>

void *core_mem_resize(struct core_mem *m, void *p, size_t old_size, size_t size) {
    void *q = m->alloc.resize(m->alloc.ctx, p, size);
    if (!q && size) return NULL;
    m->used += size - old_size;
    return q;
}

void *core_mem_alloc(struct core_mem *m, size_t size) {
    return core_mem_resize(m, NULL, 0, size);
}

void *core_mem_calloc(struct core_mem *m, size_t size) {
    void *p = core_mem_alloc(m, size);
    if (p) memset(p, 0, size);
    return p;
}

void core_mem_free(struct core_mem *m, void *p, size_t size) {
    if (p) core_mem_resize(m, p, size, 0);
}

int core_mem_grow(struct core_mem *m, void *p, size_t *cap, size_t need, size_t width) {
    if (need <= *cap) return 0;
    size_t want = *cap ? *cap * 2 : 8;
    if (want < need) want = need;
    void *old;
    memcpy(&old, p, sizeof old);
    void *grown = core_mem_resize(m, old, *cap * width, want * width);
    if (!grown) return -1;
    memcpy(p, &grown, sizeof grown);
    *cap = want;
    return 0;
}
