// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module (with a replica and a Sentinel, if asked), mock engines and
// routers, all as processes on free ports. They die with the test process.
#ifndef RTEST_CLUSTER_H
#define RTEST_CLUSTER_H

#include <stdint.h>

#include "rtest_http.h"
#include "tests/support/support_redis.h"

enum { RTEST_ROUTERS = 4, RTEST_ENGINES = 8 };

struct rtest_process {
    pid_t pid; // 0: not running
    int port;
};

struct rtest_cluster {
    struct support_redis redis, replica, sentinel;
    struct rtest_process routers[RTEST_ROUTERS], engines[RTEST_ENGINES];
    bool failed_over;              // `replica` has the pool now
    bool families;                 // routers start others
    const char *program;           // the router's; NULL: the one that was built
    char url[60];                  // where routers find Redis; "": at `redis`
    char logs[RTEST_ROUTERS][200]; // what the routers say, with their access logs
};

extern struct rtest_cluster rtest_fleet; // a test has one
int rtest_port(void);                    // of router 0

// Redis. Its words and configuration may be set before. After a kill on the same port; empty but for an AOF.
void rtest_redis(void);
// SIGSTOP and SIGCONT, or its end.
void rtest_kill_redis(int signal);
// A replica of it, and a Sentinel that promotes it when `redis` is dead. Routers started from now on ask
// the Sentinel.
void rtest_sentinel(void);
// options: words for kvroute-mock-engine; on a new port, or after a kill on the same.
void rtest_engine(int i, const char *options);
void rtest_quick_engine(int i, const char *options); // that takes no time, and tells no events
// A router's own deadline is 200 ms: a machine that stands still for longer would turn a test of the pool's choices into
// one of the router's.
#define RTEST_PATIENT_MS "5000"
// more: flags after --redis, --listen, --access_log and --deadline RTEST_PATIENT_MS, NULL at the end; the last of two
// counts. Waits until it answers.
void rtest_router(int i, const char *const *more);
int rtest_readyz(int i, const char *text); // the status of /readyz, if it says so; else 0
void rtest_await_ready(int i);             // /readyz says ready
void rtest_cluster_down(void);

void rtest_kill(struct rtest_process *p, int signal); // and waits for its end, if it is to end
int rtest_wait(struct rtest_process *p); // its exit code; the test fails after RTEST_WAIT_MS
void rtest_end_router(int i);            // SIGTERM; it must end well
// A file of this text in the test's folder; its path, static until the next call.
const char *rtest_write(const char *name, const char *text);

// Commands to the primary, in hiredis's formats.
redisReply *rtest_command(const char *format, ...);
long long rtest_integer(const char *format, ...); // −1: it was no integer
// The field of KVROUTE.INFO of a pool; −1: there is none.
long long rtest_pool_info(const char *pool, const char *field);
// Until nothing is booked in the pool.
void rtest_await_released(const char *pool);
// kB of a router, by its name in /proc: VmRSS is what it has now, VmHWM the most it ever had.
long rtest_memory(int i, const char *what);
char *rtest_log(int i);                                     // all of it; to be freed
void rtest_expect_log(int i, const char *text, bool there); // or the test fails

#endif
