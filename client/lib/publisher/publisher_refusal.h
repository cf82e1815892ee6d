// SPDX-License-Identifier: Apache-2.0
// Blocks that the pool refuses: it knows them under another parent.
//
// The answer BADCHAIN names an event, not a block. The event is cut in two, and the first half goes
// alone: if it is refused, it is cut again; if not, the other half is next. So the block is found in
// as many rounds as its event has blocks in binary digits, and all before it is applied.
//
// From there on, whatever stores that block, or what the stream had put below it, is dropped; the block
// is marked among the held blocks, and what hangs on it isn't placed any more. What is left keeps its order. A
// block may have been moved meanwhile (removed, and stored under another parent): then its place is
// good, but its ops are gone; it is told of again at the end.
//
// The pool can hardly have holdings of ours at or below the block, or it would know it under our parent.
// It can when the block is one that we don't hold: while everything below it was refused as well, no instance
// held it, so the pool forgot it, and then somebody stored it under another parent. So REMOVED stays in the stream, and is said
// again of all that was told below the block. It does no harm where nothing is held.
//
// Rejected: a new epoch without the block. It would publish everything once for each refused block,
// and what an engine with another hash function stores is refused block by block.
//
//     event 7:  a b c d e f g h     BADCHAIN                 (d is the refused one)
//         7:  a b c d   8:  e f g h   7 refused
//         7:  a b   8:  c d   9:  e f g h   7 taken, 8 refused
//         8:  c   9:  d   10: e f g h   8 taken, 9 refused: it is d alone
#ifndef KVR_PUBLISHER_PUBLISHER_REFUSAL_H
#define KVR_PUBLISHER_PUBLISHER_REFUSAL_H

#include "publisher_stream.h"

// The pool has refused event `seq` because of the place of one of its blocks, and nothing is under way.
void kvr_publisher_refused(struct kvr_publisher *p, uint64_t seq);

#endif
