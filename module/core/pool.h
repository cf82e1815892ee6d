// SPDX-License-Identifier: Apache-2.0
// A pool: the whole routing state of one model deployment, and every operation on it.
//
// This is the core's public face. It knows no Redis, no clock and no I/O: the time (`now`, ms since
// the epoch) and the randomness come in as arguments, so two copies that are given the same calls
// are in the same state. The module binds it to Redis, the simulator and the fuzzers link it bare.
//
// Conventions
//   - Every function that can fail returns an enum kvr_err; on anything but KVR_OK the pool is in
//     the state it had before the call. That includes running out of memory.
//   - Names and ids are bytes with a length; none is ever copied into a message.
//   - Block lists are arrays of prefix hashes, aligned, owned by the caller.
//   - Pointers in results stay valid until the next call that changes the pool.
//   - A pool is used by one thread at a time. Freeing it touches nothing else, so any thread may.
#ifndef KVR_POOL_H
#define KVR_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kvroute/types.h>

#include "module/core/base/mem.h"
#include "module/core/rule/policy.h"

enum kvr_err {
    KVR_OK = 0,
    KVR_NOWORKER, // the worker or rank isn't registered, or no instance is eligible
    KVR_GAP,      // an event came too early: `expected` says which seq is wanted
    KVR_STALE,    // an event of an earlier epoch: `epoch` says which is current
    KVR_NOPARENT, // STORED under a block that the pool doesn't know
    KVR_BADCHAIN, // STORED of a block that is known under another parent
    KVR_RANGE,    // a number or a length out of range
    KVR_LIMIT,    // more instances or blocks than a pool can hold
    KVR_BUSY,     // deciding would take too long while dropped holdings are swept: ask again
    KVR_CORRUPT,  // kvr_loader: the bytes are not a saved pool
    KVR_NOMEM,    // out of memory
    KVR_NOROOM,   // no instance has room; `retry` says when to come back
    KVR_LIMITED,  // the flow has used up what it may; `retry` likewise
    KVR_NOCLASS,  // no such class
    KVR_WAITED,   // requests of the class wait
};

#define KVR_MAX_FAILURES 1000000
#define KVR_MAX_WAITING 1000000
#define KVR_MAX_CLASSES 1024
#define KVR_MAX_PRIORITY 100    // of a class: -100 to 100
#define KVR_MAX_SHARE 1e6       // weight of a class or flow: above 0, up to this
#define KVR_MAX_PERCENT 1000000 // MAXBLOCKS; ROOM is 0 to 100
#define KVR_MAX_WEIGHT 1e9      // weights and TEMPERATURE: 0 to this; credits: 0 to 1

extern const char *const kvr_tier_names[KVR_TIERS]; // "device", "host", "disk"

// ---- Pools ---------------------------------------------------------------------------------------

// The rule and its weights; see policy.h for what they mean.
struct kvr_rule {
    int policy; // index into the policy table
    double overlap, prefill, requests, temperature;
    unsigned
        without; // terms of `delay` to be left out, enum kvr_term; to measure what each is worth
};

// What is left out counts as it does in a pool that has measured nothing, but for: EXPECTED, only what is
// held counts as cached; ROUNDING, costs are exact.
enum kvr_term {
    KVR_TERM_EXPECTED = 1,
    KVR_TERM_QUEUE = 2,    // what of a queue has been computed meanwhile
    KVR_TERM_ARRIVALS = 4, // who comes later
    KVR_TERM_REUSE = 8,    // what is pushed out of a full cache
    KVR_TERM_PACE = 16,
    KVR_TERM_FIRST = 32, // the first token's weight against the others
    KVR_TERM_ROUNDING = 64,
};

struct kvr_options {
    uint32_t block_size;  // tokens a block, 1..KVR_MAX_BLOCK_SIZE; fixed at creation
    struct kvr_rule rule; // what SELECT uses unless told otherwise
    double host, disk;    // credit of a block held only in that tier, 0..1
    int64_t lease;        // ms a request lives without a word; 0: until released
    int64_t worker_ttl;   // ms a worker is eligible without a heartbeat; 0: always
    int64_t worker_grace; // ms after which an expired worker is deleted; 0: never
    int64_t predict;      // ms a booked request's blocks count as held; 0: off
    uint64_t
        failures; // FAILED in a row that open a worker's circuit, up to KVR_MAX_FAILURES; 0: never
    int64_t open_time;         // ms that it stays open, at least 1
    int64_t session_ttl;       // ms a session is remembered after its last booking
    int64_t slo_ttft, slo_tbt; // ms to the first token, and between tokens, at least 1
    double stick;              // tokens of prefill that staying with a session may cost
    // What an instance has room for, see room.h. 0: no such limit.
    uint64_t max_requests; // live
    uint64_t max_prefill;  // tokens queued
    uint64_t max_blocks;   // percent of its capacity
    uint64_t max_waiting;  // requests that wait, up to KVR_MAX_WAITING
    int64_t accept; // ms in which the owner of one that waited comes for its booking, at least 1
    // Pairs, see pair.h: tokens of prefill that moving a token's KV costs; and up to how many uncached tokens the
    // decoding instance computes by itself.
    double transfer;
    uint64_t local_prefill;
};

