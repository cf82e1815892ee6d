// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module (with a replica and a Sentinel, if asked), mock engines and
// routers, all as processes on free ports. They die with the test process.
#ifndef RTEST_CLUSTER_H
#define RTEST_CLUSTER_H

#include <stdint.h>

#include "rtest_http.h"
#include "tests/support/support_redis.h"

enum { RTEST_ROUTERS = 4, RTEST_ENGINES = 8, RTEST_WAIT_MS = 30000 };

struct rtest_process {
    pid_t pid; // 0: not running
    int port;
};

struct rtest_cluster {
    struct support_redis redis, replica, sentinel;
    struct rtest_process routers[RTEST_ROUTERS], engines[RTEST_ENGINES];
    bool failed_over;              // `replica` has the pool now
    char url[60];                  // where routers find Redis; "": at `redis`
    char logs[RTEST_ROUTERS][200]; // what the routers say, with their access logs
};

// Its words and configuration may be set before. After a kill on the same port; empty but for an AOF.
void rtest_redis(struct rtest_cluster *s);
// SIGSTOP and SIGCONT, or its end.
void rtest_kill_redis(struct rtest_cluster *s, int signal);
// A replica of it, and a Sentinel that promotes it when `redis` is dead. Routers started from now on ask
// the Sentinel.
void rtest_sentinel(struct rtest_cluster *s);
// options: words for kvroute-mock-engine; on a new port, or after a kill on the same.
void rtest_engine(struct rtest_cluster *s, int i, const char *options);
// more: flags after --redis, --listen and --access_log, NULL at the end. Waits until it answers.
void rtest_router(struct rtest_cluster *s, int i, const char *const *more);
void rtest_await_ready(struct rtest_cluster *s, int i); // /readyz says ready
void rtest_cluster_down(struct rtest_cluster *s);

void rtest_kill(struct rtest_process *p, int signal); // and waits for its end, if it is to end
int rtest_wait(struct rtest_process *p); // its exit code; the test fails after RTEST_WAIT_MS

// Commands to the primary, in hiredis's formats.
redisReply *rtest_command(struct rtest_cluster *s, const char *format, ...);
long long rtest_integer(struct rtest_cluster *s, const char *format, ...); // −1: it was no integer
// The field of KVROUTE.INFO of a pool; −1: there is none.
long long rtest_pool_info(struct rtest_cluster *s, const char *pool, const char *field);
// Until nothing is booked in the pool.
void rtest_await_released(struct rtest_cluster *s, const char *pool);
// kB of a router, by its name in /proc: VmRSS is what it has now, VmHWM the most it ever had.
long rtest_memory(const struct rtest_cluster *s, int i, const char *what);
char *rtest_log(struct rtest_cluster *s, int i); // all of it; to be freed

#endif
