// SPDX-License-Identifier: Apache-2.0
// See rtest_cluster.h.
#include "rtest_cluster.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_clients.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { RTEST_MAX_WORDS = 60 };

struct rtest_cluster rtest_fleet;

int rtest_port(void) {
    return rtest_fleet.routers[0].port;
}

// ---- Redis ---------------------------------------------------------------------------------------

void rtest_redis(void) {
    bool again = *rtest_fleet.redis.file;
    cr_assert(again ? support_redis_restart(&rtest_fleet.redis)
                    : support_redis_start(&rtest_fleet.redis));
}

void rtest_kill_redis(int signal) {
    if (signal == SIGSTOP || signal == SIGCONT)
        kill(rtest_fleet.redis.pid, signal);
    else
        support_redis_end(&rtest_fleet.redis, signal);
}

static bool has_replica(void *redis) {
    return support_redis_number(redis, "replication", "connected_slaves") == 1;
}

static bool is_watched(void *sentinel) {
    redisReply *r = support_redis_command(sentinel, "SENTINEL REPLICAS main");
    bool watched = r && r->type == REDIS_REPLY_ARRAY && r->elements == 1;
    if (r) freeReplyObject(r);
    return watched;
}

void rtest_sentinel(void) {
    char primary[12], watch[200];
    const char *const words[] = {"--replicaof", "127.0.0.1", primary, NULL};
    snprintf(primary, sizeof primary, "%d", rtest_fleet.redis.port);
    rtest_fleet.replica.words = words;
    cr_assert(support_redis_start(&rtest_fleet.replica));
    rtest_fleet.replica.words = NULL;
    cr_assert(support_wait(has_replica, &rtest_fleet.redis, RTEST_WAIT_MS), "no replica");
    snprintf(watch, sizeof watch,
             "sentinel monitor main 127.0.0.1 %d 1\n"
             "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 4000\n",
             rtest_fleet.redis.port);
    rtest_fleet.sentinel.config = watch;
    rtest_fleet.sentinel.sentinel = true;
    cr_assert(support_redis_start(&rtest_fleet.sentinel));
    rtest_fleet.sentinel.config = NULL;
    cr_assert(support_wait(is_watched, &rtest_fleet.sentinel, RTEST_WAIT_MS),
              "the Sentinel doesn't see the replica");
    snprintf(rtest_fleet.url, sizeof rtest_fleet.url, "sentinel://127.0.0.1:%d/main",
             rtest_fleet.sentinel.port);
}

static redisReply *command(const char *format, va_list args) {
    return support_redis_ask(rtest_fleet.failed_over ? &rtest_fleet.replica : &rtest_fleet.redis,
                             format, args);
}

redisReply *rtest_command(const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisReply *r = command(format, args);
    va_end(args);
    return r;
}

long long rtest_integer(const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisReply *r = command(format, args);
    va_end(args);
    long long n = r && r->type == REDIS_REPLY_INTEGER ? r->integer : -1;
    if (r) freeReplyObject(r);
    return n;
}

long long rtest_pool_info(const char *pool, const char *field) {
    redisReply *r = rtest_command("KVROUTE.INFO %s", pool);
    long long n = -1;
    for (size_t i = 0; r && r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2)
        if (!strcmp(r->element[i]->str, field)) n = r->element[i + 1]->integer;
    if (r) freeReplyObject(r);
    return n;
}

void rtest_await_released(const char *pool) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_pool_info(pool, "requests");
         support_sleep_ms(10))
        cr_assert(kvr_clock_ms() < end, "something stays booked");
}

// ---- Engines and routers -------------------------------------------------------------------------

void rtest_kill(struct rtest_process *p, int signal) {
    if (signal == SIGSTOP || signal == SIGCONT || signal == SIGHUP || signal == SIGUSR2)
        kill(p->pid, signal);
    else
        support_end(&p->pid, signal);
}

int rtest_wait(struct rtest_process *p) {
    int status = 0;
    cr_assert(support_ends(&p->pid, RTEST_WAIT_MS, &status), "a process doesn't end");
    return status;
}

void rtest_end_router(int i) {
    kill(rtest_fleet.routers[i].pid, SIGTERM);
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[i]), 0);
}

