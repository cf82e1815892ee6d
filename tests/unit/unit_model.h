// SPDX-License-Identifier: Apache-2.0
// A pool as the specification words it, in plain sets: the truth that the core is compared with.
//
// Nothing here is clever. Holdings are a set of (instance, tier, hash); a known block is a row with
// its parent and a count of what needs it; live requests and predictions are arrays that are walked
// from end to end. Functions mirror pool.h and answer what it must answer.
#ifndef UNIT_MODEL_H
#define UNIT_MODEL_H

#include "module/core/pool.h"
#include "module/core/rule/learn.h"
#include "unit_model_queue.h"
#include "unit_table.h"

struct unit_model_rank {
    uint64_t id; // never used again once the instance is gone
    uint64_t epoch, seq;
    uint64_t booked; // when it was last booked, counted in bookings; 0 never
    struct core_learnt_instance learnt;
};

struct unit_model_worker {
    char name[KVR_MAX_NAME], addr[KVR_MAX_ADDR];
    size_t name_len, addr_len;
    uint64_t capacity;
    enum kvr_state state;
    int64_t ttl; // -1: the pool's
    int64_t seen;
    uint64_t failures; // since the last success
    bool tripped;      // the circuit isn't closed
    int64_t out_until; // then: open until this time
    uint32_t ranks;
    struct unit_model_rank *rank;
    double speed;
    uint64_t max_requests;
    enum kvr_role role;
    int64_t drain_until; // 0: no such time
    struct unit_model_label {
        char bytes[KVR_MAX_LABEL];
        size_t n;
    } label[KVR_MAX_LABELS]; // as they were given, repeats and all
    size_t n_labels;
};

struct unit_model_request {
    char id[KVR_MAX_ID];
    size_t id_len;
    uint64_t instance;
    uint64_t *hashes;
    size_t n;
    int64_t isl, osl, cached, output, lease, created, renewed;
    bool prefilled;
    uint64_t overlap, expected; // as answered
    double cost, ttft, tpot;
    char session[KVR_MAX_ID]; // empty: none
    size_t session_len;
    int64_t ahead,
        prefilled_at; // tokens queued at its booking, its own included; 0: it isn't known
    struct core_forecast_case kind; // as it was booked
    uint64_t number;                // bookings when it was booked
    struct unit_model_name service_class, flow;
    int64_t waited; // ms
    bool uncalled;  // its owner has still to come for it
    int64_t accept; // until when, ms after its booking
    // Of a pair: who computes its prompt, empty for none; the instance that does so now, 0 if none does; how much of
    // it that has to compute.
    struct unit_model_name prefill_worker;
    uint32_t prefill_rank, prefill_overlap;
    uint64_t prefill_instance;
    int64_t own;
};

// Blocks that count as held because a request was booked. In the order of booking.
struct unit_model_prediction {
    uint64_t instance;
    char request[KVR_MAX_ID]; // the booking, as long as it is live
    size_t request_len;       // 0: it isn't any more
    uint64_t *hashes;
    size_t n;
    int64_t until;
    bool renewed; // by renew_all, since it was made
};

// One whose instance goes is dropped.
struct unit_model_session {
    char name[KVR_MAX_ID];
    size_t name_len;
    uint64_t instance;
    int64_t booked;
};

struct unit_model {
    struct kvr_options options;
    struct kvr_stats stats; // the counters, and version
    struct unit_model_worker *workers;
    size_t n_workers;
    struct unit_model_request *requests;
    size_t n_requests;
    struct unit_model_prediction *predictions;
    size_t n_predictions;
    struct unit_model_session *sessions;
    size_t n_sessions;
    struct unit_model_queue queue;
    struct core_learnt
        learnt; // by the core's estimators; when and of what they are told is the model's
    struct unit_table held;  // key hash, tag instance * KVR_TIERS + tier
    struct unit_table known; // key hash; parent; refs: holdings of it + known children; holders
    struct unit_table held_before, known_before; // while an event is applied
    uint64_t last_id, last_booking;
    int64_t renewed_floor; // every lease and worker counts as renewed at this time at the earliest
};

// The numbers of INFO that the model counts, too.
enum { UNIT_MODEL_STATS = 25 };
extern const struct unit_stat {
    const char *name;
    size_t at;    // in struct kvr_stats
    bool counted; // since the server started
} unit_model_stats[UNIT_MODEL_STATS];
static inline uint64_t *stat_of(struct kvr_stats *all, const struct unit_stat *which) {
    return (uint64_t *)(void *)((char *)all + which->at);
}

extern const char *const unit_error_names[]; // of enum kvr_err, without KVR_

