// SPDX-License-Identifier: Apache-2.0
// The model's queue: who waits, classes, flows and whose turn it is; part of unit_model.h.
//
// Arrays again, walked from end to end. The order is worked out anew for every question: classes by
// priority, those of equal priority by their start in the virtual time of their level, the flows of a class by
// their start in that of the class, then by arrival.
#ifndef UNIT_MODEL_QUEUE_H
#define UNIT_MODEL_QUEUE_H

#include "module/core/pool.h"

struct unit_model;
struct unit_model_worker;
struct unit_model_rank;
struct unit_model_choice;

struct unit_model_name {
    char bytes[KVR_MAX_ID];
    size_t n;
};

static inline struct kvr_bytes model_bytes(const struct unit_model_name *name) {
    return (struct kvr_bytes){name->bytes, name->n};
}

// Start-time fair queueing: what a class is charged in its level, a flow in its class.
struct unit_model_share {
    double start;  // where its first one begins; as long as one of it waits
    double finish; // where the last one that was admitted ends
    uint64_t idle; // the number of the last that left; for forgetting
};

// One that waits; all of the query is its own copy.
struct unit_model_waiting {
    struct unit_model_name id;
    struct kvr_query q;
    int64_t lease;   // -1: the pool's
    int64_t since;   // ms since the epoch
    uint64_t number; // arrivals when it came
};

// A flow of a class as the class sees it.
struct unit_model_turn {
    struct unit_model_name flow;
    struct unit_model_share share;
};

struct unit_model_class {
    struct unit_model_name name;
    int priority;
    double weight;
    uint64_t max_waiting, room;
    uint64_t admitted, refused;
    struct unit_model_share share;
    double v; // of its flows
    struct unit_model_turn *turns;
    size_t n_turns;
};

// A priority's virtual time.
struct unit_model_level {
    int priority;
    double v;
};

// A registered flow.
struct unit_model_flow {
    struct unit_model_name name;
    double weight;
    uint64_t max_requests;
    int64_t rate, burst; // burst 0: a second's rate
    int64_t left, at;    // thousandths of a token, as of when
};

struct unit_model_queue {
    struct unit_model_waiting *waiting; // by arrival
    size_t n_waiting;
    struct unit_model_class *classes; // the first is `default`
    size_t n_classes;
    struct unit_model_level *levels;
    size_t n_levels;
    struct unit_model_flow *flows;
    size_t n_flows;
    uint64_t arrivals;
};

void unit_model_queue_init(struct unit_model *m);
void unit_model_queue_free(struct unit_model *m);

// ---- Room ----------------------------------------------------------------------------------------

__extension__ typedef unsigned __int128 unit_wide; // for percentages

enum unit_model_fit { UNIT_FITS, UNIT_FITS_BUT_BLOCKS, UNIT_FITS_NOT };
// Whether the instance has room for the request, for a class that may use so many percent of it.
// Whether it has room by what is counted, blocks left aside.
bool unit_model_fit_counted(const struct unit_model *m, const struct unit_model_worker *w,
                            const struct unit_model_rank *r, uint64_t percent);
enum unit_model_fit unit_model_fit(const struct unit_model *m, const struct unit_model_worker *w,
                                   const struct unit_model_rank *r, const struct kvr_query *q,
                                   uint64_t percent);

// ---- Classes and flows ---------------------------------------------------------------------------

enum kvr_err unit_model_class_set(struct unit_model *m, struct kvr_bytes name, unsigned set,
                                  const struct kvr_class_info *c, int *created);
enum kvr_err unit_model_class_del(struct unit_model *m, struct kvr_bytes name, int *deleted);
struct unit_model_class *unit_model_find_class(const struct unit_model *m,
                                               struct kvr_bytes name); // empty: `default`
enum kvr_err unit_model_flow_set(struct unit_model *m, int64_t at, struct kvr_bytes name,
                                 unsigned set, const struct kvr_flow_info *f, bool has_left,
                                 int64_t *left, int *created);
enum kvr_err unit_model_flow_del(struct unit_model *m, struct kvr_bytes name, int *deleted);
struct unit_model_flow *unit_model_find_flow(const struct unit_model *m, struct kvr_bytes name);
uint64_t unit_model_flow_live(const struct unit_model *m, struct kvr_bytes name);
uint64_t unit_model_flow_waiting(const struct unit_model *m, struct kvr_bytes name);
// What its bucket holds at `now`, thousandths.
int64_t unit_model_flow_left(const struct unit_model *m, const struct unit_model_flow *f,
                             int64_t now);
