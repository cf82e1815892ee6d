// SPDX-License-Identifier: Apache-2.0
// See stand.h.
#include "stand.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/home.h"
#include "tests/support/program.h"
#include "tests/support/redis.h"

enum { MOST_WORDS = 60 };

// ---- Processes -----------------------------------------------------------------------------------

pid_t stand_spawn(const char *const *argv, int output) {
    return program_start(argv, -1, output, output);
}

void stand_kill(struct stand_process *p, int signal) {
    if (p->pid > 0) {
        kill(p->pid, signal);
        if (signal == SIGSTOP || signal == SIGCONT || signal == SIGHUP) return;
        waitpid(p->pid, NULL, 0);
    }
    p->pid = 0;
}

int stand_wait(struct stand_process *p) {
    int status = 0;
    cr_assert(program_ends(&p->pid, PATIENCE_MS, &status), "a process doesn't end");
    return status;
}

static void choose_port(struct stand_process *p) {
    if (!p->port) p->port = home_port();
}

static bool has_ended(struct stand_process *p) {
    int status;
    return program_ended(&p->pid, &status);
}

static bool is_up(struct stand *s) {
    return redis_answers(&s->look, s->redis.port);
}

void stand_redis(struct stand *s) {
    if (s->look) redisFree(s->look); // of an earlier life
    s->look = NULL;
    for (int tries = 0; tries < 5; tries++) {
        choose_port(&s->redis);
        s->redis.pid = redis_start(s->redis.port, s->redis_more);
        for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end; sleep_ms(5)) {
            if (has_ended(&s->redis)) break;
            if (is_up(s)) return;
        }
    }
    cr_assert_fail("no redis-server");
}

// Whether the server's answer to a question has this in it, or, if it is an array, so many elements.
static bool says(redisContext *c, const char *question, const char *text, size_t elements) {
    redisReply *r = c && !c->err ? redisCommand(c, question) : NULL;
    bool good = r && ((r->type == REDIS_REPLY_STRING && text && strstr(r->str, text)) ||
                      (r->type == REDIS_REPLY_ARRAY && r->elements == elements));
    if (r) freeReplyObject(r);
    return good;
}

void stand_sentinel(struct stand *s) {
    char primary[12], path[300];
    choose_port(&s->replica);
    choose_port(&s->sentinel);
    snprintf(primary, sizeof primary, "%d", s->redis.port);
    const char *of[] = {
        "--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1", primary, NULL};
    s->replica.pid = redis_start(s->replica.port, of);
    for (int64_t end = now_ms() + PATIENCE_MS;
         !says(s->look, "INFO replication", "state=online", 0); sleep_ms(20))
        cr_assert(now_ms() < end, "no replica");
    snprintf(path, sizeof path, "%s/sentinel.conf", home_path());
    FILE *f = fopen(path, "w");
    cr_assert(f);
    fprintf(f,
            "port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor main 127.0.0.1 %d 1\n"
            "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 4000\n",
            s->sentinel.port, home_path(), s->redis.port);
    fclose(f);
    const char *watch[] = {home_setting("REDIS_SERVER", REDIS_SERVER), path, "--sentinel", NULL};
    s->sentinel.pid = stand_spawn(watch, -1);
    redisContext *c = NULL;
    for (int64_t end = now_ms() + PATIENCE_MS; !says(c, "SENTINEL REPLICAS main", NULL, 1);
         sleep_ms(50)) {
        cr_assert(now_ms() < end, "the Sentinel doesn't see the replica");
        if (c && !c->err) continue;
        if (c) redisFree(c);
        c = redisConnect("127.0.0.1", s->sentinel.port);
    }
    redisFree(c);
    snprintf(s->url, sizeof s->url, "sentinel://127.0.0.1:%d/main", s->sentinel.port);
}

static bool answers(int port, const char *path) {
    struct response r = http_get(port, path);
    bool good = r.status == 200;
    response_free(&r);
    return good;
}

static void await(struct stand_process *p, const char *path, const char *what) {
    for (int64_t end = now_ms() + PATIENCE_MS; !answers(p->port, path); sleep_ms(5)) {
        cr_assert(!has_ended(p), "%s ended", what);
        cr_assert(now_ms() < end, "%s doesn't answer", what);
    }
}

