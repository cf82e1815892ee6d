// SPDX-License-Identifier: Apache-2.0
// Clients that book pairs; see ha_pair.h.
//
// HA_ORDER_WORK: begins requests and takes them to their end. HA_ORDER_HOLD: begins nothing, keeps what is live, and
// speaks of it so that no lease ends. HA_ORDER_FINISH: releases all.
#ifndef HA_PAIR_CLIENT_H
#define HA_PAIR_CLIENT_H

#include "ha_client.h"
#include "ha_pair.h"

// Starts the process, also again in the place of one that was killed.
void ha_pair_client_start(struct ha_pair *p, size_t client);
// SIGKILL. What it was told of is an orphan from now on.
void ha_pair_client_kill(struct ha_pair *p, size_t client);

#endif