struct kvr_pool;

void kvr_options_default(struct kvr_options *o);
enum kvr_err kvr_options_check(const struct kvr_options *o); // KVR_OK or KVR_RANGE

// seed: secret of the hash tables, so that no caller can make them slow; not part of the state.
// Returns NULL when out of memory or when the options are out of range. The allocator is copied.
struct kvr_pool *kvr_pool_new(const struct kvr_alloc *a, const struct kvr_options *o,
                              uint64_t seed);
void kvr_pool_free(struct kvr_pool *p); // p may be NULL
const struct kvr_options *kvr_pool_options(const struct kvr_pool *p);
// All or nothing. KVR_RANGE also when block_size differs.
enum kvr_err kvr_pool_alter(struct kvr_pool *p, const struct kvr_options *o);
// Counts the applied changes; each successful call that changes the pool adds one.
uint64_t kvr_pool_version(const struct kvr_pool *p);

struct kvr_stats {
    uint64_t version, workers, instances, eligible;
    uint64_t blocks;       // distinct blocks held by somebody
    uint64_t holdings;     // (instance, tier, block)
    uint64_t predicted;    // (instance, block) counted as held by PREDICT
    uint64_t requests;     // live
    uint64_t memory_bytes; // all of the pool
    uint64_t selects, repeats, select_blocks, overlap_blocks, expected_blocks;
    uint64_t events, stored_blocks, removed_blocks, gaps, stale;
    uint64_t expired_requests, expired_workers;
    uint64_t open_circuits; // workers
    uint64_t
        unswept; // holdings, requests and predicted blocks that are gone but whose memory is still to be freed
    uint64_t sessions;         // remembered
    uint64_t waiting;          // requests that wait
    uint64_t waiting_tokens;   // of these, ISL + OSL
    uint64_t flows;            // registered or in use
    uint64_t admitted;         // booked after they had waited
    uint64_t refused, limited; // NOROOM and LIMITED
};
void kvr_pool_stats(const struct kvr_pool *p, int64_t now, struct kvr_stats *out);

// 20 bytes over the logical state (options, workers, holdings, requests); independent of the order
// in which the state was built, of time and of statistics. O(holdings + requests).
enum { KVR_DIGEST_BYTES = 20 };
void kvr_pool_digest(const struct kvr_pool *p, uint8_t out[KVR_DIGEST_BYTES]);
// The same bit by bit, for large pools: between two steps the pool may be used and changed as ever, and what comes out
// is the digest of how it is at the end. A step looks at about max holdings; true: it is through, and begins anew
// with kvr_digest_begin. The last one looks at all workers, requests and sessions.
void kvr_digest_begin(struct kvr_pool *p);
bool kvr_digest_step(struct kvr_pool *p, size_t max, uint8_t out[KVR_DIGEST_BYTES]);
// The same over what the pool has learnt (learn.h), and nothing else: equal to the bit on every copy.
void kvr_pool_digest_learnt(const struct kvr_pool *p, uint8_t out[KVR_DIGEST_BYTES]);

// Checks every invariant of every structure. NULL, or what is broken (a static string).
const char *kvr_pool_validate(const struct kvr_pool *p);

// Frees memory of dropped holdings, about `max` units of work (one for each run, and one for each 16
// blocks); 1,000 take about a millisecond. Changes nothing logical, so it is never replicated.
// Returns whether more is left.
bool kvr_pool_sweep(struct kvr_pool *p, size_t max);

// ---- Workers -------------------------------------------------------------------------------------

extern const char *const kvr_state_names[]; // "ready", "draining", "expired"
extern const char *const kvr_role_names[];  // "both", "prefill", "decode"

// What WORKER SET names. Only fields whose bit is in `set` are read.
enum {
    KVR_SET_ADDR = 1,
    KVR_SET_RANKS = 2,
    KVR_SET_CAPACITY = 4,
    KVR_SET_STATE = 8,
    KVR_SET_TTL = 16,
    KVR_SET_SPEED = 32,
    KVR_SET_LABELS = 64,
    KVR_SET_MAX_REQUESTS = 128,
    KVR_SET_ROLE = 256,
    KVR_SET_DRAIN = 512,
};
struct kvr_worker_settings {
    unsigned set;
    struct kvr_bytes addr;          // up to KVR_MAX_ADDR bytes
    uint32_t ranks;                 // 1..KVR_MAX_RANKS
    uint64_t capacity;              // blocks an instance, 0 unknown; up to 2^53
    enum kvr_state state;           // KVR_READY or KVR_DRAINING
    int64_t ttl;                    // ms, 0 always eligible; up to KVR_MAX_MS
    double speed;                   // against an ordinary worker's 1; 0: as learnt
    const struct kvr_bytes *labels; // 1 to KVR_MAX_LABEL bytes each; given twice counts once
    size_t n_labels;                // up to KVR_MAX_LABELS
    uint64_t max_requests;          // live ones an instance, 0: the pool's; up to 2^53
    enum kvr_role role;
    int64_t
        drain; // ms after which what is left on a draining worker is to be moved, up to KVR_MAX_MS
};

