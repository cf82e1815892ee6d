// SPDX-License-Identifier: Apache-2.0
// Plain connections that ask with BLOCK, each with a thread of its own; see ha_queue_blockers.h.
//
// They know no more than any program that speaks to Redis without a library: a few addresses, one of which is that
// of the primary. When an answer doesn't come, or isn't one, they ask the next address the same again.
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "ha_client.h"
#include "ha_queue_blockers.h"
#include "tests/support/support_home.h"

enum {
    HA_CALLERS = 64, // at most; each asks for its share, one after the other
    HA_SILENCE_MS = 1000,
    HA_CONNECT_MS = 500,
    HA_REPLY_MS = 3000,
    HA_PAUSE_MS = 20,
    HA_COMPUTE_MS = 80,
    HA_BLOCKED_LEASE_MS = 4000, // who repairs nothing has to let go soon
};

struct ha_caller {
    struct ha_queue *queue;
    struct ha_queue_client *log;
    pthread_t thread;
    uint32_t first, step; // its requests
    redisContext *context;
    size_t at; // of the addresses
    int port;  // where it has been sent; 0: nowhere
    bool asking;
};

static redisContext *connect_to(int port) {
    redisContext *c = redisConnectWithTimeout(
        "127.0.0.1", port, (struct timeval){HA_CONNECT_MS / 1000, HA_CONNECT_MS % 1000 * 1000});
    if (c && !c->err) {
        redisSetTimeout(c, (struct timeval){HA_REPLY_MS / 1000, 0});
        return c;
    }
    if (c) redisFree(c);
    return NULL;
}

static int address(const struct ha_caller *a) {
    return a->port ? a->port : a->log->addresses[a->at];
}

static void leave(struct ha_caller *a) {
    if (a->context) redisFree(a->context);
    a->context = NULL;
    a->asking = false;
    a->port = 0;
}

static void go_on_to_next(struct ha_caller *a) {
    leave(a);
    if (++a->at == HA_QUEUE_ADDRESSES || !a->log->addresses[a->at]) a->at = 0;
    support_sleep_ms(HA_PAUSE_MS);
}

// A connection that only waits may be dead without anybody noticing.
static bool is_alive(const struct ha_caller *a) {
    redisContext *c = connect_to(address(a));
    redisReply *r = c ? redisCommand(c, "ROLE") : NULL;
    bool alive = r && r->type == REDIS_REPLY_ARRAY && r->elements &&
                 strcmp(r->element[0]->str, "master") == 0;
    if (r) freeReplyObject(r);
    if (c) redisFree(c);
    return alive;
}

// The reply to what has been appended; NULL: there will be none.
static redisReply *wait_for_reply(struct ha_caller *a) {
    void *r = NULL;
    int sent = 0;
    while (!sent)
        if (redisBufferWrite(a->context, &sent) != REDIS_OK) return NULL;
    for (;;) {
        struct pollfd p = {.fd = a->context->fd, .events = POLLIN};
        int n = poll(&p, 1, HA_SILENCE_MS);
        if (n < 0 && errno != EINTR) return NULL;
        if (n > 0) return redisGetReply(a->context, &r) == REDIS_OK ? r : NULL;
        if (n == 0 && !is_alive(a)) return NULL;
    }
}

// Where another address is to be asked.
static void follow(struct ha_caller *a, const char *error) {
    bool ask = strncmp(error, "ASK ", 4) == 0;
    const char *port = strrchr(error, ':');
    if ((!ask && strncmp(error, "MOVED ", 6) != 0) || !port) {
        go_on_to_next(a);
        return;
    }
    leave(a);
    a->port = atoi(port + 1);
    a->asking = ask;
}

static bool starts(const char *error, const char *code) {
    size_t n = strlen(code);
    return strncmp(error, code, n) == 0 && (error[n] == ' ' || error[n] == 0);
}

