// SPDX-License-Identifier: Apache-2.0
// What a pool is made of. For the pool's own files (pool, instances, circuit, ledger, select, event, look,
// digest, save, load, validate); everybody else includes pool.h.
#ifndef KVR_POOL_IMPL_H
#define KVR_POOL_IMPL_H

#include "deadline.h"
#include "hmap.h"
#include "learn.h"
#include "live.h"
#include "policy.h"
#include "pool.h"
#include "tree.h"

enum {
    SWEEP_AT_DROP = 600,  // units swept by the call that drops: a small pool is clean at once
    SWEEP_AT_EVENT = 32,  // units swept along with an event: progress without a timer
    KNOWN_BUDGET = 20000, // runs that a bounded event may look at, a few ms
    LANES = 8,            // columns' lengths are multiples of it
};
#define MAX_CAPACITY ((uint64_t)1 << 53)

// A routed, unfinished call. Invariants: in the hash table by id, in its instance's list, in the
// deadlines iff lease > 0; 0 <= cached <= isl; end is where its blocks end in the live tree.
// What it teaches: `ahead`, `number`, `kind` and ttft are of its booking; prefilled_at is 0 until its first
// token, and for one that was booked with it. Until then it is in its instance's queue.
struct request {
    struct hmap_item item;
    struct deadline due;            // renewed + lease, or earlier after kvr_renew_all
    struct request *prev, *next;    // of the same instance
    struct request *sooner, *later; // of the instance's queue, in the order of booking
    struct live_node *end;
    struct prediction *prediction; // NULL: none, or it is over
    struct session *session;       // NULL: none
    uint32_t instance;
    uint32_t blocks, overlap, expected;
    bool prefilled;
    int64_t isl, osl, cached, output, lease, created, renewed;
    int64_t ahead;        // tokens queued on the instance when it was booked, its own included
    uint64_t number;      // the pool's booking count
    int64_t prefilled_at; // ms since the epoch
    struct forecast_case kind;
    double cost, ttft, tpot; // as answered; ms, -1 unknown
    uint16_t id_len;
    char id[];
};

// A booking whose blocks count as held for a while. In its instance's queue, oldest first.
struct prediction {
    struct deadline due;
    struct prediction *prev, *next;
    struct live_node *end;
    struct request *request; // the booking, NULL once it has ended
    uint32_t instance, blocks;
};

// Where a session's last booking went, and its live requests. In the hash table by name as long as it is
// remembered or has live requests. Invariants: in the deadlines iff remembered and idle; the requests that name it
// are `live`. One whose instance has gone since (another generation) counts as forgotten: it is stale, and
// its memory goes with a sweep or its time.
struct session {
    struct hmap_item item;
    struct deadline due; // booked
    uint32_t instance;
    uint64_t generation; // of the instance
    uint64_t live;       // requests
    int64_t booked;      // ms since the epoch
    bool remembered;
    uint16_t name_len;
    char name[];
};

// A worker's label; hash is of the bytes, under the pool's seed.
struct label {
    uint64_t hash;
    uint8_t n;
    char bytes[KVR_MAX_LABEL];
};

struct worker {
    char *addr;
    uint32_t addr_len, name_len;
    uint64_t capacity;
    enum kvr_state state; // KVR_READY or KVR_DRAINING; expired follows from the time
    int64_t ttl;          // ms; -1: the pool's
    int64_t seen;         // ms since the epoch, of the last heartbeat
    uint64_t failures;    // reported since the last success, at most KVR_MAX_FAILURES
    int64_t barred;       // ms since the epoch: the circuit is open until then; 0: closed
    uint32_t ranks;
    uint32_t *instances;  // by rank
    uint32_t mark;        // scratch of one query: AMONG and EXCLUDE
    double speed;         // as set; 0: as learnt
    struct label *labels; // in bytewise order
    uint32_t n_labels;
    char name[];
};

// (worker, rank), what SELECT chooses between. The loads that scoring reads stand apart, by instance
// in arrays of doubles; here are the exact counts that they mirror.
struct instance {
    struct worker *worker; // NULL: not in use
    uint32_t rank, next_free;
    uint64_t generation;      // no two instances of a pool's life have the same
    uint64_t epoch, seq;      // last applied event
    uint32_t slot[KVR_TIERS]; // in the prefix tree, 0 while it holds nothing there
    uint64_t booked;          // the pool's booking count when it was last booked, 0 never
    uint64_t requests, prefill_tokens, live_blocks, output_blocks;
    uint64_t predicted; // distinct predicted blocks
    struct request *first;
    struct request *queue_first, *queue_last; // those without a first token
    uint64_t queued;                          // how many
    struct prediction *oldest, *newest;
    uint64_t sessions; // remembered, whose last booking is here
    struct learnt_instance learnt;
};

// What scoring and choosing read and write, as arrays by instance: scratch of one query, and mirrors of
// what stands elsewhere, so that both are loops over doubles that the compiler vectorises. Made with
// the instances, so a query never needs memory.
//
// An instance is eligible while now < max(seen, renewed) + ttl. ttl is infinite for a worker that never
// expires and minus infinite for one that isn't ready. What is mirrored as a double is below 2^53.
struct columns {
    uint32_t *reach, *by_tier[KVR_TIERS], *live, *expected, *behind;
    double *credit, *live_prefix, *cost, *rank, *pace, *queue;
    double *prefill_tokens, *decode_blocks, *requests, *booked; // instance_refresh
    double *decode_time, *decode_tokens, *full;                 // instance_refresh
    double *oldest_tokens, *free_at, *rate;                     // instance_refresh
    double *seen, *ttl, *slow; // worker_refresh; slow: 1 / speed, 0: as learnt
};

