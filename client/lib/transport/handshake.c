// SPDX-License-Identifier: Apache-2.0
#include "handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "client/common/clock.h"
#include "server_reply.h"

enum handshake_step {
    HANDSHAKE_IGNORE,
    HANDSHAKE_AUTH,
    HANDSHAKE_DB,
    HANDSHAKE_ID,
    HANDSHAKE_ROLE,
    HANDSHAKE_INFO,
    HANDSHAKE_POOL
};

static void take_reply(redisAsyncContext *ac, void *reply, void *step);

static void sent(struct kvr_handshake *h, int failed) {
    if (failed) kvr_connection_fail(h->connection, "sending failed");
    h->facts.pending++;
}

static void say(struct kvr_handshake *h, enum handshake_step step, const char *words,
                const char *const *more, size_t n_more) {
    sent(h, kvr_connection_send_words(h->connection, take_reply, (void *)(uintptr_t)step, words,
                                      more, n_more));
}

int kvr_handshake_init(struct kvr_handshake *h) {
    struct kvr_wire w;
    kvr_wire_begin(&w, &h->context->alloc);
    kvr_wire_word(&w, "KVROUTE.INFO");
    kvr_wire_word(&w, h->context->pool);
    return kvr_wire_end(&w, &h->info) ? 0 : -1;
}

void kvr_handshake_free(struct kvr_handshake *h) {
    kvr_command_release(&h->context->alloc, &h->info);
}

void kvr_handshake_begin(struct kvr_handshake *h) {
    const struct kvr_topology *t = h->topology;
    const char *login[] = {t->user, t->password}, *name = t->name;
    char select[40];
    h->facts = (struct kvr_server_facts){.version = -1, .lease = -1, .accept = -1};
    h->denied = false;
    if (t->password[0]) say(h, HANDSHAKE_AUTH, "AUTH", login, 2);
    snprintf(select, sizeof select, "SELECT %lld", (long long)t->db);
    if (t->db) say(h, HANDSHAKE_DB, select, NULL, 0);
    if (name[0]) say(h, HANDSHAKE_IGNORE, "CLIENT SETNAME", &name, 1);
    say(h, HANDSHAKE_ID, "CLIENT ID", NULL, 0);
    say(h, HANDSHAKE_ROLE, "ROLE", NULL, 0);
    say(h, HANDSHAKE_INFO, "INFO server replication", NULL, 0);
    if (h->discovery->asking) say(h, HANDSHAKE_IGNORE, "ASKING", NULL, 0);
    sent(h, kvr_connection_send(h->connection, h->info.at, h->info.n, take_reply,
                                (void *)(uintptr_t)HANDSHAKE_POOL));
}

void kvr_handshake_note_stale(struct kvr_handshake *h) {
    h->stale[h->next_stale++ % KVR_MAX_STALE] =
        (struct kvr_stale_connection){h->facts.run, h->facts.id};
}

// ---- What is answered ----------------------------------------------------------------------------

static void role_reply(struct kvr_handshake *h, const redisReply *r) {
    if (r->type == REDIS_REPLY_ERROR) { // not allowed, perhaps: INFO tells it too
        if (kvr_reply_error_of(r->str, r->len)->action != KVR_REPLY_FINAL)
            kvr_connection_fail(h->connection, kvr_reply_error_of(r->str, r->len)->message);
        return;
    }
    if (r->type != REDIS_REPLY_ARRAY || !r->elements || r->element[0]->type != REDIS_REPLY_STRING)
        kvr_connection_fail(h->connection, "ROLE is answered oddly");
    else if (!strcmp(r->element[0]->str, "master") || h->topology->any_role)
        h->facts.is_primary = true;
    else
        kvr_connection_fail(h->connection, "the server is a replica");
}

// The value of "name:" up to the line's end.
static struct kvr_bytes info_line(const char *text, const char *name) {
    size_t n = strlen(name);
    for (const char *at = text, *end; at && *at; at = end ? end + 1 : NULL) {
        end = strchr(at, '\n');
        if (!strncmp(at, name, n)) return (struct kvr_bytes){at + n, strcspn(at + n, "\r\n")};
    }
    return (struct kvr_bytes){"", 0};
}

static void info_reply(struct kvr_handshake *h, const redisReply *r) {
    if (r->type != REDIS_REPLY_STRING)
        return; // not allowed: then each connection counts as another history
    struct kvr_bytes run = info_line(r->str, "run_id:");
    struct kvr_bytes replication = info_line(r->str, "master_replid:");
    struct kvr_bytes role = info_line(r->str, "role:");
    if (role.n == 6 && !memcmp(role.p, "master", 6)) h->facts.is_primary = true;
    if (!run.n || !replication.n) return;
    h->facts.knows_history = true;
    h->facts.run = XXH3_64bits(run.p, run.n);
    h->facts.history = XXH3_64bits_withSeed(replication.p, replication.n, h->facts.run);
}

