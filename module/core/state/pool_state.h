// SPDX-License-Identifier: Apache-2.0
// What a pool is made of: its structures, as the core's own files see them. Everybody else includes pool.h.
#ifndef CORE_POOL_STATE_H
#define CORE_POOL_STATE_H

#include "module/core/base/deadline.h"
#include "module/core/base/hash_map.h"
#include "module/core/pool.h"
#include "module/core/rule/learn.h"
#include "module/core/state/queue_state.h"
#include "module/core/tree/live_tree.h"
#include "module/core/tree/tree.h"

enum {
    CORE_SWEEP_AT_DROP = 600,  // units swept by the call that drops: a small pool is clean at once
    CORE_BLOCKS_A_UNIT = 512,  // of a booking's blocks that are freed
    CORE_SWEEP_AT_EVENT = 32,  // units swept along with an event: progress without a timer
    CORE_KNOWN_BUDGET = 20000, // runs that a bounded event may look at, a few ms
    CORE_LANES = 8,            // columns' lengths are multiples of it
};
#define CORE_MAX_CAPACITY ((uint64_t)1 << 53)

// A routed, unfinished call. Invariants: in the hash table by id, in its instance's list, in its session's, in the
// deadlines iff lease > 0; 0 <= cached <= isl; end is where its blocks end in the live tree. One whose instance
// has been dropped is none any more (core_request_live) and waits for the sweep in the same places.
// What it teaches: `ahead`, `number`, `kind` and ttft are of its booking; prefilled_at is 0 until its first
// token, and for one that was booked with it. Until then it is in its instance's queue.
struct core_request {
    struct core_hash_map_item item;
    struct core_deadline due;            // renewed + lease, or earlier after kvr_renew_all
    struct core_request *prev, *next;    // of the same instance
    struct core_request *sooner, *later; // of the instance's queue, in the order of booking
    struct core_request *session_prev, *session_next;
    struct core_request *flow_prev, *flow_next;
    struct core_live_node *end;
    struct core_prediction *prediction; // NULL: none, or it is over
    struct core_session *session;       // NULL: none
    struct core_class *service_class;
    struct core_flow *flow; // NULL: none
    struct core_leg *leg;   // NULL: its own instance computes the prompt
    uint32_t instance;
    uint32_t blocks, overlap, expected;
    bool prefilled;
    bool uncalled;     // it has waited, and its owner hasn't come: `lease` is the pool's accept
    int64_t own_lease; // what `lease` will be then
    int64_t waited;    // ms
    int64_t isl, osl, cached, output, lease, created, renewed;
    int64_t ahead;        // tokens queued on the instance when it was booked, its own included
    uint64_t number;      // the pool's booking count
    int64_t prefilled_at; // ms since the epoch
    bool summed;          // blocks_sum is known
    uint64_t blocks_sum;  // of its blocks, for the digest: they never change
    struct core_forecast_case kind;
    double cost, ttft, tpot; // as answered; ms, -1 unknown
    uint16_t id_len;
    char id[];
};

// Where the prompt of a pair is computed. Until its first token it weighs there: in the instance's legs, in its
// queue, and its blocks in the tree of legs. Afterwards, and once that worker has gone, it is only remembered, for
// who asks again.
struct core_leg {
    struct core_request *request;
    struct core_leg *prev, *next; // of the same instance
    struct core_live_node *end;
    struct core_prediction *prediction; // NULL: none, or it is over
    uint32_t instance;
    bool at_work;
    uint32_t rank, overlap;
    int64_t tokens; // of the prompt that the instance lacked
    uint16_t name_len;
    char name[]; // the worker's
};

// A booking whose blocks count as held for a while. In its slot's queue, oldest first.
struct core_prediction {
    uint64_t number; // the booking's
    int64_t until;   // ms since the epoch, but see kvr_renew_all
    struct core_prediction *prev, *next;
    struct core_live_node *end;
    struct core_request *request; // the booking, NULL once it has ended
    bool of_leg;                  // it is that of a pair's prompt
    struct core_prediction_slot *slot;
    uint32_t blocks;
};

