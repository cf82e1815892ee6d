// SPDX-License-Identifier: Apache-2.0
// The result of a call, out of the reply to it.
#ifndef KVR_CALLS_RESULT_H
#define KVR_CALLS_RESULT_H

#include <hiredis/hiredis.h>
#include <kvroute/client.h>

#include "client/common/arena.h"

// A result without anything but this.
static inline struct kvr_result kvr_result_of(enum kvr_code code, const char *message) {
    return (struct kvr_result){.code = code, .message = message, .number = -1};
}

// The shapes of good replies.
enum kvr_result_form {
    KVR_REPLY_IS_INTEGER,
    KVR_REPLY_IS_CIRCUIT,     // REPORT
    KVR_REPLY_IS_CHOICE,      // SELECT; those up to here are of writes
    KVR_REPLY_IS_SCORES,      // SCORE
    KVR_REPLY_IS_WORKERS,     // WORKER LIST
    KVR_REPLY_IS_FIELDS,      // INFO
    KVR_REPLY_IS_LINES,       // Redis's own INFO: lines of name:value
    KVR_REPLY_IS_QUEUE,       // QUEUE
    KVR_REPLY_IS_CLASSES,     // CLASS LIST
    KVR_REPLY_IS_FLOWS,       // FLOW LIST
    KVR_REPLY_IS_EXPLANATION, // EXPLAIN
    KVR_REPLY_IS_CLIENTS,     // CLIENT LIST: lines of name=value pairs, one line a connection
    KVR_REPLY_IS_NAMES,       // SCAN: a cursor and keys
};

// Fills in what the form holds; strings and arrays come out of the arena. KVR_CODE_OK, NOMEM, or
// PROTOCOL: the reply isn't of that form.
enum kvr_code kvr_result_read(enum kvr_result_form form, const redisReply *r, struct kvr_arena *a,
                              struct kvr_result *out);

// What SELECT says of a request that isn't booked but waits.
struct kvr_waiting_reply {
    int64_t position, estimate, version; // -1: not said; estimate: ms
};
bool kvr_result_waits(const redisReply *r,
                      struct kvr_waiting_reply *out); // false: it says something else

#endif
