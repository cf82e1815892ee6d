// SPDX-License-Identifier: Apache-2.0
// See support_alloc.h.
#include "support_alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct support_block {
    size_t size;
    uint64_t mark;
};

static uint64_t mark_of(const struct support_block *h) {
    return (uint64_t)(uintptr_t)h ^ 0x6b76726f75746521u;
}

static bool must_fail(struct support_alloc *t) {
    t->calls++;
    if (t->fail_at && (t->calls == t->fail_at || (t->fail_from && t->calls > t->fail_at)))
        return true;
    if (!t->one_in) return false;
    t->random = t->random * 6364136223846793005u + 1442695040888963407u;
    return (t->random >> 33) % t->one_in == 0;
}

static void *resize(void *ctx, void *p, size_t size) {
    struct support_alloc *t = ctx;
    struct support_block *old = p ? (struct support_block *)p - 1 : NULL;
    if (old && old->mark != mark_of(old)) {
        fprintf(stderr, "freed or resized what was never allocated\n");
        abort();
    }
    struct support_block *h = NULL;
    if (size) {
        if (must_fail(t) || size > (size_t)1 << 30) {
            t->failures++;
            return NULL;
        }
        h = malloc(sizeof *h + size);
        if (!h) return NULL;
        memset(h + 1, 0xa5, size);
        h->size = size;
        h->mark = mark_of(h);
        t->bytes += size;
        t->blocks++;
    }
    if (old) {
        if (h) memcpy(h + 1, old + 1, old->size < size ? old->size : size);
        t->bytes -= old->size;
        t->blocks--;
        old->mark = 0;
        free(old);
    }
    return h ? h + 1 : NULL;
}

struct kvr_alloc support_alloc_use(struct support_alloc *t) {
    return (struct kvr_alloc){resize, t};
}

void support_alloc_check_freed(const struct support_alloc *t, const char *where) {
    if (!t->bytes && !t->blocks) return;
    fprintf(stderr, "%s: %zu bytes in %zu blocks were never given back\n", where, t->bytes,
            t->blocks);
    abort();
}
