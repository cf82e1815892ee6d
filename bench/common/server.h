// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module: started, killed, restarted from its append-only file.
//
// It lives in a temporary folder. The program itself talks to it over a unix socket there; its other
// processes use a TCP port of 127.0.0.1 that is opened only by server_open. So after a restart it can
// be looked at before anybody else changes it.
#ifndef COMMON_SERVER_H
#define COMMON_SERVER_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct server_plan {
    const char *module, *server; // paths
    bool aof;                    // an append-only file, fsynced every second; else nothing is kept
    bool keep;                   // server_remove leaves the folder and says where
    const char *clock;           // an object that is preloaded, so that the server's time is what
                                 // server_time says; NULL: the true time
    int64_t time;                // with a clock: µs since the epoch as the server starts
};

struct server {
    struct server_plan plan;
    char dir[200]; // "" none
    pid_t pid;     // 0: not running
    int port;      // 0: not chosen yet
    redisContext *control;
    _Atomic int64_t *time; // what the server's clock shows; NULL: it has no clock of ours
};

// All return false with a message on stderr, or silently when the program is being stopped.
bool server_start(struct server *s); // with an empty folder, or from what is in it
// Moves the clock of a server that has plan.clock: µs since the epoch. Takes effect at once, so
// commands whose answers are still to come may see it.
void server_time(struct server *s, int64_t us);
bool server_open(struct server *s); // to routers and workers, on the same port every time
// Waits until everything that was acknowledged has been written to the append-only file: it may be
// up to two seconds late with appendfsync everysec on a slow disk.
bool server_settle(struct server *s);
void server_kill(struct server *s);               // SIGKILL, with whatever it forked
bool server_tear(struct server *s, size_t bytes); // while killed: the file loses its end
void server_remove(struct server *s);             // kills it and removes the folder, unless kept

// A command over the control connection; NULL, with a message, for an error reply or none.
redisReply *server_command(struct server *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
redisReply *server_words(struct server *s, const char *words); // the same, split at spaces

#endif
