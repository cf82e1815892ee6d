// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module, or a Sentinel, as a process of a test or a benchmark.
//
// Each has a configuration file, as in production: Sentinels rewrite theirs, and a server that comes back
// comes back as what it was last told to be. It listens on a port of 127.0.0.1 that stays its own, and on
// a unix socket by which it is looked at here: so it is known that it is this server that answers.
//
//   REDIS_SERVER, KVROUTE_MODULE   instead of those that the build was told
#ifndef SUPPORT_REDIS_H
#define SUPPORT_REDIS_H

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct support_redis {
    // What is wanted. All may be 0; what the file doesn't hold may be changed while it doesn't run.
    const char *name;             // of its files; NULL: a number
    const char *program, *module; // NULL: of the environment or the build
    const char *config;           // further lines of its configuration file
    const char *const *words;     // further words of its command line, NULL at the end
    bool sentinel;                // without the module and what goes with it
    bool bare;                    // a server without the module
    bool unopened;                // listens on its unix socket alone until support_redis_open
    void (*before)(void *ctx);    // called in its process before it becomes the program
    void *ctx;

    // What it is.
    pid_t pid;                                       // 0: not running
    int port;                                        // 0: none
    char dir[200], log[200], file[200], socket[108]; // data; what it says; configuration
    redisContext *control; // over the unix socket, once there was a command
};

// Starts it, saving nothing unless `config` or `words` say otherwise, and waits until it answers and has
// loaded its data. All false: it doesn't come up; why has been said on stderr.
bool support_redis_start(struct support_redis *r);
// The same again: same files, same port. Kills it first if it runs.
bool support_redis_restart(struct support_redis *r);
// The same once, silently: for data that may not be loadable. It must not run.
bool support_redis_comes_up(struct support_redis *r);
// Opens its port, the same every time: after a restart it can be looked at before anybody else does.
bool support_redis_open(struct support_redis *r);
void support_redis_end(struct support_redis *r, int signal); // and what it forked, with SIGKILL
bool support_redis_runs(struct support_redis *r);

// A command over the unix socket; connects, also again, if need be. NULL: there is no answer. And the
// same, NULL with a message also for an error.
redisReply *support_redis_ask(struct support_redis *r, const char *format, va_list args);
redisReply *support_redis_command(struct support_redis *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
redisReply *support_redis_words(struct support_redis *r, const char *words); // split at spaces
redisContext *support_redis_control(struct support_redis *r); // NULL: can't be reached
// The value of a map's field in a reply; NULL: there is none, or it isn't a map.
const redisReply *support_redis_field(const redisReply *map, const char *name);
// The text of "name:" in INFO; "": it isn't there. And its number.
void support_redis_info(struct support_redis *r, const char *section, const char *name, char *out,
                        size_t size);
double support_redis_number(struct support_redis *r, const char *section, const char *name);

// Adds a line to the configuration of one that doesn't run.
void support_redis_configure(struct support_redis *r, const char *line);
// Removes what it saved; with `aof_only` just the append-only files.
void support_redis_forget(struct support_redis *r, bool aof_only);
// Waits until all that was acknowledged is in the append-only file: with appendfsync everysec it may be up to
// two seconds late on a slow disk.
bool support_redis_settle(struct support_redis *r);
// While it is dead: the append-only file loses its end.
bool support_redis_tear(struct support_redis *r, size_t bytes);
// NULL, or what is wrong: it ended by itself, or reports a crash in its log.
const char *support_redis_broken(struct support_redis *r);

#endif
