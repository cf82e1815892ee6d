// SPDX-License-Identifier: Apache-2.0
// The real thing: a redis-server with the module, one for all runs, and one connection over which all
// routers and engines of a run speak, in the order of virtual time.
//
// What needs no answer is pipelined; a SELECT waits for its own, and so for all before it.
//
// The module learns from what it sees happen, so the server's clock shows the run's time: see sim_server_at.
#ifndef SIM_POOL_SERVER_H
#define SIM_POOL_SERVER_H

#include "tests/support/support_redis.h"

#define SIM_POOL "fleet"

struct sim_server {
    struct support_redis redis; // not running until it is wanted
    const char *clock;          // an object that is preloaded, so that its time is what `time` says
    _Atomic int64_t *time;      // µs since the epoch
    size_t unanswered;          // replies that are still to come
    redisContext *listener;     // NULL: nobody listens
    int64_t now, shift;         // ms: the server's clock, and by what it is ahead of the run's
};

// Begins a run whose time is `ms` now, and starts the server if need be. False, with a message: it
// can't. The clock goes on from where the run before left it, for the server's timers stand still while
// it has gone back.
bool sim_server_start(struct sim_server *s, int64_t ms);
void sim_server_stop(struct sim_server *s);
// Moves the server's clock to `ms` of the run, when all that was sent before has been answered. To be
// called before each command whose effect carries a time; EVENT's doesn't.
void sim_server_at(struct sim_server *s, int64_t ms);
// Sends a command; its answer is looked at later, and must be no error.
void sim_server_send(struct sim_server *s, int argc, const char **argv, const size_t *len);
void sim_server_sendf(struct sim_server *s, const char *format, ...); // hiredis's formats
// Looks at all answers that are still to come. Ends the program when one is an error.
void sim_server_settle(struct sim_server *s);
// Sends a command and gives its answer, which may be an error, after settling all before it. To be freed.
redisReply *sim_server_try(struct sim_server *s, int argc, const char **argv, const size_t *len);
// From now on what is published on the channel is kept. Ends the program if it can't.
void sim_server_listen(struct sim_server *s, const char *channel);
// Settles; then tells f all that was published since the last time, in order. How many that was.
size_t sim_server_heard(struct sim_server *s, void (*f)(void *ctx, const char *text), void *ctx);

#endif
