// SPDX-License-Identifier: Apache-2.0
// The commands: their functions, and what the server is told about them.
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

#include <stddef.h>

#include "module/keyspace/redis_api.h"

// One command of the table.
struct cmd_definition {
    const char *parent;     // of a subcommand, else NULL
    const char *name;       // in upper case, as HELP shows it
    RedisModuleCmdFunc run; // NULL: a parent
    const char *flags;      // as RedisModule_CreateCommand takes them
    const char *categories; // of ACL, where the server lets a module say
    const char *syntax;     // what stands behind the name, for HELP
    RedisModuleCommandInfo info;
};

// command_register.c: registers every command. REDISMODULE_OK or REDISMODULE_ERR.
int cmd_register(RedisModuleCtx *ctx);

// cmd_pool.c
int cmd_create(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_alter(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_info(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_digest(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_worker.c
int cmd_worker_set(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_worker_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_worker_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_worker_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_report(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_event.c
int cmd_event(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_select.c
void cmd_select_start(RedisModuleCtx *ctx); // as the module is loaded
int cmd_select(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_score(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_explain.c
int cmd_explain(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_decisions.c
int cmd_decisions_on(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_decisions_off(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_decisions_clear(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_decisions_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_decisions_info(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_request.c
int cmd_claim(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_update(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_release(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_request_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_request_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_session.c
int cmd_session_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_session_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_session_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_class.c, cmd_flow.c
int cmd_class_set(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_class_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_class_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_flow_set(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_flow_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_flow_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_queue.c
int cmd_queue(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_enqueue(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_admit(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_inspect.c
int cmd_tree(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_hash(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_effect.c
int cmd_forget(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int cmd_load(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
// cmd_help.c
void cmd_help_start(const struct cmd_definition *commands, size_t n); // what HELP lists
int cmd_help(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
