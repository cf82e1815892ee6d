// SPDX-License-Identifier: Apache-2.0
// A pool's options as words: parsed by CREATE and ALTER, shown by INFO.
#ifndef KVR_OPTIONS_H
#define KVR_OPTIONS_H

#include "args.h"

enum { OPTIONS = 18 };

// Takes `option value ...` to the end of the arguments; what isn't named stays.
bool options_parse(struct args *a, struct kvr_options *o);
// POLICY's value.
bool options_policy(struct args *a, int *out);
// OPTIONS fields of a map.
void options_reply(RedisModuleCtx *ctx, const struct kvr_options *o);

#endif
