// SPDX-License-Identifier: Apache-2.0
#include "alloc.h"

#include <stdlib.h>
#include <string.h>

static void *resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    if (size) return realloc(p, size);
    free(p);
    return NULL;
}

const struct kvr_alloc kvr_alloc_default = {resize, NULL};

void *kvr_alloc_zeroed(const struct kvr_alloc *a, size_t size) {
    void *p = a->resize(a->ctx, NULL, size);
    if (p) memset(p, 0, size);
    return p;
}

void *kvr_alloc_copy(const struct kvr_alloc *a, const void *bytes, size_t size) {
    void *p = a->resize(a->ctx, NULL, size ? size : 1);
    if (p && size) memcpy(p, bytes, size);
    return p;
}

void kvr_alloc_free(const struct kvr_alloc *a, void *p) {
    if (p) a->resize(a->ctx, p, 0);
}

int kvr_alloc_grow(const struct kvr_alloc *a, void *p, size_t *cap, size_t need, size_t width) {
    if (need <= *cap) return 0;
    size_t want = *cap ? *cap * 2 : 8;
    if (want < need) want = need;
    if (want > SIZE_MAX / 2 / width) return -1;
    void *old;
    memcpy(&old, p, sizeof old);
    void *grown = a->resize(a->ctx, old, want * width);
    if (!grown) return -1;
    memcpy(p, &grown, sizeof grown);
    *cap = want;
    return 0;
}
