// SPDX-License-Identifier: Apache-2.0
// Loading what may be anything; see unit_saved.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support_alloc.h"
#include "unit_saved.h"
#include "unit_table.h"

static void must(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "a pool that was loaded: %s\n", what);
    abort();
}

static void is_valid(const struct kvr_pool *p) {
    const char *broken = kvr_pool_validate(p);
    must(!broken, broken);
}

static void same_when_loaded_again(struct kvr_pool *p, const struct kvr_alloc *a) {
    uint8_t first[KVR_DIGEST_BYTES], second[KVR_DIGEST_BYTES];
    enum kvr_err err;
    struct kvr_pool *copy = unit_saved_copy(p, a, &err);
    must(copy != NULL, "what was saved isn't loaded");
    kvr_pool_digest(p, first);
    kvr_pool_digest(copy, second);
    must(memcmp(first, second, sizeof first) == 0, "another digest");
    kvr_pool_free(copy);
}

static void drop_id(void *ctx, struct kvr_bytes id) {
    (void)ctx;
    must(id.n > 0 && id.n <= KVR_MAX_ID, "an id");
}

// Admits whom it can, and ends the others.
static void use_queue(struct kvr_pool *p) {
    struct kvr_admission a;
    size_t looks = 10000;
    while (kvr_admit(p, 5000000, &looks, 0.5, NULL, NULL, &a)) {
    }
    is_valid(p);
    kvr_end_waiting(p, INT64_MAX / 4, 1, drop_id, NULL);
    is_valid(p);
    kvr_renew_all(p, 1000);
    while (kvr_end_waiting(p, INT64_MAX / 4, 100, drop_id, NULL)) {
    }
    is_valid(p);
}

static void delete_workers(struct kvr_pool *p) {
    while (kvr_worker_count(p)) {
        struct kvr_worker_info w;
        char name[KVR_MAX_NAME];
        kvr_worker_at(p, 0, 0, &w);
        memcpy(name, w.name.p, w.name.n);
        must(kvr_worker_del(p, (struct kvr_bytes){name, w.name.n}) == KVR_OK, "deleting");
        is_valid(p);
    }
}

bool unit_saved_any(const struct unit_saved *s) {
    struct support_alloc mem = {0};
    struct kvr_alloc a = support_alloc_use(&mem);
    enum kvr_err err;
    struct kvr_pool *p = unit_saved_load(s, &a, &err);
    must(p || err == KVR_CORRUPT, "refused for another reason");
    if (p) {
        is_valid(p);
        same_when_loaded_again(p, &a);
        use_queue(p);
        delete_workers(p);
        kvr_pool_free(p);
    }
    support_alloc_check_freed(&mem, "loading anything");
    return p != NULL;
}

bool unit_saved_with(struct unit_saved *s, uint8_t *at, const void *x, size_t n) {
    uint8_t was[64];
    must(n <= sizeof was, "too much at once");
    memcpy(was, at, n);
    memcpy(at, x, n);
    unit_saved_seal(s);
    bool loaded = unit_saved_any(s);
    memcpy(at, was, n);
    unit_saved_seal(s);
    return loaded;
}

size_t unit_saved_spoil(struct kvr_pool *p) {
    struct unit_saved s = {0};
    size_t loaded = 0;
    must(unit_saved_write(p, &s) == KVR_OK, "it can't be saved");
    for (size_t i = 0; i + UNIT_SAVED_CHECK < s.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            uint8_t x = (uint8_t)(s.bytes[i] ^ 1 << bit);
            loaded += unit_saved_with(&s, &s.bytes[i], &x, 1);
        }
        const uint8_t ends[] = {0, 255, (uint8_t)(s.bytes[i] + 1), (uint8_t)(s.bytes[i] - 1)};
        for (int k = 0; k < 4; k++)
            loaded += unit_saved_with(&s, &s.bytes[i], &ends[k], 1);
    }
    unit_saved_free(&s);
    return loaded;
}
