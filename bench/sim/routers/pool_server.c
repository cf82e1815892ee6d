// SPDX-License-Identifier: Apache-2.0
// A redis-server with the module; see pool_server.h.
#include "pool_server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/common/stop.h"

enum { PIPELINE = 512 };

// Whether the server's time is ours: it isn't where preloading is forbidden.
static bool follows(struct sim_server *s) {
    long long seconds = -1;
    redisReply *r = server_command(&s->server, "TIME");
    if (r && r->type == REDIS_REPLY_ARRAY && r->elements == 2) seconds = atoll(r->element[0]->str);
    if (r) freeReplyObject(r);
    if (seconds == s->now / 1000) return true;
    if (!stop_asked())
        fprintf(stderr, "kvroute-sim: the redis-server doesn't follow the clock of %s\n",
                s->server.plan.clock);
    return false;
}

bool sim_server_start(struct sim_server *s, int64_t ms) {
    if (s->server.control) {
        s->shift = s->now - ms;
        return true;
    }
    s->now = ms;
    s->shift = 0;
    s->server.plan.time = ms * 1000;
    return server_start(&s->server) && follows(s);
}

void sim_server_at(struct sim_server *s, int64_t ms) {
    if (s->now == ms + s->shift) return;
    sim_server_settle(s);
    s->now = ms + s->shift;
    server_time(&s->server, s->now * 1000);
}

void sim_server_stop(struct sim_server *s) {
    server_remove(&s->server);
    s->unanswered = 0;
}

static void give_up(struct sim_server *s, const char *what) {
    if (!stop_asked()) fprintf(stderr, "kvroute-sim: the pool answers: %s\n", what);
    sim_server_stop(s);
    exit(stop_asked() ? 128 + stop_signal() : 1);
}

static redisReply *read_one(struct sim_server *s) {
    void *r = NULL;
    if (redisGetReply(s->server.control, &r) != REDIS_OK) give_up(s, s->server.control->errstr);
    return r;
}

void sim_server_settle(struct sim_server *s) {
    for (; s->unanswered; s->unanswered--) {
        redisReply *r = read_one(s);
        if (r->type == REDIS_REPLY_ERROR) give_up(s, r->str);
        freeReplyObject(r);
    }
}

static void sent(struct sim_server *s) {
    if (++s->unanswered >= PIPELINE) sim_server_settle(s);
}

void sim_server_send(struct sim_server *s, int argc, const char **argv, const size_t *len) {
    redisAppendCommandArgv(s->server.control, argc, argv, len);
    sent(s);
}

void sim_server_sendf(struct sim_server *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisvAppendCommand(s->server.control, format, args);
    va_end(args);
    sent(s);
}

redisReply *sim_server_answer(struct sim_server *s) {
    sim_server_settle(s);
    redisReply *r = read_one(s);
    if (r->type == REDIS_REPLY_ERROR) give_up(s, r->str);
    return r;
}
