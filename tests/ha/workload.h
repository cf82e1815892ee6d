// SPDX-License-Identifier: Apache-2.0
// Clients under load: processes that use the library as programs do, and a log outside of it.
//
// A client begins requests, tells how far they are, and ends them, some twenty at a time, without a
// pause. What each request was answered goes into memory that the scenario sees as well: the truth
// that the pool is compared with. Three kinds take turns: one that calls the blocking form, one on
// libevent, and one that calls kvr_client_run().
//
// Orders are carried out one after the other; `reached` follows `order`. ORDER_HOLD: nothing new is
// begun, and when all calls are answered and the handle has nothing left to put right, what lives
// stays. ORDER_FINISH: all that lives is released. ORDER_END: the handle is closed.
#ifndef HA_WORKLOAD_H
#define HA_WORKLOAD_H

#include <kvroute/client.h>

#include "universe.h"
#include "world.h"

enum {
    MAX_REQUESTS = 16384, // a client begins in its life
    WORKERS = 4,          // "w0" …, at "http://w0"
    RANKS = 2,            // each
    CODES = KVR_CODE_CLOSED + 1,
    DRAIN_MS = 30000, // what an order to hold may take before it counts as never done
};

enum kind { KIND_BLOCKING, KIND_LIBEVENT, KIND_OWN_LOOP, KINDS };
enum order { ORDER_WORK, ORDER_HOLD, ORDER_FINISH, ORDER_END };

enum request_state {
    REQUEST_BEGINNING = 1, // SELECT or CLAIM is under way
    REQUEST_LIVE,
    REQUEST_ENDING, // RELEASE is under way
    REQUEST_ENDED,
    REQUEST_FAILED, // never routed: must not be booked
};

// Its id is "c<client>-<index>".
struct request {
    _Atomic int state; // enum request_state
    uint16_t chain, blocks, worker, rank;
    bool degraded; // was answered without a primary
    bool prefilled_asked, prefilled;
    uint32_t output_asked, output; // tokens; said, and acknowledged
    uint32_t isl;
};

struct client {
    // Set before it starts.
    int number;
    enum kind kind;
    char url[400];
    const char *create;
    bool degrade;
    bool hasty;    // its deadlines are so short that TIMEOUT is no error
    int64_t renew; // ms between two words on a live request while holding; 0: none
    struct process *process;

    _Atomic int order, reached;
    _Atomic bool warm; // has been served: who degrades knows the workers by now

    // Its log.
    _Atomic uint32_t n; // requests begun
    struct request requests[MAX_REQUESTS];
    _Atomic int64_t last_good;   // when the latest answer without an error came
    _Atomic int64_t last_true;   // the latest that a primary gave
    _Atomic int64_t longest_gap; // ms between two good answers
    _Atomic uint64_t answers, degraded, timeouts;
    _Atomic uint64_t errors[CODES]; // answers by code
    _Atomic uint64_t wrong;         // answers that can't be true
    char first_error[160];
    _Atomic bool undrained; // it never came to rest
    struct kvr_client_stats stats;
};

struct request_id {
    char text[32];
};
struct request_id request_id(int client, uint32_t index);
// The reverse; false: not an id of that form.
bool request_parse(const char *id, size_t n, int *client, uint32_t *index);

// Forks the client's process, on this side.
void client_start(struct client *c, int side);
uint64_t client_errors(const struct client *c); // wrong answers included
size_t client_count(const struct client *c, enum request_state state);

#endif
