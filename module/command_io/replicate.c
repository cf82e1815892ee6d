// SPDX-License-Identifier: Apache-2.0
// A HASHES blob is passed on as it came; options that have their default are left out. The default may be the
// pool's: whoever applies the effect has the same options, as they are part of the stream.
#include "replicate.h"

// ---- Commands as they came -----------------------------------------------------------------------

// Verbatim is the cheapest, but isn't to be mixed with what else is replicated: what mod_expire has ended, and
// whom mod_admit is going to admit.
void mod_replicate(struct mod_call *c, const char *command) {
    if (c->expired || mod_call_admits(c))
        RedisModule_Replicate(c->ctx, command, "v", c->args.argv + 1, (size_t)c->args.argc - 1);
    else
        RedisModule_ReplicateVerbatim(c->ctx);
}

void mod_replicate_with_time(struct mod_call *c, const char *command, enum mod_effect_word word,
                             int64_t time) {
    if (c->trusted)
        mod_replicate(c, command);
    else
        RedisModule_Replicate(c->ctx, command, "vss", c->args.argv + 1, (size_t)c->args.argc - 1,
                              mod_effect_word(word), mod_effect_time(time));
}

void mod_replicate_coming(struct mod_call *c, RedisModuleString *id, int64_t at) {
    RedisModule_Replicate(c->ctx, "KVROUTE.UPDATE", "ssss", c->name, id,
                          mod_effect_word(MOD_EFFECT_AT), mod_effect_time(at));
}

// ---- Bookings ------------------------------------------------------------------------------------

static void put_blocks(struct mod_effect *e, const struct kvr_booking *b,
                       const struct mod_block_list *list) {
    mod_effect_put_word(e, MOD_EFFECT_HASHES);
    if (list->form == MOD_BLOCKS_HASHES)
        mod_effect_put(e, list->blob);
    else
        mod_effect_put_bytes(e, (const char *)b->hashes, b->n * sizeof *b->hashes);
}

void mod_replicate_booking(struct mod_call *c, RedisModuleString *id, struct kvr_bytes worker,
                           uint32_t rank, const struct kvr_booking *b,
                           const struct mod_block_list *list) {
    struct mod_effect e = {.n = 0};
    const struct kvr_options *o = kvr_pool_options(c->pool);
    mod_effect_put(&e, c->name);
    mod_effect_put(&e, id);
    mod_effect_put_bytes(&e, worker.p, worker.n);
    mod_effect_put_rank(&e, rank);
    put_blocks(&e, b, list);
    if (b->isl != (int64_t)b->n * o->block_size) mod_effect_put_option(&e, MOD_EFFECT_ISL, b->isl);
    if (b->lease != o->lease) mod_effect_put_option(&e, MOD_EFFECT_LEASE, b->lease);
    mod_effect_put_time(&e, MOD_EFFECT_CREATED, b->created);
    if (b->renewed != b->created) mod_effect_put_option(&e, MOD_EFFECT_RENEWED, b->renewed);
    if (b->output) mod_effect_put_option(&e, MOD_EFFECT_OUTPUT, b->output);
    if (b->osl) mod_effect_put_option(&e, MOD_EFFECT_OSL, b->osl);
    if (b->prefilled) mod_effect_put_word(&e, MOD_EFFECT_PREFILLED);
    mod_effect_put_name(&e, MOD_EFFECT_SESSION, b->session);
    mod_effect_put_name(&e, MOD_EFFECT_CLASS, b->service_class);
    mod_effect_put_name(&e, MOD_EFFECT_FLOW, b->flow);
    mod_effect_put_answer(&e, b, o->block_size);
    mod_effect_send(&e, c->ctx, "KVROUTE.CLAIM");
}
