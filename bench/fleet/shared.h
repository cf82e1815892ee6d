// SPDX-License-Identifier: Apache-2.0
// The real thing: a redis-server with the module, one for all runs, and one connection over which all
// routers and engines of a run speak, in the order of virtual time.
//
// What needs no answer is pipelined; a SELECT waits for its own, and so for all before it.
#ifndef FLEET_SHARED_H
#define FLEET_SHARED_H

#include "server.h"

#define POOL "fleet"

struct shared {
    struct server server; // not running until it is wanted
    size_t unanswered;    // replies that are still to come
};

// Starts the server if need be. False, with a message: it can't.
bool shared_start(struct shared *s);
void shared_stop(struct shared *s);
// Sends a command; its answer is looked at later, and must be an integer.
void shared_send(struct shared *s, int argc, const char **argv, const size_t *len);
void shared_sendf(struct shared *s, const char *format, ...); // hiredis's formats
// Looks at all answers that are still to come. Ends the program when one is an error.
void shared_settle(struct shared *s);
// The answer to a command that was appended last, after settling all before it. To be freed.
redisReply *shared_answer(struct shared *s);

#endif