void unit_model_init(struct unit_model *m, const struct kvr_options *o);
void unit_model_free(struct unit_model *m);

enum kvr_err unit_model_alter(struct unit_model *m, const struct kvr_options *o);
enum kvr_err unit_model_worker_set(struct unit_model *m, int64_t seen, struct kvr_bytes name,
                                   const struct kvr_worker_settings *w, int *created);
enum kvr_err unit_model_worker_del(struct unit_model *m, struct kvr_bytes name);
enum kvr_err unit_model_report(struct unit_model *m, int64_t at, struct kvr_bytes name, bool ok,
                               enum kvr_circuit *circuit, bool *changed);
enum kvr_err unit_model_event(struct unit_model *m, struct kvr_bytes worker, uint32_t rank,
                              uint64_t epoch, uint64_t seq, const struct kvr_pool_op *ops,
                              size_t n_ops, struct kvr_event_result *out);

// An instance, and what it would be booked as. Of a pair the decoding one: the cost is that of the best pair that
// decodes there, the other one of that is empty if it computes the prompt itself.
struct unit_model_choice {
    struct kvr_pool_score score;
    struct kvr_bytes prefill_worker;
    uint32_t prefill_rank, prefill_overlap;
    int64_t prefill_cached;
};
// The same with what breaks ties, and what either part of a pair costs there.
struct unit_model_candidate {
    struct unit_model_choice choice;
    const struct unit_model_worker *worker;
    const struct unit_model_rank *rank;
    double prefill, decode;
};
// Who may be used: with room for a class that may use so many percent, and not kept for others. What lacks it, of
// the instance that is booked, is said by `fit`.
struct unit_model_limits {
    uint64_t percent;
    const uint64_t *kept;
    size_t n_kept;
    enum unit_model_fit fit;
    bool strict; // of pairs: also who may compute the rest of a prompt anyhow needs room for it
};
// The eligible instances, least cost first; the caller frees *out. l: NULL for no limits.
void unit_model_scores(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                       const struct unit_model_limits *l, struct unit_model_choice **out,
                       size_t *n);
// SELECT is what it chose: `chosen` from unit_model_scores (or any eligible instance where a temperature
// is above 0) is then booked with unit_model_claim. Counts the statistics of SELECT.
void unit_model_selected(struct unit_model *m, const struct kvr_pool_score *chosen, size_t blocks,
                         bool repeat);
enum kvr_err unit_model_claim(struct unit_model *m, struct kvr_bytes id, struct kvr_bytes worker,
                              uint32_t rank, const struct kvr_booking *b, int *booked);
enum kvr_err unit_model_update(struct unit_model *m, int64_t now, struct kvr_bytes id,
                               bool prefilled, int64_t output, int64_t lease, int *live);
size_t unit_model_release(struct unit_model *m, int64_t at, const struct kvr_bytes *ids, size_t n,
                          enum kvr_end how);
size_t unit_model_session_del(struct unit_model *m, const struct kvr_bytes *names, size_t n);

size_t unit_model_forget(struct unit_model *m, int64_t at, size_t max);
void unit_model_renew_all(struct unit_model *m, int64_t now);
void unit_model_forget_renewal(struct unit_model *m); // as a pool that is loaded
int64_t unit_model_prediction_end(const struct unit_model *m,
                                  const struct unit_model_prediction *g);

// ---- Asking --------------------------------------------------------------------------------------

struct unit_model_worker *unit_model_find_worker(const struct unit_model *m, struct kvr_bytes name);
struct unit_model_rank *unit_model_find_rank(const struct unit_model *m, struct kvr_bytes worker,
                                             uint32_t rank);
struct unit_model_worker *unit_model_owner(const struct unit_model *m, uint64_t instance,
                                           uint32_t *rank);
struct unit_model_request *unit_model_find_request(const struct unit_model *m, struct kvr_bytes id);
bool unit_model_known(const struct unit_model *m, uint64_t hash);
bool unit_model_holds(const struct unit_model *m, uint64_t instance, int tier, uint64_t hash);
bool unit_model_predicted(const struct unit_model *m, uint64_t instance, uint64_t hash);
uint64_t unit_model_predicted_blocks(const struct unit_model *m,
                                     uint64_t instance); // distinct blocks
// Whether a live or waiting request or a prediction has it: then its place in the chains can't change.
bool unit_model_in_use(const struct unit_model *m, uint64_t hash);
void unit_model_load(const struct unit_model *m, uint64_t instance, struct kvr_rank_info *out);
bool unit_model_labelled(const struct unit_model_worker *w, struct kvr_bytes label);
enum kvr_circuit unit_model_circuit(const struct unit_model_worker *w, int64_t now);
struct unit_model_session *unit_model_find_session(const struct unit_model *m,
                                                   struct kvr_bytes name);
