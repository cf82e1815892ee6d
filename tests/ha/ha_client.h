// SPDX-License-Identifier: Apache-2.0
// Clients under load: processes that use the library as programs do, and a log outside of it.
//
// A client begins requests, tells how far they are, and ends them, some twenty at a time, without a
// pause. What each request was answered goes into memory that the scenario sees as well: the truth
// that the pool is compared with. Three kinds take turns: one that calls the blocking form, one on
// libevent, and one that calls kvr_client_run().
//
// Orders are carried out one after the other; `reached` follows `order`. HA_ORDER_HOLD: nothing new is
// begun, and when all calls are answered and the handle has nothing left to put right, what lives
// stays. HA_ORDER_FINISH: all that lives is released. HA_ORDER_END: the handle is closed.
#ifndef HA_CLIENT_H
#define HA_CLIENT_H

#include <kvroute/client.h>

#include "ha_blocks.h"
#include "ha_process.h"

enum {
    HA_MAX_REQUESTS = 16384, // a client begins in its life
    HA_WORKERS = 4,          // "w0" …, at "http://w0"
    HA_RANKS = 2,            // each
    HA_CODES = KVR_CODE_CLOSED + 1,
    HA_DRAIN_MS = 30000, // what an order to hold may take before it counts as never done
};

enum ha_client_kind { HA_KIND_BLOCKING, HA_KIND_LIBEVENT, HA_KIND_OWN_LOOP, HA_KINDS };
enum ha_order { HA_ORDER_WORK, HA_ORDER_HOLD, HA_ORDER_FINISH, HA_ORDER_END };

enum ha_request_state {
    HA_REQUEST_BEGINNING = 1, // SELECT or CLAIM is under way
    HA_REQUEST_LIVE,
    HA_REQUEST_ENDING, // RELEASE is under way
    HA_REQUEST_ENDED,
    HA_REQUEST_FAILED, // never routed: must not be booked
};

// Its id is "c<client>-<index>".
struct ha_request {
    _Atomic int state; // enum ha_request_state
    uint16_t chain, blocks, worker, rank;
    bool degraded; // was answered without a primary
    bool prefilled_asked, prefilled;
    uint32_t output_asked, output; // tokens; said, and acknowledged
    uint32_t isl;
};

struct ha_client {
    // Set before it starts.
    int number;
    enum ha_client_kind kind;
    char url[400];
    const char *create;
    bool degrade;
    bool hasty;    // its deadlines are so short that TIMEOUT is no error
    int64_t renew; // ms between two words on a live request while holding; 0: none
    struct ha_process *process;

    _Atomic int order, reached;
    _Atomic bool warm; // has been served: who degrades knows the workers by now

    // Its log.
    _Atomic uint32_t n; // requests begun
    struct ha_request requests[HA_MAX_REQUESTS];
    _Atomic int64_t last_good;   // when the latest answer without an error came
    _Atomic int64_t last_true;   // the latest that a primary gave
    _Atomic int64_t longest_gap; // ms between two good answers
    _Atomic uint64_t answers, degraded, timeouts;
    _Atomic uint64_t errors[HA_CODES]; // answers by code
    _Atomic uint64_t wrong;            // answers that can't be true
    char first_error[160];
    _Atomic bool undrained; // it never came to rest
    struct kvr_client_stats stats;
};

struct ha_request_id {
    char text[32];
};
struct ha_request_id ha_request_name(int client, uint32_t index);
// The reverse; false: not an id of that form.
bool ha_request_parse(const char *id, size_t n, int *client, uint32_t *index);

// Forks the client's process, on this side.
void ha_client_start(struct ha_client *c, int side);
uint64_t ha_client_errors(const struct ha_client *c); // wrong answers included
size_t ha_client_count(const struct ha_client *c, enum ha_request_state state);

#endif
