// SPDX-License-Identifier: Apache-2.0
// See ha_pair_look.h. A script reads all of it: nothing changes in between.
#include "ha_pair_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ha_client.h"
#include "ha_server.h"

static const char script[] =
    "local live, cursor = {}, '0'\n"
    "repeat\n"
    "  local part = redis.call('KVROUTE.REQUEST', 'LIST', KEYS[1], cursor, 'COUNT', '1000')\n"
    "  cursor = tostring(part[1])\n"
    "  for _, id in ipairs(part[2]) do\n"
    "    live[#live + 1] = redis.call('KVROUTE.REQUEST', 'GET', KEYS[1], id)\n"
    "  end\n"
    "until cursor == '0'\n"
    "return {redis.call('KVROUTE.WORKER', 'LIST', KEYS[1]), redis.call('KVROUTE.INFO', KEYS[1]), "
    "live}";

static struct ha_pair_view view;

// ---- Reading -------------------------------------------------------------------------------------

static void forget(void) {
    for (size_t i = 0; i < view.n; i++)
        view.at[view.seen[i].client][view.seen[i].index] = 0;
    view.n = 0;
    view.unknown = 0;
    memset(view.registered, 0, sizeof view.registered);
    memset(view.ranks, 0, sizeof view.ranks);
}

static bool engine_of(const redisReply *map, const char *field, uint16_t *engine) {
    const redisReply *r = ha_field(map, field);
    return r && r->str && ha_pair_engine_find(r->str, r->len, engine);
}

static void take_request(const redisReply *r) {
    struct ha_pair_seen *s = &view.seen[view.n];
    const redisReply *id = r->type == REDIS_REPLY_ARRAY ? ha_field(r, "request") : NULL;
    if (view.n == HA_PAIR_SEEN || !id ||
        !ha_request_parse(id->str, id->len, &s->client, &s->index) || s->client < 0 ||
        s->client >= HA_PAIR_CLIENTS || s->index >= HA_PAIR_MAX ||
        !engine_of(r, "worker", &s->worker) || s->worker == HA_PAIR_NOBODY ||
        !engine_of(r, "prefill_worker", &s->prefill)) {
        view.unknown++;
        return;
    }
    s->rank = (uint16_t)(ha_field_int(r, "rank") % HA_PAIR_RANKS);
    s->prefill_rank = s->prefill == HA_PAIR_NOBODY
                          ? 0
                          : (uint16_t)(ha_field_int(r, "prefill_rank") % HA_PAIR_RANKS);
    s->prefilled = ha_field_int(r, "prefilled") != 0;
    s->isl = ha_field_int(r, "isl");
    s->cached = ha_field_int(r, "cached");
    s->output = ha_field_int(r, "output");
    view.n++;
    view.at[s->client][s->index] = (uint32_t)view.n;
}

static void take_worker(const redisReply *r) {
    uint16_t engine;
    if (!engine_of(r, "worker", &engine) || engine == HA_PAIR_NOBODY) return;
    view.registered[engine] = true;
    const redisReply *ranks = ha_field(r, "ranks");
    for (size_t k = 0; ranks && k < ranks->elements && k < HA_PAIR_RANKS; k++) {
        const redisReply *rank = ranks->element[k];
        view.ranks[engine][k] =
            (struct ha_pair_loads){.requests = ha_field_int(rank, "requests"),
                                   .prefill_tokens = ha_field_int(rank, "prefill_tokens"),
                                   .decode_blocks = ha_field_int(rank, "decode_blocks")};
    }
}

bool ha_pair_look(redisContext *server, const struct ha_pair_view **out) {
    redisReply *r = redisCommand(server, "EVAL_RO %s 1 pool", script);
    bool whole = r && r->type == REDIS_REPLY_ARRAY && r->elements == 3;
    if (whole) {
        forget();
        const redisReply *info = r->element[1];
        view.waiting = ha_field_int(info, "waiting");
        for (size_t i = 0; i < r->element[0]->elements; i++)
            take_worker(r->element[0]->element[i]);
        for (size_t i = 0; i < r->element[2]->elements; i++)
            take_request(r->element[2]->element[i]);
        *out = &view;
    }
    if (r) freeReplyObject(r);
    return whole;
}

