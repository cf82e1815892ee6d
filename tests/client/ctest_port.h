// SPDX-License-Identifier: Apache-2.0
// A handle under a publisher, and a pool behind it, both of which do what a test says.
//
// The pool is the contract of KVROUTE.EVENT in plain arrays: epochs, seqs, parents, other holders. The
// handle keeps what is sent until the test has it carried out and answered; a failover puts an older
// pool in place and carries out again whatever hasn't been answered.
#ifndef CTEST_PORT_H
#define CTEST_PORT_H

#include "client/lib/publisher/publisher_port.h"
#include "ctest_held_blocks.h"
#include "tests/support/support_alloc.h"

enum { CTEST_PORT_SNAPSHOTS = 6, CTEST_PORT_QUEUE = 2 * KVR_EVENT_WINDOW };

struct ctest_pool_block {
    bool known;
    int parent;
    unsigned ours, others; // tiers
    unsigned children;     // known ones
};

struct ctest_pool {
    bool exists, has_worker;
    uint64_t epoch, seq;
    struct ctest_pool_block block[CTEST_MAX_BLOCKS];
};

struct ctest_event {
    struct kvr_command command;
    kvr_done *done; // NULL: detached
    void *ctx;
    bool carried_out;
    unsigned times; // that it was
    struct kvr_result answer;
};

struct ctest_port {
    const struct ctest_universe *universe;
    struct support_alloc memory;
    struct kvr_alloc alloc;
    uint64_t random; // the state
    int64_t now;
    uint64_t date;
    struct kvr_follower *follower;
    struct ctest_pool pool, before; // before: of the event being applied
    struct ctest_pool snapshots[CTEST_PORT_SNAPSHOTS];
    size_t n_snapshots;
    struct ctest_event queue[CTEST_PORT_QUEUE];
    size_t n;
    size_t batch_blocks; // no event may have more
    unsigned fails;      // in so many percent, an event is answered anything instead of carried out
    // What was answered, by code; which blocks were refused; how many events were sent.
    size_t answered[KVR_CODE_CLOSED + 1];
    bool refused[CTEST_MAX_BLOCKS];
    size_t sent, logged;
};

void ctest_port_init(struct ctest_port *m, const struct ctest_universe *u, uint64_t seed);
void ctest_port_finish(struct ctest_port *m); // nothing may be under way
struct kvr_publisher_port ctest_port_interface(struct ctest_port *m);

bool ctest_port_carry_out(
    struct ctest_port *m); // the oldest event that hasn't been; false: there is none
bool ctest_port_answer(struct ctest_port *m); // the oldest event, if it has been carried out
void ctest_port_tick(struct ctest_port *m, int64_t ms);
void ctest_port_postpone(
    struct ctest_port *m); // the oldest event not carried out goes behind all others
void ctest_port_remember(struct ctest_port *m); // the pool as it is, for ctest_port_failover
void ctest_port_failover(struct ctest_port *m); // to a pool remembered
void ctest_port_restart(struct ctest_port *m);  // empty, without the worker
// Somebody else's event. What makes it impossible makes it do nothing.
void ctest_port_other_stores(struct ctest_port *m, int parent, const int *blocks, size_t n);
void ctest_port_other_removes(struct ctest_port *m, int block);

#endif
