// SPDX-License-Identifier: Apache-2.0
// The words that everything of kvroute shares: bytes, tiers, states, limits, and the allocator.
#ifndef KVROUTE_TYPES_H
#define KVROUTE_TYPES_H

#include <stddef.h>
#include <stdint.h>

// Names, addresses and ids are bytes with a length; any byte may be in them, NUL too.
struct kvr_bytes {
    const char *p;
    size_t n;
};

// Where an instance holds a block.
enum kvr_tier { KVR_DEVICE, KVR_HOST, KVR_DISK, KVR_TIERS };

// Whether a worker gets requests, after what was reported of it: not while open; half-open: one, to try.
enum kvr_circuit { KVR_CLOSED, KVR_OPEN, KVR_HALF_OPEN };

// What a worker does of a pair: prompts, answers, or both. Requests that aren't pairs go to no worker of prompts.
enum kvr_role { KVR_ROLE_BOTH, KVR_ROLE_PREFILL, KVR_ROLE_DECODE };

enum kvr_state { KVR_READY, KVR_DRAINING, KVR_EXPIRED };

enum {
    KVR_MAX_NAME = 128,        // bytes of a worker's name
    KVR_MAX_ADDR = 512,        // bytes of a worker's address
    KVR_MAX_ID = 256,          // bytes of a request's id or a session's name
    KVR_MAX_LABEL = 128,       // bytes of a worker's label
    KVR_MAX_LABELS = 64,       // labels a worker
    KVR_MAX_RANKS = 1024,      // ranks a worker
    KVR_MAX_INSTANCES = 65535, // instances a pool
    KVR_MAX_BLOCKS = 1 << 20,  // blocks in one list
    KVR_MAX_BLOCK_SIZE = 4096, // tokens a block
};
#define KVR_MAX_TOKENS ((int64_t)1 << 40) // ISL, OSL, OUTPUT, CACHED
#define KVR_MAX_MS ((int64_t)1 << 50)     // durations
#define KVR_MAX_SPEED 1e6                 // of a worker

// resize(ctx, p, size): p NULL allocates, size 0 frees, otherwise like realloc. Returns NULL when
// there is no memory, and then p is still valid. Shrinking to a smaller non-zero size may fail too.
struct kvr_alloc {
    void *(*resize)(void *ctx, void *p, size_t size);
    void *ctx;
};

#endif
