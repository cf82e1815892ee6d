// SPDX-License-Identifier: Apache-2.0
// What a new pool has where CREATE says nothing: settings of the server, kvroute.OPTION in lower case.
//
// They are a primary's alone. CREATE's effect says every option, so replicas and files agree whatever their own
// settings are; an effect of an earlier version means what that version had.
#ifndef MOD_POOL_DEFAULTS_H
#define MOD_POOL_DEFAULTS_H

#include "pool_config.h"

int mod_defaults_register(RedisModuleCtx *ctx); // REDISMODULE_OK or REDISMODULE_ERR
const struct kvr_options *mod_defaults(void);

#endif
