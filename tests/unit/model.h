// SPDX-License-Identifier: Apache-2.0
// A pool as the specification words it, in plain sets: the truth that the core is compared with.
//
// Nothing here is clever. Holdings are a set of (instance, tier, hash); a known block is a row with
// its parent and a count of what needs it; live requests and predictions are arrays that are walked
// from end to end. Functions mirror pool.h and answer what it must answer.
#ifndef KVR_TEST_MODEL_H
#define KVR_TEST_MODEL_H

#include "module/core/learn.h"
#include "module/core/pool.h"
#include "table.h"

struct model_rank {
    uint64_t id; // never used again once the instance is gone
    uint64_t epoch, seq;
    uint64_t booked; // when it was last booked, counted in bookings; 0 never
    struct learnt_instance learnt;
};

struct model_worker {
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
    struct model_rank *rank;
    double speed;
    struct model_label {
        char bytes[KVR_MAX_LABEL];
        size_t n;
    } label[KVR_MAX_LABELS]; // as they were given, repeats and all
    size_t n_labels;
};

struct model_request {
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
        prefilled_at;          // tokens queued at its booking, its own included; 0: it isn't known
    struct forecast_case kind; // as it was booked
    uint64_t number;           // bookings when it was booked
};

// Blocks that count as held because a request was booked. In the order of booking.
struct model_guess {
    uint64_t instance;
    char request[KVR_MAX_ID]; // the booking, as long as it is live
    size_t request_len;       // 0: it isn't any more
    uint64_t *hashes;
    size_t n;
    int64_t until;
};

// One whose instance goes is dropped.
struct model_session {
    char name[KVR_MAX_ID];
    size_t name_len;
    uint64_t instance;
    int64_t booked;
};

struct model {
    struct kvr_options options;
    struct kvr_stats stats; // the counters, and version
    struct model_worker *workers;
    size_t n_workers;
    struct model_request *requests;
    size_t n_requests;
    struct model_guess *guesses;
    size_t n_guesses;
    struct model_session *sessions;
    size_t n_sessions;
    struct learnt learnt; // by the core's estimators; when and of what they are told is the model's
    struct table held;    // key hash, tag instance * KVR_TIERS + tier
    struct table known;   // key hash; parent; refs: holdings of it + known children; holders
    struct table held_before, known_before; // while an event is applied
    uint64_t last_id, last_booking;
    int64_t renewed_floor; // every lease and worker counts as renewed at this time at the earliest
};

void model_init(struct model *m, const struct kvr_options *o);
void model_free(struct model *m);

enum kvr_err model_alter(struct model *m, const struct kvr_options *o);
enum kvr_err model_worker_set(struct model *m, int64_t seen, struct kvr_bytes name,
                              const struct kvr_worker_set *w, int *created);
enum kvr_err model_worker_del(struct model *m, struct kvr_bytes name);
enum kvr_err model_report(struct model *m, int64_t at, struct kvr_bytes name, bool ok,
                          enum kvr_circuit *circuit, bool *changed);
enum kvr_err model_event(struct model *m, struct kvr_bytes worker, uint32_t rank, uint64_t epoch,
                         uint64_t seq, const struct kvr_pool_op *ops, size_t n_ops,
                         struct kvr_event_result *out);

// The eligible instances, least cost first; the caller frees *out. *ids, when wanted, the same order.
void model_scores(const struct model *m, int64_t now, const struct kvr_query *q,
                  struct kvr_pool_score **out, size_t *n);
// SELECT is what it chose: `chosen` from model_scores (or any eligible instance where a temperature
// is above 0) is then booked with model_claim. Counts the statistics of SELECT.
void model_selected(struct model *m, const struct kvr_pool_score *chosen, size_t blocks,
                    bool repeat);
enum kvr_err model_claim(struct model *m, struct kvr_bytes id, struct kvr_bytes worker,
                         uint32_t rank, const struct kvr_booking *b, int *booked);
