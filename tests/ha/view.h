// SPDX-License-Identifier: Apache-2.0
// All that a pool knows about what a stage has told it, read from one server with plain calls.
#ifndef HA_VIEW_H
#define HA_VIEW_H

#include "stage.h"

struct seen_request {
    bool there;
    uint16_t worker, rank, blocks;
    bool prefilled;
    int64_t isl, output;
};

struct seen_rank {
    uint64_t epoch, seq;
    int64_t requests, prefill_tokens, decode_blocks;
    uint8_t tiers[BLOCKS]; // a bit for each tier
};

struct view {
    bool gone; // there is no pool
    struct seen_request requests[MAX_CLIENTS][MAX_REQUESTS];
    uint64_t strangers; // live requests that no client has begun
    bool registered[WORKERS];
    struct seen_rank ranks[WORKERS][RANKS];
    uint64_t holdings; // as the pool counts them
};

// The view is this process's own and valid until the next call.
const struct view *view_pool(const struct stage *s, struct server *server);

#endif
