// SPDX-License-Identifier: Apache-2.0
// A redis-server with the module; see shared.h.
#include "shared.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "stop.h"

enum { PIPELINE = 512 };

bool shared_start(struct shared *s) {
    return s->server.control || server_start(&s->server);
}

void shared_stop(struct shared *s) {
    server_remove(&s->server);
    s->unanswered = 0;
}

static void give_up(struct shared *s, const char *what) {
    if (!stop_asked()) fprintf(stderr, "kvroute-sim: the pool answers: %s\n", what);
    shared_stop(s);
    exit(stop_asked() ? 128 + stop_signal() : 1);
}

static redisReply *read_one(struct shared *s) {
    void *r = NULL;
    if (redisGetReply(s->server.control, &r) != REDIS_OK) give_up(s, s->server.control->errstr);
    return r;
}

void shared_settle(struct shared *s) {
    for (; s->unanswered; s->unanswered--) {
        redisReply *r = read_one(s);
        if (r->type == REDIS_REPLY_ERROR) give_up(s, r->str);
        freeReplyObject(r);
    }
}

static void sent(struct shared *s) {
    if (++s->unanswered >= PIPELINE) shared_settle(s);
}

void shared_send(struct shared *s, int argc, const char **argv, const size_t *len) {
    redisAppendCommandArgv(s->server.control, argc, argv, len);
    sent(s);
}

void shared_sendf(struct shared *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisvAppendCommand(s->server.control, format, args);
    va_end(args);
    sent(s);
}

redisReply *shared_answer(struct shared *s) {
    shared_settle(s);
    redisReply *r = read_one(s);
    if (r->type == REDIS_REPLY_ERROR) give_up(s, r->str);
    return r;
}
