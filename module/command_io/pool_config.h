// SPDX-License-Identifier: Apache-2.0
// A pool's options as words: parsed by CREATE and ALTER, shown by INFO.
#ifndef MOD_POOL_CONFIG_H
#define MOD_POOL_CONFIG_H

#include "args.h"

enum { MOD_CONFIG_FIELDS = 18 };

// Takes `option value ...` to the end of the arguments; what isn't named stays.
bool mod_config_parse(struct mod_args *a, struct kvr_options *o);
// MOD_CONFIG_FIELDS fields of a map.
void mod_config_reply(RedisModuleCtx *ctx, const struct kvr_options *o);

#endif
