// SPDX-License-Identifier: Apache-2.0
// A sum of one hash for each holding, as the digest has it: of all at once, or run by run while the tree changes.
//
// While a scan is on (tree.h: scanned), each slot's sum is over what it holds of the runs that have been looked at,
// those whose ids are below `scanned`. A change of such a run changes the sum with it; what changes in a run that
// is still to come will be met. Splitting and merging move holdings from one run to another, perhaps across that
// line. So a scan ends with what is true at its end, however long it takes, and without a scan a change pays for
// one comparison.
//
// Rejected: a sum that is kept up to date all the time (6 ns for each holding of each event, a fifth of what
// it takes), and a sum for each run (24 bytes for each).
#ifndef CORE_HOLDINGS_SUM_H
#define CORE_HOLDINGS_SUM_H

#include "tree.h"

// Adds what the bytes' hash is to the sum; sign -1 takes it off again.
void core_sum_add(struct core_sum *s, const void *bytes, size_t n, int sign);
void core_sum_join(struct core_sum *s, const struct core_sum *of);

// Of all that live slots hold.
void core_tree_sum(const struct core_tree *t, struct core_sum *s);

void core_tree_scan_begin(struct core_tree *t);
// Looks at runs until it has seen about so many holdings. Whether it is through: then core_tree_scan_end may
// be called before the tree changes again.
bool core_tree_scan_step(struct core_tree *t, size_t max);
void core_tree_scan_end(struct core_tree *t, struct core_sum *s);
const char *core_tree_scan_validate(const struct core_tree *t);

// ---- For changes of a run ------------------------------------------------------------------------

// The slot holds the first `after` blocks of the run, and held `before`; the hashes of both are there.
void core_tree_sum_depth(struct core_tree *t, uint32_t run, uint32_t slot, uint32_t before,
                         uint32_t after);
// All holdings of `run`, which has them at this moment, go from one run to another.
void core_tree_sum_move(struct core_tree *t, uint32_t run, uint32_t from, uint32_t to);

#endif