const struct ha_pair_seen *ha_pair_find(const struct ha_pair_view *v, int client, uint32_t index) {
    uint32_t at = v->at[client][index];
    return at ? &v->seen[at - 1] : NULL;
}

// ---- What ought to weigh there -------------------------------------------------------------------

// Prompts' blocks on one instance, each as often as requests have it.
struct ha_pair_blocks {
    uint64_t hashes[HA_PAIR_SEEN];
    size_t n;
};

static void add_blocks(struct ha_pair_blocks *b, const struct ha_pair_seen *s) {
    uint64_t hashes[HA_CHAIN_BLOCKS];
    struct ha_pair_prompt prompt = ha_pair_prompt(s->client, s->index, hashes);
    for (size_t i = 0; i < prompt.blocks && b->n < HA_PAIR_SEEN; i++)
        b->hashes[b->n++] = hashes[i];
}

static int by_hash(const void *a, const void *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static int64_t distinct(struct ha_pair_blocks *b) {
    int64_t n = 0;
    qsort(b->hashes, b->n, sizeof *b->hashes, by_hash);
    for (size_t i = 0; i < b->n; i++)
        n += i == 0 || b->hashes[i] != b->hashes[i - 1];
    return n;
}

// The load that the requests of a view make on one instance. Of the prompt's tokens only a range is known: what
// the prefilling instance had of it, REQUEST GET doesn't say.
struct ha_pair_ought {
    struct ha_pair_loads least, most;
};

static const struct ha_pair_request *told(const struct ha_pair *p, const struct ha_pair_seen *s) {
    return &p->clients[s->client].requests[s->index];
}

static void add_leg(const struct ha_pair *p, const struct ha_pair_seen *s,
                    struct ha_pair_ought *o) {
    uint64_t hashes[HA_CHAIN_BLOCKS];
    o->most.requests++;
    o->most.prefill_tokens += s->isl;
    // Its worker may have gone and come again: then it weighs on nobody.
    if (ha_pair_in_doubt(p, s->prefill, told(p, s)->began)) return;
    o->least.requests++;
    o->least.prefill_tokens += ha_pair_prompt(s->client, s->index, hashes).own ? s->isl : 1;
}

static struct ha_pair_ought ought(const struct ha_pair *p, const struct ha_pair_view *v,
                                  size_t engine, size_t rank) {
    static struct ha_pair_blocks blocks;
    struct ha_pair_ought o = {{0}, {0}};
    int64_t output = 0;
    blocks.n = 0;
    for (size_t i = 0; i < v->n; i++) {
        const struct ha_pair_seen *s = &v->seen[i];
        if (s->worker == engine && s->rank == rank) {
            bool itself = !s->prefilled && s->prefill == HA_PAIR_NOBODY;
            o.least.requests++;
            o.most.requests++;
            o.least.prefill_tokens += itself ? s->isl - s->cached : 0;
            o.most.prefill_tokens += itself ? s->isl - s->cached : 0;
            output += (s->output + HA_BLOCK_SIZE - 1) / HA_BLOCK_SIZE;
            add_blocks(&blocks, s);
        }
        if (s->prefill == engine && s->prefill_rank == rank && !s->prefilled) add_leg(p, s, &o);
    }
    o.least.decode_blocks = o.most.decode_blocks = distinct(&blocks) + output;
    return o;
}

static bool within(int64_t least, int64_t figure, int64_t most) {
    return least <= figure && figure <= most;
}

uint64_t ha_pair_half_booked(const struct ha_pair *p, const struct ha_pair_view *v, char *first,
                             size_t size) {
    uint64_t n = 0;
    for (size_t e = 0; e < HA_PAIR_ENGINES; e++)
        for (size_t r = 0; r < HA_PAIR_RANKS; r++) {
            struct ha_pair_ought o = ought(p, v, e, r);
            const struct ha_pair_loads *is = &v->ranks[e][r];
            // The prompts of pairs weigh on nobody when their worker is gone; whoever decoded there is gone, too.
            if (v->registered[e] ? within(o.least.requests, is->requests, o.most.requests) &&
                                       within(o.least.prefill_tokens, is->prefill_tokens,
                                              o.most.prefill_tokens) &&
                                       is->decode_blocks == o.least.decode_blocks
                                 : !o.least.decode_blocks)
                continue;
            if (!n++)
                snprintf(first, size,
                         "%s:%zu has %lld requests (%lld to %lld), %lld tokens (%lld to %lld), "
                         "%lld blocks (%lld)",
                         ha_pair_engine_name(e).text, r, (long long)is->requests,
                         (long long)o.least.requests, (long long)o.most.requests,
                         (long long)is->prefill_tokens, (long long)o.least.prefill_tokens,
                         (long long)o.most.prefill_tokens, (long long)is->decode_blocks,
                         (long long)o.least.decode_blocks);
        }
    return n;
}

// ---- Limits --------------------------------------------------------------------------------------

// Whether it was, or may have been, booked without being chosen.
static bool is_booked_back(const struct ha_pair *p, const struct ha_pair_seen *s) {
    const struct ha_pair_request *q = told(p, s);
    return q->late || q->began <= p->history_from || ha_pair_in_doubt(p, s->worker, q->began);
}

uint64_t ha_pair_above(const struct ha_pair *p, const struct ha_pair_view *v, int64_t *over,
                       char *first, size_t size) {
    static struct ha_pair_blocks blocks;
    const int64_t max_blocks = HA_PAIR_CAPACITY * HA_PAIR_MAX_BLOCKS / 100;
    const int64_t max_tokens =
        HA_PAIR_MAX_PREFILL - 1 + HA_CHAIN_BLOCKS * HA_BLOCK_SIZE + HA_BLOCK_SIZE;
    uint64_t n = 0;
    for (size_t e = 0; e < HA_PAIR_ENGINES; e++)
        for (size_t r = 0; r < HA_PAIR_RANKS; r++) {
            int64_t chosen = 0, back = 0;
            blocks.n = 0;
            for (size_t i = 0; i < v->n; i++) {
                const struct ha_pair_seen *s = &v->seen[i];
                bool decodes = s->worker == e && s->rank == r;
                bool computes = s->prefill == e && s->prefill_rank == r && !s->prefilled;
                if (!decodes && !computes) continue;
                bool in_doubt = computes && ha_pair_in_doubt(p, e, told(p, s)->began);
                if (is_booked_back(p, s) || in_doubt) {
                    back++;
                    continue;
                }
                chosen++;
                if (decodes) add_blocks(&blocks, s);
            }
            const struct ha_pair_loads *is = &v->ranks[e][r];
            int64_t prompts = distinct(&blocks);
            if (back && is->requests - HA_PAIR_MAX_REQUESTS > *over)
                *over = is->requests - HA_PAIR_MAX_REQUESTS;
            bool within_all =
                back || (is->requests <= HA_PAIR_MAX_REQUESTS && is->prefill_tokens <= max_tokens);
            if (within_all && chosen <= HA_PAIR_MAX_REQUESTS && prompts <= max_blocks) continue;
            if (!n++)
                snprintf(first, size,
                         "%s:%zu has %lld requests, %lld chosen, of %lld blocks, %lld tokens",
                         ha_pair_engine_name(e).text, r, (long long)is->requests, (long long)chosen,
                         (long long)prompts, (long long)is->prefill_tokens);
        }
    return n;
}

uint64_t ha_pair_left(const struct ha_pair_view *v) {
    int64_t left = (int64_t)(v->n + v->unknown) + v->waiting;
    for (size_t e = 0; e < HA_PAIR_ENGINES; e++)
        for (size_t r = 0; r < HA_PAIR_RANKS; r++)
            left += v->ranks[e][r].requests + v->ranks[e][r].prefill_tokens +
                    v->ranks[e][r].decode_blocks;
    return (uint64_t)left;
}
