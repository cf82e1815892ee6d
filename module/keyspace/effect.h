// SPDX-License-Identifier: Apache-2.0
// Effects word by word: what a change replicates, where it isn't the command as it came.
//
// An effect is made for each choice and each admission, so it is cheap: making a string costs more than putting
// one into an effect. Words, low ranks, the present time and what short strings were said last are strings that
// effects share (the server holds what it still needs).
#ifndef MOD_EFFECT_H
#define MOD_EFFECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "module/core/pool.h"
#include "redis_api.h"

enum mod_effect_word {
    MOD_EFFECT_AT,
    MOD_EFFECT_SEEN,
    MOD_EFFECT_HASHES,
    MOD_EFFECT_ISL,
    MOD_EFFECT_CACHED,
    MOD_EFFECT_OUTPUT,
    MOD_EFFECT_PREFILLED,
    MOD_EFFECT_LEASE,
    MOD_EFFECT_OSL,
    MOD_EFFECT_CREATED,
    MOD_EFFECT_RENEWED,
    MOD_EFFECT_PREDICTED,
    MOD_EFFECT_OVERLAP,
    MOD_EFFECT_COST,
    MOD_EFFECT_SESSION,
    MOD_EFFECT_EXPECTED,
    MOD_EFFECT_CLASS,
    MOD_EFFECT_FLOW,
    MOD_EFFECT_LEFT,
    MOD_EFFECT_UNCALLED,
    MOD_EFFECT_PREFILLER,
    MOD_EFFECT_PREFILLCACHED,
    MOD_EFFECT_PREFILLOVERLAP,
    MOD_EFFECT_WORDS
};

// Makes the words; call once at load.
void mod_effect_start(void);
// These belong to the effects, and the time is good until the next call.
RedisModuleString *mod_effect_word(enum mod_effect_word word);
RedisModuleString *mod_effect_time(int64_t ms);

enum { MOD_EFFECT_MAX = 8 + 2 * MOD_EFFECT_WORDS };
struct mod_effect {
    RedisModuleString *argv[MOD_EFFECT_MAX];
    bool own[MOD_EFFECT_MAX]; // to be freed with it
    size_t n;
};

void mod_effect_put(struct mod_effect *e, RedisModuleString *s); // the caller's
void mod_effect_put_word(struct mod_effect *e, enum mod_effect_word word);
void mod_effect_put_bytes(struct mod_effect *e, const char *bytes, size_t n);
void mod_effect_put_number(struct mod_effect *e, int64_t v);
void mod_effect_put_rank(struct mod_effect *e, uint32_t rank);
void mod_effect_put_time(struct mod_effect *e, enum mod_effect_word word, int64_t ms);
void mod_effect_put_option(struct mod_effect *e, enum mod_effect_word word, int64_t v);
// The bytes of b behind the word, if there are any.
void mod_effect_put_name(struct mod_effect *e, enum mod_effect_word word, struct kvr_bytes b);
// What a booking's effect tells of the answer, for a repeat, and of what else was decided: CACHED, PREDICTED,
// OVERLAP, EXPECTED, COST, LEFT, and of a pair PREFILLER, PREFILLCACHED, PREFILLOVERLAP; without what has its default.
void mod_effect_put_answer(struct mod_effect *e, const struct kvr_booking *b, uint32_t block_size);
// Replicates it as this command, and frees what is its own.
void mod_effect_send(struct mod_effect *e, RedisModuleCtx *ctx, const char *command);

#endif