void stand_engine(struct stand *s, int i, const char *options) {
    struct stand_process *p = &s->engines[i];
    const char *argv[MOST_WORDS] = {KVROUTE_MOCK, "--http-port"};
    char port[12], copy[600], *rest = NULL;
    size_t n = 3;
    choose_port(p);
    snprintf(port, sizeof port, "%d", p->port);
    snprintf(copy, sizeof copy, "%s", options);
    argv[2] = port;
    for (char *w = strtok_r(copy, " ", &rest); w && n < MOST_WORDS - 1;
         w = strtok_r(NULL, " ", &rest))
        argv[n++] = w;
    p->pid = stand_spawn(argv, -1);
    await(p, "/health", "the engine");
}

void stand_router(struct stand *s, int i, const char *const *more) {
    struct stand_process *p = &s->routers[i];
    char url[60], listen[40];
    const char *argv[MOST_WORDS] = {KVROUTE_ROUTER, "--redis",      url, "--listen",
                                    listen,         "--access_log", "-"};
    if (*s->url) argv[2] = s->url;
    size_t n = 7;
    choose_port(p);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", s->redis.port);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", p->port);
    while (more && *more && n < MOST_WORDS - 1)
        argv[n++] = *more++;
    snprintf(s->logs[i], sizeof s->logs[i], "%s/router-%d.log", home_path(), i);
    int log = open(s->logs[i], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    p->pid = stand_spawn(argv, log);
    close(log);
    await(p, "/healthz", "the router");
}

void stand_await_ready(struct stand *s, int i) {
    for (int64_t end = now_ms() + PATIENCE_MS;; sleep_ms(5)) {
        struct response r = http_get(s->routers[i].port, "/readyz");
        bool ready = r.status == 200 && strstr(r.body, "\"ready\"");
        response_free(&r);
        if (ready) return;
        cr_assert(now_ms() < end, "the router doesn't become ready");
    }
}

void stand_down(struct stand *s) {
    for (int i = 0; i < STAND_ROUTERS; i++)
        stand_kill(&s->routers[i], SIGKILL);
    for (int i = 0; i < STAND_ENGINES; i++)
        stand_kill(&s->engines[i], SIGKILL);
    stand_kill(&s->sentinel, SIGKILL);
    stand_kill(&s->replica, SIGKILL);
    stand_kill(&s->redis, SIGKILL);
    if (s->look) redisFree(s->look);
    s->look = NULL;
}

char *stand_log(struct stand *s, int i) {
    FILE *f = fopen(s->logs[i], "r");
    char *text = calloc(1, 1 << 20);
    cr_assert(f && text);
    text[fread(text, 1, (1 << 20) - 1, f)] = 0;
    fclose(f);
    return text;
}

// ---- The pool ------------------------------------------------------------------------------------

static redisReply *say(struct stand *s, const char *format, va_list args) {
    return is_up(s) ? redisvCommand(s->look, format, args) : NULL;
}

redisReply *stand_say(struct stand *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisReply *r = say(s, format, args);
    va_end(args);
    return r;
}

long long stand_integer(struct stand *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisReply *r = say(s, format, args);
    va_end(args);
    long long n = r && r->type == REDIS_REPLY_INTEGER ? r->integer : -1;
    if (r) freeReplyObject(r);
    return n;
}

long long stand_info(struct stand *s, const char *pool, const char *field) {
    redisReply *r = stand_say(s, "KVROUTE.INFO %s", pool);
    long long n = -1;
    for (size_t i = 0; r && r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2)
        if (!strcmp(r->element[i]->str, field)) n = r->element[i + 1]->integer;
    if (r) freeReplyObject(r);
    return n;
}

void stand_await_released(struct stand *s, const char *pool) {
    for (int64_t end = now_ms() + PATIENCE_MS; stand_info(s, pool, "requests"); sleep_ms(10))
        cr_assert(now_ms() < end, "something stays booked");
}

long stand_memory(const struct stand *s, int i, const char *what) {
    char path[60], line[200];
    long kb = -1;
    size_t n = strlen(what);
    snprintf(path, sizeof path, "/proc/%d/status", (int)s->routers[i].pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, what, n) && line[n] == ':') kb = strtol(line + n + 1, NULL, 10);
    if (f) fclose(f);
    cr_assert(kb >= 0, "no %s", what);
    return kb;
}
