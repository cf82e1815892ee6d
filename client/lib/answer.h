// SPDX-License-Identifier: Apache-2.0
// What a server's reply means: the code of an error and what to do about it, and the values of a
// good answer.
#ifndef KVR_LIB_ANSWER_H
#define KVR_LIB_ANSWER_H

#include <hiredis/hiredis.h>
#include <kvroute/client.h>

#include "client/common/arena.h"

enum answer_action {
    ANSWER_TELL,      // it is the caller's
    ANSWER_LATER,     // the same server will do it, soon
    ANSWER_ELSEWHERE, // this server can't, now: look for the primary anew
    ANSWER_MOVED,     // another node of the cluster has the slot
    ANSWER_ASK,       // another node of the cluster has this key
};

struct answer_error {
    enum kvr_code code; // when it comes to telling
    enum answer_action action;
    const char *message; // a static text for people
};

// What an error reply means.
const struct answer_error *answer_error(const char *text, size_t n);
// The number behind a code, as in "GAP expected 17"; -1: none.
int64_t answer_number(const char *text, size_t n);

// Reads all of a text as a decimal integer. false: it is none.
bool answer_integer(const char *text, size_t n, int64_t *out);

// The shapes of good answers.
enum answer_form {
    ANSWER_INTEGER,
    ANSWER_STATUS,
    ANSWER_CIRCUIT, // REPORT
    ANSWER_CHOICE,  // SELECT; those up to here are of writes
    ANSWER_SCORES,  // SCORE
    ANSWER_WORKERS, // WORKER LIST
    ANSWER_FIELDS,  // INFO
};

// Fills in what the form holds; strings and arrays come out of the arena. KVR_CODE_OK, NOMEM, or
// PROTOCOL: the reply isn't of that form.
enum kvr_code answer_read(enum answer_form form, const redisReply *r, struct kvr_arena *a,
                          struct kvr_result *out);

// The value of a field in a flat array of pairs; NULL: not there.
const redisReply *answer_field(const redisReply *map, const char *name);

#endif
