// SPDX-License-Identifier: Apache-2.0
// Streams that outlive their engine: when a stream that is kept (router_kept.h) breaks, the rest of the answer comes
// from another engine, and the client sees one stream.
//
//   RELAY ──6──> CHOOSE ──> … ──> SEND ──> HEAD ──> RELAY
//                 │ ^
//                 └─┘ nobody can be chosen: again, for as long as MIGRATION_WAIT_MS
//
// What breaks a stream: its connection; silence for too long; probes or the pool, which say that the engine is
// dead; an error event; finish_reason "abort", which engines say that are paused; an end without [DONE]. What
// is no break: an end behind a finish_reason. Only the usage and [DONE] are missing then, and are written here.
//
// The engine that broke is left out, and its booking ends when the other one's is there. A stream may leave its engine
// `migrate` times. That isn't taken out of the retries' budget: streams break when engines do, not when they have
// too much to do.
//
// A worker that is being drained and whose time is over (DRAIN) loses its streams in the same way, if another one may
// be chosen; streams that can't go on stay.
#ifndef ROUTER_MIGRATION_H
#define ROUTER_MIGRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "client/router/pools/router_pool.h"
#include "router_protection.h"

struct router_request;

// In READ: what was read of the request, which is taken. False: no memory.
bool router_migration_begin(struct router_request *r, struct router_protection *how);

// In SEND: how a stream is kept at the engine that was chosen. False: one that goes on can't do so there.
bool router_migration_send(struct router_request *r);
// In HEAD: whether its answer is one that can be kept, or be the rest of one; else it isn't looked at.
bool router_migration_answers(struct router_request *r, bool events);
// On entering RELAY for the first time: a header says how the stream is protected, and the body is kept.
void router_migration_relay(struct router_request *r);

// Whether the rest can come from elsewhere; else why not.
enum router_because router_migration_hinders(const struct router_request *r);
// From RELAY to CHOOSE, or to the answer's end if nothing of it is missing. *r may be over.
void router_migration_go_on(struct router_request *r, enum router_migration_why why);
// In RELAY: the time of its draining worker is over.
bool router_migration_is_due(const struct router_request *r, int64_t now);
// Whether nothing is missing behind the finish_reason but what can be written here; and writes it: *r is over.
bool router_migration_can_finish(const struct router_request *r);
void router_migration_finish(struct router_request *r);

#endif
