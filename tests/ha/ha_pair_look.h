// SPDX-License-Identifier: Apache-2.0
// All that a pool knows of pairs at one moment, read from one server in one step, and whether it agrees with itself.
#ifndef HA_PAIR_LOOK_H
#define HA_PAIR_LOOK_H

#include <hiredis/hiredis.h>

#include "ha_pair.h"

enum { HA_PAIR_SEEN = 4096 };

struct ha_pair_seen {
    int client;
    uint32_t index;
    uint16_t worker, rank, prefill, prefill_rank;
    bool prefilled;
    int64_t isl, cached, output;
};

struct ha_pair_loads {
    int64_t requests, prefill_tokens, decode_blocks;
};

struct ha_pair_view {
    struct ha_pair_seen seen[HA_PAIR_SEEN];
    size_t n;
    uint64_t unknown; // requests that no client of ours has begun, or on nobody of ours
    bool registered[HA_PAIR_ENGINES];
    struct ha_pair_loads ranks[HA_PAIR_ENGINES][HA_PAIR_RANKS];
    int64_t waiting;                           // as INFO counts them
    uint32_t at[HA_PAIR_CLIENTS][HA_PAIR_MAX]; // 1 + the number in `seen`; 0: not there
};

// False: the server doesn't answer, or has no pool now. The view is this process's own, until the next look.
bool ha_pair_look(redisContext *server, const struct ha_pair_view **out);
// NULL: not there.
const struct ha_pair_seen *ha_pair_find(const struct ha_pair_view *v, int client, uint32_t index);

// Legs whose requests, prefill_tokens or decode_blocks aren't those of the requests on them. The first is told.
uint64_t ha_pair_half_booked(const struct ha_pair *p, const struct ha_pair_view *v, char *first,
                             size_t size);
// Instances above one of their limits by what SELECT has chosen. What the library has booked back, or may have, is
// booked whether there is room or not: *over grows to the requests that one had above MAXREQUESTS for that.
uint64_t ha_pair_above(const struct ha_pair *p, const struct ha_pair_view *v, int64_t *over,
                       char *first, size_t size);
// Requests, waiting ones, and load of all instances: 0 when nothing is left.
uint64_t ha_pair_left(const struct ha_pair_view *v);

#endif