struct kvr_pool {
    struct mem mem;
    uint64_t seed;
    struct kvr_options options;
    uint64_t version, bookings;
    int64_t renewed; // every lease and worker's time counts as renewed then, at the earliest

    struct worker **workers; // in name order
    size_t n_workers, cap_workers;
    size_t n_barred; // of the workers: whose circuit isn't closed
    struct instance *instances;
    size_t cap_instances;                   // of instances and of every column
    uint32_t n_instances;                   // ids ever used
    uint32_t live_instances, free_instance; // in use; list of unused ids + 1, 0 at the end
    struct columns columns;

    struct tree tree;      // holdings
    struct live live;      // blocks of live requests
    struct live predicted; // blocks of predictions
    struct hmap requests, sessions;
    struct deadlines leases, predictions, session_ends;
    uint64_t generations;    // instances ever made
    uint64_t n_sessions;     // remembered, and their instance is there
    uint64_t stale_sessions; // remembered, and their instance has gone
    size_t swept_sessions;   // the bucket of the sessions that is swept next
    struct learnt learnt;
    struct kvr_stats stats; // only the counters; the rest is filled in on demand

    struct kvr_pool_score *scores; // scratch of kvr_scores
    size_t cap_scores;
};

// instances.c
long worker_find(const struct kvr_pool *p, struct kvr_bytes name, size_t *place);
uint32_t instance_find(const struct kvr_pool *p, struct kvr_bytes worker, uint32_t rank);
bool worker_expired(const struct kvr_pool *p, const struct worker *w, int64_t now);
int64_t worker_ttl(const struct kvr_pool *p, const struct worker *w);
double instance_full(const struct kvr_pool *p, const struct instance *in);
double instance_oldest(const struct instance *in); // tokens to compute of the first in its queue
void instance_refresh(struct kvr_pool *p, uint32_t i); // mirrors its loads into the columns
void worker_refresh(struct kvr_pool *p, const struct worker *w); // mirrors what makes it eligible
bool worker_before(const struct worker *a, const struct worker *b); // in name order
void worker_free(struct kvr_pool *p, struct worker *w);
void columns_free(struct kvr_pool *p);

// circuit.c
enum kvr_circuit circuit_of(const struct worker *w, int64_t now);
void circuit_set(struct kvr_pool *p, struct worker *w, uint64_t failures, int64_t barred);
void circuit_booked(struct kvr_pool *p, struct worker *w,
                    int64_t at); // the probe, if it is half-open

// ledger.c
struct request *request_find(const struct kvr_pool *p, struct kvr_bytes id);
enum kvr_err request_add(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                         const struct kvr_booking *b);
// Adds one that teaches nothing and leaves its session where it is, as one that was booked before it was
// saved; the caller refreshes the instance. *out: the request.
enum kvr_err request_load(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                          const struct kvr_booking *b, struct request **out);
void request_end(struct kvr_pool *p, struct request *r);
// How a request with `own` tokens to compute finds the instance, booked at `now`.
struct forecast_case instance_case(const struct kvr_pool *p, const struct instance *in, int64_t now,
                                   int64_t own);
void request_free(struct kvr_pool *p, struct request *r); // its memory alone
enum kvr_err prediction_add(struct kvr_pool *p, uint32_t instance, const uint64_t *hashes, size_t n,
                            int64_t until, uint64_t number, struct request *of);
void prediction_end(struct kvr_pool *p, struct prediction *f);
void predictions_cap(struct kvr_pool *p, uint32_t instance);
void predictions_drop(struct kvr_pool *p, uint32_t instance);
enum kvr_err booking_check(const struct kvr_pool *p, const struct kvr_booking *b);

// session.c
struct session *session_find(const struct kvr_pool *p, struct kvr_bytes name); // of any instance
bool session_valid(const struct kvr_pool *p, const struct session *s); // its instance is there
bool session_lasts(const struct kvr_pool *p, const struct session *s,
                   int64_t now); // its time isn't over
// The session of that name, to be booked by session_book: one that is known, or a new one. NULL without
// memory. A new one that isn't booked and has no live request is ended by session_drop.
struct session *session_take(struct kvr_pool *p, struct kvr_bytes name);
void session_book(struct kvr_pool *p, struct session *s, uint32_t instance, int64_t at,
                  uint64_t number);
void session_join(struct kvr_pool *p, struct session *s);  // a live request more
void session_leave(struct kvr_pool *p, struct session *s); // and one less
void session_drop(struct kvr_pool *p, struct session *s);  // frees it unless somebody needs it
bool sessions_sweep(struct kvr_pool *p,
                    size_t max); // stale ones; max buckets; whether more are left
const char *sessions_validate(const struct kvr_pool *p);
void sessions_free(struct kvr_pool *p);

// label.c
int label_compare(const void *left, const void *right); // of two struct label, bytewise
enum kvr_err labels_make(struct kvr_pool *p, const struct kvr_bytes *labels, size_t n,
                         struct label **out, uint32_t *n_out);
void labels_free(struct kvr_pool *p, struct label *labels, uint32_t n);
// What WITH and WITHOUT ask, by hash, so that a worker is looked at in a few steps.
struct label_query {
    uint64_t with[KVR_MAX_LABELS], without[KVR_MAX_LABELS];
};
void label_query_make(const struct kvr_pool *p, const struct kvr_query *q, struct label_query *out);
bool labels_fit(const struct worker *w, const struct kvr_query *q, const struct label_query *l);

#endif
