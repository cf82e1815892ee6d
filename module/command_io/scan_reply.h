// SPDX-License-Identifier: Apache-2.0
// Commands that iterate as SCAN does: [cursor] [COUNT n] → [next cursor, names, or something for each].
#ifndef MOD_SCAN_REPLY_H
#define MOD_SCAN_REPLY_H

#include "command_call.h"

// kvr_request_scan and its like.
typedef uint64_t mod_scan_function(const struct kvr_pool *p, uint64_t cursor, size_t count,
                                   void (*f)(void *ctx, struct kvr_bytes name), void *ctx);

// Takes the rest of the arguments, replies and ends the command; returns REDISMODULE_OK.
int mod_scan_reply(struct mod_call *c, mod_scan_function *scan);
// The same with what `item` replies for each name.
int mod_scan_reply_each(struct mod_call *c, mod_scan_function *scan,
                        void (*item)(struct mod_call *c, struct kvr_bytes name));

#endif
