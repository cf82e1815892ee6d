// SPDX-License-Identifier: Apache-2.0
// Redis Cluster: the node that has the pool dies, or gives its slot away.
#include "ha_steps.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/support_home.h"

struct ha_cluster_setup {
    struct ha_cluster nodes;
    struct ha_fleet fleet; // the nodes that are compared at the end
    size_t owner;          // index of the primary that has the pool; its replica is owner + 3
};

static struct ha_load *begin(struct ha_cluster_setup *c, int node_timeout_ms) {
    struct ha_fleet *f = &c->fleet;
    memset(c, 0, sizeof *c);
    ha_cluster_start(&c->nodes, node_timeout_ms);
    f->cluster = &c->nodes;
    f->slot = ha_cluster_slot(&c->nodes, "pool");
    f->primary = ha_cluster_owner(c->nodes.servers[0], f->slot);
    while (c->nodes.servers[c->owner] != f->primary)
        c->owner++;
    // Seeds: two that don't have it.
    snprintf(f->url, sizeof f->url, "cluster://127.0.0.1:%d,127.0.0.1:%d",
             c->nodes.servers[(c->owner + 1) % 3]->redis.port,
             c->nodes.servers[(c->owner + 2) % 3]->redis.port);
    struct ha_load *s = ha_load_start(&(struct ha_load_plan){.url = f->url}, f->primary);
    support_sleep_ms(HA_BEFORE_MS);
    return s;
}

// A primary and its replica, whichever is which by then.
static void end(struct ha_result *v, struct ha_load *s, struct ha_cluster_setup *c,
                size_t primary) {
    c->fleet.servers[0] = c->nodes.servers[primary];
    c->fleet.servers[1] = c->nodes.servers[primary + 3];
    c->fleet.n = 2;
    ha_finish(v, s, &c->fleet);
}

static bool became_primary(void *ctx) {
    return ha_server_is_primary(ctx);
}

void ha_cluster_failover(struct ha_result *v) {
    static struct ha_cluster_setup c;
    struct ha_load *s = begin(&c, 1000);
    struct ha_server *old = c.fleet.primary;
    ha_note_fault(v, s, "the node that has the pool");
    ha_server_kill(old);
    ha_wait(became_primary, c.nodes.servers[c.owner + 3], "the replica has taken over");
    ha_server_restart(old); // and comes back as a replica
    end(v, s, &c, c.owner);
}

void ha_move_slot(const struct ha_cluster *c, int slot, struct ha_server *from,
                  struct ha_server *to) {
    char from_id[64], to_id[64];
    ha_cluster_id(from, from_id);
    ha_cluster_id(to, to_id);
    ha_call_ok(to, "CLUSTER SETSLOT %d IMPORTING %s", slot, from_id);
    ha_call_ok(from, "CLUSTER SETSLOT %d MIGRATING %s", slot, to_id);
    support_sleep_ms(300); // where it was, for what is there
    ha_call_ok(from, "MIGRATE 127.0.0.1 %d pool 0 5000", to->redis.port);
    support_sleep_ms(300); // ASK
    ha_call_ok(to, "CLUSTER SETSLOT %d NODE %s", slot, to_id);
    support_sleep_ms(300); // nobody but the new owner knows
    for (int i = 0; i < 3; i++)
        ha_call_ok(c->servers[i], "CLUSTER SETSLOT %d NODE %s", slot, to_id);
    support_sleep_ms(500);
}

// Nobody is to fail over here: the nodes have patience.
void ha_cluster_slot_moves(struct ha_result *v) {
    static struct ha_cluster_setup c;
    struct ha_load *s = begin(&c, 8000);
    size_t next = (c.owner + 1) % 3;
    struct ha_server *here = c.fleet.primary, *there = c.nodes.servers[next];
    ha_note_fault(v, s, "nothing: the slot moves, three times");
    ha_move_slot(&c.nodes, c.fleet.slot, here, there);
    ha_move_slot(&c.nodes, c.fleet.slot, there, here);
    ha_move_slot(&c.nodes, c.fleet.slot, here, there);
    end(v, s, &c, next);
}
