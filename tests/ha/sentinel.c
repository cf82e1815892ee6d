// SPDX-License-Identifier: Apache-2.0
// Sentinels; see redis.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis.h"

// Shorter than Sentinel's own are: how often it looks at who is there (INFO, 10 s; while a failover
// is on it's 1 s anyway) and tells the others (2 s; after four of these, it makes a primary that it
// doesn't want a replica). Longer: from which standstill on it distrusts its own clock for half a
// minute; a test may stand still for a while because the machine is busy. What decides how long a
// failover takes is as Sentinel has it.
static void hurry(struct server *s) {
    call_ok(s, "SENTINEL DEBUG INFO-PERIOD 1000 PUBLISH-PERIOD 400 TILT-TRIGGER 60000");
}

struct server *sentinel_start(const char *name, int side, int address, struct server *primary) {
    char settings[400];
    int n = snprintf(settings, sizeof settings,
                     "sentinel monitor main 127.0.0.1 %d 2\n"
                     "sentinel down-after-milliseconds main %d\n"
                     "sentinel failover-timeout main 4000\n"
                     "sentinel parallel-syncs main 2\n",
                     primary->address, DOWN_AFTER_MS);
    if (address)
        snprintf(settings + n, sizeof settings - (size_t)n,
                 "sentinel announce-ip 127.0.0.1\nsentinel announce-port %d\n", address);
    struct server *s = server_start(&(struct plan){
        .name = name, .side = side, .address = address, .settings = settings, .sentinel = true});
    hurry(s);
    return s;
}

void sentinel_restart(struct server *s) {
    server_restart(s);
    hurry(s);
}

// ---- Waiting -------------------------------------------------------------------------------------

struct expected {
    struct server *sentinel;
    size_t others, replicas;
};

static bool text_is(const redisReply *map, const char *name, const char *want) {
    const redisReply *r = field(map, name);
    return r && r->str && strcmp(r->str, want) == 0;
}

static long number_of(const redisReply *map, const char *name) {
    const redisReply *r = field(map, name);
    return r && r->str ? strtol(r->str, NULL, 10) : -1;
}

static bool all_is_well(void *ctx) {
    const struct expected *e = ctx;
    redisReply *r = call(e->sentinel, "SENTINEL MASTER main");
    bool well = r->type == REDIS_REPLY_ARRAY && text_is(r, "flags", "master") &&
                number_of(r, "num-other-sentinels") == (long)e->others &&
                number_of(r, "num-slaves") >= (long)e->replicas;
    freeReplyObject(r);
    if (!well) return false;
    // A replica that it hasn't asked yet, or whose link it believes down, it wouldn't promote.
    r = call(e->sentinel, "SENTINEL REPLICAS main");
    size_t up = 0;
    for (size_t i = 0; i < r->elements; i++)
        up += text_is(r->element[i], "flags", "slave") &&
              text_is(r->element[i], "master-link-status", "ok") &&
              number_of(r->element[i], "slave-repl-offset") > 0;
    freeReplyObject(r);
    return up >= e->replicas;
}

void sentinels_wait_ready(struct server **sentinels, size_t n, size_t replicas) {
    for (size_t i = 0; i < n; i++) {
        struct expected e = {sentinels[i], n - 1, replicas};
        wait_until(all_is_well, &e, "a Sentinel knows everybody");
    }
}

struct server *sentinel_primary(struct server *sentinel) {
    redisReply *r = call(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME main");
    int address = r->type == REDIS_REPLY_ARRAY && r->elements == 2 ? atoi(r->element[1]->str) : 0;
    freeReplyObject(r);
    for (size_t i = 0; i < server_count(); i++)
        if (server_at(i)->address == address) return server_at(i);
    return NULL;
}

struct change {
    struct server *sentinel;
    const struct server *old;
    struct server *found;
};

static bool another_is_primary(void *ctx) {
    struct change *c = ctx;
    struct server *s = sentinel_primary(c->sentinel);
    if (!s || s == c->old || !server_runs(s) || !server_is_primary(s)) return false;
    c->found = s;
    return true;
}

struct server *sentinel_wait_primary(struct server *sentinel, const struct server *old) {
    struct change c = {sentinel, old, NULL};
    wait_until(another_is_primary, &c, "the Sentinels have promoted another server");
    return c.found;
}