static void pool_reply(struct kvr_handshake *h, const redisReply *r) {
    struct kvr_connection *l = h->connection;
    const redisReply *version = kvr_reply_field(r, "version"), *lease = kvr_reply_field(r, "lease"),
                     *accept = kvr_reply_field(r, "accept");
    if (version && version->type == REDIS_REPLY_INTEGER) h->facts.version = version->integer;
    if (lease && lease->type == REDIS_REPLY_INTEGER) h->facts.lease = lease->integer;
    if (accept && accept->type == REDIS_REPLY_INTEGER) h->facts.accept = accept->integer;
    if (r->type != REDIS_REPLY_ERROR) return;
    const struct kvr_reply_error *e = kvr_reply_error_of(r->str, r->len);
    if (e->action == KVR_REPLY_MOVED || e->action == KVR_REPLY_ASK) {
        if (h->topology->kind == KVR_TOPOLOGY_CLUSTER)
            kvr_discover_redirect(h->discovery, r->str, r->len, e->action == KVR_REPLY_ASK);
        kvr_connection_fail(l, e->message);
    } else if (e->action != KVR_REPLY_FINAL) {
        kvr_connection_fail(l, e->message);
    } else if (e->code == KVR_CODE_NOPOOL) {
        h->facts.no_pool = true;
    } else if (e->code == KVR_CODE_REFUSED) {
        kvr_connection_fail(l, "the server has no kvroute module");
    } else if (!strncmp(r->str, "NOAUTH", 6)) {
        h->denied = true;
        kvr_connection_fail(l, e->message);
    }
}

// Ids of connections mean something in one process only, and only now it is known which process this is.
// If they are gone already, or we aren't allowed to end them, nothing is lost.
static bool is_stale_here(const struct kvr_handshake *h, const struct kvr_stale_connection *s) {
    return s->id && h->facts.knows_history && s->run == h->facts.run;
}

static void end_stale(struct kvr_handshake *h) {
    char words[64];
    h->facts.ended_stale = true;
    for (size_t i = 0; i < KVR_MAX_STALE; i++) {
        if (!is_stale_here(h, &h->stale[i])) continue;
        snprintf(words, sizeof words, "CLIENT KILL ID %lld", (long long)h->stale[i].id);
        say(h, HANDSHAKE_IGNORE, words, NULL, 0);
    }
}

// Once that is answered, and no sooner: a handshake may break off.
static void forget_stale(struct kvr_handshake *h) {
    for (size_t i = 0; i < KVR_MAX_STALE; i++)
        if (is_stale_here(h, &h->stale[i])) h->stale[i].id = 0;
}

static void take_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_connection *l = ac->data;
    struct kvr_handshake *h = l->owner;
    const redisReply *r = reply;
    if (!kvr_connection_received(l, reply, kvr_clock_ms())) return;
    h->facts.pending--;
    bool error = r->type == REDIS_REPLY_ERROR;
    switch ((enum handshake_step)(uintptr_t)ctx) {
    case HANDSHAKE_IGNORE:
        break;
    case HANDSHAKE_AUTH:
        if (error) {
            const struct kvr_reply_error *e = kvr_reply_error_of(r->str, r->len);
            h->denied = e->action == KVR_REPLY_FINAL;
            kvr_connection_fail(l, h->denied ? "wrong user or password" : e->message);
        }
        break;
    case HANDSHAKE_DB:
        if (error) kvr_connection_fail(l, "the server refuses the database");
        break;
    case HANDSHAKE_ID:
        if (r->type == REDIS_REPLY_INTEGER) h->facts.id = r->integer;
        break;
    case HANDSHAKE_ROLE:
        role_reply(h, r);
        break;
    case HANDSHAKE_INFO:
        info_reply(h, r);
        break;
    case HANDSHAKE_POOL:
        pool_reply(h, r);
        break;
    }
    if (l->failed || h->facts.pending) return;
    if (!h->facts.is_primary && h->facts.knows_history) {
        kvr_connection_fail(l, "the server is a replica");
        return;
    }
    if (!h->facts.ended_stale) end_stale(h);
    if (!h->facts.pending && !l->failed) {
        forget_stale(h);
        h->done(l);
    }
}