const char *rtest_write(const char *name, const char *text) {
    static char path[200];
    support_path(path, sizeof path, "%s", name);
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && !fclose(f));
    return path;
}

static void start(struct rtest_process *p, const char *const *argv, const char *log,
                  const char *path) {
    int status;
    p->pid =
        rtest_fleet.families && log ? support_start_family(argv, log) : support_start(argv, log);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !rtest_is_served(rtest_get(p->port, path));
         support_sleep_ms(5)) {
        cr_assert(!support_ended(&p->pid, &status), "%s ended", argv[0]);
        cr_assert(kvr_clock_ms() < end, "%s doesn't answer", argv[0]);
    }
}

void rtest_engine(int i, const char *options) {
    struct rtest_process *p = &rtest_fleet.engines[i];
    char port[12], words[600];
    const char *argv[RTEST_MAX_WORDS] = {KVROUTE_MOCK, "--http-port", port};
    if (!p->port) p->port = support_port();
    snprintf(port, sizeof port, "%d", p->port);
    snprintf(words, sizeof words, "%s", options);
    support_split(words, argv, 3, RTEST_MAX_WORDS);
    start(p, argv, NULL, "/health");
}

void rtest_quick_engine(int i, const char *options) {
    char words[300];
    snprintf(words, sizeof words, "--no-events --time-scale 0 %s", options);
    rtest_engine(i, words);
}

void rtest_router(int i, const char *const *more) {
    struct rtest_process *p = &rtest_fleet.routers[i];
    char url[60], listen[40];
    const char *argv[RTEST_MAX_WORDS] = {KVROUTE_ROUTER,
                                         "--redis",
                                         *rtest_fleet.url ? rtest_fleet.url : url,
                                         "--listen",
                                         listen,
                                         "--access_log",
                                         "-",
                                         "--deadline",
                                         RTEST_PATIENT_MS};
    size_t n = 9;
    if (!p->port) p->port = support_port();
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", rtest_fleet.redis.port);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", p->port);
    while (more && *more && n < RTEST_MAX_WORDS - 1)
        argv[n++] = *more++;
    if (rtest_fleet.program) argv[0] = rtest_fleet.program;
    support_path(rtest_fleet.logs[i], sizeof rtest_fleet.logs[i], "router-%d.log", i);
    start(p, argv, rtest_fleet.logs[i], "/healthz");
}

int rtest_readyz(int i, const char *text) {
    struct support_response r = rtest_get(rtest_fleet.routers[i].port, "/readyz");
    int status = strstr(r.body, text) ? r.status : 0;
    support_response_free(&r);
    return status;
}

void rtest_await_ready(int i) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_readyz(i, "\"ready\"") != 200;
         rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end, "the router doesn't become ready");
}

void rtest_cluster_down(void) {
    for (int i = 0; i < RTEST_ROUTERS; i++)
        rtest_kill(&rtest_fleet.routers[i], SIGKILL);
    for (int i = 0; i < RTEST_ENGINES; i++)
        rtest_kill(&rtest_fleet.engines[i], SIGKILL);
    support_redis_end(&rtest_fleet.sentinel, SIGKILL);
    support_redis_end(&rtest_fleet.replica, SIGKILL);
    support_redis_end(&rtest_fleet.redis, SIGKILL);
}

char *rtest_log(int i) {
    FILE *f = fopen(rtest_fleet.logs[i], "r");
    char *text = calloc(1, 1 << 20);
    cr_assert(f && text);
    text[fread(text, 1, (1 << 20) - 1, f)] = 0;
    fclose(f);
    return text;
}

void rtest_expect_log(int i, const char *text, bool there) {
    char *log = rtest_log(i);
    cr_assert((strstr(log, text) != NULL) == there, "%s: %s", text, log);
    free(log);
}

long rtest_memory(int i, const char *what) {
    char path[60], line[200];
    long kb = -1;
    size_t n = strlen(what);
    snprintf(path, sizeof path, "/proc/%d/status", (int)rtest_fleet.routers[i].pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, what, n) && line[n] == ':') kb = strtol(line + n + 1, NULL, 10);
    if (f) fclose(f);
    cr_assert(kb >= 0, "no %s", what);
    return kb;
}
