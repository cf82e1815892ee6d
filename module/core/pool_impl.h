// SPDX-License-Identifier: Apache-2.0
// What a pool is made of. For the pool's own files (pool, instances, circuit, ledger, select, event, look,
// digest, save, load, validate); everybody else includes pool.h.
#ifndef KVR_POOL_IMPL_H
#define KVR_POOL_IMPL_H

#include "deadline.h"
#include "hmap.h"
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
struct request {
    struct hmap_item item;
    struct deadline due;         // renewed + lease, or earlier after kvr_renew_all
    struct request *prev, *next; // of the same instance
    struct live_node *end;
    uint32_t instance;
    uint32_t blocks, overlap;
    bool prefilled;
    int64_t isl, osl, cached, output, lease, created, renewed;
    double cost;
    uint16_t id_len;
    char id[];
};

// A booking whose blocks count as held for a while. In its instance's queue, oldest first.
struct prediction {
    struct deadline due;
    struct prediction *prev, *next;
    struct live_node *end;
    uint32_t instance, blocks;
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
    uint32_t *instances; // by rank
    uint32_t mark;       // scratch of one query: AMONG and EXCLUDE
    char name[];
};

// (worker, rank), what SELECT chooses between. The loads that scoring reads stand apart, by instance
// in arrays of doubles; here are the exact counts that they mirror.
struct instance {
    struct worker *worker; // NULL: not in use
    uint32_t rank, next_free;
    uint64_t epoch, seq;      // last applied event
    uint32_t slot[KVR_TIERS]; // in the prefix tree, 0 while it holds nothing there
    uint64_t booked;          // the pool's booking count when it was last booked, 0 never
    uint64_t requests, prefill_tokens, live_blocks, output_blocks;
    uint64_t predicted; // distinct predicted blocks
    struct request *first;
    struct prediction *oldest, *newest;
};

// What scoring and choosing read and write, as arrays by instance: scratch of one query, and mirrors of
// what stands elsewhere, so that both are loops over doubles that the compiler vectorises. Made with
// the instances, so a query never needs memory.
//
// An instance is eligible while now < max(seen, renewed) + ttl. ttl is infinite for a worker that never
// expires and minus infinite for one that isn't ready. What is mirrored as a double is below 2^53.
struct columns {
    uint32_t *reach, *by_tier[KVR_TIERS], *live;
    double *credit, *live_prefix, *cost, *rank;
    double *prefill_tokens, *decode_blocks, *requests, *booked; // instance_refresh
    double *seen, *ttl;                                         // worker_refresh
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

    struct tree tree;     // holdings
    struct live live;     // blocks of live requests
    struct live expected; // blocks of predictions
    struct hmap requests;
    struct deadlines leases, predictions;
    struct kvr_stats stats; // only the counters; the rest is filled in on demand

    struct kvr_score *scores; // scratch of kvr_scores
    size_t cap_scores;
};

// instances.c
long worker_find(const struct kvr_pool *p, struct kvr_bytes name, size_t *place);
uint32_t instance_find(const struct kvr_pool *p, struct kvr_bytes worker, uint32_t rank);
bool worker_expired(const struct kvr_pool *p, const struct worker *w, int64_t now);
int64_t worker_ttl(const struct kvr_pool *p, const struct worker *w);
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
void request_end(struct kvr_pool *p, struct request *r);
enum kvr_err prediction_add(struct kvr_pool *p, uint32_t instance, const uint64_t *hashes, size_t n,
                            int64_t until);
void prediction_end(struct kvr_pool *p, struct prediction *f);
void predictions_cap(struct kvr_pool *p, uint32_t instance);
void predictions_drop(struct kvr_pool *p, uint32_t instance);
enum kvr_err booking_check(const struct kvr_pool *p, const struct kvr_booking *b);

#endif
