// SPDX-License-Identifier: Apache-2.0
// Redis Cluster: the node that has the pool dies, or gives its slot away.
#include "play.h"

#include <stdio.h>
#include <string.h>

struct setting {
    struct cluster nodes;
    struct fleet fleet; // the nodes that are compared at the end
    size_t owner;       // index of the primary that has the pool; its replica is owner + 3
};

static struct stage *begin(struct setting *c, int node_timeout_ms) {
    struct fleet *f = &c->fleet;
    memset(c, 0, sizeof *c);
    cluster_start(&c->nodes, node_timeout_ms);
    f->cluster = &c->nodes;
    f->slot = cluster_slot(&c->nodes, "pool");
    f->primary = cluster_owner(c->nodes.servers[0], f->slot);
    while (c->nodes.servers[c->owner] != f->primary)
        c->owner++;
    // Seeds: two that don't have it.
    snprintf(f->url, sizeof f->url, "cluster://127.0.0.1:%d,127.0.0.1:%d",
             c->nodes.servers[(c->owner + 1) % 3]->port,
             c->nodes.servers[(c->owner + 2) % 3]->port);
    struct stage *s = stage_begin(&(struct stage_plan){.url = f->url}, f->primary);
    sleep_ms(BEFORE_MS);
    return s;
}

// A primary and its replica, whichever is which by then.
static void end(struct verdict *v, struct stage *s, struct setting *c, size_t primary) {
    c->fleet.servers[0] = c->nodes.servers[primary];
    c->fleet.servers[1] = c->nodes.servers[primary + 3];
    c->fleet.n = 2;
    conclude(v, s, &c->fleet);
}

static bool became_primary(void *ctx) {
    return server_is_primary(ctx);
}

void play_cluster_failover(struct verdict *v) {
    static struct setting c;
    struct stage *s = begin(&c, 1000);
    struct server *old = c.fleet.primary;
    strike(v, s, "the node that has the pool");
    server_kill(old);
    wait_until(became_primary, c.nodes.servers[c.owner + 3], "the replica has taken over");
    server_restart(old); // and comes back as a replica
    end(v, s, &c, c.owner);
}

static void move_slot(struct setting *c, struct server *from, struct server *to) {
    char from_id[64], to_id[64];
    int slot = c->fleet.slot;
    cluster_id(from, from_id);
    cluster_id(to, to_id);
    call_ok(to, "CLUSTER SETSLOT %d IMPORTING %s", slot, from_id);
    call_ok(from, "CLUSTER SETSLOT %d MIGRATING %s", slot, to_id);
    sleep_ms(300); // where it was, for what is there
    call_ok(from, "MIGRATE 127.0.0.1 %d pool 0 5000", to->port);
    sleep_ms(300); // ASK
    call_ok(to, "CLUSTER SETSLOT %d NODE %s", slot, to_id);
    sleep_ms(300); // nobody but the new owner knows
    for (int i = 0; i < 3; i++)
        call_ok(c->nodes.servers[i], "CLUSTER SETSLOT %d NODE %s", slot, to_id);
    sleep_ms(500);
}

// Nobody is to fail over here: the nodes have patience.
void play_cluster_slot_moves(struct verdict *v) {
    static struct setting c;
    struct stage *s = begin(&c, 8000);
    size_t next = (c.owner + 1) % 3;
    struct server *here = c.fleet.primary, *there = c.nodes.servers[next];
    strike(v, s, "nothing: the slot moves, three times");
    move_slot(&c, here, there);
    move_slot(&c, there, here);
    move_slot(&c, here, there);
    end(v, s, &c, next);
}
