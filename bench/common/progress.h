// SPDX-License-Identifier: Apache-2.0
// One line that says how far it is: rewritten in place on a terminal, now and then a new one elsewhere.
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stddef.h>

struct progress {
    const char *what;
    size_t total;
    long long started, shown; // ns
};

void progress_begin(struct progress *p, const char *what, size_t total);
void progress_show(struct progress *p, size_t done, double hit_percent);
// Something to be remembered goes above the line.
void progress_note(struct progress *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void progress_end(struct progress *p);

#endif
