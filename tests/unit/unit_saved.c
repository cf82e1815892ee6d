// SPDX-License-Identifier: Apache-2.0
// See unit_saved.h.
#include "unit_saved.h"

#include <kvroute/hash.h>
#include <stdlib.h>
#include <string.h>

#include "unit_table.h"

void unit_saved_add(struct unit_saved *s, const void *chunk, size_t n) {
    if (s->n + n > s->room) {
        s->room = (s->n + n) * 2;
        s->bytes = unit_must_resize(s->bytes, s->room);
    }
    if (n) memcpy(s->bytes + s->n, chunk, n);
    s->n += n;
    if (s->n_ends == s->ends_room) {
        s->ends_room = s->ends_room ? s->ends_room * 2 : 16;
        s->ends = unit_must_resize(s->ends, s->ends_room * sizeof *s->ends);
    }
    s->ends[s->n_ends++] = s->n;
}

static int keep(void *ctx, const void *bytes, size_t n) {
    unit_saved_add(ctx, bytes, n);
    return 0;
}

enum kvr_err unit_saved_write(struct kvr_pool *p, struct unit_saved *s) {
    return kvr_pool_save(p, keep, s);
}

void unit_saved_seal(struct unit_saved *s) {
    uint64_t check = 0;
    for (size_t i = 0, from = 0; i < s->n_ends; from = s->ends[i++]) {
        if (s->ends[i] - from < UNIT_SAVED_CHECK) return;
        size_t n = s->ends[i] - from - UNIT_SAVED_CHECK;
        check = XXH3_64bits_withSeed(s->bytes + from, n, check);
        memcpy(s->bytes + from + n, &check, UNIT_SAVED_CHECK);
    }
}

// Every chunk is fed from memory of its own size, so that a read past its end is seen.
static enum kvr_err feed(struct kvr_loader *l, const struct unit_saved *s, size_t from, size_t to) {
    size_t n = to - from;
    uint8_t *alone = unit_must_resize(NULL, n);
    if (n) memcpy(alone, s->bytes + from, n);
    enum kvr_err err = kvr_loader_feed(l, alone, n);
    free(alone);
    return err;
}

struct kvr_pool *unit_saved_load(const struct unit_saved *s, const struct kvr_alloc *a,
                                 enum kvr_err *err) {
    struct kvr_loader *l = kvr_loader_new(a, 0xfeed);
    *err = l ? KVR_OK : KVR_NOMEM;
    for (size_t i = 0, from = 0; i < s->n_ends && *err == KVR_OK; from = s->ends[i++])
        *err = feed(l, s, from, s->ends[i]);
    if (*err == KVR_OK && !kvr_loader_done(l)) *err = KVR_CORRUPT;
    if (*err == KVR_OK) return kvr_loader_finish(l);
    kvr_loader_free(l);
    return NULL;
}

struct kvr_pool *unit_saved_copy(struct kvr_pool *p, const struct kvr_alloc *a, enum kvr_err *err) {
    struct unit_saved s = {0};
    *err = unit_saved_write(p, &s);
    struct kvr_pool *copy = *err == KVR_OK ? unit_saved_load(&s, a, err) : NULL;
    unit_saved_free(&s);
    return copy;
}

void unit_saved_free(struct unit_saved *s) {
    free(s->bytes);
    free(s->ends);
    *s = (struct unit_saved){0};
}
