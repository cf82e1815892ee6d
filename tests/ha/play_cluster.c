// SPDX-License-Identifier: Apache-2.0
// Redis Cluster: the node that has the pool dies, or gives its slot away.
#include "play.h"

#include <stdio.h>
#include <string.h>

struct setting {
    struct cluster nodes;
    int slot;
    size_t owner; // index of the primary that has the pool; its replica is owner + 3
    char url[200];
};

static struct stage *begin(struct setting *c) {
    cluster_start(&c->nodes);
    c->slot = cluster_slot(&c->nodes, "pool");
    struct server *owner = cluster_owner(c->nodes.servers[0], c->slot);
    for (c->owner = 0; c->nodes.servers[c->owner] != owner; c->owner++) {
    }
    // Seeds: two that don't have it.
    snprintf(c->url, sizeof c->url, "cluster://127.0.0.1:%d,127.0.0.1:%d",
             c->nodes.servers[(c->owner + 1) % 3]->port,
             c->nodes.servers[(c->owner + 2) % 3]->port);
    struct stage *s = stage_begin(&(struct stage_plan){.url = c->url}, owner);
    sleep_ms(BEFORE_MS);
    return s;
}

static void end(struct verdict *v, struct stage *s, struct server *primary,
                struct server *replica) {
    stage_wait_served(s, now_ms(), s->n_clients);
    sleep_ms(AFTER_MS);
    judge(s, primary, &replica, 1, v);
}

static bool became_primary(void *ctx) {
    return server_is_primary(ctx);
}

void play_cluster_failover(struct verdict *v) {
    struct setting c;
    struct stage *s = begin(&c);
    struct server *old = c.nodes.servers[c.owner], *new = c.nodes.servers[c.owner + 3];
    strike(v, s, "the node that has the pool");
    server_kill(old);
    wait_until(became_primary, new, "the replica has taken over");
    server_restart(old); // and comes back as a replica
    end(v, s, new, old);
}

static void move_slot(struct setting *c, struct server *from, struct server *to) {
    char from_id[64], to_id[64];
    cluster_id(from, from_id);
    cluster_id(to, to_id);
    call_ok(to, "CLUSTER SETSLOT %d IMPORTING %s", c->slot, from_id);
    call_ok(from, "CLUSTER SETSLOT %d MIGRATING %s", c->slot, to_id);
    sleep_ms(300); // where it was, for what is there
    call_ok(from, "MIGRATE 127.0.0.1 %d pool 0 5000", to->port);
    sleep_ms(300); // ASK
    call_ok(to, "CLUSTER SETSLOT %d NODE %s", c->slot, to_id);
    sleep_ms(300); // nobody but the new owner knows
    for (int i = 0; i < 3; i++)
        call_ok(c->nodes.servers[i], "CLUSTER SETSLOT %d NODE %s", c->slot, to_id);
}

void play_cluster_slot_moves(struct verdict *v) {
    struct setting c;
    struct stage *s = begin(&c);
    size_t next = (c.owner + 1) % 3;
    struct server *here = c.nodes.servers[c.owner], *there = c.nodes.servers[next];
    strike(v, s, "nothing: the slot moves, three times");
    move_slot(&c, here, there);
    sleep_ms(500);
    move_slot(&c, there, here);
    sleep_ms(500);
    move_slot(&c, here, there);
    end(v, s, there, c.nodes.servers[next + 3]);
}
