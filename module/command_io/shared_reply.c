// SPDX-License-Identifier: Apache-2.0
#include "shared_reply.h"

#include "command_reply.h"

void mod_shared_replies_start(RedisModuleCtx *ctx, struct mod_shared_reply *replies, size_t n) {
    for (size_t i = 0; i < n; i++) {
        RedisModuleCallReply *r = RedisModule_Call(ctx, "ECHO", "c", replies[i].text);
        // A server may have the command under another name, or answer with an error.
        if (!r || RedisModule_CallReplyType(r) == REDISMODULE_REPLY_STRING)
            replies[i].reply = r;
        else
            RedisModule_FreeCallReply(r);
    }
}

void mod_shared_reply_send(RedisModuleCtx *ctx, const struct mod_shared_reply *r) {
    if (r->reply)
        RedisModule_ReplyWithCallReply(ctx, r->reply);
    else
        mod_reply_text(ctx, r->text);
}
