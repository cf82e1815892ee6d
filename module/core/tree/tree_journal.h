// SPDX-License-Identifier: Apache-2.0
// The journal of a transaction: each step as it is done, so that it can be undone.
//
//   kind    what was done                                     how it is undone
//   HOLD    run's entry of slot a had depth b (low half),     set both back
//           and b's high half of the run was held
//   APPEND  run had a blocks; 0: it is new                    forget the others; release a new run
//   DETACH  run had a blocks, none are in the index now       put them back into the index
//   SPLIT   run's head went to run a                          merge
//   DROP    slot a was instance b's                           give it back
//   SLOT    slot a is new                                     free it
//
// Example: run 1 is [a b c d e f], and an event stores [e x] after d for slot 5:
//
//     SPLIT  run 1, head 2      2[a b c d] ── 1[e f]
//     HOLD   run 1, slot 5, 0                 1[e f]  slot 5 has e
//     SPLIT  run 1, head 3      2[a b c d] ── 3[e] ─┬─ 1[f]
//     APPEND run 4, 0                               └─ 4[x]
//     HOLD   run 4, slot 5, 0                          4[x]  slot 5 has x
//
// If what comes next can't be applied, the lines are undone from the last to the first: slot 5 has nothing
// of run 4; x leaves the index and run 4 is released; 3 and 1 are merged to 1[e f]; slot 5 has nothing of it;
// 2 and 1 are merged to 1[a b c d e f].
//
// Undoing in reverse order meets each structure in the state that the step left it in. Arrays only grow until
// the commit, and the index and the sets of runs take back what they had without memory. So no inverse can
// fail.
#ifndef CORE_TREE_JOURNAL_H
#define CORE_TREE_JOURNAL_H

#include "tree.h"

enum core_undo_kind {
    CORE_UNDO_HOLD,
    CORE_UNDO_APPEND,
    CORE_UNDO_DETACH,
    CORE_UNDO_SPLIT,
    CORE_UNDO_DROP,
    CORE_UNDO_SLOT,
};
struct core_undo {
    uint8_t kind;
    uint32_t run, a, b;
};

// Writes a step down. 0, or -1 without memory: then the step must not be done.
int core_journal_push(struct core_tree *t, enum core_undo_kind kind, uint32_t run, uint32_t a,
                      uint32_t b);

#endif
