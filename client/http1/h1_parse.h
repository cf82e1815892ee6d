// SPDX-License-Identifier: Apache-2.0
// Reading HTTP/1.1 requests: the head, and a body in chunks. Pure functions over bytes.
//
// Stricter than RFC 9112 asks for, since the router stands between others' parsers, and what two of
// them read differently is how requests are smuggled. Refused are: lines that don't end with CR LF,
// NUL and other control characters, folded lines, space before a colon, more than one Content-Length
// or Host, Content-Length beside Transfer-Encoding, codings other than one `chunked`, chunk sizes that
// aren't 1 to 8 hex digits, chunk extensions, trailers. No client of an inference server needs these.
#ifndef H1_PARSE_H
#define H1_PARSE_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { H1_MAX_HEADERS = 200 }; // how long they may be together is for the caller to say
enum h1_method { H1_GET = 1, H1_HEAD = 2, H1_POST = 4, H1_OTHER = 8 };

struct h1_header {
    const char *name, *value; // ended by NUL
};

struct h1_head {
    // Of a request
    enum h1_method method;
    const char *verb;         // the method's name
    const char *path, *query; // as they came, not decoded; query NULL: no ? in the target
    bool expects;             // 100-continue is awaited
    // Of a response
    int status;
    // Of both
    bool old;       // HTTP/1.0
    bool keep;      // another message may follow on the connection
    bool chunked;   // the body's form, or
    int64_t length; // its length. Of a request 0: it has none; of a response −1: that isn't said
    size_t n_headers;
    struct h1_header *headers;
};

// How far a head goes: its length with the empty line at its end, 0 if that isn't there yet, −1 if it
// can't become a head. `seen`: bytes looked at before, kept by the caller, 0 at first.
int64_t h1_head_end(const char *bytes, size_t n, size_t *seen);

// Takes a head apart, in place: `text` is changed and pointed into. Returns 0, or the status that
// says what is wrong with it and a reason. h1_head_free is due in either case.
int h1_head_read(struct h1_head *h, char *text, size_t n, const char **reason);

void h1_head_free(struct h1_head *h); // the headers; may be called twice

// The value of a header, NULL if it isn't there. The first, of several.
const char *h1_find_header(const struct h1_head *h, const char *name);

enum http_chunk_state {
    CHUNK_SIZE,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_LAST_CR,
    CHUNK_LAST_LF,
    CHUNK_DONE,
};

struct h1_chunks { // all 0 at first
    enum http_chunk_state state;
    unsigned digits;
    uint64_t left; // of the chunk
};

// Moves what `in` has of the body to `out`. 1: the body is complete, 0: more is to come, −1: malformed.
// `in` may then have bytes of the next request.
int h1_chunks_read(struct h1_chunks *c, struct evbuffer *in, struct evbuffer *out);

const char *h1_reason(int status);

#endif
