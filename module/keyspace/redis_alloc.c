// SPDX-License-Identifier: Apache-2.0
// Redis's heap as the core's allocator.
//
// RedisModule_Alloc aborts the server when there is no memory, so only the forms that may fail are
// used. Servers before 7.4 have no such form of realloc: there a block grows by a copy, and shrinks by
// one where that saves more than a quarter.
#include <stdint.h>
#include <string.h>

#include "redis_alloc.h"
#include "redis_api.h"

static size_t usable(void *p) {
    if (RMAPI_FUNC_SUPPORTED(RedisModule_MallocUsableSize)) return RedisModule_MallocUsableSize(p);
    return RedisModule_MallocSize(p);
}

static void *resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    if (size == 0) {
        RedisModule_Free(p);
        return NULL;
    }
    if (!p) return RedisModule_TryAlloc(size);
    if (mod_redis.try_realloc) return mod_redis.try_realloc(p, size);
    size_t have = usable(p);
    if (size <= have && size >= have - have / 4) return p;
    void *q = RedisModule_TryAlloc(size);
    if (!q) return NULL;
    memcpy(q, p, size < have ? size : have);
    RedisModule_Free(p);
    return q;
}

const struct kvr_alloc mod_redis_alloc = {resize, NULL};
