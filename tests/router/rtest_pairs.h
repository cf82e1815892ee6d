// SPDX-License-Identifier: Apache-2.0
// Fleets of mock engines that compute prompts for each other, behind a router.
#ifndef RTEST_PAIRS_H
#define RTEST_PAIRS_H

#include "rtest_fleet.h"

enum { RTEST_PAIR_KINDS = 5 };
extern const char *const rtest_pair_kinds[RTEST_PAIR_KINDS]; // nixl …

struct rtest_pairs {
    const char *kind;
    int prefills, decodes;    // engines 0 … are those that prefill, then come the others
    int ranks;                // of each; 0: 1
    const char *options;      // of all engines; NULL: none
    int local;                // LOCALPREFILL of the pool
    const char *const *flags; // of the router, NULL at the end; NULL: none
};

// Redis, engines that are registered with their roles, the reference and a router.
void rtest_pairs_up(const struct rtest_pairs *plan);
void rtest_pairs_engine(int i, const char *more); // again, after its end; with more options
// A request with an id of its own and a prompt of about 60 tokens that begins so. path: of the API.
struct rtest_client rtest_pairs_ask(int port, const char *path, const char *first, bool stream);
void rtest_pairs_begin(struct rtest_client *who, const char *first, int tokens, bool stream);
// Of two whole answers only the choices count, and of streams all.
bool rtest_pairs_same(struct rtest_client *a, struct rtest_client *b);
bool rtest_pairs_by(const char *worker, int engine);
long long rtest_transfers(int engine, const char *name); // a number of /mock/transfers
bool rtest_pairs_is_idle(int engine);                    // it has no request, and nothing half open
// Until nothing is booked, and nothing runs at any of the engines.
void rtest_pairs_settle(void);

#endif
