// SPDX-License-Identifier: Apache-2.0
// See saved.h.
#include "saved.h"

#include <kvroute/hash.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

void saved_add(struct saved *s, const void *chunk, size_t n) {
    if (s->n + n > s->room) {
        s->room = (s->n + n) * 2;
        s->bytes = must_resize(s->bytes, s->room);
    }
    if (n) memcpy(s->bytes + s->n, chunk, n);
    s->n += n;
    if (s->n_ends == s->ends_room) {
        s->ends_room = s->ends_room ? s->ends_room * 2 : 16;
        s->ends = must_resize(s->ends, s->ends_room * sizeof *s->ends);
    }
    s->ends[s->n_ends++] = s->n;
}

static int keep(void *ctx, const void *bytes, size_t n) {
    saved_add(ctx, bytes, n);
    return 0;
}

enum kvr_err saved_write(struct kvr_pool *p, struct saved *s) {
    return kvr_pool_save(p, keep, s);
}

void saved_seal(struct saved *s) {
    uint64_t check = 0;
    for (size_t i = 0, from = 0; i < s->n_ends; from = s->ends[i++]) {
        if (s->ends[i] - from < SAVED_CHECK) return;
        size_t n = s->ends[i] - from - SAVED_CHECK;
        check = XXH3_64bits_withSeed(s->bytes + from, n, check);
        memcpy(s->bytes + from + n, &check, SAVED_CHECK);
    }
}

// Every chunk is fed from memory of its own size, so that a read past its end is seen.
static enum kvr_err feed(struct kvr_loader *l, const uint8_t *chunk, size_t n) {
    uint8_t *alone = must_resize(NULL, n);
    if (n) memcpy(alone, chunk, n);
    enum kvr_err err = kvr_loader_feed(l, alone, n);
    free(alone);
    return err;
}

struct kvr_pool *saved_load(const struct saved *s, const struct kvr_alloc *a, enum kvr_err *err) {
    struct kvr_loader *l = kvr_loader_new(a, 0xfeed);
    *err = l ? KVR_OK : KVR_NOMEM;
    for (size_t i = 0, from = 0; i < s->n_ends && *err == KVR_OK; from = s->ends[i++])
        *err = feed(l, s->bytes + from, s->ends[i] - from);
    if (*err == KVR_OK && !kvr_loader_done(l)) *err = KVR_CORRUPT;
    if (*err == KVR_OK) return kvr_loader_finish(l);
    kvr_loader_free(l);
    return NULL;
}

void saved_free(struct saved *s) {
    free(s->bytes);
    free(s->ends);
    *s = (struct saved){0};
}
