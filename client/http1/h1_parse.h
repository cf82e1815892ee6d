// SPDX-License-Identifier: Apache-2.0
// Reading HTTP/1.1, requests and responses: heads, and bodies by length, in chunks, or up to the end of the
// connection. Functions of bytes: no sockets, no clock.
//
//     int status = h1_head_take(&head, H1_REQUEST, in, 16384, &seen, &reason);  // again while H1_INCOMPLETE
//     h1_body_begin(&body, &head, false);
//     enum h1_step step = h1_body_read(&body, in, out);                         // again while H1_MORE
//     h1_head_free(&head);
//
// Stricter than RFC 9112 asks for, since routers stand between others' parsers, and what two of them read
// differently is how requests are smuggled and responses split. Refused are, in both directions: lines
// that don't end with CR LF, CR within a line, NUL and other control characters, folded lines, space before
// a colon, more than one Content-Length, Content-Length beside Transfer-Encoding, codings other than one
// `chunked`, chunks with HTTP/1.0, lengths of more than 15 digits, chunk sizes that aren't 1 to 8 hex
// digits, more than H1_MAX_HEADERS headers. In requests besides: more than one Host or none, chunk
// extensions, trailers; no client of an inference server needs these, but servers may send the latter
// two, and they are passed over.
#ifndef H1_PARSE_H
#define H1_PARSE_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    H1_MAX_HEADERS = 200,
    H1_MAX_EXTENSION = 1024, // bytes of a chunk's extensions
    H1_MAX_TRAILERS = 32768, // bytes of all trailers
    H1_INCOMPLETE = -1,
};
enum h1_kind { H1_REQUEST, H1_RESPONSE };
enum h1_method { H1_GET = 1, H1_HEAD = 2, H1_POST = 4, H1_OTHER = 8, H1_DELETE = 16 };

struct h1_header {
    const char *name, *value; // ended by NUL
};

struct h1_head {
    enum h1_kind kind;
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
    struct h1_header *headers; // and all texts, in one piece of memory
};

// Takes a head of at most `max` bytes from the front of `in`. *seen: bytes looked at before, kept by the
// caller, 0 at first. 0: it is there and good; responses with 1xx are passed over. H1_INCOMPLETE: nothing
// was taken but these. Else the status that says what is wrong, with a reason; what was read up to there is
// in *h. h1_head_free is due unless it was incomplete.
int h1_head_take(struct h1_head *h, enum h1_kind kind, struct evbuffer *in, size_t max,
                 size_t *seen, const char **reason);
void h1_head_free(struct h1_head *h); // also of one that is all 0, or again

// The value of a header, NULL if it isn't there. The first, of several.
const char *h1_find_header(const struct h1_head *h, const char *name);

// Whether the sender wants the connection to speak another protocol from here on, and this is among those named.
// He may be answered as if he didn't (RFC 9110, 7.8).
bool h1_wants_upgrade(const struct h1_head *h, const char *protocol);

// Where the reading of a body is.
enum h1_body_state {
    H1_END,           // nothing is missing
    H1_LENGTH,        // bytes whose number is known
    H1_TO_CLOSE,      // all that comes on the connection
    H1_CHUNK_SIZE,    // in the hex digits of a chunk's size
    H1_CHUNK_EXT,     // behind these
    H1_CHUNK_LF,      // after the CR of that line
    H1_CHUNK_DATA,    // in a chunk
    H1_CHUNK_CRLF,    // after it, before the CR
    H1_CHUNK_DATA_LF, // and before the LF
    H1_TRAILER_START, // at the beginning of a line after the last chunk
    H1_TRAILER,       // within such a line
    H1_TRAILER_LF,    // after its CR
    H1_LAST_LF,       // after the CR of the empty line
};

struct h1_body {
    enum h1_body_state state;
    enum h1_kind kind;
    int64_t left;    // of the body or of the chunk
    unsigned digits; // of its size
    size_t extras;   // bytes of its extensions; of the trailers
};

enum h1_step { H1_MORE, H1_DONE, H1_BAD, H1_NO_MEMORY };

// headless: it answers HEAD, and has no body whatever it says. A body that only the end of the connection
// ends makes h->keep false.
void h1_body_begin(struct h1_body *b, struct h1_head *h, bool headless);
// Moves what `in` has of the body to `out`. DONE: that is all; `in` may have bytes of the next message.
enum h1_step h1_body_read(struct h1_body *b, struct evbuffer *in, struct evbuffer *out);
// The connection has ended. DONE: so has the body; BAD: it was cut.
enum h1_step h1_body_closed(const struct h1_body *b);

// The usual words for a status.
const char *h1_reason(int status);

#endif
