// SPDX-License-Identifier: Apache-2.0
// The first words with a server: who we are, whether it is a primary, whose history it has, and
// whether it has the pool. One pipelined exchange; and a second one with a server that may still have
// unread words of ours from a connection that was given up.
//
// The history is the server's run id with its replication id. Both are the same as last time only when
// the same process has gone on being a primary, and then nothing that it acknowledged is gone: any
// restart changes the first, any failover the second.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "client_impl.h"

enum greet_step {
    GREET_IGNORE,
    GREET_AUTH,
    GREET_DB,
    GREET_ID,
    GREET_ROLE,
    GREET_INFO,
    GREET_POOL
};

static void greet_reply(redisAsyncContext *ac, void *reply, void *step);

static void said(struct link *l, int failed) {
    if (failed) link_doom(l, "sending failed");
    ((struct kvr_client *)l->owner)->greeting.owed++;
}

static void say(struct link *l, enum greet_step step, const char *words, const char *const *more,
                size_t n_more) {
    said(l, link_words(l, greet_reply, (void *)(uintptr_t)step, words, more, n_more));
}

void greet_opened(struct link *l) {
    struct kvr_client *c = l->owner;
    const struct topology *t = &c->where;
    const char *login[] = {t->user, t->password}, *name = t->name;
    char select[40];
    c->greeting = (struct greeting){.version = -1};
    c->denied = false;
    if (t->password[0]) say(l, GREET_AUTH, "AUTH", login, 2);
    snprintf(select, sizeof select, "SELECT %lld", (long long)t->db);
    if (t->db) say(l, GREET_DB, select, NULL, 0);
    if (name[0]) say(l, GREET_IGNORE, "CLIENT SETNAME", &name, 1);
    say(l, GREET_ID, "CLIENT ID", NULL, 0);
    say(l, GREET_ROLE, "ROLE", NULL, 0);
    say(l, GREET_INFO, "INFO server replication", NULL, 0);
    if (c->finder.asking) say(l, GREET_IGNORE, "ASKING", NULL, 0);
    said(l, link_send(l, c->greet_info.at, c->greet_info.n, greet_reply,
                      (void *)(uintptr_t)GREET_POOL));
}

// ---- What is answered ----------------------------------------------------------------------------

static void hear_role(struct kvr_client *c, const redisReply *r) {
    if (r->type == REDIS_REPLY_ERROR) { // not allowed, perhaps: INFO tells it too
        if (answer_error(r->str, r->len)->action != ANSWER_TELL)
            link_doom(&c->primary, answer_error(r->str, r->len)->message);
        return;
    }
    if (r->type != REDIS_REPLY_ARRAY || !r->elements || r->element[0]->type != REDIS_REPLY_STRING)
        link_doom(&c->primary, "ROLE is answered oddly");
    else if (!strcmp(r->element[0]->str, "master") || c->where.any_role)
        c->greeting.is_primary = true;
    else
        link_doom(&c->primary, "the server is a replica");
}

// The value of "name:" up to the line's end.
static struct kvr_bytes info_line(const char *text, const char *name) {
    size_t n = strlen(name);
    for (const char *at = text; at && *at; at = strchr(at, '\n'), at += at != NULL)
        if (!strncmp(at, name, n)) return (struct kvr_bytes){at + n, strcspn(at + n, "\r\n")};
    return (struct kvr_bytes){"", 0};
}

static void hear_info(struct kvr_client *c, const redisReply *r) {
    if (r->type != REDIS_REPLY_STRING)
        return; // not allowed: then every connection is another history
    struct kvr_bytes run = info_line(r->str, "run_id:");
    struct kvr_bytes replication = info_line(r->str, "master_replid:");
    struct kvr_bytes role = info_line(r->str, "role:");
    if (role.n == 6 && !memcmp(role.p, "master", 6)) c->greeting.is_primary = true;
    if (!run.n || !replication.n) return;
    c->greeting.knows_history = true;
    c->greeting.run = XXH3_64bits(run.p, run.n);
    c->greeting.history = XXH3_64bits_withSeed(replication.p, replication.n, c->greeting.run);
}