uint64_t unit_model_session_live(const struct unit_model *m, struct kvr_bytes name); // requests
int64_t unit_model_session_end(const struct unit_model *m, const struct unit_model_session *s);
// Where the session holds a request of this query, for all that costs say: NULL if it doesn't, and in
// *limit up to which cost. Of the scores that unit_model_scores gave.
const struct unit_model_choice *unit_model_held(const struct unit_model *m, int64_t now,
                                                const struct kvr_query *q,
                                                const struct unit_model_choice *scores, size_t n,
                                                double *limit);
// Whatever its circuit says.
bool unit_model_eligible(const struct unit_model *m, const struct unit_model_worker *w,
                         int64_t now);
int64_t unit_model_deadline(const struct unit_model *m,
                            const struct unit_model_request *r); // INT64_MAX: none
// When the worker expires, and when it is to be deleted; INT64_MAX: never.
int64_t unit_model_expires_at(const struct unit_model *m, const struct unit_model_worker *w);
int64_t unit_model_deleted_at(const struct unit_model *m, const struct unit_model_worker *w);
void unit_model_counts(const struct unit_model *m, int64_t now, struct kvr_stats *out);

static inline struct kvr_bytes model_name(const struct unit_model_worker *w) {
    return (struct kvr_bytes){w->name, w->name_len};
}

// Shared between the model's files.
// What the estimators are told of an instance: its queue now, without the request in question.
struct core_forecast_case unit_model_kind(const struct unit_model *m,
                                          const struct unit_model_rank *r, int64_t now,
                                          int64_t own);
double unit_model_oldest(const struct unit_model *m,
                         uint64_t instance); // tokens of who waits the longest
// Sorts and drops repeats; returns how many remain.
size_t unit_model_distinct(uint64_t *all, size_t n);
void unit_model_predict(struct unit_model *m, const struct unit_model_request *r, uint64_t instance,
                        uint64_t capacity, const struct kvr_booking *b);
void unit_model_session_book(struct unit_model *m, struct kvr_bytes name, uint64_t instance,
                             int64_t at);
void unit_model_session_drop_instance(struct unit_model *m, uint64_t instance);
uint64_t unit_model_class_waiting(const struct unit_model *m, const struct unit_model_class *c);
struct unit_model_turn *unit_model_find_turn(const struct unit_model_class *c,
                                             struct kvr_bytes flow);
void unit_model_share_came(struct unit_model *m, struct unit_model_class *c, struct kvr_bytes flow);
void unit_model_share_left(struct unit_model *m, struct unit_model_class *c, struct kvr_bytes flow,
                           uint64_t number);
void unit_model_prediction_release(struct unit_model *m, const struct unit_model_request *r,
                                   bool drop);
// The distinct prefix hashes of the requests that are live on an instance, in order of value.
uint64_t *unit_model_live_hashes(const struct unit_model *m, uint64_t instance, size_t *n);
// The same of the prompts of pairs that it computes.
uint64_t *unit_model_begun_hashes(const struct unit_model *m, uint64_t instance, size_t *n);
// The instance that has to compute a request's prompt, 0: none; and how many tokens of it.
uint64_t unit_model_computes(const struct unit_model_request *r);
int64_t unit_model_own(const struct unit_model_request *r);
// An instance goes: whose prompts it computes, and who computes its requests' prompts.
size_t unit_model_instances(const struct unit_model *m);                  // how many
void unit_model_clear(struct unit_model *m, uint64_t instance, int tier); // tier -1: all
void unit_model_drop_requests(struct unit_model *m, uint64_t instance);
int unit_model_by_preference(const void *a, const void *b); // of candidates
// Makes each candidate's choice that of the best pair that it decodes in; infinite where there is none.
void unit_model_pair_up(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                        const struct unit_model_limits *l, struct unit_model_candidate *all,
                        size_t n);
bool unit_model_kept(const struct unit_model_limits *l, uint64_t instance);
double unit_model_output(const struct unit_model *m, const struct kvr_query *q); // tokens expected
double unit_model_first_weight(const struct unit_model *m, const struct kvr_query *q);
int unit_model_by_value(const void *a, const void *b);
void unit_model_prediction_drop_instance(struct unit_model *m, uint64_t instance);
void unit_model_prediction_cap(struct unit_model *m, uint64_t instance, uint64_t capacity);

#endif
