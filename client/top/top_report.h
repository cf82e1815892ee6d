// SPDX-License-Identifier: Apache-2.0
// The view for scripts: all of it, once.
#ifndef TOP_REPORT_H
#define TOP_REPORT_H

#include <stdio.h>

#include "top_draw.h"

// As the pages look, so many columns wide, with every worker. False: no memory, or it couldn't be written.
bool top_report_text(const struct top_view *v, const struct top_config *c, bool utf8, int cols,
                     struct top_moments_now now, FILE *out);
// As one JSON object, with every figure as the pools say it. What isn't known is null.
bool top_report_json(const struct top_view *v, const struct top_config *c, FILE *out);

#endif
