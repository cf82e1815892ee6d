// SPDX-License-Identifier: Apache-2.0
// Sentinels; see ha_server.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ha_server.h"

// Shorter than Sentinel's own are: how often it looks at who is there (INFO, 10 s; while a failover
// is on it's 1 s anyway) and tells the others (2 s; after four of these, it makes a primary that it
// doesn't want a replica). Longer: from which standstill on it distrusts its own clock for half a
// minute; a test may stand still for a while because the machine is busy. What decides how long a
// failover takes is as Sentinel has it.
static void hurry(struct ha_server *s) {
    ha_call_ok(s, "SENTINEL DEBUG INFO-PERIOD 1000 PUBLISH-PERIOD 400 TILT-TRIGGER 60000");
}

struct ha_server *ha_sentinel_start(const char *name, int side, int address,
                                    struct ha_server *primary) {
    char settings[400];
    int n = snprintf(settings, sizeof settings,
                     "sentinel monitor main 127.0.0.1 %d 2\n"
                     "sentinel down-after-milliseconds main %d\n"
                     "sentinel failover-timeout main 4000\n"
                     "sentinel parallel-syncs main 2\n",
                     primary->address, HA_DOWN_AFTER_MS);
    if (address)
        snprintf(settings + n, sizeof settings - (size_t)n,
                 "sentinel announce-ip 127.0.0.1\nsentinel announce-port %d\n", address);
    struct ha_server *s = ha_server_start(&(struct ha_server_plan){
        .name = name, .side = side, .address = address, .settings = settings, .sentinel = true});
    hurry(s);
    return s;
}

void ha_sentinel_restart(struct ha_server *s) {
    ha_server_restart(s);
    hurry(s);
}

// ---- Waiting -------------------------------------------------------------------------------------

struct ha_expected {
    struct ha_server *sentinel;
    size_t others, replicas;
};

static bool text_is(const redisReply *map, const char *name, const char *want) {
    const redisReply *r = ha_field(map, name);
    return r && r->str && strcmp(r->str, want) == 0;
}

static long number_of(const redisReply *map, const char *name) {
    const redisReply *r = ha_field(map, name);
    return r && r->str ? strtol(r->str, NULL, 10) : -1;
}

static bool all_is_well(void *ctx) {
    const struct ha_expected *e = ctx;
    redisReply *r = ha_call(e->sentinel, "SENTINEL MASTER main");
    bool well = r->type == REDIS_REPLY_ARRAY && text_is(r, "flags", "master") &&
                number_of(r, "num-other-sentinels") == (long)e->others &&
                number_of(r, "num-slaves") >= (long)e->replicas;
    freeReplyObject(r);
    if (!well) return false;
    // A replica that it hasn't asked yet, or whose link it believes down, it wouldn't promote.
    r = ha_call(e->sentinel, "SENTINEL REPLICAS main");
    size_t up = 0;
    for (size_t i = 0; i < r->elements; i++)
        up += text_is(r->element[i], "flags", "slave") &&
              text_is(r->element[i], "master-link-status", "ok") &&
              number_of(r->element[i], "slave-repl-offset") > 0;
    freeReplyObject(r);
    return up >= e->replicas;
}

void ha_sentinels_wait_ready(struct ha_server **sentinels, size_t n, size_t replicas) {
    for (size_t i = 0; i < n; i++) {
        struct ha_expected e = {sentinels[i], n - 1, replicas};
        ha_wait(all_is_well, &e, "a Sentinel knows everybody");
    }
}

struct ha_server *ha_sentinel_primary(struct ha_server *sentinel) {
    redisReply *r = ha_call(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME main");
    int address = r->type == REDIS_REPLY_ARRAY && r->elements == 2 ? atoi(r->element[1]->str) : 0;
    freeReplyObject(r);
    for (size_t i = 0; i < ha_server_count(); i++)
        if (ha_server_at(i)->address == address) return ha_server_at(i);
    return NULL;
}

struct ha_promotion {
    struct ha_server *sentinel;
    const struct ha_server *old;
    struct ha_server *found;
};

static bool another_is_primary(void *ctx) {
    struct ha_promotion *c = ctx;
    struct ha_server *s = ha_sentinel_primary(c->sentinel);
    if (!s || s == c->old || !ha_server_runs(s) || !ha_server_is_primary(s)) return false;
    c->found = s;
    return true;
}

struct ha_server *ha_sentinel_wait_primary(struct ha_server *sentinel,
                                           const struct ha_server *old) {
    struct ha_promotion c = {sentinel, old, NULL};
    ha_wait(another_is_primary, &c, "the Sentinels have promoted another server");
    return c.found;
}
