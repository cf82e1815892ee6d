// SPDX-License-Identifier: Apache-2.0
// What a command replicates: its effect, with absolute times, so that whoever applies it needs no clock.
#ifndef MOD_REPLICATE_H
#define MOD_REPLICATE_H

#include "block_list.h"
#include "command_call.h"
#include "module/keyspace/effect.h"

// Replicates the command as it came.
void mod_replicate(struct mod_call *c, const char *command);
// The same with `word time` behind it. An effect has these already and goes on as it came.
void mod_replicate_with_time(struct mod_call *c, const char *command, enum mod_effect_word word,
                             int64_t time);
// Replicates that the owner of a booking out of the queue came for it.
void mod_replicate_coming(struct mod_call *c, RedisModuleString *id, int64_t at);
// Replicates `b`, booked for `id` on (worker, rank), as KVROUTE.CLAIM: the effect of SELECT and of CLAIM.
// list: as the blocks came. b->lease is not -1.
void mod_replicate_booking(struct mod_call *c, RedisModuleString *id, struct kvr_bytes worker,
                           uint32_t rank, const struct kvr_booking *b,
                           const struct mod_block_list *list);

#endif
