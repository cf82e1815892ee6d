// SPDX-License-Identifier: Apache-2.0
// Replies as a pool would give them, and a view filled with them.
#ifndef TTEST_FILL_H
#define TTEST_FILL_H

#include "client/top/top_ui.h"

// INFO with these fields, "name value" each, by pairs; the others aren't said.
void ttest_info(struct top_pool *p, int64_t now, const char *pairs);
// Workers w0, w1 … of two ranks: worker i has i requests on each, 100 · i blocks of a capacity of 1,000 a rank, a ttft of 10 · i
// ms on its first rank (0: unknown), and a label.
void ttest_workers(struct top_pool *p, size_t n);
// Connected to this primary for the nth time.
void ttest_connected(struct top_pool *p, uint64_t nth, const char *primary, int64_t now);
void ttest_away(struct top_pool *p, uint64_t connects, int64_t now);
// A result without anything but a code and a message.
struct kvr_result ttest_failure(enum kvr_code code, const char *message);

#endif
