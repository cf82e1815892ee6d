// SPDX-License-Identifier: Apache-2.0
// A pool's options as words: parsed by CREATE and ALTER, shown by INFO, replicated by CREATE.
#ifndef MOD_POOL_CONFIG_H
#define MOD_POOL_CONFIG_H

#include "args.h"
#include "command_reply.h"

enum { MOD_CONFIG_FIELDS = 25 };

// Takes `option value ...` to the end of the arguments; what isn't named stays.
bool mod_config_parse(struct mod_args *a, struct kvr_options *o);
// MOD_CONFIG_FIELDS fields of a map.
void mod_config_reply(RedisModuleCtx *ctx, const struct kvr_options *o);
// The i-th option: its word, and its value in `o` as text, fit to be parsed again. Less than MOD_MAX_DOUBLE
// bytes, no NUL: the length.
const char *mod_config_word(size_t i);
size_t mod_config_text(size_t i, const struct kvr_options *o, char out[MOD_MAX_DOUBLE]);

#endif
