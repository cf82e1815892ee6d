// SPDX-License-Identifier: Apache-2.0
// A redis-server with the module; see pool_server.h.
#include "pool_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/support_home.h"

enum { PIPELINE = 512 };

// ---- The clock -----------------------------------------------------------------------------------

// A file that the server's clock is read from.
static void clock_path(char path[256]) {
    support_path(path, 256, "clock");
}

static void make_clock(struct sim_server *s) {
    char path[256];
    clock_path(path);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *at = MAP_FAILED;
    if (file >= 0 && ftruncate(file, sizeof *s->time) == 0)
        at = mmap(NULL, sizeof *s->time, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    if (at == MAP_FAILED) support_fail("can't make %s", path);
    s->time = at;
}

// In the server's process.
static void preload_clock(void *ctx) {
    const struct sim_server *s = ctx;
    const char *others = getenv("LD_PRELOAD");
    char path[256], list[4096];
    clock_path(path);
    snprintf(list, sizeof list, "%s%s%s", others ? others : "", others && *others ? ":" : "",
             s->clock);
    setenv("LD_PRELOAD", list, 1);
    setenv("KVROUTE_SIM_CLOCK", path, 1);
}

// Whether the server's time is ours: it isn't where preloading is forbidden.
static bool follows(struct sim_server *s) {
    long long seconds = -1;
    redisReply *r = support_redis_command(&s->redis, "TIME");
    if (r && r->type == REDIS_REPLY_ARRAY && r->elements == 2) seconds = atoll(r->element[0]->str);
    if (r) freeReplyObject(r);
    if (seconds == s->now / 1000) return true;
    fprintf(stderr, "kvroute-sim: the redis-server doesn't follow the clock of %s\n", s->clock);
    return false;
}

bool sim_server_start(struct sim_server *s, int64_t ms) {
    if (s->redis.pid) {
        s->shift = s->now - ms;
        return true;
    }
    s->now = ms;
    s->shift = 0;
    if (!s->time) make_clock(s);
    atomic_store(s->time, ms * 1000);
    s->redis.unopened = true;
    s->redis.before = preload_clock;
    s->redis.ctx = s;
    return support_redis_start(&s->redis) && follows(s);
}

void sim_server_at(struct sim_server *s, int64_t ms) {
    if (s->now == ms + s->shift) return;
    sim_server_settle(s);
    s->now = ms + s->shift;
    atomic_store(s->time, s->now * 1000);
}

void sim_server_stop(struct sim_server *s) {
    if (s->listener) redisFree(s->listener);
    s->listener = NULL;
    support_redis_end(&s->redis, SIGKILL);
    if (s->time) munmap((void *)s->time, sizeof *s->time);
    s->time = NULL;
    s->unanswered = 0;
}

// ---- Commands ------------------------------------------------------------------------------------

static void give_up(struct sim_server *s, const char *what) {
    fprintf(stderr, "kvroute-sim: the pool answers: %s\n", what);
    sim_server_stop(s);
    exit(1);
}

static redisReply *read_one(struct sim_server *s) {
    void *r = NULL;
    if (redisGetReply(s->redis.control, &r) != REDIS_OK) give_up(s, s->redis.control->errstr);
    if (((redisReply *)r)->type == REDIS_REPLY_ERROR) give_up(s, ((redisReply *)r)->str);
    return r;
}

void sim_server_settle(struct sim_server *s) {
    for (; s->unanswered; s->unanswered--)
        freeReplyObject(read_one(s));
}

static void count_sent(struct sim_server *s) {
    if (++s->unanswered >= PIPELINE) sim_server_settle(s);
}

void sim_server_send(struct sim_server *s, int argc, const char **argv, const size_t *len) {
    redisAppendCommandArgv(s->redis.control, argc, argv, len);
    count_sent(s);
}

void sim_server_sendf(struct sim_server *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisvAppendCommand(s->redis.control, format, args);
    va_end(args);
    count_sent(s);
}

redisReply *sim_server_try(struct sim_server *s, int argc, const char **argv, const size_t *len) {
    void *r = NULL;
    sim_server_settle(s);
    redisAppendCommandArgv(s->redis.control, argc, argv, len);
    if (redisGetReply(s->redis.control, &r) != REDIS_OK) give_up(s, s->redis.control->errstr);
    return r;
}

// ---- What is published ---------------------------------------------------------------------------

static redisReply *read_published(struct sim_server *s) {
    void *r = NULL;
    if (redisGetReply(s->listener, &r) != REDIS_OK) give_up(s, s->listener->errstr);
    return r;
}

void sim_server_listen(struct sim_server *s, const char *channel) {
    if (s->listener) return;
    s->listener = redisConnectUnix(s->redis.socket);
    if (!s->listener || s->listener->err) give_up(s, "can't listen");
    redisAppendCommand(s->listener, "SUBSCRIBE %s", channel);
    freeReplyObject(read_published(s));
}

// What was published before the server answers a ping on the same connection stands before the answer.
size_t sim_server_heard(struct sim_server *s, void (*f)(void *ctx, const char *text), void *ctx) {
    size_t n = 0;
    sim_server_settle(s);
    redisAppendCommand(s->listener, "PING");
    for (bool over = false; !over;) {
        redisReply *r = read_published(s);
        bool message = r->type == REDIS_REPLY_ARRAY && r->elements == 3 && r->element[2]->str;
        if (message) f(ctx, r->element[2]->str);
        n += message;
        over = !message;
        freeReplyObject(r);
    }
    return n;
}
