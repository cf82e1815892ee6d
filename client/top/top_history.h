// SPDX-License-Identifier: Apache-2.0
// The last minutes of a pool, for its sparklines: moments of equal length, the newest of which is still going on.
#ifndef TOP_HISTORY_H
#define TOP_HISTORY_H

#include <stddef.h>
#include <stdint.h>

enum { TOP_MOMENTS = 120, TOP_MOMENT_MS = 5000 };

struct top_moment {
    int64_t waiting;      // the most that was seen in it; -1: nothing was seen
    int64_t blocks, hits; // of the selects in it
};

struct top_history {
    struct top_moment moments[TOP_MOMENTS];
    int64_t step;   // ms a moment: TOP_MOMENT_MS, or `refresh` where that is longer
    int64_t newest; // its number since the clock's beginning
    size_t n;
};

void top_history_init(struct top_history *h, int64_t refresh);
// What was seen at `now` (ms of a clock that never goes back): requests that wait, and the blocks of selects since the last
// time, with those that were found.
void top_history_add(struct top_history *h, int64_t now, int64_t waiting, int64_t blocks,
                     int64_t hits);
// The last moments, at most `room`, the oldest first; how many.
size_t top_history_last(const struct top_history *h, struct top_moment *out, size_t room);

#endif
