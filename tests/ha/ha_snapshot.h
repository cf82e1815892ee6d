// SPDX-License-Identifier: Apache-2.0
// All that a pool knows of the clients and publishers at work, read from one server with plain calls.
#ifndef HA_SNAPSHOT_H
#define HA_SNAPSHOT_H

#include "ha_load.h"

struct ha_seen_request {
    bool there;
    uint16_t worker, rank, blocks;
    bool prefilled;
    int64_t isl, output;
};

struct ha_seen_rank {
    uint64_t epoch, seq;
    int64_t requests, prefill_tokens, decode_blocks;
    uint8_t tiers[HA_BLOCKS]; // a bit for each tier
};

struct ha_snapshot {
    bool gone; // there is no pool
    struct ha_seen_request requests[HA_MAX_CLIENTS][HA_MAX_REQUESTS];
    uint64_t unknown; // live requests that no client has begun
    bool registered[HA_WORKERS];
    struct ha_seen_rank ranks[HA_WORKERS][HA_RANKS];
    uint64_t holdings; // as the pool counts them
};

// The snapshot is this process's own and valid until the next call.
const struct ha_snapshot *ha_snapshot_take(const struct ha_load *s, struct ha_server *server);

#endif