static void hear_pool(struct kvr_client *c, const redisReply *r) {
    struct link *l = &c->primary;
    const redisReply *version = answer_field(r, "version"), *lease = answer_field(r, "lease");
    if (version && version->type == REDIS_REPLY_INTEGER) c->greeting.version = version->integer;
    if (lease && lease->type == REDIS_REPLY_INTEGER) c->lease = lease->integer;
    if (r->type != REDIS_REPLY_ERROR) return;
    const struct answer_error *e = answer_error(r->str, r->len);
    if (e->action == ANSWER_MOVED || e->action == ANSWER_ASK) {
        if (c->where.kind == TOPOLOGY_CLUSTER)
            find_redirect(c, r->str, r->len, e->action == ANSWER_ASK);
        link_doom(l, e->message);
    } else if (e->action != ANSWER_TELL) {
        link_doom(l, e->message);
    } else if (e->code == KVR_CODE_NOPOOL) {
        c->greeting.no_pool = true;
    } else if (e->code == KVR_CODE_REFUSED) {
        link_doom(l, "the server has no kvroute module");
    } else if (!strncmp(r->str, "NOAUTH", 6)) {
        c->denied = true;
        link_doom(l, e->message);
    }
}

// Only now is it known that this is the process which those ids are of: elsewhere they are somebody
// else's. Whether they are gone already, or we may not do this, is all the same.
static bool is_stale_here(const struct kvr_client *c, const struct stale *s) {
    return s->id && c->greeting.knows_history && s->run == c->greeting.run;
}

static void end_stale(struct kvr_client *c) {
    char words[64];
    c->greeting.ended_stale = true;
    for (size_t i = 0; i < STALE; i++) {
        if (!is_stale_here(c, &c->stale[i])) continue;
        snprintf(words, sizeof words, "CLIENT KILL ID %lld", (long long)c->stale[i].id);
        say(&c->primary, GREET_IGNORE, words, NULL, 0);
    }
}

// Once that is answered, and no sooner: a greeting may break off.
static void forget_stale(struct kvr_client *c) {
    for (size_t i = 0; i < STALE; i++)
        if (is_stale_here(c, &c->stale[i])) c->stale[i].id = 0;
}

// It is a primary and ready for commands.
static void ready(struct kvr_client *c) {
    struct finder *f = &c->finder;
    const struct greeting *g = &c->greeting;
    int64_t now = clock_ms(), gap = now - c->down_since;
    char text[160];
    forget_stale(c);
    c->stage = STAGE_READY;
    c->ready_at = now;
    c->stats.connects++;
    if (c->was_ready) {
        c->stats.last_gap = gap;
        if (gap > c->stats.longest_gap) c->stats.longest_gap = gap;
    }
    f->known = c->primary.address;
    f->has_known = true;
    if (c->where.kind == TOPOLOGY_SENTINEL) f->known_epoch = f->target_epoch;
    f->check_at = now + client_jitter(c, SENTINEL_CHECK);
    address_text(&f->known, text, sizeof text);
    bool other = c->was_ready && (!g->knows_history || !c->knows_history ||
                                  g->history != c->history || g->version < c->version);
    handle_log(c, KVR_LOG_INFO, "primary %s, %s history, %lld ms without one", text,
               !c->was_ready ? "first"
               : other       ? "another"
                             : "the same",
               (long long)gap);
    c->history = g->history;
    c->knows_history = g->knows_history;
    c->version = g->version;
    snprintf(c->why, sizeof c->why, "the primary has just been lost");
    if (other) client_history_lost(c);
    c->was_ready = true;
    c->repair_at = 0;
    if (g->no_pool && c->create) repair_create_pool(c);
    op_pump(c, now);
    client_wake(c, 0);
}

static void greet_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct link *l = ac->data;
    struct kvr_client *c = l->owner;
    const redisReply *r = reply;
    if (!link_heard(l, reply, clock_ms())) return;
    c->greeting.owed--;
    bool error = r->type == REDIS_REPLY_ERROR;
    switch ((enum greet_step)(uintptr_t)ctx) {
    case GREET_IGNORE:
        break;
    case GREET_AUTH:
        if (error) {
            const struct answer_error *e = answer_error(r->str, r->len);
            c->denied = e->action == ANSWER_TELL;
            link_doom(l, c->denied ? "wrong user or password" : e->message);
        }
        break;
    case GREET_DB:
        if (error) link_doom(l, "the server refuses the database");
        break;
    case GREET_ID:
        if (r->type == REDIS_REPLY_INTEGER) c->greeting.id = r->integer;
        break;
    case GREET_ROLE:
        hear_role(c, r);
        break;
    case GREET_INFO:
        hear_info(c, r);
        break;
    case GREET_POOL:
        hear_pool(c, r);
        break;
    }
    if (l->doomed || c->greeting.owed) return;
    if (!c->greeting.is_primary && c->greeting.knows_history) {
        link_doom(l, "the server is a replica");
        return;
    }
    if (!c->greeting.ended_stale) end_stale(c);
    if (!c->greeting.owed && !l->doomed) ready(c);
}
