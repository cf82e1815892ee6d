// SPDX-License-Identifier: Apache-2.0
// See ha_snapshot.h. Commands that are asked for each request or block go out in one pipeline.
#include "ha_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HA_LIST_COUNT = 500, HA_TRIES = 20 };

static struct ha_snapshot view;

// NULL: the connection has been closed, as Sentinels do when they change a server's role.
static redisReply *next_reply(struct ha_server *s) {
    void *r = NULL;
    return redisGetReply(s->redis.control, &r) == REDIS_OK ? r : NULL;
}

static bool worker_of(const redisReply *name, size_t *worker) {
    if (!name || !name->str || name->len != 2 || name->str[0] != 'w') return false;
    *worker = (size_t)(name->str[1] - '0');
    return *worker < HA_WORKERS;
}

// ---- Requests ------------------------------------------------------------------------------------

static void take_request(const struct ha_load *s, const redisReply *id, const redisReply *r) {
    int client;
    uint32_t index;
    size_t worker;
    if (r->type != REDIS_REPLY_ARRAY) return; // ended in between
    if (!ha_request_parse(id->str, id->len, &client, &index) || client < 0 ||
        (size_t)client >= s->n_clients || index >= s->clients[client].n ||
        !worker_of(ha_field(r, "worker"), &worker)) {
        view.unknown++;
        return;
    }
    view.requests[client][index] = (struct ha_seen_request){
        .there = true,
        .worker = (uint16_t)worker,
        .rank = (uint16_t)ha_field_int(r, "rank"),
        .blocks = (uint16_t)ha_field_int(r, "blocks"),
        .prefilled = ha_field_int(r, "prefilled") != 0,
        .isl = ha_field_int(r, "isl"),
        .output = ha_field_int(r, "output"),
    };
}

static bool look_at_requests(const struct ha_load *s, struct ha_server *server) {
    char cursor[32] = "0";
    bool whole = true;
    do {
        redisReply *list =
            ha_call(server, "KVROUTE.REQUEST LIST pool %s COUNT %d", cursor, HA_LIST_COUNT);
        if (list->type != REDIS_REPLY_ARRAY || list->elements != 2)
            ha_give_up("%s lists no requests: %s", server->name, list->str ? list->str : "?");
        const redisReply *at = list->element[0], *ids = list->element[1];
        if (at->type == REDIS_REPLY_INTEGER)
            snprintf(cursor, sizeof cursor, "%lld", at->integer);
        else
            snprintf(cursor, sizeof cursor, "%s", at->str);
        for (size_t i = 0; i < ids->elements; i++)
            redisAppendCommand(server->redis.control, "KVROUTE.REQUEST GET pool %b",
                               ids->element[i]->str, (size_t)ids->element[i]->len);
        for (size_t i = 0; i < ids->elements; i++) {
            redisReply *r = next_reply(server);
            whole &= r != NULL;
            if (r) take_request(s, ids->element[i], r);
            freeReplyObject(r);
        }
        freeReplyObject(list);
    } while (whole && strcmp(cursor, "0") != 0);
    return whole;
}

// ---- Workers and holdings ------------------------------------------------------------------------

static void look_at_workers(struct ha_server *server) {
    redisReply *list = ha_call(server, "KVROUTE.WORKER LIST pool");
    for (size_t i = 0; i < list->elements; i++) {
        size_t worker;
        if (!worker_of(ha_field(list->element[i], "worker"), &worker)) continue;
        view.registered[worker] = true;
        const redisReply *ranks = ha_field(list->element[i], "ranks");
        for (size_t k = 0; k < ranks->elements && k < HA_RANKS; k++) {
            struct ha_seen_rank *seen = &view.ranks[worker][k];
            const redisReply *r = ranks->element[k];
            seen->epoch = (uint64_t)ha_field_int(r, "epoch");
            seen->seq = (uint64_t)ha_field_int(r, "seq");
            seen->requests = ha_field_int(r, "requests");
            seen->prefill_tokens = ha_field_int(r, "prefill_tokens");
            seen->decode_blocks = ha_field_int(r, "decode_blocks");
        }
    }
    freeReplyObject(list);
}

// "w1:0 host 3": whoever is listed where the tree is looked at from a block has that block.
static void take_holder(size_t block, const redisReply *line) {
    static const char *const tiers[KVR_TIERS] = {"device", "host", "disk"};
    unsigned worker, rank;
    char tier[16];
    if (!line->str || sscanf(line->str, "w%u:%u %15s", &worker, &rank, tier) != 3) return;
    for (int t = 0; t < KVR_TIERS; t++)
        if (worker < HA_WORKERS && rank < HA_RANKS && strcmp(tier, tiers[t]) == 0)
            view.ranks[worker][rank].tiers[block] |= (uint8_t)(1u << t);
}

static bool look_at_holdings(struct ha_server *server) {
    for (size_t b = 0; b < HA_BLOCKS; b++)
        redisAppendCommand(server->redis.control, "KVROUTE.TREE pool FROM %016llx DEPTH 1 COUNT 1",
                           (unsigned long long)ha_block_hash(b));
    for (size_t b = 0; b < HA_BLOCKS; b++) {
        redisReply *r = next_reply(server);
        if (!r) return false;
        if (r->type != REDIS_REPLY_ARRAY)
            ha_give_up("%s shows no tree: %s", server->name, r->str ? r->str : "?");
        const redisReply *holders = r->elements ? ha_field(r->element[0], "holders") : NULL;
        for (size_t i = 0; holders && i < holders->elements; i++)
            take_holder(b, holders->element[i]);
        freeReplyObject(r);
    }
    return true;
}

// false: the connection was closed in the middle.
static bool look(const struct ha_load *s, struct ha_server *server) {
    memset(&view, 0, sizeof view);
    redisReply *info = ha_call(server, "KVROUTE.INFO pool");
    view.gone = info->type == REDIS_REPLY_ERROR && strncmp(info->str, "NOPOOL", 6) == 0;
    if (!view.gone && info->type != REDIS_REPLY_ARRAY)
        ha_give_up("%s tells nothing of the pool: %s", server->name, info->str);
    if (!view.gone) view.holdings = (uint64_t)ha_field_int(info, "holdings");
    freeReplyObject(info);
    if (view.gone) return true;
    if (!look_at_requests(s, server)) return false;
    look_at_workers(server);
    return look_at_holdings(server);
}

const struct ha_snapshot *ha_snapshot_take(const struct ha_load *s, struct ha_server *server) {
    for (int tries = 0; tries < HA_TRIES; tries++)
        if (look(s, server)) return &view;
    ha_give_up("%s closes every connection", server->name);
}
