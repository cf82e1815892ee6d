// SPDX-License-Identifier: Apache-2.0
// Reading HTTP/1.1 requests: the head, and a body in chunks. Pure functions over bytes.
//
// Stricter than RFC 9112 asks for, since the router stands between others' parsers, and what two of
// them read differently is how requests are smuggled. Refused are: lines that don't end with CR LF,
// NUL and other control characters, folded lines, space before a colon, more than one Content-Length
// or Host, Content-Length beside Transfer-Encoding, codings other than one `chunked`, chunk sizes that
// aren't 1 to 8 hex digits, chunk extensions, trailers. No client of an inference server needs these.
#ifndef ROUTER_HTTP_H
#define ROUTER_HTTP_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_MOST_HEADERS = 200 }; // how long they may be together is for the caller to say
enum http_method { HTTP_GET = 1, HTTP_HEAD = 2, HTTP_POST = 4, HTTP_OTHER = 8 };

struct http_header {
    const char *name, *value; // ended by NUL
};

struct http_head {
    enum http_method method;
    const char *verb;         // the method's name
    const char *path, *query; // as they came, not decoded; query NULL: no ? in the target
    bool old;                 // HTTP/1.0: no chunks in the answer
    bool keep;                // the connection stays
    bool expects;             // 100-continue is awaited
    bool chunked;             // the body's form, or
    int64_t length;           // its length; 0: there is none
    unsigned n_headers;
    struct http_header headers[HTTP_MOST_HEADERS];
};

// How far a head goes: its length with the empty line at its end, 0 if that isn't there yet, −1 if it
// can't become a head. `seen`: bytes looked at before, kept by the caller, 0 at first.
int64_t http_head_end(const char *bytes, size_t n, size_t *seen);

// Takes a head apart, in place: `text` is changed and pointed into. Returns 0, or the status that
// says what is wrong with it and a reason.
int http_head_read(struct http_head *h, char *text, size_t n, const char **reason);

// The value of a header (in lower case), NULL if it isn't there. The first, of several.
const char *http_header(const struct http_head *h, const char *name);

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

struct http_chunks { // all 0 at first
    enum http_chunk_state state;
    unsigned digits;
    uint64_t left; // of the chunk
};

// Moves what `in` has of the body to `out`. 1: the body is complete, 0: more is to come, −1: malformed.
// `in` may then have bytes of the next request.
int http_chunks_read(struct http_chunks *c, struct evbuffer *in, struct evbuffer *out);

const char *http_reason(int status);

#endif
