// SPDX-License-Identifier: Apache-2.0
// Bulk strings that many replies have in common, as the names of SELECT's fields. The server puts a bulk string
// together of three parts for each client, and a reply of its own that it was given back in one: so each of
// these is asked for once, and from then on passed on.
#ifndef MOD_SHARED_REPLY_H
#define MOD_SHARED_REPLY_H

#include <stddef.h>

#include "module/keyspace/redis_api.h"

struct mod_shared_reply {
    const char *text;
    RedisModuleCallReply *reply; // kept as long as the server runs; NULL: not to be had
};

// Asks for all n of them, as the module is loaded.
void mod_shared_replies_start(RedisModuleCtx *ctx, struct mod_shared_reply *replies, size_t n);
void mod_shared_reply_send(RedisModuleCtx *ctx, const struct mod_shared_reply *r);

#endif
