// SPDX-License-Identifier: Apache-2.0
#include "connection.h"

#include <kvroute/client.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "resp_command.h"
#include "tls.h"

void kvr_connection_init(struct kvr_connection *l, const struct kvr_alloc *a, void *owner,
                         void (*opened)(struct kvr_connection *),
                         void (*changed)(struct kvr_connection *)) {
    *l = (struct kvr_connection){.owner = owner, .opened = opened, .changed = changed};
    kvr_reply_builder_init(&l->builder, a);
}

// A reply that we refused to build looks like lack of memory to hiredis.
static void note_why(struct kvr_connection *l, const char *otherwise) {
    if (l->why[0]) return;
    const char *why = l->builder.refused;
    if (!why && kvr_tls_failure(l->tls, l->why, sizeof l->why)) return;
    // With TLS, hiredis looks for a reason in errno, which may not have any.
    if (!why && l->ac && l->ac->c.err && strcmp(l->ac->c.errstr, strerror(0)) != 0)
        why = l->ac->c.errstr;
    snprintf(l->why, sizeof l->why, "%s", why && *why ? why : otherwise);
}

static void forget(struct kvr_connection *l) {
    l->ac = NULL;
    kvr_tls_end(l->tls);
    l->tls = NULL;
}

static void connected(const redisAsyncContext *ac, int status) {
    struct kvr_connection *l = ac->data;
    if (status == REDIS_OK) {
        l->open = true;
        if (!l->failed) l->opened(l);
        return;
    }
    note_why(l, "connecting failed");
    forget(l); // hiredis frees it
    l->failed = false;
    l->changed(l);
}

static void disconnected(const redisAsyncContext *ac, int status) {
    struct kvr_connection *l = ac->data;
    (void)status;
    if (!l->ac) return; // kvr_connection_close is at it
    note_why(l, "the connection was closed");
    forget(l);
    l->open = l->failed = false;
    l->changed(l);
}

int kvr_connection_start(struct kvr_connection *l, const struct kvr_address *to,
                         const struct kvr_connection_means *means, int64_t now) {
    l->address = *to;
    l->open = l->failed = false;
    l->since = l->received_at = now;
    l->why[0] = 0;
    redisAsyncContext *ac =
        to->port ? redisAsyncConnect(to->host, to->port) : redisAsyncConnectUnix(to->host);
    if (!ac || ac->err) {
        snprintf(l->why, sizeof l->why, "%s", ac ? ac->errstr : "out of memory");
        if (ac) redisAsyncFree(ac);
        return -1;
    }
    ac->data = l;
    kvr_reply_builder_attach(&l->builder, ac->c.reader);
    l->ac = ac;
    if ((means->tls && !kvr_tls_start(means->tls, to, ac, &l->tls)) ||
        means->loop->attach(means->loop->base, ac)) {
        note_why(l, "TLS or the event loop refuses the connection");
        forget(l);
        redisAsyncFree(ac);
        return -1;
    }
    redisAsyncSetDisconnectCallback(ac, disconnected);
    redisAsyncSetConnectCallback(ac, connected);
    return 0;
}

int kvr_connection_send(struct kvr_connection *l, const char *command, size_t n,
                        redisCallbackFn *fn, void *ctx) {
    if (!kvr_connection_usable(l)) return -1;
    if (!l->builder.expected) l->received_at = kvr_clock_ms(); // no reply was owed until now
    if (redisAsyncFormattedCommand(l->ac, fn, ctx, command, n) != REDIS_OK) return -1;
    l->builder.expected++;
    return 0;
}

int kvr_connection_send_words(struct kvr_connection *l, redisCallbackFn *fn, void *ctx,
                              const char *words, const char *const *more, size_t n_more) {
    struct kvr_wire w;
    struct kvr_command command;
    kvr_wire_begin(&w, l->builder.arena.alloc);
    kvr_wire_words(&w, words);
    for (size_t i = 0; i < n_more; i++)
        if (more[i][0]) kvr_wire_word(&w, more[i]);
    if (!kvr_wire_end(&w, &command)) return -1;
    int failed = kvr_connection_send(l, command.at, command.n, fn, ctx);
    kvr_command_release(w.alloc, &command);
    return failed;
}

void kvr_connection_fail(struct kvr_connection *l, const char *why) {
    if (!l->ac || l->failed) return;
    if (!l->why[0]) snprintf(l->why, sizeof l->why, "%s", why);
    l->failed = true;
    l->changed(l);
}

bool kvr_connection_received(struct kvr_connection *l, const void *reply, int64_t now) {
    if (!reply) {
        note_why(l, "the connection was closed");
        return false;
    }
    if (l->builder.expected) l->builder.expected--;
    l->received_at = now;
    return !l->failed;
}

size_t kvr_connection_pending(const struct kvr_connection *l) {
    return l->ac ? l->builder.expected : 0;
}

bool kvr_connection_oversized(const struct kvr_connection *l) {
    return l->ac && l->ac->c.reader && l->ac->c.reader->len > KVR_MAX_REPLY_BYTES / 2;
}

void kvr_connection_close(struct kvr_connection *l) {
    redisAsyncContext *ac = l->ac;
    l->open = false;
    if (!ac) return;
    l->ac = NULL;
    redisAsyncFree(ac); // calls back what is owed, with NULL
    forget(l);
    l->failed = false;
}

void kvr_connection_free(struct kvr_connection *l) {
    kvr_reply_builder_free(&l->builder);
}