struct kvr_rank_info {
    uint64_t epoch, seq;
    uint64_t blocks[KVR_TIERS];
    uint64_t requests, prefill_tokens, decode_blocks;
    double ttft, tpot; // of late, ms; -1 unknown
};
struct kvr_worker_info {
    struct kvr_bytes name, addr;
    enum kvr_state state;
    uint64_t capacity;
    int64_t ttl_left; // ms, -1: none
    uint32_t ranks;
    enum kvr_circuit circuit;
    uint64_t failures;     // reported in a row, at most KVR_MAX_FAILURES
    double speed;          // as set; 0: as learnt
    size_t n_labels;       // see kvr_worker_label
    uint64_t max_requests; // as set; 0: the pool's
    enum kvr_role role;
    int64_t drain_left; // ms, -1: no such time
};

// Creates or updates a worker and renews its time as of `seen`. *created: 1 or 0.
// KVR_RANGE: a name, field or time out of range. KVR_LIMIT: too many instances.
enum kvr_err kvr_worker_set(struct kvr_pool *p, int64_t seen, struct kvr_bytes name,
                            const struct kvr_worker_settings *w, int *created);
enum kvr_err kvr_worker_del(struct kvr_pool *p, struct kvr_bytes name); // KVR_NOWORKER if unknown

// A circuit for each worker, shared by all who ask the pool (the pattern is Nygard's circuit breaker,
// "Release It!", 2007). `failures` in a row open it, for open_time; then it is half-open: the first
// booking is the probe, and keeps others out for another open_time unless somebody reports OK. FAILED opens it
// again, OK closes it. While it keeps a worker out, neither SELECT nor SCORE sees the worker, unless
// it is so with every worker that they could see otherwise: then circuits count for nothing, because to
// try beats to refuse.
extern const char *const kvr_circuit_names[]; // "closed", "open", "half-open"
// How a call to the worker went, as of `at`. *changed: whether the pool has. KVR_NOWORKER, KVR_RANGE.
enum kvr_err kvr_report(struct kvr_pool *p, int64_t at, struct kvr_bytes name, bool ok,
                        enum kvr_circuit *circuit, bool *changed);

size_t kvr_worker_count(const struct kvr_pool *p);
// i-th worker in name order (bytewise, shorter first on a tie), 0 <= i < kvr_worker_count.
void kvr_worker_at(const struct kvr_pool *p, int64_t now, size_t i, struct kvr_worker_info *out);
// -1 if unknown, else the index for kvr_worker_at.
long kvr_worker_find(const struct kvr_pool *p, struct kvr_bytes name);
void kvr_worker_rank(const struct kvr_pool *p, size_t i, uint32_t rank, struct kvr_rank_info *out);
// k-th label of the i-th worker, in bytewise order.
struct kvr_bytes kvr_worker_label(const struct kvr_pool *p, size_t i, size_t k);

// ---- Events --------------------------------------------------------------------------------------

enum kvr_pool_op_kind { KVR_STORED, KVR_REMOVED, KVR_CLEARED };
struct kvr_pool_op {
    enum kvr_pool_op_kind kind;
    int tier;        // enum kvr_tier; for CLEARED also -1: every tier
    bool has_parent; // STORED: false at the start of a sequence
    uint64_t parent;
    const uint64_t *hashes; // prefix hashes; n may be 0
    size_t n;
};
struct kvr_event_result {
    uint64_t seq;      // KVR_OK: the rank's last applied seq
    uint64_t expected; // KVR_GAP
    uint64_t epoch;    // KVR_STALE
    bool repeat;       // KVR_OK: seen before, nothing changed
};

// Applies the ops in order, all or nothing. epoch, seq >= 1 (else KVR_RANGE).
// bounded: give up with KVR_BUSY rather than look through a very large dropped subtree; a primary
// sets it, whoever applies a primary's stream doesn't.
enum kvr_err kvr_event(struct kvr_pool *p, struct kvr_bytes worker, uint32_t rank, uint64_t epoch,
                       uint64_t seq, const struct kvr_pool_op *ops, size_t n_ops, bool bounded,
                       struct kvr_event_result *out);

// Whether an event of this epoch and seq would be applied: it is neither a repeat nor too early nor too late.
bool kvr_event_is_next(const struct kvr_pool *p, struct kvr_bytes worker, uint32_t rank,
                       uint64_t epoch, uint64_t seq);

// ---- Requests ------------------------------------------------------------------------------------

