// SPDX-License-Identifier: Apache-2.0
// The body of an answer to POST /v1/completions with stream, as it comes: server-sent events, and what of
// them matters here.
#ifndef BENCH_COMPLETION_H
#define BENCH_COMPLETION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_MAX_ENGINE = 24, BENCH_MAX_WHY = 100, BENCH_MAX_EVENT = 4096 };

struct bench_completion {
    char event[BENCH_MAX_EVENT]; // the line that is under way
    size_t n_event;
    uint32_t tokens; // events with text so far
    int64_t cached;  // tokens of the prompt that were in the cache; -1: it wasn't said
    char engine[BENCH_MAX_ENGINE]; // who answered; "": it wasn't said
    bool ended;                    // [DONE] has come
    char why[BENCH_MAX_WHY];       // what is wrong
};

void bench_completion_begin(struct bench_completion *c);
void bench_completion_read(struct bench_completion *c, const char *bytes, size_t n);
void bench_completion_fail(struct bench_completion *c, const char *why); // the first reason stays

#endif
