// SPDX-License-Identifier: Apache-2.0
// An answer as it comes over HTTP: the head, the chunked coding, server-sent events, and what of the
// events matters here.
//
// Made for measuring: it understands what a correct server may answer to POST /v1/completions with
// stream, and says of everything else that it is wrong. Routers may write the JSON of an event anew, so
// white space and order of its members don't matter.
#ifndef CALIBRATE_SSE_H
#define CALIBRATE_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SSE_NAME = 24, SSE_WHY = 100, SSE_LINE = 4096 };

enum sse_state {
    SSE_HEAD,
    SSE_PLAIN,
    SSE_SIZE,
    SSE_CHUNK,
    SSE_CHUNK_END,
    SSE_TRAILER,
    SSE_DONE,
    SSE_WRONG
};

struct sse {
    enum sse_state state;
    uint64_t left;        // bytes of the body, or of the chunk
    char line[SSE_LINE];  // of the head or of the coding; then of an event
    char event[SSE_LINE]; // the line of the body that is under way
    size_t n_line, n_event;
    bool keeps;            // the connection can be used again
    uint32_t tokens;       // events with text so far
    int64_t cached;        // tokens of the prompt that were in the cache; -1: it wasn't said
    char engine[SSE_NAME]; // who answered; "": it wasn't said
    bool ended;            // [DONE] has come
    char why[SSE_WHY];     // what is wrong
};

void sse_begin(struct sse *s);
// Takes bytes as they come. After SSE_DONE there must be none. Afterwards look at state and tokens.
void sse_take(struct sse *s, const char *bytes, size_t n);

#endif