struct kvr_query {
    const uint64_t *hashes;
    size_t n;
    int64_t isl;                             // tokens; -1: n × block_size
    int64_t osl;                             // expected output tokens, 0 unknown
    struct kvr_rule rule;                    // start from kvr_pool_options(p)->rule
    bool has_among;                          // only these workers
    const struct kvr_bytes *among, *exclude; // unknown names are ignored
    size_t n_among, n_exclude;
    const struct kvr_bytes *with, *without; // labels: all of these, none of those
    size_t n_with, n_without;               // up to KVR_MAX_LABELS each
    struct kvr_bytes session;               // 0 to KVR_MAX_ID bytes; empty: none
    bool pair;                              // SELECT alone: a prefilling instance, too
    // SELECT alone. 0 to KVR_MAX_ID bytes each; empty: the class `default`, no flow, nobody to tell.
    struct kvr_bytes service_class, flow, notify;
    int64_t wait; // ms it may wait for room; 0: it may not
};

struct kvr_pool_score {
    struct kvr_bytes worker, addr;
    uint32_t rank;
    uint32_t overlap;            // blocks; = device + host + disk
    uint32_t by_tier[KVR_TIERS]; // blocks of the overlap by best tier
    uint32_t expected;           // blocks; at least the overlap
    int64_t cached;              // tokens of the expected blocks, at most isl
    uint64_t prefill_tokens, decode_blocks, requests;
    double cost;
    double ttft, tpot; // ms to the first token and for each further one; -1 unknown
    bool room;         // within the pool's limits, for a request of the class `default`
};

// Scores every eligible instance, least cost first (ties as SELECT breaks them). *out is a scratch
// array of the pool's, valid until the next call on the pool. *n may be 0. KVR_NOMEM, KVR_RANGE.
enum kvr_err kvr_scores(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                        const struct kvr_pool_score **out, size_t *n);

// Why an instance isn't chosen, the first that holds; kvr_reason_names are what KVROUTE.EXPLAIN says.
enum kvr_reason {
    KVR_REASON_NONE, // it may be
    KVR_REASON_DRAINING,
    KVR_REASON_ROLE, // its worker doesn't do this part of a request
    KVR_REASON_EXCLUDED,
    KVR_REASON_AMONG, // it isn't in the query's list
    KVR_REASON_LABELS,
    KVR_REASON_EXPIRED,
    KVR_REASON_CIRCUIT, // open
    KVR_REASON_KEPT,    // for one who waits
    KVR_REASON_MAX_REQUESTS,
    KVR_REASON_MAX_PREFILL,
    KVR_REASON_MAX_BLOCKS,
    KVR_REASON_NO_PREFILL, // of a pair: nobody has room for the prompt
    KVR_REASONS
};
extern const char *const kvr_reason_names[KVR_REASONS];

// What decided in the end.
enum kvr_decider {
    KVR_DECIDED_COST,     // the least
    KVR_DECIDED_BOOKED,   // of equal costs the one that was booked longest ago
    KVR_DECIDED_NAME,     // of these, the first in name and rank order
    KVR_DECIDED_SESSION,  // where the session is, its cost being near enough to the least
    KVR_DECIDED_DRAW,     // TEMPERATURE: chosen is the likeliest
    KVR_DECIDED_ELIGIBLE, // refused: nobody is
    KVR_DECIDED_ROOM,     // refused: nobody has any
    KVR_DECIDED_QUEUE,    // refused: who waits goes first, and hasn't been looked at yet
    KVR_DECIDED_FLOW,     // refused: it has used up what it may
    KVR_DECIDERS
};
extern const char *const kvr_decider_names[KVR_DECIDERS];

// An instance, and what speaks for and against it.
struct kvr_pool_candidate {
    struct kvr_pool_score
        score; // its cost, of a pair that of the best one that it decodes in; if it may
               // not be chosen, what it would cost alone. room isn't set
    enum kvr_reason reason;
    uint64_t place;  // among those that may be chosen, 1: the least cost; 0: it is none of them
    double chance;   // of being chosen, 0 to 1
    uint64_t booked; // the pool's count of bookings when it was booked last; 0: never
    struct kvr_policy_row told; // what any rule may read of it, also what this one doesn't
    uint64_t capacity;          // blocks, 0 unknown
    // What the rule reads of it. credit and live in blocks; queue, known and own in tokens: still to be computed
    // there; counted as there of the prompt; to be computed of it. pace: against the fleet; full: of its cache.
    double credit, live, queue, known, own, pace, full;
    double terms[KVR_MAX_TERMS]; // of the cost alone, as the policy names them; sum: unrounded
    double sum;
    // Of a pair: why it can't compute the prompt, and what that would cost there; -1: it can't. Then who does
    // (empty: itself), and of what the cost is made; -1: it has none.
    enum kvr_reason prefill_reason;
    double prompt_cost;
    struct kvr_bytes prefill_worker, prefill_addr;
    uint32_t prefill_rank, prefill_overlap;
    double prefill_cost, decode_cost, transfer_cost;
};

