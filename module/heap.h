// SPDX-License-Identifier: Apache-2.0
// Redis's heap as the core's allocator, so that pools count in used_memory and maxmemory.
#ifndef KVR_HEAP_H
#define KVR_HEAP_H

#include "module/core/mem.h"

extern const struct kvr_alloc heap_alloc;

#endif
