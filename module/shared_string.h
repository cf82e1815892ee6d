// SPDX-License-Identifier: Apache-2.0
// Strings that effects have in common, made once. An effect is made for each choice and each release, and
// making a string costs more than putting one into an effect; the server holds what it still needs.
#ifndef KVR_SHARED_STRING_H
#define KVR_SHARED_STRING_H

#include <stdint.h>

#include "redis.h"

// All belong to this file and are good until the next call for a time; none is to be freed.
RedisModuleString *shared_word(const char *word); // a literal, one of few
RedisModuleString *shared_rank(uint32_t rank);    // NULL: too high to be shared
RedisModuleString *shared_time(int64_t ms);       // at high rates many in a row are the same

#endif