struct kvr_pool_explanation {
    enum kvr_err result; // what SELECT would say now: KVR_OK, KVR_NOWORKER, KVR_NOROOM, KVR_LIMITED
    enum kvr_decider by;
    int64_t retry;       // ms, of KVR_NOROOM and KVR_LIMITED; else 0
    size_t n;            // candidates told
    uint64_t instances;  // of the pool
    uint64_t places;     // of these, that may be chosen
    int64_t isl;         // tokens
    double output;       // tokens that it is taken to put out
    double first_weight; // w
    double arrivals, reuse;
    double transfer;  // cost of moving a token's KV
    bool session;     // there is one that is remembered
    double allowance; // by how much where it is may cost more than the least
    struct kvr_bytes session_worker;
    uint32_t session_rank;
};
enum { KVR_MAX_TOP = 1024 };

// Why SELECT would choose what it would choose for q as it may not wait, as of `now`: who it would choose, then
// the others, those that may be chosen first, least cost first. Changes nothing. candidates: room for `top`, 1 to
// KVR_MAX_TOP. KVR_NOCLASS, KVR_RANGE, KVR_LIMIT, KVR_NOMEM. O(blocks + instances · log top).
enum kvr_err kvr_explain(struct kvr_pool *p, int64_t now, const struct kvr_query *q, size_t top,
                         struct kvr_pool_candidate *candidates, struct kvr_pool_explanation *out);

// A request as it is booked. Times are absolute so that a replica needs no clock.
struct kvr_booking {
    const uint64_t *hashes;
    size_t n;
    int64_t isl;    // -1: n × block_size
    int64_t osl;    // expected output tokens, 0 unknown
    int64_t cached; // tokens, 0..isl
    int64_t output; // tokens so far
    bool prefilled;
    int64_t lease;         // ms, 0 until released; -1: the pool's
    int64_t created;       // ms since the epoch
    int64_t renewed;       // ms since the epoch: the lease ends at renewed + lease
    int64_t predict_until; // ms since the epoch, 0: no prediction
    uint32_t overlap;      // blocks and cost as SELECT answered, for a repeat; 0 for a claim
    double cost;
    uint32_t
        expected; // blocks, as SELECT answered; 0: this, and an overlap of 0, follow from cached
    struct kvr_bytes session;             // 0 to KVR_MAX_ID bytes; empty: none
    struct kvr_bytes service_class, flow; // the same; empty: `default`, and none
    // The bucket of the flow after this booking, in thousandths of a token: what an effect tells, so that copies
    // need no clock. has_left: it is told; otherwise the flow pays from what it has at `created`.
    bool has_left;
    int64_t left;
    // Of a pair, where the prompt is computed (empty: where the request is booked), how many of its tokens that
    // instance need not compute and how many blocks it held.
    struct kvr_bytes prefill_worker;
    uint32_t prefill_rank, prefill_overlap;
    int64_t prefill_cached;
    // Of one that has waited: for how long, ms; and whether its owner has still to come for it, until when it
    // lives for the pool's `accept` ms and not for `lease`.
    int64_t waited;
    bool uncalled;
};

struct kvr_pool_choice {
    struct kvr_pool_score
        score; // of the chosen instance; a repeat has the overlap, expected blocks, cached tokens,
               // cost, ttft and tpot of the first answer, by_tier and the loads are 0
    uint64_t blocks; // of the request
    bool pair;       // it was asked for, or is one
    // Empty: the chosen instance computes the prompt by itself.
    struct kvr_bytes prefill_worker, prefill_addr;
    uint32_t prefill_rank, prefill_overlap;
    bool repeat;
    uint64_t version;
    int64_t waited; // ms that it waited for room
    bool came;      // a repeat: its owner has come for it with this call. A change, as by kvr_come
    bool waiting;   // it isn't booked but waits; of the above only `version` is set
    bool changed;   // of one that waits: it does so from now on, or tells another channel
    uint64_t position; // how many go before it, by what they say they cost; 0: next
    int64_t estimate;  // ms until it is admitted, -1 unknown
    int64_t retry;     // ms; KVR_NOROOM and KVR_LIMITED: when it would be admitted
};

// Chooses and books in one step. id: 1..KVR_MAX_ID bytes. random: uniform in [0, 1), read only when
// the temperature is above 0. lease as in kvr_booking. On success *booked is what was booked, to
// replicate as a claim (not set for a repeat, nor for one that waits). KVR_NOWORKER: nobody is eligible, and
// it may not wait. KVR_NOROOM, KVR_LIMITED: out->retry is set. KVR_NOCLASS, KVR_RANGE, KVR_LIMIT, KVR_NOMEM.
// Whoever waits goes first: call kvr_admit until it has nobody more, before and after.
enum kvr_err kvr_select(struct kvr_pool *p, int64_t now, struct kvr_bytes id,
                        const struct kvr_query *q, int64_t lease, double random,
                        struct kvr_pool_choice *out, struct kvr_booking *booked);
// Completes a booking that names a prefill_worker: how much of the prompt that has now. KVR_NOWORKER, KVR_RANGE, KVR_LIMIT.
enum kvr_err kvr_prefill_cached(struct kvr_pool *p, int64_t now, struct kvr_booking *b);
// Books without choosing, room or not; ends its waiting. *booked: 1, or 0 if the id is live already (nothing
// changes, but kvr_come is due). KVR_NOCLASS also.
enum kvr_err kvr_claim(struct kvr_pool *p, struct kvr_bytes id, struct kvr_bytes worker,
                       uint32_t rank, const struct kvr_booking *b, int *booked);
