// SPDX-License-Identifier: Apache-2.0
// The commands in a server's append-only file: the effects of all that it has done, in that order.
#ifndef HA_AOF_H
#define HA_AOF_H

#include <kvroute/types.h>

#include "ha_server.h"

enum { HA_AOF_MAX_WORDS = 256 };

struct ha_aof_words {
    size_t n; // at most HA_AOF_MAX_WORDS: the first ones
    struct kvr_bytes at[HA_AOF_MAX_WORDS];
};
bool ha_aof_is_word(struct kvr_bytes b, const char *word);
bool ha_aof_has_word(const struct ha_aof_words *w, size_t from, const char *word);

// Takes one command after the other, as far as the file is whole; what was saved before it (in a rewrite, or a
// replica's first copy) isn't told.
typedef void ha_aof_take(void *ctx, const struct ha_aof_words *w);
void ha_aof_read(struct ha_server *s, ha_aof_take *take, void *ctx);

#endif
