// SPDX-License-Identifier: Apache-2.0
#include "blocked_callers.h"

#include <string.h>

#include "wakeup.h"

struct mod_caller {
    struct mod_caller *next;          // blocked on the same request; or, gone, of the same pool
    RedisModuleBlockedClient *client; // NULL: gone
    unsigned long long client_id;
    struct mod_value *value;
    bool resp3, pair; // pair: asked for one
    size_t id_len;
    char id[];
};

// By (value, id) those who are blocked on it, newest first; and each by its handle.
static RedisModuleDict *by_request, *by_client;
static struct mod_caller_replies reply;

struct request_key {
    size_t n;
    char bytes[sizeof(void *) + KVR_MAX_ID];
};

static struct request_key key_of(const struct mod_value *v, struct kvr_bytes id) {
    struct request_key k;
    k.n = sizeof(void *) + (id.n > KVR_MAX_ID ? KVR_MAX_ID : id.n);
    memcpy(k.bytes, &v, sizeof(void *));
    if (id.n) memcpy(k.bytes + sizeof(void *), id.p, k.n - sizeof(void *));
    return k;
}

static struct kvr_bytes id_of(const struct mod_caller *c) {
    return (struct kvr_bytes){c->id, c->id_len};
}

static void set_first(struct request_key *k, struct mod_caller *first) {
    if (first)
        RedisModule_DictReplaceC(by_request, k->bytes, k->n, first);
    else
        RedisModule_DictDelC(by_request, k->bytes, k->n, NULL);
}

// ---- Those who go --------------------------------------------------------------------------------

static void take_out(struct mod_caller *c) {
    struct request_key k = key_of(c->value, id_of(c));
    struct mod_caller *first = RedisModule_DictGetC(by_request, k.bytes, k.n, NULL), *at = first;
    if (first == c) {
        set_first(&k, c->next);
        return;
    }
    while (at->next != c)
        at = at->next;
    at->next = c->next;
}

// One that has been answered already, but hasn't been sent it yet, is unblocked: twice would be once too often.
static void on_gone(RedisModuleCtx *ctx, RedisModuleBlockedClient *client) {
    struct mod_caller *c = NULL;
    RedisModule_DictDelC(by_client, &client, sizeof(void *), &c);
    if (!c) return;
    struct mod_value *v = c->value;
    take_out(c);
    v->callers--;
    c->client = NULL;
    // Valkey 9 tells of the new role before it unblocks, Redis afterwards (mod_callers_role_changed).
    bool primary = RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_MASTER;
    if (!primary || mod_callers_have(v, id_of(c))) {
        RedisModule_Free(c);
    } else {
        c->next = v->left;
        v->left = c;
        mod_wakeup_soon(ctx);
    }
    RedisModule_UnblockClient(client, NULL);
}

static void forget_left(struct mod_value *v) {
    while (v->left) {
        struct mod_caller *c = v->left;
        v->left = c->next;
        RedisModule_Free(c);
    }
}

// One that is still connected didn't go: the server unblocked it.
RedisModuleString *mod_callers_next_left(struct mod_value *v) {
    while (v->left) {
        struct mod_caller *c = v->left;
        struct kvr_bytes id = id_of(c);
        RedisModuleString *ended = NULL;
        if (RedisModule_GetClientInfoById(NULL, c->client_id) != REDISMODULE_OK &&
            !mod_callers_have(v, id) && (kvr_waits(v->pool, id) || kvr_uncalled(v->pool, id)))
            ended = RedisModule_CreateString(NULL, id.p, id.n);
        v->left = c->next;
        RedisModule_Free(c);
        if (ended) return ended;
    }
    return NULL;
}

// ---- Those who stay ------------------------------------------------------------------------------

void mod_callers_block(RedisModuleCtx *ctx, struct mod_value *v, struct kvr_bytes id, bool resp3,
                       bool pair) {
    struct mod_caller *c = RedisModule_Alloc(sizeof *c + id.n);
    struct request_key k = key_of(v, id);
    *c = (struct mod_caller){
        .next = RedisModule_DictGetC(by_request, k.bytes, k.n, NULL),
        .client = RedisModule_BlockClient(ctx, NULL, NULL, NULL, 0),
        .client_id = RedisModule_GetClientId(ctx),
        .value = v,
        .resp3 = resp3,
        .pair = pair,
        .id_len = id.n,
    };
    memcpy(c->id, id.p, id.n);
    RedisModule_SetDisconnectCallback(c->client, on_gone);
    set_first(&k, c);
    RedisModule_DictSetC(by_client, &c->client, sizeof(void *), c);
    v->callers++;
}

