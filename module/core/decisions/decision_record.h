// SPDX-License-Identifier: Apache-2.0
// One entry of the log of decisions: what a SELECT had to choose from and what it chose, or how a request ended.
//
// A record is one allocation: this, the candidates, the hashes, the workers' names. It points into itself and at
// nothing else, so it outlives whatever the pool does next.
#ifndef CORE_DECISION_RECORD_H
#define CORE_DECISION_RECORD_H

#include "module/core/base/mem.h"
#include "module/core/pool.h"

enum {
    KVR_DECISION_ALL = 64,       // candidates that are kept, where a pool has no more instances
    KVR_DECISION_FIRST = 16,     // of more than that: the chosen one and the best
    KVR_DECISION_HASHES = 65536, // of a request's blocks, from the first on
};

struct kvr_decision_candidate {
    struct kvr_bytes worker;
    struct kvr_policy_row told;
    double cost, ttft, tpot; // as in kvr_pool_score
    uint64_t capacity, booked;
    uint32_t rank, overlap, expected;
    enum kvr_reason reason;
};

enum kvr_decision_kind { KVR_DECISION_SELECT, KVR_DECISION_END };

struct kvr_decision_record {
    enum kvr_decision_kind kind;
    size_t bytes;     // of the allocation
    uint64_t serial;  // 1, 2, 3 …: its place in the log
    int64_t at;       // ms since the epoch
    uint64_t request; // XXH3-64 of its id

    // Of a SELECT.
    enum kvr_err result; // KVR_OK, KVR_NOWORKER, KVR_NOROOM, KVR_LIMITED
    bool waits;          // no error, but a place in the queue
    enum kvr_decider by;
    bool pair;
    int64_t isl, osl; // tokens; osl 0: not said
    uint32_t blocks, block_size, n_hashes;
    struct kvr_rule rule;
    double output, first_weight, arrivals, reuse, stick;
    int chosen, session; // places among the candidates; -1: none, or not kept
    double cost;         // of the chosen one, as answered
    uint64_t left_out;   // instances that aren't kept
    uint32_t n;
    const struct kvr_decision_candidate *candidates;
    const uint64_t *hashes;

    // Of an end, ms from the booking; -1 unknown.
    int64_t ttft, duration, output_tokens;
    bool lapsed;
};

// What is known of a choice before it is booked. candidates: e->n of them. hashes: whether the blocks are kept, too.
// NULL: no memory. To be freed by core_mem_free of its `bytes`.
struct kvr_decision_record *kvr_decision_record_new(struct core_mem *m, const struct kvr_pool *p,
                                                    int64_t now, struct kvr_bytes id,
                                                    const struct kvr_query *q, bool hashes,
                                                    const struct kvr_pool_explanation *e,
                                                    const struct kvr_pool_candidate *candidates);
// And what came of it.
void kvr_decision_record_result(struct kvr_decision_record *r, enum kvr_err result,
                                const struct kvr_pool_choice *choice);
// The end of a live request. NULL: no memory.
struct kvr_decision_record *kvr_decision_record_end(struct core_mem *m, int64_t now,
                                                    const struct kvr_request_info *live,
                                                    bool lapsed);

// As one line of JSON without the newline, as docs/commands.md has it; at most `room` bytes are written, NUL included.
// Returns how many bytes the whole has, without the NUL. All numbers come back the same from it.
size_t kvr_decision_line(const struct kvr_decision_record *r, char *out, size_t room);
// Room that is enough for it, NUL included.
size_t kvr_decision_line_room(const struct kvr_decision_record *r);

#endif
