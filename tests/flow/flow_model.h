// SPDX-License-Identifier: Apache-2.0
// A pool as the contract words it, in plain arrays and loops: no runs, no index, no cleverness.
//
// Blocks are numbers below FLOW_MODEL_BLOCKS; the test knows their hashes. There is no time: leases and
// expiry are tested elsewhere. The whole of it is one struct without pointers, so an operation that
// is refused half way is undone by assignment.
#ifndef FLOW_MODEL_H
#define FLOW_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FLOW_MODEL_BLOCKS = 400,
    FLOW_MODEL_LIST = 24, // blocks in a list
    FLOW_MODEL_WORKERS = 6,
    FLOW_MODEL_RANKS = 3,
    FLOW_MODEL_REQUESTS = 40,
    FLOW_MODEL_PREDICTIONS = 2000,
    FLOW_MODEL_TIERS = 3, // device, host, disk
    FLOW_MODEL_LABELS = 3,
    FLOW_MODEL_SESSIONS = 8,
    FLOW_MODEL_ROWS = FLOW_MODEL_WORKERS * FLOW_MODEL_RANKS,
};

struct flow_model_rank {
    uint64_t epoch, seq;
    uint64_t booked; // its latest booking's number, 0: never
    bool holds[FLOW_MODEL_TIERS][FLOW_MODEL_BLOCKS];
};

struct flow_model_worker {
    bool registered, draining;
    int64_t addr; // the number that is its address; 0: none
    int ranks;
    int capacity;
    int speed;       // quarters; 0: as learnt
    unsigned labels; // a bit each
    struct flow_model_rank rank[FLOW_MODEL_RANKS];
};

struct flow_model_list {
    int n;
    int blocks[FLOW_MODEL_LIST];
};

struct flow_model_request {
    bool live, prefilled;
    int worker, rank, overlap, expected;
    int session; // -1: none
    bool chosen; // by SELECT: a repeat then tells the cost
    int64_t isl, cached, output;
    double cost;
    struct flow_model_list list;
};

struct flow_model_prediction {
    int worker, rank;
    int request; // the booking, while it is live; else -1
    struct flow_model_list list;
};

// Where its last booking went.
struct flow_model_session {
    bool remembered;
    int worker, rank;
};

struct flow_model {
    int64_t block_size;
    double overlap, prefill, requests, host, disk;           // the pool's weights and credits
    double stick;                                            // tokens
    struct flow_model_session sessions[FLOW_MODEL_SESSIONS]; // by the number of the name
    bool predict;                                            // for ever, when it is on
    struct flow_model_worker
        workers[FLOW_MODEL_WORKERS]; // by number; names are in the order of numbers
    struct flow_model_request live[FLOW_MODEL_REQUESTS];              // by the number of the id
    bool known[FLOW_MODEL_BLOCKS];                                    // held, or before one that is
    int parent[FLOW_MODEL_BLOCKS];                                    // of the known ones; -1: none
    struct flow_model_prediction predictions[FLOW_MODEL_PREDICTIONS]; // oldest first
    int n_predictions;
    uint64_t bookings;
    int64_t version, selects, repeats, select_blocks, overlap_blocks, expected_blocks;
    int64_t events, stored_blocks, removed_blocks, gaps, stale;
};

void flow_model_start(struct flow_model *m, int64_t block_size);

struct flow_model_worker_settings { // negative: not named
    int64_t addr;
    int ranks, capacity, draining, speed, labels;
};
int flow_model_worker_set(struct flow_model *m, int worker,
                          const struct flow_model_worker_settings *set);
int flow_model_worker_del(struct flow_model *m, int worker);

enum flow_model_op_kind { FLOW_MODEL_STORED, FLOW_MODEL_REMOVED, FLOW_MODEL_CLEARED };
struct flow_model_op {
    enum flow_model_op_kind kind;
    int tier;   // CLEARED: -1 for every tier
    int parent; // STORED: -1 for none
    struct flow_model_list list;
};
// NULL, or the error's code. *number: the last applied seq, or what the error names.
const char *flow_model_event(struct flow_model *m, int worker, int rank, uint64_t epoch,
                             uint64_t seq, const struct flow_model_op *ops, int n_ops,
                             uint64_t *number);

struct flow_model_query {
    struct flow_model_list list;
    int64_t isl;
    double overlap, prefill, requests;
    unsigned with, without; // labels
    int session;            // -1: none
    bool among_given, among[FLOW_MODEL_WORKERS], exclude[FLOW_MODEL_WORKERS];
};
struct flow_model_row {
    int worker, rank;
    int overlap, expected, by_tier[FLOW_MODEL_TIERS];
    int64_t cached, prefill_tokens, decode_blocks, requests;
    double cost;
};
int flow_model_score(const struct flow_model *m, const struct flow_model_query *q,
                     struct flow_model_row *rows);
// NULL or NOWORKER. A repeat fills worker, rank, overlap, cached and cost of *row.
const char *flow_model_select(struct flow_model *m, int id, const struct flow_model_query *q,
                              struct flow_model_row *row, bool *repeat);
// NULL or NOWORKER; *booked: 1, or 0 when it is live.
const char *flow_model_claim(struct flow_model *m, int id, int worker, int rank,
                             const struct flow_model_request *as, int *booked);
int flow_model_update(struct flow_model *m, int id, bool prefilled,
                      int64_t output); // -1: not named
int flow_model_release(struct flow_model *m, const int *ids, int n);
int flow_model_session_del(struct flow_model *m, const int *sessions, int n);
int64_t flow_model_session_requests(const struct flow_model *m, int session);

int64_t flow_model_blocks(const struct flow_model *m);    // distinct, held
int64_t flow_model_holdings(const struct flow_model *m);  // of all
int64_t flow_model_predicted(const struct flow_model *m); // (instance, block)
int64_t flow_model_held(const struct flow_model_rank *r, int tier);
int64_t flow_model_prefill_tokens(const struct flow_model *m, int worker, int rank);
int64_t flow_model_decode_blocks(const struct flow_model *m, int worker, int rank);
int64_t flow_model_requests(const struct flow_model *m, int worker, int rank); // -1, -1: everywhere

#endif