// Whether the flow's limits let a request of so many tokens pass.
bool unit_model_flow_passes(const struct unit_model *m, struct kvr_bytes flow, int64_t tokens,
                            int64_t now);
// A booking of the flow. told: its bucket holds so much afterwards.
void unit_model_flow_pay(struct unit_model *m, struct kvr_bytes flow, int64_t tokens, int64_t at,
                         bool told, int64_t left);
// ms until a request of so many tokens may pass by its rate.
int64_t unit_model_flow_wait(const struct unit_model *m, struct kvr_bytes flow, int64_t tokens,
                             int64_t now);

// ---- Waiting -------------------------------------------------------------------------------------

struct unit_model_waiting *unit_model_find_waiting(const struct unit_model *m, struct kvr_bytes id);
int64_t unit_model_waiting_end(const struct unit_model *m, const struct unit_model_waiting *w);
enum kvr_err unit_model_enqueue(struct unit_model *m, int64_t at, struct kvr_bytes id,
                                const struct kvr_query *q, int64_t lease, bool *applied);
// Those who wait in their order now; the caller frees it. Classes that begin at the same time may go in either
// order: `favour`, if not NULL, is of one that goes before its equals.
struct unit_model_waiting **unit_model_queue_order(const struct unit_model *m,
                                                   const struct unit_model_waiting *favour);
// As they would be admitted, one after the other, if each could be and cost what it says; the caller frees it.
struct unit_model_waiting **unit_model_foreseen(const struct unit_model *m);

// Instances that are kept for those who lack nothing but blocks. Which one that is is found when they are looked at
// and stays so until they are again, so the model is told.
struct unit_model_hold {
    struct unit_model_name id;
    uint64_t instance;
};
struct unit_model_holds {
    struct unit_model_hold *all;
    size_t n;
};

// Where the query would be placed now if all who wait had been looked at: the instances with room, least
// cost first, without those that are held. KVR_OK, and nobody can have them before it; or why not. The caller
// frees *out in any case. behind: not all have been looked at. *either: KVR_LIMITED, and KVR_NOROOM would be as true.
enum kvr_err unit_model_place(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                              const struct unit_model_holds *holds, struct unit_model_choice **out,
                              size_t *n, bool behind, bool *either);
// The first that can be admitted now, NULL: none. *out and favour: as above, for the order only where level.
// lenient: favour, or NULL, even if others before it could be. *without: one who ought to have an instance kept for
// him and hasn't.
struct unit_model_waiting *unit_model_next(const struct unit_model *m, int64_t now,
                                           const struct unit_model_waiting *favour, bool level,
                                           bool lenient, const struct unit_model_holds *holds,
                                           struct unit_model_choice **out, size_t *n,
                                           const struct unit_model_waiting **without);
enum kvr_err unit_model_admitted(struct unit_model *m, struct kvr_bytes id, struct kvr_bytes worker,
                                 uint32_t rank, const struct kvr_booking *b, bool *applied);
enum kvr_err unit_model_come(struct unit_model *m, int64_t at, struct kvr_bytes id, bool *applied);
// Ends the waiting of an id, without a word to anybody. false: it doesn't wait.
bool unit_model_unqueue(struct unit_model *m, struct kvr_bytes id);
// A query with all that it points to; ISL as it will be booked.
struct kvr_query unit_model_copy_query(const struct unit_model *m, const struct kvr_query *q);
void unit_model_free_query(struct kvr_query *q); // of a copy
// Of a copy: another name in the place of one it has.
void unit_model_rename(struct kvr_bytes *own, struct kvr_bytes to);
void unit_model_queue_renew(struct unit_model *m, int64_t now);
void unit_model_queue_counts(const struct unit_model *m, struct kvr_stats *out);
// Whether all who wait are of one class and one flow: then their order is that of their arrival.
bool unit_model_one_line(const struct unit_model *m);
bool unit_model_full(const struct unit_model *m, const struct kvr_query *q); // nobody more may wait
void unit_model_charge(struct unit_model *m, const struct unit_model_waiting *w, int64_t cached);

#endif
