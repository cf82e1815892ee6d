// SPDX-License-Identifier: Apache-2.0
// Registers the commands of the table with the server.
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>

#include "command_table.h"
#include "commands.h"

static const char CATEGORY[] = "kvroute";
enum { MAX_COMMAND_NAME = 64 };

// Servers take a command in any case, but tell names as they were registered; those of their own are in lower
// case, and clients that look a command up in what COMMAND told them expect no other.
static const char *in_lower_case(const char *name, char out[MAX_COMMAND_NAME]) {
    size_t i = 0;
    for (; name[i] && i + 1 < MAX_COMMAND_NAME; i++)
        out[i] = (char)tolower((unsigned char)name[i]);
    out[i] = 0;
    return out;
}

// The command as the server knows it: "parent|name" for a subcommand.
static RedisModuleCommand *find(RedisModuleCtx *ctx, const struct cmd_definition *d) {
    char name[2 * MAX_COMMAND_NAME];
    if (!d->parent) return RedisModule_GetCommand(ctx, d->name);
    snprintf(name, sizeof name, "%s|%s", d->parent, d->name);
    return RedisModule_GetCommand(ctx, name);
}

static int create(RedisModuleCtx *ctx, const struct cmd_definition *d) {
    char name[MAX_COMMAND_NAME];
    in_lower_case(d->name, name);
    if (!d->parent) return RedisModule_CreateCommand(ctx, name, d->run, d->flags, 0, 0, 0);
    RedisModuleCommand *parent = RedisModule_GetCommand(ctx, d->parent);
    if (!parent) return REDISMODULE_ERR;
    return RedisModule_CreateSubcommand(parent, name, d->run, d->flags, 0, 0, 0);
}

static int categorise(RedisModuleCommand *command, const struct cmd_definition *d, bool own) {
    char categories[64];
    if (!mod_redis.set_acl_categories || !d->run) return REDISMODULE_OK;
    snprintf(categories, sizeof categories, "%s%s%s", d->categories, own ? " " : "",
             own ? CATEGORY : "");
    return mod_redis.set_acl_categories(command, categories);
}

int cmd_register(RedisModuleCtx *ctx) {
    cmd_help_start(cmd_table, cmd_table_size);
    bool own =
        mod_redis.add_acl_category && mod_redis.add_acl_category(ctx, CATEGORY) == REDISMODULE_OK;
    for (size_t i = 0; i < cmd_table_size; i++) {
        const struct cmd_definition *d = &cmd_table[i];
        if (create(ctx, d) != REDISMODULE_OK) return REDISMODULE_ERR;
        RedisModuleCommand *command = find(ctx, d);
        if (!command || RedisModule_SetCommandInfo(command, &d->info) != REDISMODULE_OK ||
            categorise(command, d, own) != REDISMODULE_OK)
            return REDISMODULE_ERR;
    }
    return REDISMODULE_OK;
}