// output: total so far, -1 not given, smaller than known is ignored. lease: -1 as before. Renews the
// lease as of `now`. *live: 1, or 0 for an unknown request (nothing changes).
enum kvr_err kvr_update(struct kvr_pool *p, int64_t now, struct kvr_bytes id, bool prefilled,
                        int64_t output, int64_t lease, int *live);
// How a request comes to its end: its owner says so; its lease has ended; or it isn't known, as in the
// stream of a version that didn't say. Only the first teaches anything.
enum kvr_end { KVR_RELEASED, KVR_LAPSED, KVR_UNTOLD };
// Whether that any of the n ids were released, and when, would teach more than that they have gone: only what
// was put out does.
bool kvr_release_teaches(const struct kvr_pool *p, const struct kvr_bytes *ids, size_t n);
// Ends those of the n ids that are live or wait, as of `at`; returns how many. One change, however many.
size_t kvr_release(struct kvr_pool *p, int64_t at, const struct kvr_bytes *ids, size_t n,
                   enum kvr_end how);

struct kvr_request_info {
    struct kvr_bytes id, worker;
    uint32_t rank;
    int64_t isl, osl, cached, output;
    uint64_t blocks;
    bool prefilled;
    int64_t age, lease_left; // ms; lease_left -1: none
    int64_t ttft; // ms from its booking to its first token, -1: it had none, or nobody knows
    struct kvr_bytes session, service_class, flow;
    struct kvr_bytes prefill_worker; // empty: none
    uint32_t prefill_rank;
};
bool kvr_request_get(const struct kvr_pool *p, int64_t now, struct kvr_bytes id,
                     struct kvr_request_info *out);
// Calls f for the ids in about `count` hash buckets from the cursor on (0 starts) and returns the
// next cursor, 0 at the end. What is live during the whole scan is given at least once.
uint64_t kvr_request_scan(const struct kvr_pool *p, uint64_t cursor, size_t count,
                          void (*f)(void *ctx, struct kvr_bytes id), void *ctx);

// ---- Sessions ------------------------------------------------------------------------------------
// Where the last booking of each session went, for as long as session_ttl after it and while one of its
// bookings is live.

struct kvr_session_info {
    struct kvr_bytes name, worker;
    uint32_t rank;
    uint64_t requests; // live
    int64_t ttl_left;  // ms
};
bool kvr_session_get(const struct kvr_pool *p, int64_t now, struct kvr_bytes name,
                     struct kvr_session_info *out);
// As kvr_request_scan.
uint64_t kvr_session_scan(const struct kvr_pool *p, uint64_t cursor, size_t count,
                          void (*f)(void *ctx, struct kvr_bytes name), void *ctx);
// Forgets those of the n sessions that are remembered; returns how many. Live requests go on.
size_t kvr_session_del(struct kvr_pool *p, const struct kvr_bytes *names, size_t n);
// A session that is due by `now`. false: none.
bool kvr_due_session(struct kvr_pool *p, int64_t now, struct kvr_bytes *name);
// Forgets those that are due by `now`, at most max; tells f each name before. How many: one change, as by
// kvr_session_del of these.
size_t kvr_end_sessions(struct kvr_pool *p, int64_t now, size_t max,
                        void (*f)(void *ctx, struct kvr_bytes name), void *ctx);

// ---- Waiting -------------------------------------------------------------------------------------
// Requests that no instance has room for wait in one queue: classes by priority, classes of equal priority and
// the flows of a class by their weights (start-time fair queueing, Goyal, Vin and Cheng 1996), then by
// arrival. Only a primary admits; it replicates each admission, and copies apply it with kvr_admitted.

// One who has just been admitted.
struct kvr_admission {
    struct kvr_bytes id, worker, notify; // notify: the channel to tell; empty: none
    uint32_t rank;
    struct kvr_booking booked;
};
// Books the first of those who wait that an instance has room for, as of `now`. *looks: how many it may still
// look at, is counted down; a command gives some 64, the timer goes on where a command had to stop.
// random as for kvr_select. called: whether id's owner is waiting for the answer, so that it is told at once
// (may be NULL: none is). false: nobody, or no more looks; then kvr_admit_left tells which.
bool kvr_admit(struct kvr_pool *p, int64_t now, size_t *looks, double random,
               bool (*called)(void *ctx, struct kvr_bytes id), void *ctx,
               struct kvr_admission *out);
// Whether somebody waits whom nobody has looked at since room came.
bool kvr_admit_left(const struct kvr_pool *p, int64_t now);
// The same as an effect. b: created, cached, overlap, expected, cost, predict_until, left and uncalled are read; the
// rest is as the request said. *applied: whether it waited. KVR_NOWORKER, KVR_RANGE, KVR_NOMEM.
enum kvr_err kvr_admitted(struct kvr_pool *p, struct kvr_bytes id, struct kvr_bytes worker,
                          uint32_t rank, const struct kvr_booking *b, bool *applied);
