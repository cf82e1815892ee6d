// SPDX-License-Identifier: Apache-2.0
// A handle under a publisher, and a pool behind it, both of which do what a test says.
//
// The pool is the contract of KVROUTE.EVENT in plain arrays: epochs, seqs, parents, other holders. The
// handle keeps what is sent until the test has it carried out and answered; a failover puts an older
// pool in place and carries out again whatever hasn't been answered.
#ifndef CLIENT_MOCK_H
#define CLIENT_MOCK_H

#include "client/lib/publisher/publisher_port.h"
#include "naive_truth.h"
#include "tests/support/testmem.h"

enum { SNAPSHOTS = 6, MOCK_QUEUE = 2 * KVR_EVENT_WINDOW };

struct pool_block {
    bool known;
    int parent;
    unsigned ours, others; // tiers
    unsigned children;     // known ones
};

struct naive_pool {
    bool exists, has_worker;
    uint64_t epoch, seq;
    struct pool_block block[MOST_BLOCKS];
};

struct sending {
    struct kvr_command command;
    kvr_done *done; // NULL: detached
    void *ctx;
    bool carried_out;
    unsigned times; // that it was
    struct kvr_result answer;
};

struct mock {
    const struct universe *universe;
    struct testmem memory;
    struct kvr_alloc alloc;
    struct dice dice;
    int64_t now;
    uint64_t date;
    struct kvr_follower *follower;
    struct naive_pool pool, before; // before: of the event being applied
    struct naive_pool snapshots[SNAPSHOTS];
    size_t n_snapshots;
    struct sending queue[MOCK_QUEUE];
    size_t n;
    size_t batch_blocks; // no event may have more
    unsigned fails;      // in so many percent, an event is answered anything instead of carried out
    // What was answered, by code; which blocks were refused; how many events were sent.
    size_t answered[KVR_CODE_CLOSED + 1];
    bool refused[MOST_BLOCKS];
    size_t sent, logged;
};

void mock_init(struct mock *m, const struct universe *u, uint64_t seed);
void mock_finish(struct mock *m); // nothing may be under way
struct kvr_publisher_port mock_port(struct mock *m);

bool mock_carry_out(struct mock *m); // the oldest event that hasn't been; false: there is none
bool mock_answer(struct mock *m);    // the oldest event, if it has been carried out
void mock_tick(struct mock *m, int64_t ms);
void mock_postpone(struct mock *m); // the oldest event not carried out goes behind all others
void mock_remember(struct mock *m); // the pool as it is, for mock_failover
void mock_failover(struct mock *m); // to a pool remembered
void mock_restart(struct mock *m);  // empty, without the worker
// Somebody else's event. What makes it impossible makes it do nothing.
void mock_other_stores(struct mock *m, int parent, const int *blocks, size_t n);
void mock_other_removes(struct mock *m, int block);

#endif
