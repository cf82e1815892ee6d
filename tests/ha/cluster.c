// SPDX-License-Identifier: Apache-2.0
// A Redis Cluster of three primaries and three replicas; see redis.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis.h"

enum { PRIMARIES = 3, SLOTS = 16384 };

const char *cluster_id(struct server *s, char out[64]) {
    redisReply *r = call(s, "CLUSTER MYID");
    snprintf(out, 64, "%s", r->str);
    freeReplyObject(r);
    return out;
}

static bool all_have_met(void *ctx) {
    const struct cluster *c = ctx;
    for (size_t i = 0; i < 6; i++) {
        redisReply *r = call(c->servers[i], "CLUSTER NODES");
        size_t connected = 0;
        for (const char *at = r->str; (at = strstr(at, " connected")); at++)
            connected++;
        bool shaky = strstr(r->str, "handshake") || strstr(r->str, "fail");
        freeReplyObject(r);
        if (connected < 6 || shaky) return false;
    }
    return true;
}

static bool all_is_well(void *ctx) {
    const struct cluster *c = ctx;
    for (size_t i = 0; i < 6; i++) {
        char id[64], line[96];
        redisReply *r = call(c->servers[i], "CLUSTER INFO");
        bool ok = strstr(r->str, "cluster_state:ok") && strstr(r->str, "cluster_size:3");
        freeReplyObject(r);
        // Every node knows every replica as one of its primary.
        r = call(c->servers[i], "CLUSTER NODES");
        for (size_t p = 0; p < PRIMARIES; p++) {
            snprintf(line, sizeof line, "slave %s", cluster_id(c->servers[p], id));
            ok &= strstr(r->str, line) != NULL;
        }
        freeReplyObject(r);
        if (!ok) return false;
    }
    for (size_t p = 0; p < PRIMARIES; p++)
        if (!server_synced(c->servers[p + PRIMARIES], c->servers[p])) return false;
    return true;
}

void cluster_start(struct cluster *c, int node_timeout_ms) {
    for (int i = 0; i < 6; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "node-%d", i + 1);
        c->servers[i] =
            server_start(&(struct plan){.name = name, .node_timeout_ms = node_timeout_ms});
    }
    for (int p = 0; p < PRIMARIES; p++) {
        call_ok(c->servers[p], "CLUSTER ADDSLOTSRANGE %d %d", SLOTS * p / PRIMARIES,
                SLOTS * (p + 1) / PRIMARIES - 1);
        call_ok(c->servers[p], "CLUSTER SET-CONFIG-EPOCH %d", p + 1);
    }
    // Everybody meets everybody: what they would tell each other in their own time takes seconds.
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++)
            call_ok(c->servers[i], "CLUSTER MEET 127.0.0.1 %d %d", c->servers[k]->port,
                    c->servers[k]->bus);
    wait_until(all_have_met, c, "all nodes have met");
    for (int p = 0; p < PRIMARIES; p++) {
        char id[64];
        call_ok(c->servers[p + PRIMARIES], "CLUSTER REPLICATE %s", cluster_id(c->servers[p], id));
    }
    wait_until(all_is_well, c, "the cluster is up");
}

int cluster_slot(struct cluster *c, const char *key) {
    return (int)call_int(c->servers[0], "CLUSTER KEYSLOT %s", key);
}

struct server *cluster_owner(struct server *asked, int slot) {
    redisReply *r = call(asked, "CLUSTER SLOTS");
    int port = 0;
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *e = r->element[i];
        if (e->element[0]->integer <= slot && slot <= e->element[1]->integer)
            port = (int)e->element[2]->element[1]->integer;
    }
    freeReplyObject(r);
    for (size_t i = 0; i < server_count(); i++)
        if (server_at(i)->port == port) return server_at(i);
    return NULL;
}
