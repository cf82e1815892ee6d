// SPDX-License-Identifier: Apache-2.0
// The body of an answer to POST /v1/completions with stream, as it comes: server-sent events, and what of
// them matters here.
#ifndef CALIB_COMPLETION_H
#define CALIB_COMPLETION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALIB_MAX_NAME = 24, CALIB_MAX_WHY = 100, CALIB_MAX_EVENT = 4096 };

struct calib_completion {
    char event[CALIB_MAX_EVENT]; // the line that is under way
    size_t n_event;
    uint32_t tokens;             // events with text so far
    int64_t cached;              // tokens of the prompt that were in the cache; -1: it wasn't said
    char engine[CALIB_MAX_NAME]; // who answered; "": it wasn't said
    bool ended;                  // [DONE] has come
    char why[CALIB_MAX_WHY];     // what is wrong
};

void calib_completion_begin(struct calib_completion *c);
void calib_completion_read(struct calib_completion *c, const char *bytes, size_t n);
void calib_completion_fail(struct calib_completion *c, const char *why); // the first reason stays

#endif
