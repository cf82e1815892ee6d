// SPDX-License-Identifier: Apache-2.0
// What a server's reply means: the code of an error and what to do about it, and fields of a map.
#ifndef KVR_TRANSPORT_SERVER_REPLY_H
#define KVR_TRANSPORT_SERVER_REPLY_H

#include <hiredis/hiredis.h>
#include <kvroute/client.h>

#include "client/common/arena.h"

enum kvr_reply_action {
    KVR_REPLY_FINAL,     // it is the caller's
    KVR_REPLY_LATER,     // the same server will do it, soon
    KVR_REPLY_ELSEWHERE, // this server can't, now: look for the primary anew
    KVR_REPLY_MOVED,     // another node of the cluster has the slot
    KVR_REPLY_ASK,       // another node of the cluster has this key
};

struct kvr_reply_error {
    enum kvr_code code; // when it comes to telling
    enum kvr_reply_action action;
    const char *message; // a static text for people
};

// What an error reply means.
const struct kvr_reply_error *kvr_reply_error_of(const char *text, size_t n);
// The module's own words for what is wrong with a call, taken from the arena; NULL: there are none, or no memory. What
// is longer, has quotes or isn't plain may have the caller's bytes in it, and isn't given.
const char *kvr_reply_words(const char *text, size_t n, struct kvr_arena *a);
// The number behind a code, as in "GAP expected 17"; -1: none.
int64_t kvr_reply_number(const char *text, size_t n);
// The number directly behind a code, as in "NOROOM 250 no instance has room"; -1: none.
int64_t kvr_reply_first_number(const char *text, size_t n);

// Reads all of a text as a decimal integer. false: it is none.
bool kvr_parse_int64(const char *text, size_t n, int64_t *out);

// The value of a field in a flat array of pairs; NULL: not there.
const redisReply *kvr_reply_field(const redisReply *map, const char *name);

#endif
