// SPDX-License-Identifier: Apache-2.0
// HELP, from the table of commands.
#include <stdio.h>

#include "commands.h"
#include "module/command_io/args.h"
#include "module/command_io/command_reply.h"

// The table names the function below, so it is handed down to it.
static const struct cmd_definition *table;
static size_t table_size;

void cmd_help_start(const struct cmd_definition *commands, size_t n) {
    table = commands;
    table_size = n;
}

// Of KVROUTE.HELP all; of a parent's HELP its subcommands.
int cmd_help(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    char line[512];
    long n = 0;
    RedisModule_ReplyWithArray(ctx, REDISMODULE_POSTPONED_LEN);
    for (size_t i = 0; i < table_size; i++) {
        const struct cmd_definition *d = &table[i];
        const char *before = d->parent ? d->parent : "";
        if (!d->run || (argc > 1 && !mod_bytes_are(mod_bytes_of(argv[0]), before))) continue;
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
