// SPDX-License-Identifier: Apache-2.0
// A pool and the model side by side: every operation is done to both and the answers are compared.
//
// A difference prints what led to it and ends the program: in a test that is a failure, in a fuzzer a
// finding. Under an allocator that fails, an operation that says KVR_NOMEM is not done to the model,
// so the comparison that follows checks that it changed nothing.
#ifndef UNIT_PAIR_H
#define UNIT_PAIR_H

#include "tests/support/support_alloc.h"
#include "unit_model.h"

enum { UNIT_PAIR_LOG = 24, UNIT_PAIR_LINE = 240 };

struct unit_pair {
    struct kvr_pool *pool;
    struct unit_model model;
    struct support_alloc mem;
    // A copy that is told what the pool did and nothing else; NULL: there is none.
    struct kvr_pool *copy;
    struct support_alloc copy_mem;
    int64_t now;
    // When all who wait were last looked at again, whatever had been found before; and when they began to be looked at
    // who still are.
    int64_t looked, began;
    uint64_t looked_round;
    bool exact;         // costs are sums of powers of two: ties are ties
    bool digesting;     // a digest in slices is under way
    uint64_t digests;   // in slices, that came to their end
    uint64_t no_memory; // operations that ended so
    uint64_t busy;
    char label[UNIT_PAIR_LINE]; // what to run to see a difference again
    char log[UNIT_PAIR_LOG][UNIT_PAIR_LINE];
    unsigned logged;
};

void unit_pair_init(struct unit_pair *p, const struct kvr_options *o, const char *label);
void unit_pair_free(struct unit_pair *p); // also checks that all memory came back

