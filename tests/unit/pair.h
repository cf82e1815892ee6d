// SPDX-License-Identifier: Apache-2.0
// A pool and the model side by side: every operation is done to both and the answers are compared.
//
// A difference prints what led to it and ends the program: in a test that is a failure, in a fuzzer a
// finding. Under an allocator that fails, an operation that says KVR_NOMEM is not done to the model,
// so the comparison that follows checks that it changed nothing.
#ifndef KVR_TEST_PAIR_H
#define KVR_TEST_PAIR_H

#include "model.h"
#include "tests/support/testmem.h"

enum { PAIR_LOG = 24, PAIR_LINE = 160 };

struct pair {
    struct kvr_pool *pool;
    struct model model;
    struct testmem mem;
    int64_t now;
    bool exact;         // costs are sums of powers of two: ties are ties
    uint64_t no_memory; // operations that ended so
    uint64_t busy;
    char label[PAIR_LINE]; // what to run to see a difference again
    char log[PAIR_LOG][PAIR_LINE];
    unsigned logged;
};

void pair_init(struct pair *p, const struct kvr_options *o, const char *label);
void pair_free(struct pair *p); // also checks that all memory came back

// Notes an operation in the log that a difference prints; with KVROUTE_TRACE set, at once.
void pair_log(struct pair *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pair_differs(struct pair *p, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

// All return what the pool returned.
enum kvr_err pair_alter(struct pair *p, const struct kvr_options *o);
enum kvr_err pair_worker_set(struct pair *p, struct kvr_bytes name, const struct kvr_worker_set *w);
enum kvr_err pair_worker_del(struct pair *p, struct kvr_bytes name);
enum kvr_err pair_report(struct pair *p, struct kvr_bytes name, bool ok);
enum kvr_err pair_event(struct pair *p, struct kvr_bytes worker, uint32_t rank, uint64_t epoch,
                        uint64_t seq, const struct kvr_pool_op *ops, size_t n, bool bounded);
enum kvr_err pair_scores(struct pair *p, const struct kvr_query *q);
enum kvr_err pair_select(struct pair *p, struct kvr_bytes id, const struct kvr_query *q,
                         int64_t lease, double random);
enum kvr_err pair_claim(struct pair *p, struct kvr_bytes id, struct kvr_bytes worker, uint32_t rank,
                        const struct kvr_booking *b);
enum kvr_err pair_update(struct pair *p, struct kvr_bytes id, bool prefilled, int64_t output,
                         int64_t lease);
void pair_release(struct pair *p, const struct kvr_bytes *ids, size_t n);
void pair_release_as(struct pair *p, const struct kvr_bytes *ids, size_t n, enum kvr_end how);
void pair_session_del(struct pair *p, const struct kvr_bytes *names, size_t n);
void pair_forget(struct pair *p, size_t max);
void pair_renew_all(struct pair *p);
void pair_sweep(struct pair *p, size_t max);
void pair_reload(struct pair *p); // saves, loads and goes on with the loaded pool

// Whether what is due by now is what the model says is due.
void pair_check_due(struct pair *p);
// validate, version and counts. Cheap: after each step.
void pair_check(struct pair *p);
// Workers, ranks and requests, one by one.
void pair_check_all(struct pair *p);
// What was learnt, to the bit.
void pair_check_learnt(struct pair *p);
// Sweeps, then walks the tree and compares every block, its parent and its holders.
void pair_check_tree(struct pair *p);
// Builds the same state in another order and compares the digests. random: any number.
void pair_check_rebuilt(struct pair *p, uint64_t random);

#endif
