// SPDX-License-Identifier: Apache-2.0
// HELP, from the table of commands.
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "module/call/command_reply.h"

// The table names the functions below, so it is handed down to them.
static const struct cmd_definition *table;
static size_t table_size;

void cmd_help_start(const struct cmd_definition *commands, size_t n) {
    table = commands;
    table_size = n;
}

// parent: only its subcommands; NULL: all.
static int help(RedisModuleCtx *ctx, const char *parent) {
    char line[512];
    long n = 0;
    RedisModule_ReplyWithArray(ctx, REDISMODULE_POSTPONED_LEN);
    for (size_t i = 0; i < table_size; i++) {
        const struct cmd_definition *d = &table[i];
        if (!d->run || (parent && (!d->parent || strcmp(d->parent, parent) != 0))) continue;
        const char *before = d->parent ? d->parent : "";
        snprintf(line, sizeof line, "%s%s%s%s%s", before, *before ? " " : "", d->name,
                 *d->syntax ? " " : "", d->syntax);
        mod_reply_text(ctx, line);
        snprintf(line, sizeof line, "    %s.", d->info.summary);
        mod_reply_text(ctx, line);
        n += 2;
    }
    RedisModule_ReplySetArrayLength(ctx, n);
    return REDISMODULE_OK;
}

int cmd_help(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    (void)argc;
    return help(ctx, NULL);
}

int cmd_worker_help(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    (void)argc;
    return help(ctx, "KVROUTE.WORKER");
}

int cmd_request_help(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    (void)argc;
    return help(ctx, "KVROUTE.REQUEST");
}

int cmd_session_help(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    (void)argc;
    return help(ctx, "KVROUTE.SESSION");
}