// All predictions of one instance, under a number of their own in the tree of predicted blocks. So they can be
// dropped together at once: the instance gets another slot for the next one, and a sweep frees the old one's.
//
// Predictions end in the order of their bookings (of equal numbers, which old saves have, by `until` of the
// instances' oldest; of a pair's two, that of the answer first): so those that a primary drops are the first ones of every copy, whatever clocks say.
struct core_prediction_slot {
    struct core_deadline
        due; // of the oldest, in that order and not by time; in the heap iff there is one
             // and the slot wasn't dropped
    struct core_prediction *oldest, *newest;
    uint64_t blocks; // distinct
    uint32_t number; // its place in the pool's array
    uint32_t next;   // dropped or free: number + 1 of the next one, 0 at the end
};

// Where a session's last booking went, and how many live requests name it. It is in the hash table by name as
// long as it is remembered or has live requests, and in the deadlines while it is remembered and has none. One
// whose instance has gone since (another generation) counts as forgotten: it is stale, and its memory is
// freed by a sweep or when its time ends.
struct core_session {
    struct core_hash_map_item item;
    struct core_deadline due; // booked
    uint32_t instance;
    uint64_t generation;           // of the instance
    uint64_t live;                 // requests, dropped ones included; see core_session_live
    struct core_request *requests; // these
    int64_t booked;                // ms since the epoch
    bool remembered;
    uint16_t name_len;
    char name[];
};

// A worker's label; hash is of the bytes, under the pool's seed.
struct core_label {
    uint64_t hash;
    uint8_t n;
    char bytes[KVR_MAX_LABEL];
};

struct core_worker {
    char *addr;
    uint32_t addr_len, name_len;
    uint64_t capacity;
    enum kvr_state state; // KVR_READY or KVR_DRAINING; expired follows from the time
    int64_t ttl;          // ms; -1: the pool's
    int64_t seen;         // ms since the epoch, of the last heartbeat
    uint64_t failures;    // reported since the last success, at most KVR_MAX_FAILURES
    int64_t open_until;   // ms since the epoch: the circuit is open until then; 0: closed
    uint32_t ranks;
    uint32_t *instances;       // by rank
    uint32_t mark;             // scratch of one query: MARK_AMONG and EXCLUDE
    double speed;              // as set; 0: as learnt
    struct core_label *labels; // in bytewise order
    uint32_t n_labels;
    uint64_t max_requests; // live ones an instance, 0: the pool's
    enum kvr_role role;
    int64_t
        drain_until; // ms since the epoch: what is left on it then is to be moved; 0: no such time
    char name[];
};

// (worker, rank), what SELECT chooses between. The loads that scoring reads stand apart, by instance
// in arrays of doubles; here are the exact counts that they mirror.
struct core_instance {
    struct core_worker *worker; // NULL: not in use, or dropped and not swept yet
    uint32_t rank, next_free;   // next_free: also of the dropped ones
    uint64_t generation;        // no two instances of a pool's life have the same
    uint64_t epoch, seq;        // last applied event
    uint32_t slot[KVR_TIERS];   // in the prefix tree, 0 while it holds nothing there
    uint64_t booked;            // the pool's booking count when it was last booked, 0 never
    uint64_t requests, prefill_tokens, live_blocks, output_blocks;
    struct core_prediction_slot *predictions; // NULL: there were none so far
    struct core_request *first;
    struct core_leg *legs; // of pairs whose prompts are computed here
    uint64_t n_legs;
    uint64_t n_away; // of its own requests: those whose prompts are computed elsewhere now
    struct core_request *queue_first, *queue_last; // those without a first token
    uint64_t queued;                               // how many
    uint64_t sessions;                             // remembered, whose last booking is here
    int64_t
        busy_since; // ms since the epoch: when it got room last, or was half full; 0: it isn't, or nobody knows
    struct core_waiting *held_for; // NULL: it is kept for nobody
    struct core_learnt_instance learnt;
};

