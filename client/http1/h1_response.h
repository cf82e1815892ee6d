// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 answer, read as it comes: a head, then a body by length, in chunks, or up to the end
// of the connection.
//
// libevent has a client of its own, but it reads on whether anybody takes what it has read or not, so a
// slow client would fill the memory. This one takes what is asked for out of an evbuffer and leaves
// the rest there. It believes no engine: what would let two readers of the same bytes see different
// answers (two lengths, a length and chunks, folded lines, bare CR or LF) is no answer.
#ifndef H1_RESPONSE_H
#define H1_RESPONSE_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "h1_parse.h"

enum { REPLY_MAX_HEAD = 32768, REPLY_MAX_LINE = 1024 }; // bytes of a head; of a chunk's first line

enum reply_step { REPLY_MORE, REPLY_DONE, REPLY_BAD };

struct reply {
    struct h1_head head; // its status 0: it isn't complete
    bool bodiless;       // the answer to HEAD
    int at;
    int64_t left; // of the body or of the chunk
    size_t trailer;
};

void reply_begin(struct reply *r, bool bodiless);
void reply_forget(struct reply *r); // the headers' memory

// DONE: status and headers are there. 1xx are passed over.
enum reply_step reply_head(struct reply *r, struct evbuffer *in);
// Moves what there is of the body to `out`. DONE: that was the end.
enum reply_step reply_body(struct reply *r, struct evbuffer *in, struct evbuffer *out);
// The connection has ended. DONE: which ends the body; BAD: it was cut.
enum reply_step reply_closed(const struct reply *r);

#endif
