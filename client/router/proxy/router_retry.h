// SPDX-License-Identifier: Apache-2.0
// The retry rules: what failed, when and how often → the same engine again, another one, or which answer.
// Pure functions; router_attempt.c gathers the facts and does what was decided.
//
//   what happened                          sent   to another engine            otherwise the client gets
//   ------------------------------------   ----   --------------------------   ----------------------------
//   1 a kept connection was over before      0    no: the same engine, on a new connection; if that
//     anything came                               happens there, too: as 3
//   2 it couldn't be reached                 0*   within limits and budget     502 ENGINE
//   3 it broke off, or what came is no HTTP  1    within limits and budget     502 ENGINE
//   4 it said nothing in time                1    within limits and budget     504 ENGINE
//   5 5xx (but 501, 505)                     1    within limits and budget     this answer
//   6 429, 408: its queue is full            0    within limits and budget,    this answer
//                                                 the first time
//   7 it is dead, by probes or the pool      1    within limits                it waits on
//   8 2 to 4 or 7, when some of its answer   1    for the rest, if the stream  a visible break
//     has gone to the client                      is kept (router_migration.h)
//   9 it wasn't asked: this machine is out   0*   within limits and budget     503 LOCAL
//     of descriptors, ports or memory, or
//     its resolver doesn't answer
//
// Other answers are no failures: another engine would say the same.
//
// sent: how many engines may have read the request with this one. Limits: fewer than ROUTER_MAX_SENT of
// these, fewer engines tried than allowed, and a worker that wasn't tried. The budget bounds retries in
// percent of all requests, so that an overload isn't multiplied; a dead engine isn't overloaded (7).
// * After 1 it is 1: the engine that ended the kept connection may have read it.
#ifndef ROUTER_RETRY_H
#define ROUTER_RETRY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    ROUTER_MAX_TRIES = 8, // engines a request, whatever the options say
    ROUTER_MAX_SENT = 2,  // a request may be what kills its engines
};

enum router_failure {
    ROUTER_FAILURE_NONE,
    ROUTER_FAILURE_STALE,
    ROUTER_FAILURE_CONNECT,
    ROUTER_FAILURE_BROKEN,
    ROUTER_FAILURE_TIMEOUT,
    ROUTER_FAILURE_5XX,
    ROUTER_FAILURE_FULL,
    ROUTER_FAILURE_DEAD,
    ROUTER_FAILURE_LOCAL,
};

struct router_retry_facts {
    bool relaying;             // the client has the head, and was given of this engine's answer
    bool continues;            // then, the rest can come from another engine
    bool fresh;                // the connection was a new one because a kept one was over
    bool turned_away;          // by an engine whose queue was full, before
    bool another;              // there may be a worker that wasn't tried
    unsigned sent;             // before this failure
    unsigned tries, max_tries; // engines chosen so far, this one included; allowed by the options
    double budget;             // retries that may be made now
};

enum router_retry_verdict {
    ROUTER_RETRY_HERE,      // the same engine, on a new connection
    ROUTER_RETRY_ELSEWHERE, // another engine
    ROUTER_RETRY_PASS,      // the client gets the engine's answer
    ROUTER_RETRY_ERROR,     // the client gets `error`
    ROUTER_RETRY_CONTINUE,  // another engine, for the rest of the answer
    ROUTER_RETRY_BREAK,     // the client's answer breaks off, visibly
    ROUTER_RETRY_WAIT,      // nothing changes
};

struct router_retry_error {
    int status;
    const char *code, *message;
};

struct router_retry {
    enum router_retry_verdict verdict;
    unsigned sent;                   // after this failure
    bool charged;                    // one retry is taken out of the budget
    bool refused;                    // only the budget forbids the retry
    struct router_retry_error error; // if that is the verdict
};

// The failure that an answer with this status is.
enum router_failure router_retry_failure_of(int status);
struct router_retry router_retry_decide(enum router_failure what,
                                        const struct router_retry_facts *facts);
// What the client gets when there is no engine left to try. False: none was tried, so it is what the pool
// says. turned_away: by a full queue; local: the last one wasn't asked.
bool router_retry_exhausted(bool tried, bool turned_away, bool local,
                            struct router_retry_error *error);
// The budget after one more request.
double router_retry_budget(double budget, uint32_t percent, uint32_t burst);

#endif
