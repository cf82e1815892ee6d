// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <kvroute/client.h>
#include <stdio.h>
#include <string.h>

#include "poll_loop.h"
#include "tls.h"
#include "wire.h"

void link_init(struct link *l, const struct kvr_alloc *a, void *owner,
               void (*opened)(struct link *), void (*changed)(struct link *)) {
    *l = (struct link){.owner = owner, .opened = opened, .changed = changed};
    parse_init(&l->parse, a);
}

// A reply that we refused to build looks like lack of memory to hiredis.
static void note_why(struct link *l, const char *otherwise) {
    if (l->why[0]) return;
    const char *why = l->parse.refused;
    if (!why && l->ac && l->ac->c.err) why = l->ac->c.errstr;
    snprintf(l->why, sizeof l->why, "%s", why && *why ? why : otherwise);
}

static void connected(const redisAsyncContext *ac, int status) {
    struct link *l = ac->data;
    if (status == REDIS_OK) {
        l->open = true;
        if (!l->doomed) l->opened(l);
        return;
    }
    note_why(l, "connecting failed");
    l->ac = NULL; // hiredis frees it
    l->doomed = false;
    l->changed(l);
}

static void disconnected(const redisAsyncContext *ac, int status) {
    struct link *l = ac->data;
    (void)status;
    if (!l->ac) return; // link_close is at it
    note_why(l, "the connection was closed");
    l->ac = NULL;
    l->open = l->doomed = false;
    l->changed(l);
}

int link_start(struct link *l, const struct address *to, const struct link_means *means,
               int64_t now) {
    l->address = *to;
    l->open = l->doomed = false;
    l->since = l->heard = now;
    l->why[0] = 0;
    redisAsyncContext *ac =
        to->port ? redisAsyncConnect(to->host, to->port) : redisAsyncConnectUnix(to->host);
    if (!ac || ac->err) {
        snprintf(l->why, sizeof l->why, "%s", ac ? ac->errstr : "out of memory");
        if (ac) redisAsyncFree(ac);
        return -1;
    }
    ac->data = l;
    parse_attach(&l->parse, ac->c.reader);
    if ((means->tls && tls_start(means->tls, ac)) || means->loop->attach(means->loop->base, ac)) {
        snprintf(l->why, sizeof l->why, "%s",
                 ac->c.err ? ac->c.errstr : "TLS or the event loop refuses the connection");
        redisAsyncFree(ac);
        return -1;
    }
    l->ac = ac;
    redisAsyncSetDisconnectCallback(ac, disconnected);
    redisAsyncSetConnectCallback(ac, connected);
    return 0;
}

int link_send(struct link *l, const char *command, size_t n, redisCallbackFn *fn, void *ctx) {
    if (!link_usable(l)) return -1;
    if (!l->parse.expected) l->heard = clock_ms(); // until now nobody has kept us waiting
    if (redisAsyncFormattedCommand(l->ac, fn, ctx, command, n) != REDIS_OK) return -1;
    l->parse.expected++;
    return 0;
}

int link_words(struct link *l, redisCallbackFn *fn, void *ctx, const char *words,
               const char *const *more, size_t n_more) {
    struct wire w;
    struct command command;
    wire_begin(&w, l->parse.arena.alloc);
    wire_words(&w, words);
    for (size_t i = 0; i < n_more; i++)
        if (more[i][0]) wire_word(&w, more[i]);
    if (!wire_end(&w, &command)) return -1;
    int failed = link_send(l, command.at, command.n, fn, ctx);
    kvr_alloc_free(w.alloc, command.base);
    return failed;
}

void link_doom(struct link *l, const char *why) {
    if (!l->ac || l->doomed) return;
    if (!l->why[0]) snprintf(l->why, sizeof l->why, "%s", why);
    l->doomed = true;
    l->changed(l);
}

bool link_heard(struct link *l, const void *reply, int64_t now) {
    if (!reply) {
        note_why(l, "the connection was closed");
        return false;
    }
    if (l->parse.expected) l->parse.expected--;
    l->heard = now;
    return !l->doomed;
}

size_t link_owed(const struct link *l) {
    return l->ac ? l->parse.expected : 0;
}

bool link_swollen(const struct link *l) {
    return l->ac && l->ac->c.reader && l->ac->c.reader->len > PARSE_BYTES / 2;
}

void link_close(struct link *l) {
    redisAsyncContext *ac = l->ac;
    l->open = false;
    if (!ac) return;
    l->ac = NULL;
    redisAsyncFree(ac); // calls back what is owed, with NULL
    l->doomed = false;
}

void link_free(struct link *l) {
    parse_free(&l->parse);
}
