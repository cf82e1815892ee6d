// SPDX-License-Identifier: Apache-2.0
// One rank of an engine: from its sockets to the pool.
//
//   feed ──> batch order ──> decoder ──> block map ──> publisher ──> the pool
//
// Nothing flows back but three requests: the order asks the feed for a replay; a new life of the engine
// makes the publisher publish anew; and when the map holds more blocks than the engine has room for, the
// order begins again.
#ifndef BRIDGE_RANK_H
#define BRIDGE_RANK_H

#include <kvroute/publisher.h>

#include "batch_order.h"
#include "block_map.h"
#include "bridge_context.h"
#include "client/engine/event_sources.h"
#include "event_feed.h"

// At least so many blocks of another size than the pool's, and none of that: one may be a part of a block.
enum { BRIDGE_MIN_WRONG_SIZE = 8 };

struct bridge_rank {
    const struct bridge_context *context;
    const struct bridge_engine_config *config;
    uint32_t number, said;           // said: the engine's number of it
    void (*connected)(void *engine); // the subscription; perhaps to another engine than before
    void *engine;
    struct kvr_publisher *publisher;
    struct bridge_feed *feed;
    struct event *timer, *rebuild;
    struct bridge_map map;
    struct bridge_order order;
    int64_t rebuilt; // ms, the last time because of too many blocks
    bool warned_size, warned_rank;
    uint64_t right_before, wrong_before; // blocks of the pool's size and not, of earlier lives
    uint64_t bad_events, unknown_events, other_rank; // other_rank: batches that name another one
};

// Starts listening. The pool's block size must be known. source: where the engine says it publishes, unless
// the settings say it; used here only. NULL: it has said why.
struct bridge_rank *bridge_rank_new(const struct bridge_context *context,
                                    const struct bridge_engine_config *config, uint32_t number,
                                    const struct engine_source *source,
                                    void (*connected)(void *engine), void *engine);
void bridge_rank_free(struct bridge_rank *r); // NULL is fine
bool bridge_rank_connected(const struct bridge_rank *r);
bool bridge_rank_settled(const struct bridge_rank *r); // all that was heard is in the pool
// The size of the blocks that its events tell of, where it isn't the pool's; 0: it is, or they tell of none.
uint32_t bridge_rank_other_size(const struct bridge_rank *r);

#endif
