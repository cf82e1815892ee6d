// SPDX-License-Identifier: Apache-2.0
// The ops of an event, packed: what a publisher keeps until it is sent, and to send it again.
//
// An op is a word (kind, tier, whether there is a parent, how many hashes), for STORED the parent's
// word if there is one, and the hashes. So events can be taken apart again when the pool refuses one
// of their blocks, which would be hard with encoded commands; encoding at each sending is a copy.
#ifndef KVR_PUBLISHER_EVENT_OPS_H
#define KVR_PUBLISHER_EVENT_OPS_H

#include <kvroute/client.h>

#include "client/lib/transport/resp_command.h"

struct kvr_event_ops {
    const struct kvr_alloc *alloc;
    uint64_t *words;
    size_t n, cap;
    size_t last;   // where the last op begins; meaningless when n is 0
    size_t blocks; // in all ops
};

void kvr_ops_init(struct kvr_event_ops *o, const struct kvr_alloc *a);
void kvr_ops_free(struct kvr_event_ops *o);
void kvr_ops_empty(struct kvr_event_ops *o); // keeps the memory
// Its words have been rewritten, and are fewer.
void kvr_ops_cut(struct kvr_event_ops *o, size_t n, size_t blocks);

// Append blocks, to the last op where it can go on. 0, or -1: no memory, as it was.
int kvr_ops_stored(struct kvr_event_ops *o, int tier, const uint64_t *parent,
                   const uint64_t *hashes, size_t n);
int kvr_ops_removed(struct kvr_event_ops *o, int tier, const uint64_t *hashes, size_t n);
int kvr_ops_cleared(struct kvr_event_ops *o, int tier); // -1: all

// The word that an op begins with.
uint64_t kvr_ops_head(enum kvr_op_kind kind, int tier, bool has_parent, size_t n);
// The op at word `at`; its arrays are in the words. Where the next one is.
size_t kvr_ops_read(const uint64_t *words, size_t at, struct kvr_op *op);
void kvr_ops_encode(struct kvr_wire *w, const uint64_t *words, size_t n);

#endif
