// SPDX-License-Identifier: Apache-2.0
// Commands as they go over the wire: RESP arrays of bulk strings, built argument by argument.
//
// Room for the array's header is kept in front, so a command is built in one pass and one buffer.
// Running out of memory is remembered and asked for once, at the end.
#ifndef KVR_LIB_WIRE_H
#define KVR_LIB_WIRE_H

#include <stdbool.h>

#include "client/common/alloc.h"

struct wire {
    const struct kvr_alloc *alloc;
    char *p;       // WIRE_HEAD bytes kept free, then the arguments
    size_t n, cap; // bytes, those in front included
    size_t argc;
    bool failed; // out of memory: what was built is not whole
};

enum { WIRE_HEAD = 24 }; // "*" and the longest size_t and "\r\n"

void wire_begin(struct wire *w, const struct kvr_alloc *a);
void wire_arg(struct wire *w, const void *bytes, size_t n);
void wire_bytes(struct wire *w, struct kvr_bytes b);
void wire_word(struct wire *w, const char *word);
void wire_words(struct wire *w, const char *words); // split at spaces
void wire_int(struct wire *w, int64_t i);
void wire_u64(struct wire *w, uint64_t u);
void wire_real(struct wire *w, double d);
void wire_paste(struct wire *w, const char *args, size_t n, size_t argc); // encoded before
void wire_drop(struct wire *w);                                           // gives everything back

// Reads the argument at *at (encoded) and moves *at behind it.
struct kvr_bytes wire_next(const char **at);

// A whole command. `base` is what was allocated, `at` and `n` what is to be sent.
struct command {
    char *base, *at;
    size_t n;
};

// Puts the header in front; the wire is empty afterwards. false: out of memory, all given back.
bool wire_end(struct wire *w, struct command *out);

#endif
