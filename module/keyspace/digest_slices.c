// SPDX-License-Identifier: Apache-2.0
#include "digest_slices.h"

#include "server_clock.h"
#include "wakeup.h"

enum {
    DIGEST_SLICE = 2000, // µs
    DIGEST_STEP = 10000, // holdings between two looks at the clock
};

struct digest_caller {
    struct digest_caller *next;
    RedisModuleBlockedClient *client;
    const struct mod_value *value; // may have been freed: to be compared, never followed
    bool found;                    // it is in the registry, and its digest under way
};

static struct digest_caller *callers; // main thread only
static mod_digest_answer *reply;

void mod_digest_block(RedisModuleCtx *ctx, struct mod_value *v, mod_digest_answer *answer) {
    struct digest_caller *c = RedisModule_Alloc(sizeof *c);
    *c = (struct digest_caller){
        .next = callers,
        .client = RedisModule_BlockClient(ctx, NULL, NULL, NULL, 0),
        .value = v,
    };
    callers = c;
    reply = answer;
    if (!v->digesting) kvr_digest_begin(v->pool);
    v->digesting = true;
    mod_wakeup_soon(ctx);
}

// The server forgets by itself what is said to a client that has gone.
static void answer_one(struct digest_caller *c, const uint8_t *digest) {
    RedisModuleCtx *ctx = RedisModule_GetThreadSafeContext(c->client);
    reply(ctx, digest);
    RedisModule_FreeThreadSafeContext(ctx);
    RedisModule_UnblockClient(c->client, NULL);
    RedisModule_Free(c);
}

static void answer_all(const struct mod_value *v, const uint8_t *digest) {
    for (struct digest_caller **at = &callers; *at;) {
        struct digest_caller *c = *at;
        if (c->value != v) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        answer_one(c, digest);
    }
}

// A pool that goes takes the mark that it is under way with it, even if another comes to lie at its address.
static void answer_lost(void) {
    for (struct digest_caller **at = &callers; *at;) {
        struct digest_caller *c = *at;
        if (c->found) {
            c->found = false;
            at = &c->next;
            continue;
        }
        *at = c->next;
        answer_one(c, NULL);
    }
}

static void find_callers(const struct mod_value *v) {
    for (struct digest_caller *c = callers; c; c = c->next)
        c->found |= c->value == v;
}

bool mod_digest_waits(void) {
    return callers;
}

bool mod_digest_slice(void) {
    if (!callers) return false;
    int64_t until = mod_server_steady() + DIGEST_SLICE;
    mod_registry_lock();
    for (struct mod_value *v = mod_registry_first(); v; v = mod_registry_next(v))
        if (v->digesting) find_callers(v);
    answer_lost();
    for (struct mod_value *v = mod_registry_first(); v && mod_server_steady() < until;
         v = mod_registry_next(v)) {
        uint8_t digest[KVR_DIGEST_BYTES];
        while (v->digesting && mod_server_steady() < until) {
            v->digesting = !kvr_digest_step(v->pool, DIGEST_STEP, digest);
            if (!v->digesting) answer_all(v, digest);
        }
    }
    mod_registry_unlock();
    return callers;
}
