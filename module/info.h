// SPDX-License-Identifier: Apache-2.0
// The section `kvroute` of the server's INFO.
#ifndef KVR_INFO_H
#define KVR_INFO_H

#include "redis.h"

int info_register(RedisModuleCtx *ctx);

#endif
