// SPDX-License-Identifier: Apache-2.0
// Callers that wait in the pool's queue, and a log outside of it of what each was told.
//
// Every caller asks for all that it ever wants at the beginning, so that far more wait than have room. Whoever is
// booked is "computed" for some milliseconds and released, which lets the next one in. Two kinds of callers: handles
// of the library, each a process with hundreds of calls under way, and plain connections that ask with BLOCK, one
// thread each, in one process.
//
// Handles keep a sixth of their calls back until ha_queue_more, for what is asked while something is broken.
// Everybody stops releasing when the number released reaches `limit`: then all instances are full, and the rest
// waits for as long as the scenario likes, on however slow a machine.
#ifndef HA_QUEUE_H
#define HA_QUEUE_H

#include <kvroute/client.h>

#include "ha_blocks.h"
#include "ha_server.h"

enum {
    HA_QUEUE_HANDLES = 4,
    HA_QUEUE_BLOCKERS = HA_QUEUE_HANDLES, // the number of the process with the plain connections
    HA_QUEUE_CLIENTS,
    HA_QUEUE_MAX = 1024, // requests of one process
    HA_QUEUE_WORKERS = 4,
    HA_QUEUE_RANKS = 2,
    HA_QUEUE_FLOWS = 6, // "f0" …, of the handles; the plain connections have "f6"
    HA_QUEUE_ADDRESSES = 6,
    HA_QUEUE_DEADLINE_MS = 45000, // of calls while there is no primary
    HA_QUEUE_PATIENT_MS = 600000, // what most may wait
    HA_QUEUE_LEASE_MS = 60000,
};

enum ha_waiter_state {
    HA_WAITER_UNBORN,
    HA_WAITER_ASKING,
    HA_WAITER_BOOKED,
    HA_WAITER_RELEASING,
    HA_WAITER_RELEASED,
    HA_WAITER_REFUSED, // in the way that it had to expect
    HA_WAITER_FAILED,  // in another
};

// Its id is ha_request_name(client, index).
struct ha_waiter {
    _Atomic int state; // enum ha_waiter_state
    _Atomic uint32_t answers;
    uint16_t flow, chain, blocks, worker, rank;
    int64_t wait, began, ended, due; // ms; due: when it is released
};

struct ha_queue_client {
    int number;
    char url[400];
    int addresses[HA_QUEUE_ADDRESSES]; // for plain connections: where a primary may be
    uint32_t n;                        // requests
    struct ha_process *process;
    bool aside;

    _Atomic bool begun, begun_all, done;
    struct ha_waiter waiters[HA_QUEUE_MAX];
    _Atomic uint64_t waited;     // booked after they had waited
    _Atomic uint64_t unbooked;   // told that they are booked, and RELEASE found nothing
    _Atomic uint64_t errors;     // answers that nobody had to expect
    _Atomic int64_t last_good;   // when the latest booking was answered
    _Atomic int64_t longest_gap; // ms between two of them while somebody waited
    _Atomic int64_t
        longest_late; // ms that an answer came after all that it may take; below 0: before
    char first_error[160];
    struct kvr_client_stats stats;
};

struct ha_queue {
    size_t waiting;               // requests in all
    int max_requests;             // of an instance
    int64_t accept;               // the pool's
    bool pool_goes;               // NOPOOL is an answer that they have to expect
    bool in_cluster;              // NOPOOL may mean that the pool is elsewhere
    bool lossy;                   // acknowledged writes may be lost, and put right later
    bool unwritten;               // nobody has a file of what was done
    struct ha_server *moved_from; // whose file has the beginning of it; NULL: the primary's has all
    _Atomic bool more;            // ask for the rest
    _Atomic bool end;             // close the handles
    _Atomic int64_t limit;        // releases; INT64_MAX: none
    _Atomic int64_t released;
    _Atomic int64_t resumed_at; // bookings before that had to wait for the scenario
    struct ha_queue_client clients[HA_QUEUE_CLIENTS];
};

size_t ha_queue_count(const struct ha_queue *q, enum ha_waiter_state state);
// Whether one more may be released now; if so, it is counted.
bool ha_queue_may_release(struct ha_queue *q);
// What both kinds note: an answer, good or not; an answer that nobody had to expect.
void ha_waiter_booked(const struct ha_queue *q, struct ha_queue_client *c, struct ha_waiter *w,
                      const char *worker, int64_t rank, int64_t waited);
void ha_waiter_refused(struct ha_queue *q, struct ha_queue_client *c, struct ha_waiter *w,
                       const char *code, const char *message);

#endif
