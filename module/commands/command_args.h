// SPDX-License-Identifier: Apache-2.0
// The arguments of every command, as COMMAND DOCS and redis-cli's hints want them.
#ifndef CMD_COMMAND_ARGS_H
#define CMD_COMMAND_ARGS_H

#include "module/keyspace/redis_api.h"

// Each ends with an empty element. The server's header wants them without const.
extern RedisModuleCommandArg cmd_doc_key[];    // key
extern RedisModuleCommandArg cmd_doc_create[]; // key [option ...]
extern RedisModuleCommandArg cmd_doc_alter[];  // key option ...
extern RedisModuleCommandArg cmd_doc_worker[]; // key worker
extern RedisModuleCommandArg cmd_doc_worker_set[];
extern RedisModuleCommandArg cmd_doc_report[];
extern RedisModuleCommandArg cmd_doc_event[];
extern RedisModuleCommandArg cmd_doc_select[];
extern RedisModuleCommandArg cmd_doc_score[];
extern RedisModuleCommandArg cmd_doc_explain[];
extern RedisModuleCommandArg cmd_doc_decisions_on[];
extern RedisModuleCommandArg cmd_doc_update[];
extern RedisModuleCommandArg cmd_doc_release[];
extern RedisModuleCommandArg cmd_doc_claim[];
extern RedisModuleCommandArg cmd_doc_request[]; // key request
extern RedisModuleCommandArg cmd_doc_scan[];    // key [cursor] [COUNT n]
extern RedisModuleCommandArg cmd_doc_session[]; // key session
extern RedisModuleCommandArg cmd_doc_session_del[];
extern RedisModuleCommandArg cmd_doc_digest[];
extern RedisModuleCommandArg cmd_doc_tree[];
extern RedisModuleCommandArg cmd_doc_hash[];
extern RedisModuleCommandArg cmd_doc_forget[];
extern RedisModuleCommandArg cmd_doc_load[];
extern RedisModuleCommandArg cmd_doc_class[]; // key class
extern RedisModuleCommandArg cmd_doc_class_set[];
extern RedisModuleCommandArg cmd_doc_flow[]; // key flow
extern RedisModuleCommandArg cmd_doc_flow_set[];
extern RedisModuleCommandArg cmd_doc_queue[];
extern RedisModuleCommandArg cmd_doc_enqueue[];
extern RedisModuleCommandArg cmd_doc_admit[];

#endif
