// SPDX-License-Identifier: Apache-2.0
// Every command as data: name, function, flags, and what COMMAND DOCS and HELP say of it.
#ifndef CMD_COMMAND_TABLE_H
#define CMD_COMMAND_TABLE_H

#include <stddef.h>

#include "module/keyspace/redis_api.h"

struct cmd_definition {
    const char *parent;     // of a subcommand, else NULL
    const char *name;       // in upper case
    RedisModuleCmdFunc run; // NULL: a parent
    const char *flags;      // as RedisModule_CreateCommand takes them
    const char *categories; // of ACL, where the server lets a module say
    const char *syntax;     // what stands behind the name, for HELP
    RedisModuleCommandInfo info;
};

extern const struct cmd_definition cmd_table[]; // parents before their subcommands
extern const size_t cmd_table_size;

#endif
