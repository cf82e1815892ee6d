// SPDX-License-Identifier: Apache-2.0
// Redis's heap as the core's allocator, so that pools count in used_memory and maxmemory.
#ifndef MOD_REDIS_ALLOC_H
#define MOD_REDIS_ALLOC_H

#include "module/core/base/mem.h"

extern const struct kvr_alloc mod_redis_alloc;

#endif
