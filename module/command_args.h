// SPDX-License-Identifier: Apache-2.0
// The arguments of every command, as COMMAND DOCS and redis-cli's hints want them.
#ifndef KVR_COMMAND_ARGS_H
#define KVR_COMMAND_ARGS_H

#include "redis.h"

// Each ends with an empty element. The server's header wants them without const.
extern RedisModuleCommandArg doc_key[];    // key
extern RedisModuleCommandArg doc_create[]; // key [option ...]
extern RedisModuleCommandArg doc_alter[];  // key option ...
extern RedisModuleCommandArg doc_worker[]; // key worker
extern RedisModuleCommandArg doc_worker_set[];
extern RedisModuleCommandArg doc_report[];
extern RedisModuleCommandArg doc_event[];
extern RedisModuleCommandArg doc_select[];
extern RedisModuleCommandArg doc_score[];
extern RedisModuleCommandArg doc_update[];
extern RedisModuleCommandArg doc_release[];
extern RedisModuleCommandArg doc_claim[];
extern RedisModuleCommandArg doc_request[]; // key request
extern RedisModuleCommandArg doc_scan[];    // key [cursor] [COUNT n]
extern RedisModuleCommandArg doc_session[]; // key session
extern RedisModuleCommandArg doc_session_del[];
extern RedisModuleCommandArg doc_digest[];
extern RedisModuleCommandArg doc_tree[];
extern RedisModuleCommandArg doc_hash[];
extern RedisModuleCommandArg doc_forget[];
extern RedisModuleCommandArg doc_load[];

#endif
