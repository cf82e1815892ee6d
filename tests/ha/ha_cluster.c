// SPDX-License-Identifier: Apache-2.0
// A Redis Cluster of three primaries and three replicas; see ha_server.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ha_server.h"

enum { HA_PRIMARIES = 3, HA_SLOTS = 16384 };

const char *ha_cluster_id(struct ha_server *s, char out[64]) {
    redisReply *r = ha_call(s, "CLUSTER MYID");
    snprintf(out, 64, "%s", r->str);
    freeReplyObject(r);
    return out;
}

static bool all_have_met(void *ctx) {
    const struct ha_cluster *c = ctx;
    for (size_t i = 0; i < 6; i++) {
        redisReply *r = ha_call(c->servers[i], "CLUSTER NODES");
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
    const struct ha_cluster *c = ctx;
    for (size_t i = 0; i < 6; i++) {
        char id[64], line[96];
        redisReply *r = ha_call(c->servers[i], "CLUSTER INFO");
        bool ok = strstr(r->str, "cluster_state:ok") && strstr(r->str, "cluster_size:3");
        freeReplyObject(r);
        // Every node knows every replica as one of its primary.
        r = ha_call(c->servers[i], "CLUSTER NODES");
        for (size_t p = 0; p < HA_PRIMARIES; p++) {
            snprintf(line, sizeof line, "slave %s", ha_cluster_id(c->servers[p], id));
            ok &= strstr(r->str, line) != NULL;
        }
        freeReplyObject(r);
        if (!ok) return false;
    }
    for (size_t p = 0; p < HA_PRIMARIES; p++)
        if (!ha_server_synced(c->servers[p + HA_PRIMARIES], c->servers[p])) return false;
    return true;
}

void ha_cluster_start(struct ha_cluster *c, int node_timeout_ms) {
    for (int i = 0; i < 6; i++) {
        char name[HA_NAME_SIZE];
        snprintf(name, sizeof name, "node-%d", i + 1);
        c->servers[i] = ha_server_start(
            &(struct ha_server_plan){.name = name, .node_timeout_ms = node_timeout_ms});
    }
    for (int p = 0; p < HA_PRIMARIES; p++) {
        ha_call_ok(c->servers[p], "CLUSTER ADDSLOTSRANGE %d %d", HA_SLOTS * p / HA_PRIMARIES,
                   HA_SLOTS * (p + 1) / HA_PRIMARIES - 1);
        ha_call_ok(c->servers[p], "CLUSTER SET-CONFIG-EPOCH %d", p + 1);
    }
    // Everybody meets everybody: what they would tell each other in their own time takes seconds.
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++)
            ha_call_ok(c->servers[i], "CLUSTER MEET 127.0.0.1 %d %d", c->servers[k]->redis.port,
                       c->servers[k]->bus);
    ha_wait(all_have_met, c, "all nodes have met");
    for (int p = 0; p < HA_PRIMARIES; p++) {
        char id[64];
        ha_call_ok(c->servers[p + HA_PRIMARIES], "CLUSTER REPLICATE %s",
                   ha_cluster_id(c->servers[p], id));
    }
    ha_wait(all_is_well, c, "the cluster is up");
}

int ha_cluster_slot(struct ha_cluster *c, const char *key) {
    return (int)ha_call_int(c->servers[0], "CLUSTER KEYSLOT %s", key);
}

struct ha_server *ha_cluster_owner(struct ha_server *asked, int slot) {
    redisReply *r = ha_call(asked, "CLUSTER SLOTS");
    int port = 0;
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *e = r->element[i];
        if (e->element[0]->integer <= slot && slot <= e->element[1]->integer)
            port = (int)e->element[2]->element[1]->integer;
    }
    freeReplyObject(r);
    for (size_t i = 0; i < ha_server_count(); i++)
        if (ha_server_at(i)->redis.port == port) return ha_server_at(i);
    return NULL;
}