static bool is_final(const struct ha_queue *q, const char *error) {
    static const char *const codes[] = {"NOROOM", "LIMITED", "NOWORKER", "ERR", "OOM", "WRONGTYPE"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (starts(error, codes[i])) return true;
    return starts(error, "NOPOOL") && !q->in_cluster;
}

// Sends a command until there is an answer that counts; NULL: none came in time.
static redisReply *ask(struct ha_caller *a, const struct ha_waiter *w, const char *id,
                       bool select) {
    int64_t until = w->began + w->wait + HA_QUEUE_DEADLINE_MS;
    uint64_t hashes[HA_CHAIN_BLOCKS];
    ha_chain(w->chain, hashes);
    while (!select || kvr_clock_ms() < until) {
        if (!a->context && !(a->context = connect_to(address(a)))) {
            go_on_to_next(a);
            continue;
        }
        if (a->asking) {
            redisReply *r = redisCommand(a->context, "ASKING");
            if (r) freeReplyObject(r);
        }
        if (select) {
            char wait[24];
            int64_t left = w->began + w->wait - kvr_clock_ms();
            snprintf(wait, sizeof wait, "%" PRId64, left > 0 ? left : 1);
            redisAppendCommand(a->context,
                               "KVROUTE.SELECT pool %s HASHES %b OSL %d LEASE %d CLASS gold FLOW "
                               "f%d WAIT %s BLOCK",
                               id, hashes, (size_t)w->blocks * sizeof *hashes, w->blocks,
                               HA_BLOCKED_LEASE_MS, w->flow, wait);
        } else {
            redisAppendCommand(a->context, "KVROUTE.RELEASE pool %s", id);
        }
        redisReply *r = wait_for_reply(a);
        if (r && (r->type != REDIS_REPLY_ERROR || is_final(a->queue, r->str))) return r;
        if (r) {
            follow(a, r->str);
            freeReplyObject(r);
        } else {
            go_on_to_next(a);
        }
    }
    return NULL;
}

static void note_answer(struct ha_caller *a, struct ha_waiter *w, const redisReply *r) {
    const redisReply *worker = r ? ha_field(r, "worker") : NULL;
    char code[24] = "TIMEOUT";
    if (worker) {
        ha_waiter_booked(a->queue, a->log, w, worker->str, ha_field_int(r, "rank"),
                         ha_field_int(r, "waited"));
        return;
    }
    if (r) sscanf(r->type == REDIS_REPLY_ERROR ? r->str : "PROTOCOL", "%23s", code);
    ha_waiter_refused(a->queue, a->log, w, code, r && r->str ? r->str : "to SELECT with BLOCK");
}

static void one_request(struct ha_caller *a, uint32_t i) {
    struct ha_waiter *w = &a->log->waiters[i];
    struct ha_request_id id = ha_request_name(a->log->number, i);
    w->began = kvr_clock_ms();
    w->state = HA_WAITER_ASKING;
    redisReply *r = ask(a, w, id.text, true);
    note_answer(a, w, r);
    if (r) freeReplyObject(r);
    if (w->state != HA_WAITER_BOOKED) return;
    support_sleep_ms(HA_COMPUTE_MS);
    while (!ha_queue_may_release(a->queue))
        support_sleep_ms(HA_PAUSE_MS);
    w->state = HA_WAITER_RELEASING;
    r = ask(a, w, id.text, false);
    if (r) freeReplyObject(r);
    w->state = HA_WAITER_RELEASED;
}

static void *call(void *ctx) {
    struct ha_caller *a = ctx;
    for (uint32_t i = a->first; i < a->log->n; i += a->step)
        one_request(a, i);
    leave(a);
    return NULL;
}

static bool all_ask(void *ctx) {
    const struct ha_queue_client *c = ctx;
    for (uint32_t i = 0; i < c->n && i < HA_CALLERS; i++)
        if (c->waiters[i].state == HA_WAITER_UNBORN) return false;
    return true;
}

void ha_queue_run_blockers(struct ha_queue *q, struct ha_queue_client *c) {
    static struct ha_caller callers[HA_CALLERS];
    uint32_t n = c->n < HA_CALLERS ? c->n : HA_CALLERS;
    for (uint32_t i = 0; i < n; i++) {
        callers[i] = (struct ha_caller){.queue = q, .log = c, .first = i, .step = n};
        if (pthread_create(&callers[i].thread, NULL, call, &callers[i]) != 0)
            ha_give_up("no more threads");
    }
    ha_wait(all_ask, c, "all plain connections ask");
    c->begun = c->begun_all = true;
    for (uint32_t i = 0; i < n; i++)
        pthread_join(callers[i].thread, NULL);
    c->done = true;
    while (!q->end)
        support_sleep_ms(HA_PAUSE_MS);
}
