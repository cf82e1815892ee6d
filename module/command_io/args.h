// SPDX-License-Identifier: Apache-2.0
// A cursor over a command's arguments.
//
// Each function takes what comes next and says whether it was what it should be. The first that
// fails leaves a text in `error`, fit for the caller to see: it never holds bytes of the arguments.
// Where the fault is, `option` and `wrong` say.
// Numbers are digits only: no sign but for the minus of those that may be below 0, no space, no inf, nothing left
// over.
#ifndef MOD_ARGS_H
#define MOD_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command_arena.h"
#include "module/core/pool.h"
#include "module/keyspace/redis_api.h"

struct mod_args {
    RedisModuleString **argv;
    int argc, at;
    struct mod_arena *arena; // for what doesn't fit elsewhere; outlives the command's last use
    bool effect; // it is an effect that a primary or an AOF has told: it may say more than a client
    const char *error;
    const char *option; // whose value it is; NULL: no option's
    int wrong; // which argument is no word of the syntax, as an index of argv; 0: that isn't it
};

bool mod_args_fail(struct mod_args *a, const char *error); // false, always
bool mod_args_end(struct mod_args *a);                     // whether all is taken; an error if not
static inline size_t mod_args_left(const struct mod_args *a) {
    return (size_t)(a->argc - a->at);
}
bool mod_args_bytes(struct mod_args *a, struct kvr_bytes *out);
bool mod_args_name(struct mod_args *a, size_t max, struct kvr_bytes *out); // 1 to max bytes
bool mod_args_i64(struct mod_args *a, int64_t min, int64_t max, int64_t *out);
bool mod_args_u64(struct mod_args *a, uint64_t min, uint64_t max, uint64_t *out);
// A hash: 16 hex digits or 8 raw bytes, little-endian.
bool mod_args_hash(struct mod_args *a, uint64_t *out);

// Takes the next argument if it is `word`, in any case; otherwise takes nothing.
bool mod_args_is(struct mod_args *a, const char *word);
// The next argument as one of n words, in any case: its index, or -1 with an error.
int mod_args_word(struct mod_args *a, const char *const *words, size_t n);

// ---- Options -------------------------------------------------------------------------------------
// `WORD value` in any order, each once at most. A command has a table of them; each says which field of the
// command's struct its value goes to.

enum mod_option_kind {
    MOD_OPTION_FLAG,    // bool; no value
    MOD_OPTION_I64,     // int64_t
    MOD_OPTION_SIGNED,  // int64_t that may be below 0
    MOD_OPTION_U64,     // uint64_t
    MOD_OPTION_U32,     // uint32_t
    MOD_OPTION_DOUBLE,  // double
    MOD_OPTION_TIME,    // int64_t, ms since the epoch; only an effect may carry it
    MOD_OPTION_HASH,    // uint64_t
    MOD_OPTION_NAME,    // struct kvr_bytes, 1 to max bytes
    MOD_OPTION_ADDRESS, // struct kvr_bytes, 0 to max bytes
    MOD_OPTION_NAMES,   // `n name ...`: const struct kvr_bytes * in the arena, and n at `count_at`
    MOD_OPTION_LABELS,  // the same, up to KVR_MAX_LABELS of 1 to KVR_MAX_LABEL bytes
    MOD_OPTION_STATE,   // enum kvr_state
    MOD_OPTION_POLICY,  // int, index into kvr_policies
    MOD_OPTION_ROLE,    // enum kvr_role
    MOD_OPTION_RANK, // `name rank`: struct kvr_bytes, 1 to max bytes, and a uint32_t at `count_at`
};

struct mod_option {
    const char *word;
    enum mod_option_kind kind;
    size_t at;       // offset of the field
    double min, max; // of a number; both included
    size_t count_at; // offset of a size_t
    bool effect;     // for replication only
};

// Takes options to the end of the arguments; what isn't named stays as it is. *seen: a bit for each that was
// given, by its place in the table. false: an error.
bool mod_args_options(struct mod_args *a, const struct mod_option *options, size_t n, void *fields,
                      unsigned *seen);

bool mod_bytes_are(struct kvr_bytes b, const char *word); // in any case
bool mod_hex_read(const char *digits, uint64_t *out);     // 16 digits
void mod_hex_write(uint64_t hash, char digits[16]);

#endif