bool mod_callers_have(const struct mod_value *v, struct kvr_bytes id) {
    if (!v->callers) return false;
    struct request_key k = key_of(v, id);
    return RedisModule_DictGetC(by_request, k.bytes, k.n, NULL);
}

enum answer { ANSWER_BOOKED, ANSWER_NO_ROOM, ANSWER_NO_POOL };

// Answers one and frees it. What it is told is written now, though the server sends it a little later.
static void finish(struct mod_caller *c, enum answer answer, const struct kvr_pool_choice *choice,
                   int64_t ms) {
    RedisModuleCtx *ctx = RedisModule_GetThreadSafeContext(c->client);
    if (answer == ANSWER_BOOKED) reply.booked(ctx, c->resp3, choice);
    if (answer == ANSWER_NO_ROOM) reply.no_room(ctx, ms);
    if (answer == ANSWER_NO_POOL) reply.no_pool(ctx);
    RedisModule_FreeThreadSafeContext(ctx);
    RedisModule_DictDelC(by_client, &c->client, sizeof(void *), NULL);
    RedisModule_UnblockClient(c->client, NULL);
    c->value->callers--;
    RedisModule_Free(c);
}

// Takes all who are blocked on id out of the table.
static struct mod_caller *take_all(struct mod_value *v, struct kvr_bytes id) {
    struct mod_caller *first = NULL;
    if (!v->callers) return NULL;
    struct request_key k = key_of(v, id);
    RedisModule_DictDelC(by_request, k.bytes, k.n, &first);
    return first;
}

// When one of the default class that came now would be admitted.
static int64_t come_back(struct kvr_pool *p, int64_t now) {
    enum { NO_ESTIMATE = 1000 };
    int64_t ms = -1;
    if (kvr_queue(p, now, 0, NULL, NULL, &ms) != KVR_OK || ms < 0) return NO_ESTIMATE;
    return ms < 1 ? 1 : ms;
}

static void no_room(struct mod_value *v, struct mod_caller *c, int64_t now) {
    int64_t ms = c ? come_back(v->pool, now) : 0;
    while (c) {
        struct mod_caller *next = c->next;
        finish(c, ANSWER_NO_ROOM, NULL, ms);
        c = next;
    }
}

// A booking that is asked for again is told as it was; and one of the callers is told it for the first time.
void mod_callers_booked(struct mod_value *v, struct kvr_bytes id, int64_t now) {
    struct mod_caller *c = take_all(v, id);
    if (!c) return;
    struct kvr_query q = {.isl = -1, .rule = kvr_pool_options(v->pool)->rule};
    struct kvr_pool_choice choice;
    struct kvr_booking none;
    if (kvr_select(v->pool, now, id, &q, -1, 0, &choice, &none) != KVR_OK || !choice.repeat) {
        no_room(v, c, now);
        return;
    }
    choice.repeat = false;
    while (c) {
        struct mod_caller *next = c->next;
        struct kvr_pool_choice own = choice;
        own.pair |= c->pair;
        finish(c, ANSWER_BOOKED, &own, 0);
        choice.repeat = true;
        c = next;
    }
}

void mod_callers_no_room(struct mod_value *v, struct kvr_bytes id, int64_t now) {
    no_room(v, take_all(v, id), now);
}

void mod_callers_no_pool(struct mod_value *v) {
    forget_left(v);
    struct request_key from = key_of(v, (struct kvr_bytes){"", 0});
    while (v->callers) {
        RedisModuleDictIter *i =
            RedisModule_DictIteratorStartC(by_request, ">=", from.bytes, from.n);
        struct mod_caller *c = NULL;
        RedisModule_DictNextC(i, NULL, (void **)&c);
        RedisModule_DictIteratorStop(i);
        c = take_all(v, id_of(c));
        while (c) {
            struct mod_caller *next = c->next;
            finish(c, ANSWER_NO_POOL, NULL, 0);
            c = next;
        }
    }
}

// ---- Events --------------------------------------------------------------------------------------

void mod_callers_no_pools(int a, int b) {
    enum { EVERY_DB = -1 };
    mod_registry_lock();
    for (struct mod_value *v = mod_registry_first(); v; v = mod_registry_next(v))
        if (a == EVERY_DB || v->db == a || v->db == b) mod_callers_no_pool(v);
    mod_registry_unlock();
}

void mod_callers_role_changed(void) {
    mod_registry_lock();
    for (struct mod_value *v = mod_registry_first(); v; v = mod_registry_next(v))
        forget_left(v);
    mod_registry_unlock();
}

void mod_callers_start(const struct mod_caller_replies *replies) {
    reply = *replies;
    by_request = RedisModule_CreateDict(NULL);
    by_client = RedisModule_CreateDict(NULL);
}
