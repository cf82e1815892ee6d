// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them, and names as a terminal may show them.
#ifndef TOP_TEXT_H
#define TOP_TEXT_H

#include "client/common/arena.h"

enum { TOP_TEXT = 32 };
struct top_text {
    char s[TOP_TEXT];
};

// "0", "999", "12.3k", "4.5M" …; below 0: "-", which is what isn't known.
struct top_text top_count_text(int64_t n);
struct top_text top_bytes_text(int64_t n);
// The same of a fraction, such as a rate: "0.5", "12", "1.2k".
struct top_text top_real_text(double d);
// Of 0 to 1: "61.2%".
struct top_text top_percent_text(double d);
// Of ms: "250ms", "2.5s", "3m", "5h", "12d".
struct top_text top_time_text(int64_t ms);

// The bytes in the arena as UTF-8 without control characters: what is none is written as \x and two hex digits. NULL: no
// memory.
const char *top_text_printable(struct kvr_arena *a, struct kvr_bytes b);

#endif
