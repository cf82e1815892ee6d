// SPDX-License-Identifier: Apache-2.0
// The log of decisions: a ring of the last records, bounded in number and in bytes.
//
// It is no part of a pool: neither saved nor replicated nor in a digest, and a choice is the same with it and without.
// Whatever it can't keep, for want of memory or of room, it drops and counts.
//
//     r = kvr_decision_log_begin(log, pool, now, id, q);    before SELECT: what there is to choose from
//     err = kvr_select(pool, …);
//     kvr_decision_log_end(log, r, err, &choice);           r may be NULL
#ifndef CORE_DECISION_LOG_H
#define CORE_DECISION_LOG_H

#include "decision_record.h"

enum { KVR_DECISION_MAX = 1000000 }; // records
#define KVR_DECISION_MAX_BYTES ((uint64_t)1 << 34)

struct kvr_decision_limits {
    uint64_t records; // 1 to KVR_DECISION_MAX
    uint64_t bytes;   // of all records, up to KVR_DECISION_MAX_BYTES
    bool hashes;      // requests' blocks are kept, too
};

struct kvr_decision_log;

// first: the serial of the next record. NULL: no memory. The allocator is copied.
struct kvr_decision_log *kvr_decision_log_new(const struct kvr_alloc *a,
                                              const struct kvr_decision_limits *limits,
                                              uint64_t first);
// From any thread that has it alone; may be NULL.
void kvr_decision_log_free(struct kvr_decision_log *l);
// Drops all records; returns how many. Their serials aren't given again.
uint64_t kvr_decision_log_clear(struct kvr_decision_log *l);

// What a SELECT that is to come has to choose from; NULL: it isn't kept, because it would choose nothing (the id is
// live or waits), is refused before, or for want of memory. Until kvr_decision_log_end the log isn't changed.
struct kvr_decision_record *kvr_decision_log_begin(struct kvr_decision_log *l, struct kvr_pool *p,
                                                   int64_t now, struct kvr_bytes id,
                                                   const struct kvr_query *q);
void kvr_decision_log_end(struct kvr_decision_log *l, struct kvr_decision_record *r,
                          enum kvr_err result, const struct kvr_pool_choice *choice);
// A live request is about to end; nothing of one that isn't live.
void kvr_decision_log_ended(struct kvr_decision_log *l, const struct kvr_pool *p, int64_t now,
                            struct kvr_bytes id, bool lapsed);

struct kvr_decision_stats {
    uint64_t records, bytes, first, next; // first: the oldest one's serial; next: of the next one
    uint64_t dropped;                     // by the bounds or for want of memory, not by clear
    uint64_t memory;                      // bytes, all of it
    struct kvr_decision_limits limits;
};
void kvr_decision_log_stats(const struct kvr_decision_log *l, struct kvr_decision_stats *out);
// first <= serial < next.
const struct kvr_decision_record *kvr_decision_log_at(const struct kvr_decision_log *l,
                                                      uint64_t serial);
const char *kvr_decision_log_validate(const struct kvr_decision_log *l); // NULL, or what is broken

#endif