enum kvr_err model_update(struct model *m, int64_t now, struct kvr_bytes id, bool prefilled,
                          int64_t output, int64_t lease, int *live);
size_t model_release(struct model *m, int64_t at, const struct kvr_bytes *ids, size_t n,
                     enum kvr_end how);
size_t model_session_del(struct model *m, const struct kvr_bytes *names, size_t n);

// The earliest due first. Which of several with one deadline go when max cuts between them isn't
// said, so *cut tells when that is so, and then nothing is done.
size_t model_forget(struct model *m, int64_t at, size_t max, bool *cut);
void model_renew_all(struct model *m, int64_t now);

// ---- Asking --------------------------------------------------------------------------------------

struct model_worker *model_worker(const struct model *m, struct kvr_bytes name);
struct model_rank *model_rank(const struct model *m, struct kvr_bytes worker, uint32_t rank);
struct model_worker *model_owner(const struct model *m, uint64_t instance, uint32_t *rank);
struct model_request *model_request(const struct model *m, struct kvr_bytes id);
bool model_known(const struct model *m, uint64_t hash);
bool model_holds(const struct model *m, uint64_t instance, int tier, uint64_t hash);
bool model_guessed(const struct model *m, uint64_t instance, uint64_t hash);
uint64_t model_guesses(const struct model *m, uint64_t instance); // distinct blocks
// Whether a live request or a prediction has it: then its place in the chains can't change.
bool model_in_use(const struct model *m, uint64_t hash);
void model_load(const struct model *m, uint64_t instance, struct kvr_rank_info *out);
enum kvr_circuit model_circuit(const struct model_worker *w, int64_t now);
struct model_session *model_session(const struct model *m, struct kvr_bytes name);
uint64_t model_session_live(const struct model *m, struct kvr_bytes name); // requests
int64_t model_session_end(const struct model *m, const struct model_session *s);
// Where the session holds a request of this query, for all that costs say: NULL if it doesn't, and in
// *limit up to which cost. Of the scores that model_scores gave.
const struct kvr_pool_score *model_held(const struct model *m, int64_t now,
                                        const struct kvr_query *q,
                                        const struct kvr_pool_score *scores, size_t n,
                                        double *limit);
// Whatever its circuit says.
bool model_eligible(const struct model *m, const struct model_worker *w, int64_t now);
int64_t model_deadline(const struct model *m, const struct model_request *r); // INT64_MAX: none
// When the worker expires, and when it is to be deleted; INT64_MAX: never.
int64_t model_expires(const struct model *m, const struct model_worker *w);
int64_t model_doomed(const struct model *m, const struct model_worker *w);
void model_counts(const struct model *m, int64_t now, struct kvr_stats *out);

// Bytewise, the shorter first on a tie.
int bytes_compare(struct kvr_bytes a, struct kvr_bytes b);
static inline struct kvr_bytes model_name(const struct model_worker *w) {
    return (struct kvr_bytes){w->name, w->name_len};
}

// Shared between the model's files.
// What the estimators are told of an instance: its queue now, without the request in question.
struct forecast_case model_kind(const struct model *m, const struct model_rank *r, int64_t now,
                                int64_t own);
double model_oldest(const struct model *m, uint64_t instance); // tokens of who waits the longest
double model_first_weight(const struct model *m, const struct kvr_query *q);
double model_output(const struct model *m, const struct kvr_query *q);
void model_session_book(struct model *m, struct kvr_bytes name, uint64_t instance, int64_t at);
void model_session_drop_instance(struct model *m, uint64_t instance);
void model_guess_take_back(struct model *m, const struct model_request *r, bool drop);
// The distinct prefix hashes of the requests that are live on an instance, in order of value.
uint64_t *model_live_hashes(const struct model *m, uint64_t instance, size_t *n);
int model_by_value(const void *a, const void *b);
void model_drop_instance(struct model *m, uint64_t instance, bool requests);
void model_guess_drop_instance(struct model *m, uint64_t instance);
void model_guess_cap(struct model *m, uint64_t instance, uint64_t capacity);

#endif
