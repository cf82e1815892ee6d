// SPDX-License-Identifier: Apache-2.0
#include "subscription.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/common/random.h"

enum {
    CHECK = 1000,          // ms between two signs of life
    RETRY_PAUSE = 20,      // ms until the second try, doubled
    MAX_RETRY_PAUSE = 1000 //
};

static void heard(redisAsyncContext *ac, void *reply, void *ctx);

static void login_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    const redisReply *r = reply;
    (void)ctx;
    if (kvr_connection_received(ac->data, reply, kvr_clock_ms()) && r->type == REDIS_REPLY_ERROR)
        kvr_connection_fail(ac->data, "wrong user or password");
}

static void ignored_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    (void)ctx;
    kvr_connection_received(ac->data, reply, kvr_clock_ms());
}

static void subscribe(struct kvr_subscription *s) {
    char command[100]; // a C string: hiredis looks for further channels behind its end
    int n = snprintf(command, sizeof command, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n",
                     strlen(s->channel), s->channel);
    if (kvr_connection_send(&s->connection, command, (size_t)n, heard, NULL))
        kvr_connection_fail(&s->connection, "sending failed");
}

static void opened(struct kvr_connection *l) {
    struct kvr_subscription *s = l->owner;
    const struct kvr_topology *t = s->topology;
    const char *login[] = {t->user, t->password}, *name = t->name;
    int failed = 0;
    if (t->password[0]) failed |= kvr_connection_send_words(l, login_reply, NULL, "AUTH", login, 2);
    if (name[0])
        failed |= kvr_connection_send_words(l, ignored_reply, NULL, "CLIENT SETNAME", &name, 1);
    if (failed) kvr_connection_fail(l, "sending failed");
    subscribe(s);
}

static void changed(struct kvr_connection *l) {
    struct kvr_subscription *s = l->owner;
    kvr_context_wake(s->context, 0);
}

// What comes is a message or the answer to SUBSCRIBE: the reply builder lets nothing else through.
static void heard(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_connection *l = ac->data;
    struct kvr_subscription *s = l->owner;
    const redisReply *r = reply;
    int64_t now = kvr_clock_ms();
    (void)ctx;
    if (reply && r->type == REDIS_REPLY_ARRAY && r->elements == 3 &&
        r->element[2]->type == REDIS_REPLY_STRING) {
        l->received_at = now;
        if (l->failed) return;
        s->events.told(s->events.ctx, (struct kvr_bytes){r->element[2]->str, r->element[2]->len});
        return;
    }
    if (!kvr_connection_received(l, reply, now) || r->type != REDIS_REPLY_ARRAY) return;
    s->check_at = now + CHECK;
    if (s->open) return;
    s->open = true;
    s->failures = 0;
    kvr_context_log(s->context, KVR_LOG_DEBUG, "subscribed");
    s->events.opened(s->events.ctx);
    kvr_context_wake(s->context, s->check_at);
}

void kvr_subscription_init(struct kvr_subscription *s) {
    uint64_t id[2];
    // Not out of the context's, which the hash tables keep secret: the channel is no secret.
    if (getrandom(id, sizeof id, 0) != sizeof id)
        id[0] = kvr_random_mix((uint64_t)kvr_clock_ms()), id[1] = (uint64_t)getpid();
    kvr_connection_init(&s->connection, &s->context->alloc, s, opened, changed);
    s->connection.builder.channel = s->channel;
    snprintf(s->channel, sizeof s->channel, "kvroute:%016" PRIx64 "%08" PRIx32, id[0],
             (uint32_t)id[1]);
}

void kvr_subscription_free(struct kvr_subscription *s) {
    if (s->context) kvr_connection_free(&s->connection);
}

void kvr_subscription_need(struct kvr_subscription *s, bool needed) {
    if (needed && !s->needed) kvr_context_wake(s->context, 0);
    s->needed = needed;
}

void kvr_subscription_close(struct kvr_subscription *s) {
    kvr_connection_close(&s->connection);
    s->began = s->open = s->denied = false;
    s->retry_at = 0;
}

// It can't be made, or has gone. The next try comes after a while.
static void lost(struct kvr_subscription *s, int64_t now) {
    const char *why = s->connection.why;
    int64_t wait = RETRY_PAUSE;
    s->began = s->open = false;
    for (unsigned i = 0; i < s->failures && wait < MAX_RETRY_PAUSE; i++)
        wait *= 2;
    s->failures++;
    s->retry_at = now + kvr_context_jitter(s->context, wait);
    if (!strncmp(why, "NOPERM", 6)) {
        s->denied = true;
        kvr_context_log(s->context, KVR_LOG_WARNING,
                        "may not subscribe: calls that wait for room only ask from time to time");
    } else if (s->failures == 1) {
        kvr_context_log(s->context, KVR_LOG_INFO, "not subscribed: %s", why);
    }
}

// A server that is too slow in coming, or owes an answer for too long.
static void watch(struct kvr_subscription *s, int64_t now) {
    struct kvr_connection *l = &s->connection;
    const struct kvr_topology *t = s->topology;
    if (!l->ac || l->failed) return;
    bool silent = s->open ? kvr_connection_pending(l) && now - l->received_at >= t->timeout
                          : now - l->since >= t->connect_timeout;
    if (silent)
        kvr_connection_fail(l, "the server is silent");
    else if (kvr_connection_oversized(l))
        kvr_connection_fail(l, "a message is too large");
}

void kvr_subscription_step(struct kvr_subscription *s, const struct kvr_address *primary,
                           int64_t now) {
    struct kvr_connection *l = &s->connection;
    watch(s, now);
    if (l->failed) kvr_connection_close(l);
    if (s->began && !l->ac) lost(s, now);
    if (!s->needed || s->denied) return;
    if (!l->ac && now >= s->retry_at) {
        s->began = true;
        if (kvr_connection_start(l, primary, s->means, now)) lost(s, now);
    } else if (s->open && now >= s->check_at && !kvr_connection_pending(l)) {
        subscribe(s);
    }
}

int64_t kvr_subscription_wake_at(const struct kvr_subscription *s, int64_t now) {
    const struct kvr_connection *l = &s->connection;
    const struct kvr_topology *t = s->topology;
    if (l->failed || (s->began && !l->ac)) return now;
    if (l->ac && !s->open) return l->since + t->connect_timeout;
    if (l->ac && kvr_connection_pending(l)) return l->received_at + t->timeout;
    if (!s->needed || s->denied) return KVR_NEVER;
    return l->ac ? s->check_at : s->retry_at;
}
