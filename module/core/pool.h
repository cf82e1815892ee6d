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
};

#define KVR_MAX_FAILURES 1000000
#define KVR_MAX_WEIGHT 1e9 // weights and TEMPERATURE: 0 to this; credits: 0 to 1

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
    uint64_t unswept;       // holdings that are gone but whose memory is still to be freed
    uint64_t sessions;      // remembered
};
void kvr_pool_stats(const struct kvr_pool *p, int64_t now, struct kvr_stats *out);

// 20 bytes over the logical state (options, workers, holdings, requests); independent of the order
// in which the state was built, of time and of statistics. O(holdings + requests).
enum { KVR_DIGEST_BYTES = 20 };
void kvr_pool_digest(const struct kvr_pool *p, uint8_t out[KVR_DIGEST_BYTES]);
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

// What WORKER SET names. Only fields whose bit is in `set` are read.
enum {
    KVR_SET_ADDR = 1,
    KVR_SET_RANKS = 2,
    KVR_SET_CAPACITY = 4,
    KVR_SET_STATE = 8,
    KVR_SET_TTL = 16,
    KVR_SET_SPEED = 32,
    KVR_SET_LABELS = 64,
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
    uint64_t failures; // reported in a row, at most KVR_MAX_FAILURES
    double speed;      // as set; 0: as learnt
    size_t n_labels;   // see kvr_worker_label
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
};

// Scores every eligible instance, least cost first (ties as SELECT breaks them). *out is a scratch
// array of the pool's, valid until the next call on the pool. *n may be 0. KVR_NOMEM, KVR_RANGE.
enum kvr_err kvr_scores(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                        const struct kvr_pool_score **out, size_t *n);

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
    struct kvr_bytes session; // 0 to KVR_MAX_ID bytes; empty: none
};

struct kvr_pool_choice {
    struct kvr_pool_score
        score; // of the chosen instance; a repeat has the overlap, expected blocks, cached tokens,
               // cost, ttft and tpot of the first answer, by_tier and the loads are 0
    uint64_t blocks; // of the request
    bool repeat;
    uint64_t version;
};

// Chooses and books in one step. id: 1..KVR_MAX_ID bytes. random: uniform in [0, 1), read only when
// the temperature is above 0. lease as in kvr_booking. On success *booked is what was booked, to
// replicate as a claim (not set for a repeat). KVR_NOWORKER: nobody is eligible. KVR_RANGE,
// KVR_LIMIT, KVR_NOMEM.
enum kvr_err kvr_select(struct kvr_pool *p, int64_t now, struct kvr_bytes id,
                        const struct kvr_query *q, int64_t lease, double random,
                        struct kvr_pool_choice *out, struct kvr_booking *booked);
// Books without choosing. *booked: 1, or 0 if the id is live already (nothing changes).
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
// Ends those of the n ids that are live, as of `at`; returns how many. One change, however many.
size_t kvr_release(struct kvr_pool *p, int64_t at, const struct kvr_bytes *ids, size_t n,
                   enum kvr_end how);

struct kvr_request_info {
    struct kvr_bytes id, worker;
    uint32_t rank;
    int64_t isl, osl, cached, output;
    uint64_t blocks;
    bool prefilled;
    int64_t age, lease_left; // ms; lease_left -1: none
    struct kvr_bytes session;
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

// ---- Time ----------------------------------------------------------------------------------------
// The primary asks what is due, applies it, and replicates what it applied.

// The longest-overdue request whose lease has ended by `now`. false: none.
bool kvr_due_request(struct kvr_pool *p, int64_t now, struct kvr_bytes *id);
// A worker whose time, and then its grace, has run out by `now`. O(workers). false: none.
bool kvr_due_worker(struct kvr_pool *p, int64_t now, struct kvr_bytes *name);
// Whether a prediction is due; kvr_forget drops those due by `at`, at most max. Returns how many.
bool kvr_due_prediction(const struct kvr_pool *p, int64_t now);
size_t kvr_forget(struct kvr_pool *p, int64_t at, size_t max);
// The primary tells the statistics that it let something expire.
void kvr_count_expired(struct kvr_pool *p, uint64_t requests, uint64_t workers);
// Every lease and every worker's time count as renewed at `now` at the earliest. O(1). Not a change.
void kvr_renew_all(struct kvr_pool *p, int64_t now);
// When they last were; 0: never. Not part of the saved state, so a copy has to be told.
int64_t kvr_renewed(const struct kvr_pool *p);

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
// larger. Sweeps first, so the pool isn't const; nothing logical changes. sink returns 0, or
// non-zero to stop. KVR_OK, KVR_NOMEM, or KVR_CORRUPT when the sink stopped it.
enum kvr_err kvr_pool_save(struct kvr_pool *p, int (*sink)(void *ctx, const void *bytes, size_t n),
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
