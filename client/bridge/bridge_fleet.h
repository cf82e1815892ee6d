// SPDX-License-Identifier: Apache-2.0
// The engines of a bridge: those of its settings, which stay; those that are found (client/discovery), which come
// and go; and, with `from_pool`, whatever workers the pool has.
//
//   settings, found   the bridge registers and renews them. One that is lost is let go as `exit` says
//   from_pool         somebody else has registered them (a router, POST /kvroute/workers, an operator): the bridge
//                     only tells what they cache. It looks at the pool's list every few seconds
//
// An engine is asked for everything, so all that is needed of a worker is an address that is a URL. A
// name is one engine: whoever has it first keeps it, and settings come before what is found, that before the pool.
#ifndef BRIDGE_FLEET_H
#define BRIDGE_FLEET_H

#include "bridge_engine.h"

struct h1_server;
struct bridge_source;

struct bridge {
    struct bridge_context context;
    struct bridge_config config;
    struct bridge_engine **engines; // none of them NULL; they move when one goes
    size_t n_engines;
    struct bridge_source *sources; // where engines are found; as many as in the settings
    size_t n_sources;
    struct event *look;        // at the pool's workers; NULL: never
    struct h1_server *metrics; // NULL: none
    bool leaving;
    bool lacks_size; // the pool is created when an engine has said how large its blocks are
};

// Opens the engines of the settings, and begins to look for others. False: said in the log.
bool bridge_fleet_open(struct bridge *b);
void bridge_fleet_close(struct bridge *b);
void bridge_fleet_update(struct bridge *b); // the pool's block size may be known now
// Looks for no more engines, and lets all go: `done` is called for each, perhaps before this returns.
void bridge_fleet_leave(struct bridge *b, void (*done)(void *ctx), void *ctx);
// Whether an engine has said how large its blocks are, or has answered and doesn't say it (*size 0).
bool bridge_fleet_size(const struct bridge *b, uint32_t *size);

#endif
