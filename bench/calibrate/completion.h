// SPDX-License-Identifier: Apache-2.0
// An answer as it comes over HTTP: the head, the chunked coding, server-sent events, and what of the
// events matters here.
//
// Made for measuring: it understands what a correct server may answer to POST /v1/completions with
// stream, and says of everything else that it is wrong. Routers may write the JSON of an event anew, so
// white space and order of its members don't matter.
#ifndef CALIB_SSE_H
#define CALIB_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALIB_NAME = 24, CALIB_WHY = 100, CALIB_LINE = 4096 };

enum calib_state {
    CALIB_HEAD,
    CALIB_PLAIN,
    CALIB_SIZE,
    CALIB_CHUNK,
    CALIB_CHUNK_END,
    CALIB_TRAILER,
    CALIB_DONE,
    CALIB_WRONG
};

struct calib_completion {
    enum calib_state state;
    uint64_t left;          // bytes of the body, or of the chunk
    char line[CALIB_LINE];  // of the head or of the coding; then of an event
    char event[CALIB_LINE]; // the line of the body that is under way
    size_t n_line, n_event;
    bool keeps;              // the connection can be used again
    uint32_t tokens;         // events with text so far
    int64_t cached;          // tokens of the prompt that were in the cache; -1: it wasn't said
    char engine[CALIB_NAME]; // who answered; "": it wasn't said
    bool ended;              // [SIM_DONE] has come
    char why[CALIB_WHY];     // what is wrong
};

void calib_completion_begin(struct calib_completion *s);
// Takes bytes as they come. After CALIB_DONE there must be none. Afterwards look at state and tokens.
void calib_completion_read(struct calib_completion *s, const char *bytes, size_t n);

#endif
