// SPDX-License-Identifier: Apache-2.0
// Bulk strings that many replies have in common, such as the names of SELECT's fields. Redis writes a bulk
// string of a module in three pieces, but a reply that the module got from a call in one. So each of these
// strings is fetched once as the reply of a call, and that reply is sent from then on.
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