// As an effect: id waits since `at` for what q and lease say, as kvr_select would have it wait; or, if it
// waits already, tells another channel. *applied: whether anything has changed.
enum kvr_err kvr_enqueue(struct kvr_pool *p, int64_t at, struct kvr_bytes id,
                         const struct kvr_query *q, int64_t lease, bool *applied);
// Whether id's owner has still to come for its booking; kvr_come: it has, at `at`, and its own lease begins. The first
// kvr_update is the coming, too.
bool kvr_uncalled(const struct kvr_pool *p, struct kvr_bytes id);
enum kvr_err kvr_come(struct kvr_pool *p, int64_t at, struct kvr_bytes id, bool *applied);
bool kvr_waits(const struct kvr_pool *p, struct kvr_bytes id);
// Ends those whose time is over by `now`, at most max; tells f each id before. How many: one change, as by
// kvr_release of these with KVR_LAPSED.
bool kvr_due_waiting(struct kvr_pool *p, int64_t now);
size_t kvr_end_waiting(struct kvr_pool *p, int64_t now, size_t max,
                       void (*f)(void *ctx, struct kvr_bytes id), void *ctx);

struct kvr_class_info {
    struct kvr_bytes name;
    int priority;
    double weight;
    uint64_t max_waiting; // 0: no limit
    uint64_t room;        // percent
    uint64_t waiting, tokens;
    int64_t oldest; // ms that the first of them has waited, 0: nobody waits
    uint64_t admitted, refused;
};
enum {
    KVR_CLASS_PRIORITY = 1,
    KVR_CLASS_WEIGHT = 2,
    KVR_CLASS_WAITING = 4,
    KVR_CLASS_ROOM = 8,
};
// Only what `set` names (KVR_CLASS_…) is read. *created: 1 or 0; `default` is always there. KVR_RANGE, KVR_LIMIT
// (KVR_MAX_CLASSES), KVR_NOMEM.
enum kvr_err kvr_class_set(struct kvr_pool *p, struct kvr_bytes name, unsigned set,
                           const struct kvr_class_info *c, int *created);
// *deleted: 1 or 0. KVR_WAITED; KVR_RANGE for `default`. Live requests keep its name.
enum kvr_err kvr_class_del(struct kvr_pool *p, struct kvr_bytes name, int *deleted);
size_t kvr_class_count(const struct kvr_pool *p);
bool kvr_class_known(const struct kvr_pool *p, struct kvr_bytes name);
// All of them in name order, kvr_class_count(p). O(classes + those who wait).
void kvr_classes(struct kvr_pool *p, int64_t now, struct kvr_class_info *out);

struct kvr_flow_info {
    struct kvr_bytes name;
    double weight;
    uint64_t max_requests; // live, 0: no limit
    int64_t rate, burst;   // tokens a second, and at once; 0: no limit
    uint64_t requests, waiting;
    int64_t left;  // tokens that it may use now, below 0: it owes them; -1 without a rate
    int64_t exact; // the same in thousandths of a token, as effects tell it; 0 without a rate
};
enum {
    KVR_FLOW_WEIGHT = 1,
    KVR_FLOW_REQUESTS = 2,
    KVR_FLOW_RATE = 4,
    KVR_FLOW_BURST = 8,
};
// Registers a flow or changes what `set` names (KVR_FLOW_…), as of `at`. has_left: its bucket holds *left
// thousandths of a token, as an effect says; in any case *left is what it holds afterwards. *created: 1 or 0.
enum kvr_err kvr_flow_set(struct kvr_pool *p, int64_t at, struct kvr_bytes name, unsigned set,
                          const struct kvr_flow_info *f, bool has_left, int64_t *left,
                          int *created);
enum kvr_err kvr_flow_del(struct kvr_pool *p, struct kvr_bytes name, int *deleted); // its limits
bool kvr_flow_get(const struct kvr_pool *p, int64_t now, struct kvr_bytes name,
                  struct kvr_flow_info *out); // registered ones, and those in use
// As kvr_request_scan, over the registered ones and those in use.
uint64_t kvr_flow_scan(const struct kvr_pool *p, uint64_t cursor, size_t count,
                       void (*f)(void *ctx, struct kvr_bytes name), void *ctx);

struct kvr_waiting_info {
    struct kvr_bytes id, service_class, flow;
    uint64_t position, blocks;
    int64_t waited; // ms
};
// The first n of those who wait, in order, as far as it is known before they are admitted: tells f each.
// *estimate: ms until a request of the class `default` that came now would be admitted, 0 with room, -1 unknown.
enum kvr_err kvr_queue(struct kvr_pool *p, int64_t now, size_t n,
                       void (*f)(void *ctx, const struct kvr_waiting_info *w), void *ctx,
                       int64_t *estimate);

