// SPDX-License-Identifier: Apache-2.0
// Names of engines, ids of requests and time, as pools know them: those in a router and the one in a server.
#ifndef SIM_POOL_NAMES_H
#define SIM_POOL_NAMES_H

#include "bench/sim/fleet/fleet_run.h"

enum { SIM_WORKER_NAME = 8, SIM_SESSION_NAME = 12, SIM_FLOW_NAME = 12, SIM_LINK_NAME = 16 };

struct kvr_bytes sim_worker_name(uint32_t worker, char room[SIM_WORKER_NAME]);
uint32_t sim_worker_number(const char *name, size_t n); // SIM_NOBODY: no engine's name
// Its rack as a label; empty: there is one rack.
struct kvr_bytes sim_link_name(const struct sim_plan *plan, uint32_t worker,
                               char room[SIM_LINK_NAME]);
struct kvr_bytes sim_request_id(const uint32_t *request);
// The session that the request names; empty: none, as where sessions aren't named.
struct kvr_bytes sim_session_name(const struct sim_world *w, uint32_t request,
                                  char room[SIM_SESSION_NAME]);
int64_t sim_epoch_ms(double seconds); // since the epoch, at so many seconds of the run

#endif
