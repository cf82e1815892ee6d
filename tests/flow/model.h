// SPDX-License-Identifier: Apache-2.0
// A pool as the contract words it, in plain arrays and loops: no runs, no index, no cleverness.
//
// Blocks are numbers below MODEL_BLOCKS; the test knows their hashes. There is no time: leases and
// expiry are tested elsewhere. The whole of it is one struct without pointers, so an operation that
// is refused half way is undone by assignment.
#ifndef FLOW_MODEL_H
#define FLOW_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MODEL_BLOCKS = 400,
    MODEL_LIST = 24, // blocks in a list
    MODEL_WORKERS = 6,
    MODEL_RANKS = 3,
    MODEL_REQUESTS = 40,
    MODEL_PREDICTIONS = 2000,
    MODEL_TIERS = 3, // device, host, disk
    MODEL_LABELS = 3,
    MODEL_SESSIONS = 8,
    MODEL_ROWS = MODEL_WORKERS * MODEL_RANKS,
};

struct model_rank {
    uint64_t epoch, seq;
    uint64_t booked; // its latest booking's number, 0: never
    bool holds[MODEL_TIERS][MODEL_BLOCKS];
};

struct model_worker {
    bool registered, draining;
    int64_t addr; // the number that is its address; 0: none
    int ranks;
    int capacity;
    int speed;       // quarters; 0: as learnt
    unsigned labels; // a bit each
    struct model_rank rank[MODEL_RANKS];
};

struct model_list {
    int n;
    int blocks[MODEL_LIST];
};

struct model_request {
    bool live, prefilled;
    int worker, rank, overlap, expected;
    int session; // -1: none
    bool chosen; // by SELECT: a repeat then tells the cost
    int64_t isl, cached, output;
    double cost;
    struct model_list list;
};

struct model_prediction {
    int worker, rank;
    int request; // the booking, while it is live; else -1
    struct model_list list;
};

// Where its last booking went.
struct model_session {
    bool remembered;
    int worker, rank;
};

struct model {
    int64_t block_size;
    double overlap, prefill, requests, host, disk; // the pool's weights and credits
    double stick;                                  // tokens
    struct model_session sessions[MODEL_SESSIONS]; // by the number of the name
    bool predict;                                  // for ever, when it is on
    struct model_worker workers[MODEL_WORKERS];    // by number; names are in the order of numbers
    struct model_request live[MODEL_REQUESTS];     // by the number of the id
    bool known[MODEL_BLOCKS];                      // held, or before one that is
    int parent[MODEL_BLOCKS];                      // of the known ones; -1: none
    struct model_prediction predictions[MODEL_PREDICTIONS]; // oldest first
    int n_predictions;
    uint64_t bookings;
    int64_t version, selects, repeats, select_blocks, overlap_blocks, expected_blocks;
    int64_t events, stored_blocks, removed_blocks, gaps, stale;
};

void model_start(struct model *m, int64_t block_size);

struct model_worker_set { // negative: not named
    int64_t addr;
    int ranks, capacity, draining, speed, labels;
};
int model_worker_set(struct model *m, int worker, const struct model_worker_set *set);
int model_worker_del(struct model *m, int worker);

enum model_op_kind { MODEL_STORED, MODEL_REMOVED, MODEL_CLEARED };
struct model_op {
    enum model_op_kind kind;
    int tier;   // CLEARED: -1 for every tier
    int parent; // STORED: -1 for none
    struct model_list list;
};
// NULL, or the error's code. *number: the last applied seq, or what the error names.
const char *model_event(struct model *m, int worker, int rank, uint64_t epoch, uint64_t seq,
                        const struct model_op *ops, int n_ops, uint64_t *number);

struct model_query {
    struct model_list list;
    int64_t isl;
    double overlap, prefill, requests;
    unsigned with, without; // labels
    int session;            // -1: none
    bool among_given, among[MODEL_WORKERS], exclude[MODEL_WORKERS];
};
struct model_row {
    int worker, rank;
    int overlap, expected, by_tier[MODEL_TIERS];
    int64_t cached, prefill_tokens, decode_blocks, requests;
    double cost;
};
int model_score(const struct model *m, const struct model_query *q, struct model_row *rows);
// NULL or NOWORKER. A repeat fills worker, rank, overlap, cached and cost of *row.
const char *model_select(struct model *m, int id, const struct model_query *q,
                         struct model_row *row, bool *repeat);
// NULL or NOWORKER; *booked: 1, or 0 when it is live.
const char *model_claim(struct model *m, int id, int worker, int rank,
                        const struct model_request *as, int *booked);
int model_update(struct model *m, int id, bool prefilled, int64_t output); // -1: not named
int model_release(struct model *m, const int *ids, int n);
int model_session_del(struct model *m, const int *sessions, int n);
int64_t model_session_requests(const struct model *m, int session);

int64_t model_blocks(const struct model *m);    // distinct, held
int64_t model_holdings(const struct model *m);  // of all
int64_t model_predicted(const struct model *m); // (instance, block)
int64_t model_held(const struct model_rank *r, int tier);
int64_t model_prefill_tokens(const struct model *m, int worker, int rank);
int64_t model_decode_blocks(const struct model *m, int worker, int rank);
int64_t model_requests(const struct model *m, int worker, int rank); // -1, -1: everywhere

#endif
