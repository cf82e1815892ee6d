// SPDX-License-Identifier: Apache-2.0
// Callers whose answer is held back until their request is booked: SELECT ... WAIT ms BLOCK.
//
// Several may block on one request; each is answered by itself, with what is true at that moment. They belong to
// this process and to a connection, never to the state: a replica, a restart or another primary knows nothing of
// them.
//
// The server tells when a blocked client has gone, but says so of those, too, that it unblocks by itself as
// it becomes a replica, at a time when it still calls itself the primary; and a failover may be under way,
// when nothing may change. So nothing is done about it then: the last caller of a request who goes is remembered,
// and expiry, which knows when it may act, ends the request (mod_callers_next_left).
#ifndef MOD_BLOCKED_CALLERS_H
#define MOD_BLOCKED_CALLERS_H

#include "registry.h"

// How callers are answered; the commands, which stand above this folder, say it.
struct mod_caller_replies {
    void (*booked)(RedisModuleCtx *ctx, bool resp3, const struct kvr_pool_choice *choice);
    void (*no_room)(RedisModuleCtx *ctx, int64_t ms);
    void (*no_pool)(RedisModuleCtx *ctx);
};
void mod_callers_start(const struct mod_caller_replies *replies); // as the module is loaded

// Blocks the client of the command that runs, on a request that waits in v.
void mod_callers_block(RedisModuleCtx *ctx, struct mod_value *v, struct kvr_bytes id, bool resp3,
                       bool pair);
// Whether somebody who is there is blocked on it.
bool mod_callers_have(const struct mod_value *v, struct kvr_bytes id);
// Answers all who are blocked on id: with its booking; or, as it no longer waits, that there was no room.
void mod_callers_booked(struct mod_value *v, struct kvr_bytes id, int64_t now);
void mod_callers_no_room(struct mod_value *v, struct kvr_bytes id, int64_t now);
// Answers all who are blocked on requests of v, which is leaving its key.
void mod_callers_no_pool(struct mod_value *v);
void mod_callers_no_pools(int a, int b); // the same for the pools of two databases; -1: of all
// This server has become a replica, or a primary: nobody has gone by himself. Redis unblocks all before it says so,
// Valkey 9 afterwards.
void mod_callers_role_changed(void);

// The next request whose last caller has gone by itself, and is to be ended unless it has found another owner:
// its id, which is handed over; NULL: none is left.
RedisModuleString *mod_callers_next_left(struct mod_value *v);

#endif
