// SPDX-License-Identifier: Apache-2.0
// The section `kvroute` of the server's INFO.
#ifndef MOD_INFO_SECTION_H
#define MOD_INFO_SECTION_H

#include "redis_api.h"

int mod_info_register(RedisModuleCtx *ctx);

#endif
