// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module (with a replica and a Sentinel, if asked), mock engines and
// routers, all as processes on free ports, and plain HTTP to talk to them. They die with the test
// process.
#ifndef ROUTER_STAND_H
#define ROUTER_STAND_H

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { STAND_ROUTERS = 4, STAND_ENGINES = 8, PATIENCE_MS = 30000 };

struct stand_process {
    pid_t pid; // 0: not running
    int port;
};

struct stand {
    struct stand_process redis, replica, sentinel, routers[STAND_ROUTERS], engines[STAND_ENGINES];
    redisContext *look;
    char url[60];                  // where routers find Redis; "": at `redis`
    const char *redis_more[8];     // further words for redis-server, NULL at the end
    char logs[STAND_ROUTERS][200]; // what the routers say, with their access logs
};

// On a new port, or after a kill on the same; empty but for an AOF.
void stand_redis(struct stand *s);
// A replica of it, and a Sentinel that promotes it when `redis` is dead. Routers started from now on ask
// the Sentinel.
void stand_sentinel(struct stand *s);
// options: words for kvroute-mock-engine; on a new port, or after a kill on the same.
void stand_engine(struct stand *s, int i, const char *options);
// more: flags after --redis, --listen and --access_log, NULL at the end. Waits until it answers.
void stand_router(struct stand *s, int i, const char *const *more);
void stand_await_ready(struct stand *s, int i); // /readyz says ready
void stand_down(struct stand *s);

pid_t stand_spawn(const char *const *argv, int output); // output: a descriptor, or −1
void stand_kill(struct stand_process *p, int signal);   // and waits for its end
int stand_wait(struct stand_process *p); // its exit code; the test fails after PATIENCE_MS
redisReply *stand_say(struct stand *s, const char *format, ...);   // hiredis's formats
long long stand_integer(struct stand *s, const char *format, ...); // −1: it was no integer
// The field of KVROUTE.INFO of a pool; −1: there is none.
long long stand_info(struct stand *s, const char *pool, const char *field);
// Until nothing is booked in the pool.
void stand_await_released(struct stand *s, const char *pool);
// kB of a router, by its name in /proc: VmRSS is what it has now, VmHWM the most it ever had.
long stand_memory(const struct stand *s, int i, const char *what);
char *stand_log(struct stand *s, int i); // all of it; to be freed

// ---- HTTP ----------------------------------------------------------------------------------------

struct response {
    int status; // 0: no answer
    char *head, *body;
    size_t n;      // of the body; chunks are put together
    bool complete; // as the head announced it
    bool closed;   // by the server, after it
};

int http_connect(int port);
void http_send(int fd, const void *bytes, size_t n);
void http_say(int fd, const char *text);
// Reads one answer; what follows it is lost. head_only: to a HEAD.
struct response http_answer(int fd, bool head_only);
// Everything until the end, or until ms have passed; to be freed. *closed: the end came.
char *http_all(int fd, int ms, bool *closed);
// One request on a connection of its own. headers: whole lines, or NULL. body NULL: none.
struct response http_call(int port, const char *method, const char *path, const char *headers,
                          const char *body);
struct response http_get(int port, const char *path);
struct response http_post(int port, const char *path, const char *body);
void response_free(struct response *r);
bool response_has(const struct response *r, const char *header_line); // whole, without its end
// The answer's body; the test fails if the status is another or it is no JSON.
json_t *http_json(struct response r, int status);
// The code in an error's body; the test fails if the status is another. Static until the next call.
const char *http_code(struct response r, int status);

#endif
