// SPDX-License-Identifier: Apache-2.0
// The pages, drawn into a screen in memory.
#ifndef TOP_DRAW_H
#define TOP_DRAW_H

#include "top_screen.h"
#include "top_ui.h"

// When it is drawn: ms of the clock that never goes back, and s since 1970.
struct top_moments_now {
    int64_t ms, date;
};

// The chosen page, on the whole screen.
void top_draw(struct top_screen *s, struct top_ui *u, const struct top_view *v,
              struct top_moments_now now);

// Parts of pages, for those who print instead. Each draws from a row on and returns the row behind it; `end` is the row at which
// there is no more room.
int top_draw_head(struct top_screen *s, int row, const struct top_pool *p,
                  struct top_moments_now now);
int top_draw_workers(struct top_screen *s, int row, int end, struct top_ui *u);
int top_draw_queue(struct top_screen *s, int row, int end, size_t skip, const struct top_pool *p);

#endif
