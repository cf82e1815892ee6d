// SPDX-License-Identifier: Apache-2.0
// The arguments of every command, as COMMAND DOCS and redis-cli's hints want them.
#ifndef KVR_COMMAND_ARGS_H
#define KVR_COMMAND_ARGS_H

#include "redis.h"

// Each ends with an empty element. The server's header wants them without const.
extern RedisModuleCommandArg args_key[];    // key
extern RedisModuleCommandArg args_create[]; // key [option ...]
extern RedisModuleCommandArg args_alter[];  // key option ...
extern RedisModuleCommandArg args_worker[]; // key worker
extern RedisModuleCommandArg args_worker_set[];
extern RedisModuleCommandArg args_event[];
extern RedisModuleCommandArg args_select[];
extern RedisModuleCommandArg args_score[];
extern RedisModuleCommandArg args_update[];
extern RedisModuleCommandArg args_release[];
extern RedisModuleCommandArg args_claim[];
extern RedisModuleCommandArg args_request[]; // key request
extern RedisModuleCommandArg args_request_list[];
extern RedisModuleCommandArg args_tree[];
extern RedisModuleCommandArg args_hash[];
extern RedisModuleCommandArg args_forget[];
extern RedisModuleCommandArg args_load[];

#endif
