// SPDX-License-Identifier: Apache-2.0
// Bookings of pairs under load, and a log outside of the pool of what each caller was told.
//
// Sixteen client processes book pairs as routers do: SELECT with `pair`, half of them with `wait`; UPDATE at the first
// token, UPDATE as tokens come, RELEASE. Eight engine processes, one a worker, register themselves, publish what they
// hold and send heartbeats. Both kinds are killed and started again, in the same place. A watcher looks at every server
// all the time; see ha_pair_watch.h.
//
// When an engine is killed, or deleted, what was booked on it is in doubt: from a moment before that until it is
// registered again. Whatever was asked for in that time, or before, may be gone with the worker; what was asked for
// later may not.
#ifndef HA_PAIR_H
#define HA_PAIR_H

#include <kvroute/client.h>

#include "ha_blocks.h"
#include "ha_process.h"

enum {
    HA_PAIR_CLIENTS = 16,
    HA_PAIR_MAX = 32768, // requests of one client's place
    HA_PAIR_PREFILLERS = 3,
    HA_PAIR_DECODERS = 4,
    HA_PAIR_BOTH =
        HA_PAIR_PREFILLERS + HA_PAIR_DECODERS, // the last engine does both, and is never killed
    HA_PAIR_ENGINES,
    HA_PAIR_NOBODY = HA_PAIR_ENGINES, // computes the prompt: the decoding instance itself
    HA_PAIR_RANKS = 2,
    HA_PAIR_WAIT_MS = 1500,
    HA_PAIR_DEADLINE_MS = 45000, // longer than any outage here
    // The pool's limits of an instance.
    HA_PAIR_MAX_REQUESTS = 10,
    HA_PAIR_MAX_PREFILL = 1500,
    HA_PAIR_CAPACITY = 160,
    HA_PAIR_MAX_BLOCKS = 90, // percent of it
};

enum ha_pair_state {
    HA_PAIR_UNBORN,
    HA_PAIR_ASKING,
    HA_PAIR_LIVE,
    HA_PAIR_ENDING,
    HA_PAIR_ENDED,
    HA_PAIR_REFUSED, // there was no room: booked nowhere
    HA_PAIR_FAILED,  // answered in a way that nobody had to expect
    HA_PAIR_ORPHAN,  // its client was killed: its lease ends it
    HA_PAIR_NEVER,   // the same, and its client hadn't been answered
};

// Its id is ha_request_name(client, index), its prompt ha_pair_prompt(client, index). All that changes after the
// booking was answered is atomic: others look at it at any time.
struct ha_pair_request {
    _Atomic int state;                            // enum ha_pair_state
    uint16_t worker, rank, prefill, prefill_rank; // as its client was told
    int64_t began;                                // ms, when it was asked for
    _Atomic int64_t said;                         // when the latest word of it was acknowledged
    _Atomic uint32_t output_asked, output;        // tokens; said, and acknowledged
    _Atomic bool prefilled_asked, prefilled;
    _Atomic bool late; // its lease may have ended in between, and its handle have booked it back
    _Atomic uint8_t answers;
};

struct ha_pair_client {
    struct ha_process *process;
    _Atomic int order, reached; // enum ha_order
    _Atomic uint32_t n;         // requests begun
    struct ha_pair_request requests[HA_PAIR_MAX];
    _Atomic uint64_t booked, waited;
    _Atomic uint64_t released;                     // RELEASE found the booking
    _Atomic uint64_t with_worker, resent, by_time; // it found none, and that is why
    _Atomic uint64_t undone;                       // the same: history was lost
    _Atomic uint64_t unbooked;                     // it found none, and nothing says why
    _Atomic uint64_t errors;
    _Atomic int64_t last_good, longest_gap; // ms
    char first_error[160];
    struct kvr_client_stats stats; // of the present process
    uint64_t lost, repaired;       // of all
};

struct ha_pair_engine {
    struct ha_process *process;
    _Atomic uint64_t life;         // of its processes
    _Atomic uint64_t settled;      // the life in which it was registered and had published
    _Atomic uint64_t heard;        // heartbeats that were answered
    _Atomic uint64_t created;      // times that its heartbeat made the worker
    _Atomic uint64_t lapses;       // of these, when nobody had deleted it: it was late
    _Atomic int64_t in_doubt_till; // ms; INT64_MAX: now
    _Atomic uint64_t errors;
    char first_error[160];
};

struct ha_pair_watch {
    struct ha_process *process;
    _Atomic bool end;
    _Atomic uint64_t looks, compared; // at servers; of these, compared with what clients were told
    _Atomic uint64_t half;            // legs whose load isn't that of the requests on them
    _Atomic uint64_t above;           // instances above a limit by what was chosen for them
    _Atomic int64_t over;             // requests that one was above it by what had been booked back
    _Atomic uint64_t missing;         // told that they are booked there, and not there
    _Atomic uint64_t ghosts;          // in the pool, and over, or nobody's
    char first[160];                  // of all these
};

struct ha_pair {
    char url[400];
    int64_t lease, ttl, grace; // ms
    bool lossy;                // acknowledged writes may be lost, and put right later
    _Atomic int64_t
        history_from;        // ms; what was asked for before may have been lost. INT64_MAX: now
    _Atomic int primary;     // number of the server; -1: nobody knows
    _Atomic uint64_t faults; // so far
    struct ha_pair_client clients[HA_PAIR_CLIENTS];
    struct ha_pair_engine engines[HA_PAIR_ENGINES];
    struct ha_pair_watch watch;
};

struct ha_pair_prompt {
    uint16_t blocks;
    bool own; // its blocks are in no other
    int64_t isl;
};
struct ha_pair_prompt ha_pair_prompt(int client, uint32_t index, uint64_t hashes[HA_CHAIN_BLOCKS]);

bool ha_pair_may_wait(uint32_t index); // every second one may

struct ha_pair_name {
    char text[4]; // "p0" …, "d0" …, "b0"
};
struct ha_pair_name ha_pair_engine_name(size_t engine); // of nobody: "-"
enum kvr_role ha_pair_engine_role(size_t engine);
// HA_PAIR_NOBODY: the empty name. False: none of ours.
bool ha_pair_engine_find(const char *name, size_t n, uint16_t *engine);

// Whether what was asked for then may have gone with the worker. Nobody is in no doubt.
bool ha_pair_in_doubt(const struct ha_pair *p, size_t engine, int64_t began);
size_t ha_pair_count(const struct ha_pair *p, enum ha_pair_state state);

#endif
