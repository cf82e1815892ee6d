// SPDX-License-Identifier: Apache-2.0
// One run: a load, engines, routers of one kind, in virtual time.
//
//   arrival ─▶ router ──(hop)─▶ engine: waits, prompt, first token … last token
//                 ▲                │
//                 ├────(hop)───────┤ first token, last token
//                 └───(delay)──────┘ blocks stored and removed
//
// Where two engines serve it:
//
//   router ──(hop)─▶ engine: waits, prompt, keeps it ───────┐ transfer
//     ▲─────(hop)──────┘                                    ▼
//     └─────(hop)─▶ other engine: waits, receives what it lacks, first token … last token
//
// A router that must ask elsewhere has a hop there and one back before it knows, and its news take a hop
// more. Everything else is known at once.
#ifndef SIM_FLEET_RUN_H
#define SIM_FLEET_RUN_H

#include "event_queue.h"
#include "fleet_router.h"
#include "run_stats.h"

// Fills *out (sim_stats_close it). False: a request was lost or something broke; a message was written.
bool sim_run(const struct sim_plan *plan, struct sim_stats *out);

// ---- For kinds of routers that need more ---------------------------------------------------------
// Calls call(self, a, b) after so many virtual seconds.
void sim_fleet_later(struct sim_fleet *f, double seconds, sim_event_call *call, void *self,
                     uint32_t a, uint32_t b);
// What a router predicts as it chooses for a request: ms until its first token; below 0: it can't.
void sim_fleet_predicted(struct sim_fleet *f, uint32_t request, double ms);
// Before it is given, or chosen: another engine computes its prompt.
void sim_fleet_pair(struct sim_fleet *f, uint32_t request, uint32_t prefill);
// A request that was to be told later has an engine now; its router hears of it as of an answer to choose.
void sim_fleet_give(struct sim_fleet *f, uint32_t request, uint32_t worker);
// The router that it came to.
unsigned sim_fleet_router(const struct sim_fleet *f, uint32_t request);
// It was told to come back after so many seconds; and it does.
void sim_fleet_refuse(struct sim_fleet *f, uint32_t request, double seconds);
// Tokens of its prompt that it need not compute, as its router thinks.
void sim_fleet_cached(struct sim_fleet *f, uint32_t request, uint32_t cached);
// A worker's engine; NULL: it isn't there. *changes: its changes up to this number are in its cache.
const struct sim_engine *sim_fleet_engine(const struct sim_fleet *f, uint32_t worker,
                                          uint64_t *changes);
// What its metrics say; of one that isn't there, zeros.
struct sim_engine_metrics sim_fleet_load(const struct sim_fleet *f, uint32_t worker);

#endif
