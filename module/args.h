// SPDX-License-Identifier: Apache-2.0
// A cursor over a command's arguments.
//
// Each function takes what comes next and says whether it was what it should be. The first that
// fails leaves a text in `error`, fit for the caller to see: it never holds bytes of the arguments.
// Numbers are digits only: no sign, no space, no inf, nothing left over.
#ifndef KVR_ARGS_H
#define KVR_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "module/core/pool.h"
#include "redis.h"

struct args {
    RedisModuleString **argv;
    int argc, at;
    struct arena *arena; // for what doesn't fit elsewhere; outlives the command's last use
    const char *error;
};

bool args_fail(struct args *a, const char *error); // false, always
bool args_end(struct args *a);                     // whether all is taken; an error if not
static inline size_t args_left(const struct args *a) {
    return (size_t)(a->argc - a->at);
}
// What comes next, not taken; n is 0 at the end.
struct kvr_bytes args_peek(const struct args *a);

bool args_bytes(struct args *a, struct kvr_bytes *out);
bool args_name(struct args *a, size_t longest, struct kvr_bytes *out); // 1 to `longest` bytes
bool args_i64(struct args *a, int64_t least, int64_t most, int64_t *out);
bool args_u64(struct args *a, uint64_t least, uint64_t most, uint64_t *out);
bool args_double(struct args *a, double least, double most, double *out);
// A hash: 16 hex digits or 8 raw bytes, little-endian.
bool args_hash(struct args *a, uint64_t *out);
// `n name ...` into the arena.
bool args_names(struct args *a, const struct kvr_bytes **out, size_t *n);

// The same for at most KVR_MAX_LABELS labels of 1 to KVR_MAX_LABEL bytes.
bool args_labels(struct args *a, const struct kvr_bytes **out, size_t *n);

// Takes the next argument if it is `word`, in any case; otherwise takes nothing.
bool args_is(struct args *a, const char *word);
// The next argument as one of n words, in any case: its index, or -1 with an error.
int args_word(struct args *a, const char *const *words, size_t n);
// The next option: its index in words, -1 at the end or with an error. Giving one twice is an error;
// *seen keeps a bit for each.
int args_option(struct args *a, const char *const *words, size_t n, unsigned *seen);

bool bytes_are(struct kvr_bytes b, const char *word); // in any case
struct kvr_bytes bytes_of(const RedisModuleString *s);
bool hex_read(const char *digits, uint64_t *out); // 16 digits
void hex_write(uint64_t hash, char digits[16]);

#endif
