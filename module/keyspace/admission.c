// SPDX-License-Identifier: Apache-2.0
#include "admission.h"

#include <string.h>

#include "blocked_callers.h"
#include "effect.h"

// splitmix64 (Steele, Lea and Flood 2014) from a seed of the server's: its own numbers cost a SHA-256 each, a sixth
// of an admission.
double mod_random_fraction(void) {
    static uint64_t state;
    if (!state) RedisModule_GetRandomBytes((unsigned char *)&state, sizeof state);
    uint64_t bits = state += UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    bits ^= bits >> 31;
    return (double)(bits >> 11) * 0x1p-53;
}

bool mod_channel_reserved(struct kvr_bytes channel) {
    return channel.n >= 2 && memcmp(channel.p, "__", 2) == 0;
}

struct admission {
    RedisModuleCtx *ctx;
    RedisModuleString *name;
    struct mod_value *value;
    struct kvr_bytes asking;
};

// Whoever is told at once needn't come for it.
static bool is_called(void *ctx, struct kvr_bytes id) {
    const struct admission *a = ctx;
    bool asks = a->asking.n == id.n && memcmp(a->asking.p, id.p, id.n) == 0;
    return asks || mod_callers_have(a->value, id);
}

static void replicate(const struct admission *a, RedisModuleString *id,
                      const struct kvr_admission *admitted) {
    struct mod_effect e = {.n = 0};
    const struct kvr_booking *b = &admitted->booked;
    mod_effect_put(&e, a->name);
    mod_effect_put(&e, id);
    mod_effect_put_bytes(&e, admitted->worker.p, admitted->worker.n);
    mod_effect_put_rank(&e, admitted->rank);
    mod_effect_put_time(&e, MOD_EFFECT_CREATED, b->created);
    mod_effect_put_answer(&e, b, kvr_pool_options(a->value->pool)->block_size);
    if (b->uncalled) mod_effect_put_word(&e, MOD_EFFECT_UNCALLED);
    mod_effect_send(&e, a->ctx, "KVROUTE.ADMIT");
}

// SELECT has refused such channels, but a pool may come from elsewhere, by RESTORE.
static void publish(RedisModuleCtx *ctx, struct kvr_bytes channel, RedisModuleString *id) {
    if (!channel.n || mod_channel_reserved(channel)) return;
    RedisModuleString *to = RedisModule_CreateString(ctx, channel.p, channel.n);
    RedisModule_PublishMessage(ctx, to, id);
    RedisModule_FreeString(ctx, to);
}

size_t mod_admit(RedisModuleCtx *ctx, RedisModuleString *name, struct mod_value *v, int64_t now,
                 size_t *looks, struct kvr_bytes asking) {
    struct admission a = {ctx, name, v, asking};
    struct kvr_admission admitted;
    size_t n = 0;
    for (; kvr_admit(v->pool, now, looks, mod_random_fraction(), is_called, &a, &admitted); n++) {
        // What the core tells is good until the next call, and answering callers is one.
        RedisModuleString *id = RedisModule_CreateString(ctx, admitted.id.p, admitted.id.n);
        replicate(&a, id, &admitted);
        publish(ctx, admitted.notify, id);
        if (v->callers) mod_callers_booked(v, mod_bytes_of(id), now);
        RedisModule_FreeString(ctx, id);
    }
    if (!n) return 0;
    RedisModule_SignalModifiedKey(ctx, name);
    RedisModule_NotifyKeyspaceEvent(ctx, REDISMODULE_NOTIFY_MODULE, "kvroute.admit", name);
    return n;
}