// What scoring and choosing read and write, as arrays by instance: scratch of one query, and mirrors of
// what stands elsewhere, so that both are loops over doubles that the compiler vectorises. Made with
// the instances, so a query never needs memory.
//
// An instance is eligible while now < max(seen, renewed) + ttl. ttl is infinite for a worker that never
// expires and minus infinite for one that isn't ready. What is mirrored as a double is below 2^53.
struct core_columns {
    uint32_t *reach, *by_tier[KVR_TIERS], *live, *expected, *behind;
    double *prefill_cost, *decode_cost, *own_cost; // of pairs: of either part, and of both in one
    uint32_t *prefill_of;                          // of the best pair that decodes here
    double *begun; // blocks of the request that are live or computed there
    double *credit, *live_prefix, *cost, *rank, *pace, *queue;
    double *prefill_tokens, *decode_blocks, *requests, *booked; // core_instance_refresh
    double *decode_time, *decode_tokens, *full;                 // core_instance_refresh
    double *oldest_tokens, *free_at, *rate;                     // core_instance_refresh
    double *seen, *ttl, *slow;         // core_worker_refresh; slow: 1 / speed, 0: as learnt
    double *max_requests, *max_blocks; // core_worker_refresh; infinite: no limit
};

// The best place for a prompt among the workers that share a link; see pair.h.
struct core_pair_link {
    uint64_t label; // hash
    uint32_t instance;
};

struct kvr_pool {
    struct core_mem mem;
    uint64_t seed;
    struct kvr_options options;
    uint64_t version, bookings;
    int64_t renewed; // every lease and worker's time counts as renewed then, at the earliest
    uint64_t renewed_bookings; // predictions of bookings up to this one count as made at `renewed`
    int64_t latest;            // no request or session was renewed later

    struct core_worker **workers; // in name order
    size_t n_workers, cap_workers;
    size_t n_open;       // of the workers: whose circuit isn't closed
    int64_t workers_due; // ms since the epoch; none is to be deleted earlier
    struct core_instance *instances;
    size_t cap_instances;                   // of instances and of every column
    uint32_t n_instances;                   // ids ever used
    uint32_t live_instances, free_instance; // in use; list of unused ids + 1, 0 at the end
    uint32_t dropped_instances;             // the same, of those with requests to be swept
    uint64_t dropped_requests;              // how many
    struct core_columns columns;

    struct core_tree tree;      // holdings
    struct core_live live;      // blocks of live requests
    struct core_live predicted; // blocks of predictions
    struct core_live legs;      // blocks of prompts of pairs, until they are computed
    struct core_hash_map requests, sessions;
    struct core_deadlines leases, predictions, session_ends;
    struct core_prediction_slot **slots; // of predictions, by number
    uint32_t *slot_instance; // by number: whose, or CORE_NO_INSTANCE. Apart: for a match
    size_t n_slots, cap_slots, cap_slot_instance;
    uint32_t free_slot, dropped_slots; // lists of numbers + 1
    uint64_t dropped_predicted;        // distinct blocks of the dropped ones
    uint64_t generations;              // instances ever made
    uint64_t n_sessions;               // remembered, and their instance is there
    uint64_t stale_sessions;           // remembered, and their instance has gone
    size_t swept_sessions;             // the bucket of the sessions that is swept next
    struct core_learnt learnt;
    struct core_ratio room; // ms for which an instance was busy ÷ how often it got room meanwhile
    size_t n_limited;       // workers with a limit of their own
    size_t n_prefill;       // workers that only compute prompts
    size_t n_labels;        // of all workers
    struct core_pair_link *pair_links; // scratch of one query; room for all labels
    size_t cap_pair_links;
    struct core_queue queue;
    size_t digest_bucket;   // of the requests, whose blocks a digest in slices sums next
    struct kvr_stats stats; // only the counters; the rest is filled in on demand

    struct kvr_pool_score *scores; // scratch of kvr_scores
    size_t cap_scores;
};

#endif
