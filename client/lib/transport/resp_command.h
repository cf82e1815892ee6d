// SPDX-License-Identifier: Apache-2.0
// Commands as they go over the wire: RESP arrays of bulk strings, built argument by argument.
//
// Room for the array's header is kept in front, so a command is built in one pass and one buffer.
// Running out of memory is remembered and asked for once, at the end.
#ifndef KVR_TRANSPORT_RESP_COMMAND_H
#define KVR_TRANSPORT_RESP_COMMAND_H

#include <stdbool.h>

#include "client/common/alloc.h"

struct kvr_wire {
    const struct kvr_alloc *alloc;
    char *p;       // KVR_WIRE_HEAD bytes kept free, then the arguments
    size_t n, cap; // bytes, those in front included
    size_t argc;
    size_t expected; // bytes to come, as far as is known; see kvr_wire_expect
    bool failed;     // out of memory: what was built is not whole
};

enum { KVR_WIRE_HEAD = 32 }; // the count of holders, then "*", the longest size_t and "\r\n"

void kvr_wire_begin(struct kvr_wire *w, const struct kvr_alloc *a);
// So many bytes will come, and a few more: room is taken for them at once. For what is large; on an empty wire.
void kvr_wire_expect(struct kvr_wire *w, size_t n);
void kvr_wire_arg(struct kvr_wire *w, const void *bytes, size_t n);
void kvr_wire_bytes(struct kvr_wire *w, struct kvr_bytes b);
void kvr_wire_word(struct kvr_wire *w, const char *word);
void kvr_wire_words(struct kvr_wire *w, const char *words); // split at spaces
void kvr_wire_int(struct kvr_wire *w, int64_t i);
void kvr_wire_u64(struct kvr_wire *w, uint64_t u);
void kvr_wire_real(struct kvr_wire *w, double d);
void kvr_wire_paste(struct kvr_wire *w, const char *args, size_t n, size_t argc); // encoded before

// Reads the argument at *at (encoded) and moves *at behind it.
struct kvr_bytes kvr_wire_next(const char **at);

// A whole command. `base` is what was allocated, `at` and `n` what is to be sent. Arguments may be used in
// place by several, each of whom holds the command as long as it does so.
struct kvr_command {
    char *base, *at;
    size_t n;
};
void kvr_command_hold(const struct kvr_command *c);
// c->base may be NULL.
void kvr_command_release(const struct kvr_alloc *a, const struct kvr_command *c);

// Puts the header in front; the wire is empty afterwards, and the command held once. false: out of memory,
// all given back.
bool kvr_wire_end(struct kvr_wire *w, struct kvr_command *out);

// Gives a command other last arguments, in place: `w` begins where they do (`at` in c->base, behind the first
// argc arguments), and they may take no more room than those that were there first, up to `most` in c->base.
// Whoever holds the command must use only what stands before.
void kvr_wire_reopen(struct kvr_wire *w, const struct kvr_alloc *a, const struct kvr_command *c,
                     size_t at, size_t argc, size_t most);
void kvr_wire_reclose(struct kvr_wire *w, struct kvr_command *c);

#endif
