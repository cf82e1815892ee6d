// SPDX-License-Identifier: Apache-2.0
// All that a pool says of one worker.
#ifndef TOP_DRAW_WORKER_H
#define TOP_DRAW_WORKER_H

#include "top_draw.h"

// Returns the row behind it. skip: ranks that are scrolled away.
int top_draw_worker(struct top_screen *s, int row, int end, size_t skip,
                    const struct top_worker *w);

#endif