// ---- Time ----------------------------------------------------------------------------------------
// The primary asks what is due, applies it, and replicates what it applied.

// The longest-overdue request whose lease has ended by `now`. false: none.
bool kvr_due_request(struct kvr_pool *p, int64_t now, struct kvr_bytes *id);
// Ends those, the longest-overdue first, at most max, and no further one after 100,000 blocks; tells f each id
// before. How many: one change, as by kvr_release of these with KVR_LAPSED.
size_t kvr_end_requests(struct kvr_pool *p, int64_t now, size_t max,
                        void (*f)(void *ctx, struct kvr_bytes id), void *ctx);
// A worker whose time, and then its grace, has run out by `now`. false: none. O(workers), but O(1) until the first
// that was seen before can be due.
bool kvr_due_worker(struct kvr_pool *p, int64_t now, struct kvr_bytes *name);
// Whether a prediction is due; kvr_forget drops those due by `at`, at most max, in the order of their
// bookings. Returns how many. A copy that is told how many those were drops the first ones with INT64_MAX.
bool kvr_due_prediction(const struct kvr_pool *p, int64_t now);
size_t kvr_forget(struct kvr_pool *p, int64_t at, size_t max);
// The primary tells the statistics that it let something expire.
void kvr_count_expired(struct kvr_pool *p, uint64_t requests, uint64_t workers);
// Every lease, every worker's time, every session and prediction counts as renewed at `now`, no earlier and
// no later: for who begins to decide, and for a clock that was set. O(workers), and O(all of them) where
// `now` is before a time that the pool knows. Neither a change nor part of the saved state.
void kvr_renew_all(struct kvr_pool *p, int64_t now);
// The same for a copy of `other`: all that was renewed there counts as renewed then.
void kvr_renew_like(struct kvr_pool *p, const struct kvr_pool *other);

// ---- Looking inside ------------------------------------------------------------------------------

// A run: consecutive blocks with one parent. id 0 is "none". Only runs that somebody holds, or that
// carry such runs, are shown; call kvr_pool_sweep first where memory of dropped holdings may remain.
struct kvr_run_view {
    uint32_t id;
    const uint64_t *hashes;
    size_t n;
    size_t holders; // how many kvr_run_holder knows
    bool has_children;
};
uint32_t kvr_tree_first(const struct kvr_pool *p, uint32_t parent); // first child; 0: first root
uint32_t kvr_tree_next(const struct kvr_pool *p, uint32_t run);     // next sibling, 0 at the end
bool kvr_tree_find(const struct kvr_pool *p, uint64_t hash, uint32_t *run, size_t *offset);
void kvr_tree_view(const struct kvr_pool *p, uint32_t run, struct kvr_run_view *out);
struct kvr_holder {
    struct kvr_bytes worker;
    uint32_t rank;
    int tier;
    size_t depth; // it holds the first `depth` blocks of the run
};
// false for an entry of a dropped instance.
bool kvr_run_holder(const struct kvr_pool *p, uint32_t run, size_t i, struct kvr_holder *out);

// ---- Saving and loading --------------------------------------------------------------------------

// Writes the pool as a sequence of chunks, each at most about 64 KiB except where a single record is
// larger. What was dropped isn't written, and needn't have been swept. The pool isn't const for scratch
// memory alone. sink returns 0, or non-zero to stop. KVR_OK, KVR_NOMEM, or KVR_CORRUPT when the sink stopped it.
enum kvr_err kvr_pool_save(struct kvr_pool *p, int (*sink)(void *ctx, const void *bytes, size_t n),
                           void *ctx);

// Tells f of memory that kvr_pool_save doesn't look at: a process that was forked to save needn't have it. Pieces are
// large ones, some hundred a pool.
void kvr_pool_unsaved_memory(const struct kvr_pool *p, void (*f)(void *ctx, void *at, size_t bytes),
                             void *ctx);

// Loads what kvr_pool_save wrote, fed in chunks as they were written. Trusts nothing: counts,
// order, references, duplicates and a checksum over the whole are checked before they are used.
struct kvr_loader;
struct kvr_loader *kvr_loader_new(const struct kvr_alloc *a, uint64_t seed); // NULL: no memory
// KVR_OK, KVR_CORRUPT or KVR_NOMEM; after an error only kvr_loader_free may follow.
enum kvr_err kvr_loader_feed(struct kvr_loader *l, const void *bytes, size_t n);
// Whether the last chunk has been fed.
bool kvr_loader_done(const struct kvr_loader *l);
// Hands over the pool, NULL if it isn't whole. The loader is freed either way.
struct kvr_pool *kvr_loader_finish(struct kvr_loader *l);
void kvr_loader_free(struct kvr_loader *l); // may be NULL

// Lets the caller move long-lived allocations: move returns the new place or NULL to leave it.
// Goes on from *cursor (0 starts) until stop says so; returns whether it is through.
bool kvr_pool_defrag(struct kvr_pool *p, uint64_t *cursor, void *(*move)(void *ctx, void *),
                     bool (*stop)(void *ctx), void *ctx);

#endif
