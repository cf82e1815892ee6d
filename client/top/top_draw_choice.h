// SPDX-License-Identifier: Apache-2.0
// Whom the pool would choose now, and why not the others.
#ifndef TOP_DRAW_CHOICE_H
#define TOP_DRAW_CHOICE_H

#include "top_screen.h"
#include "top_view.h"

// Returns the row behind it. skip: candidates that are scrolled away.
int top_draw_choice(struct top_screen *s, int row, int end, size_t skip, const struct top_pool *p);

#endif