// Prints what led to it; with KVROUTE_TRACE set, operations are printed as they are done.
void unit_pair_differs(struct unit_pair *p, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

void unit_pair_same(struct unit_pair *p, const char *what, uint64_t got, uint64_t want);

// All return what the pool returned.
enum kvr_err unit_pair_alter(struct unit_pair *p, const struct kvr_options *o);
enum kvr_err unit_pair_worker_set(struct unit_pair *p, struct kvr_bytes name,
                                  const struct kvr_worker_settings *w);
void unit_pair_add_worker(struct unit_pair *p, const char *name, uint32_t ranks);
enum kvr_err unit_pair_worker_del(struct unit_pair *p, struct kvr_bytes name);
enum kvr_err unit_pair_report(struct unit_pair *p, struct kvr_bytes name, bool ok);
enum kvr_err unit_pair_event(struct unit_pair *p, struct kvr_bytes worker, uint32_t rank,
                             uint64_t epoch, uint64_t seq, const struct kvr_pool_op *ops, size_t n,
                             bool bounded);
enum kvr_err unit_pair_scores(struct unit_pair *p, const struct kvr_query *q);
// What EXPLAIN says before a SELECT; it is checked by itself, then against that.
enum { UNIT_PAIR_TOP = 24 };
struct unit_pair_told {
    enum kvr_err err;
    struct kvr_pool_explanation all;
    struct kvr_pool_candidate candidates[UNIT_PAIR_TOP];
};
void unit_pair_explain(struct unit_pair *p, const struct kvr_query *q, struct unit_pair_told *out);
void unit_pair_same_told(struct unit_pair *p, const struct kvr_query *q,
                         const struct unit_pair_told *told, enum kvr_err err,
                         const struct kvr_pool_choice *got);
enum kvr_err unit_pair_select(struct unit_pair *p, struct kvr_bytes id, const struct kvr_query *q,
                              int64_t lease, double random);
enum kvr_err unit_pair_claim(struct unit_pair *p, struct kvr_bytes id, struct kvr_bytes worker,
                             uint32_t rank, const struct kvr_booking *b);
enum kvr_err unit_pair_update(struct unit_pair *p, struct kvr_bytes id, bool prefilled,
                              int64_t output, int64_t lease);
void unit_pair_release(struct unit_pair *p, const struct kvr_bytes *ids, size_t n);
void unit_pair_release_as(struct unit_pair *p, const struct kvr_bytes *ids, size_t n,
                          enum kvr_end how);
void unit_pair_end(struct unit_pair *p, const char *id); // released
void unit_pair_session_del(struct unit_pair *p, const struct kvr_bytes *names, size_t n);
void unit_pair_forget(struct unit_pair *p, size_t max);
void unit_pair_end_due(struct unit_pair *p); // three requests and three sessions at most
void unit_pair_renew_all(struct unit_pair *p);
void unit_pair_sweep(struct unit_pair *p, size_t max);
void unit_pair_reload(struct unit_pair *p); // saves, loads and goes on with the loaded pool

// Starts the copy.
void unit_pair_follow(struct unit_pair *p);
// The copy takes the pool's place, as one that is to decide from now on, and another copy that of the copy.
void unit_pair_promote(struct unit_pair *p);

// ---- The queue -----------------------------------------------------------------------------------

// One admission, as kvr_admit. Where it admits nobody and nobody is left, nobody could be.
bool unit_pair_admit(struct unit_pair *p, size_t *looks, double random);
// Until nobody can be admitted; how many were.
size_t unit_pair_admit_all(struct unit_pair *p);
void unit_pair_come(struct unit_pair *p, struct kvr_bytes id);
void unit_pair_end_waiting(struct unit_pair *p, size_t max); // at most 8
enum kvr_err unit_pair_class_set(struct unit_pair *p, struct kvr_bytes name, unsigned set,
                                 const struct kvr_class_info *c);
enum kvr_err unit_pair_class_del(struct unit_pair *p, struct kvr_bytes name);
enum kvr_err unit_pair_flow_set(struct unit_pair *p, struct kvr_bytes name, unsigned set,
                                const struct kvr_flow_info *f);
enum kvr_err unit_pair_flow_del(struct unit_pair *p, struct kvr_bytes name);
void unit_pair_check_queue(struct unit_pair *p); // all of it, and that the copy is one

// Whether what is due by now is what the model says is due.
void unit_pair_check_due(struct unit_pair *p);
// validate, version and counts. Cheap: after each step.
void unit_pair_check(struct unit_pair *p);
// Workers, ranks, requests and sessions, one by one, and what was learnt, to the bit.
void unit_pair_check_all(struct unit_pair *p);
// Sweeps, then walks the tree and compares every block, its parent and its holders.
void unit_pair_check_tree(struct unit_pair *p);
// Builds the same state in another order and compares the digests. random: any number.
void unit_pair_check_rebuilt(struct unit_pair *p, uint64_t random);

// Shared between the pair's files.
void unit_pair_log(struct unit_pair *p, const char *format, ...)
    __attribute__((format(printf, 2, 3))); // notes an operation for unit_pair_differs
// True when the operation ran out of memory, which is then all that is to be said about it.
bool unit_pair_out_of_memory(struct unit_pair *p, enum kvr_err got, uint64_t failures);
void unit_pair_same_error(struct unit_pair *p, enum kvr_err got, enum kvr_err want);
void unit_pair_same_bytes(struct unit_pair *p, const char *what, struct kvr_bytes got,
                          struct kvr_bytes want);
// The instance that the pool must choose where nothing is drawn; of the scores, least first. Of costs
// that are compared loosely, either side of a limit will do.
const struct unit_model_choice *unit_pair_choice(struct unit_pair *p, const struct kvr_query *q,
                                                 const struct unit_model_choice *all, size_t n,
                                                 const struct kvr_pool_score *got);
// What a choice has to be booked as.
void unit_pair_check_booking(struct unit_pair *p, const struct kvr_query *q, int64_t lease,
                             const struct unit_model_choice *chosen, const struct kvr_booking *b);
// Which instances the pool keeps for whom; the caller frees holds->all.
void unit_pair_holds(struct unit_pair *p, struct unit_model_holds *holds);
// What was booked here is booked there; what ended here ends there.
void unit_pair_copy_claim(struct unit_pair *p, struct kvr_bytes id, struct kvr_bytes worker,
                          uint32_t rank, const struct kvr_booking *b);
void unit_pair_copy_release(struct unit_pair *p, const struct kvr_bytes *ids, size_t n,
                            enum kvr_end how, size_t ended);

#endif
