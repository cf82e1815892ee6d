// SPDX-License-Identifier: Apache-2.0
// Publishers: processes that stand for engines. Each registers its workers, goes on saying that they
// are there, and stores and removes blocks on all of their ranks, without a pause.
//
// What each rank holds is written down beside the publisher, in memory that the scenario sees: the
// truth that the pool is compared with. At HA_ORDER_HOLD nothing is changed any more, everything is sent,
// and the publisher's own idea of what it holds is compared with that truth.
#ifndef HA_PUBLISHER_H
#define HA_PUBLISHER_H

#include <kvroute/publisher.h>

#include "ha_client.h"

enum { HA_WORKERS_EACH = HA_WORKERS / 2 }; // workers of one publisher process

// One rank. In tiers[block] stands a bit for each tier.
struct ha_rank_log {
    uint8_t tiers[HA_BLOCKS];
    _Atomic uint64_t epoch, acked; // the last event that the pool has acknowledged
    struct kvr_publisher_stats stats;
};

struct ha_publisher {
    // Set before it starts.
    int first; // number of its first worker
    char url[400];
    const char *create;
    struct ha_process *process;

    _Atomic int order, reached;
    struct ha_rank_log ranks[HA_WORKERS_EACH][HA_RANKS];
    _Atomic uint64_t registered; // good answers to WORKER SET
    _Atomic uint64_t errors[HA_CODES];
    _Atomic uint64_t untrue; // blocks that kvr_publisher_each tells otherwise
    _Atomic bool unsettled;  // it never came to rest
    char first_error[160];
    struct kvr_client_stats stats;
};

void ha_publisher_start(struct ha_publisher *p, int side);
uint64_t ha_publisher_errors(const struct ha_publisher *p);

#endif
