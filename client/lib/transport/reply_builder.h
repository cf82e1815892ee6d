// SPDX-License-Identifier: Apache-2.0
// How hiredis builds replies for us.
//
// hiredis lets a reader have object functions of one's own. Ours build ordinary redisReply structs in
// an arena that is emptied when the reply has been used: one allocation for a reply of twenty
// elements instead of twenty. And they are where a server that says too much is stopped: a reply
// that nobody asked for (hiredis would end the process by an assertion), an array larger than any
// command answers, more bytes than a reply may have. Then they return NULL, hiredis takes that for
// lack of memory, and the connection ends.
//
// On a connection that subscribes, replies come unasked. There, hiredis asserts that each array is what the
// subscription may say, of a channel that it knows; so nothing else is built there.
#ifndef KVR_TRANSPORT_REPLY_BUILDER_H
#define KVR_TRANSPORT_REPLY_BUILDER_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "client/common/arena.h"

enum { KVR_MAX_REPLY_ELEMENTS = 1 << 22 };      // in one reply, all arrays together
#define KVR_MAX_REPLY_BYTES ((size_t)256 << 20) // of one reply as built

struct kvr_reply_builder {
    struct kvr_arena arena; // of the reply being built
    size_t elements;        // of it
    size_t expected;        // replies that are still owed to us
    const char *channel;    // subscribed to: messages come unasked. NULL: none
    bool is_message;        // so does the one being built; else it says that we are subscribed
    const char *refused;    // why a reply was not built, or NULL
};

void kvr_reply_builder_init(struct kvr_reply_builder *p, const struct kvr_alloc *a);
void kvr_reply_builder_free(struct kvr_reply_builder *p); // after the reader
// Makes a reader build its replies here. It must not have read anything yet.
void kvr_reply_builder_attach(struct kvr_reply_builder *p, redisReader *reader);

#endif
