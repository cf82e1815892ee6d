// SPDX-License-Identifier: Apache-2.0
// An answer as it comes over HTTP: the head, the chunked coding, server-sent events, and what of the
// events matters here.
//
// Made for measuring: it understands what a correct server may answer to POST /v1/completions with
// stream, or with a line of JSON, and says of everything else that it is wrong. Routers may write the JSON of an event anew, so
// white space and order of its members don't matter.
#ifndef BENCH_LOAD_SSE_H
#define BENCH_LOAD_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_SSE_NAME = 24, BENCH_SSE_WHY = 100, BENCH_SSE_LINE = 4096 };

enum bench_sse_state {
    BENCH_SSE_HEAD,
    BENCH_SSE_PLAIN,
    BENCH_SSE_SIZE,
    BENCH_SSE_CHUNK,
    BENCH_SSE_CHUNK_END,
    BENCH_SSE_TRAILER,
    BENCH_SSE_DONE,
    BENCH_SSE_WRONG
};

struct bench_sse {
    enum bench_sse_state state;
    uint64_t left;              // bytes of the body, or of the chunk
    char line[BENCH_SSE_LINE];  // of the head or of the coding; then of an event
    char event[BENCH_SSE_LINE]; // the line of the body that is under way, or was the last
    size_t n_line, n_event;
    bool keeps;                  // the connection can be used again
    uint32_t tokens;             // events with text so far
    int64_t cached;              // tokens of the prompt that were in the cache; -1: it wasn't said
    char engine[BENCH_SSE_NAME]; // who answered; "": it wasn't said
    bool ended;                  // [DONE] has come
    char why[BENCH_SSE_WHY];     // what is wrong
};

void bench_sse_begin(struct bench_sse *s);
// Takes bytes as they come. After BENCH_SSE_DONE there must be none. Afterwards look at state and tokens.
void bench_sse_take(struct bench_sse *s, const char *bytes, size_t n);

// What follows "name" and its colon in a line of JSON; NULL if it isn't there.
const char *bench_sse_member(const char *line, const char *name);

#endif
