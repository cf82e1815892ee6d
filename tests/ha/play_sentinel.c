// SPDX-License-Identifier: Apache-2.0
// Failovers by Sentinels.
#include "play.h"

static struct stage *begin(struct fleet *f, const struct fleet_plan *plan) {
    fleet_start(f, plan);
    struct stage *s = stage_begin(&(struct stage_plan){.url = f->url}, f->primary);
    sleep_ms(BEFORE_MS);
    return s;
}

void play_primary_killed(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &(struct fleet_plan){.replicas = 2, .sentinels = true});
    fleet_alert(&f);
    strike(v, s, "the primary");
    server_kill(f.primary);
    conclude(v, s, &f);
}

// The replica is frozen, and what goes to it is held on its way: the kernel's buffers would keep
// more than is written here, and a frozen process reads them when it goes on. Everybody is stopped in
// the moment of the kill, so what the promoted server lacks can be counted before it is put right.
void play_replica_lags(struct verdict *v) {
    struct fleet f;
    struct stage *s =
        begin(&f, &(struct fleet_plan){.replicas = 1, .sentinels = true, .apart = true});
    struct server *replica = f.servers[1];
    process_stop(replica->process);
    proxy_link(1, 0, LINK_HELD);
    sleep_ms(1500);
    fleet_alert(&f);
    strike(v, s, "the primary, a frozen replica left");
    stage_freeze(s);
    server_kill(f.primary);
    proxy_link(1, 0, LINK_CUT);
    process_continue(replica->process);
    sentinel_wait_primary(f.sentinels[1], f.primary);
    count_losses(v, s, replica);
    proxy_link(1, 0, LINK_OPEN);
    stage_thaw(s);
    conclude(v, s, &f);
}

// The first one comes back last, as what it was told to be last: a primary, until Sentinels hear of
// it. Nobody may take it for one.
void play_failover_twice(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &(struct fleet_plan){.replicas = 2, .sentinels = true});
    fleet_alert(&f);
    strike(v, s, "the primary, then its successor");
    server_kill(f.primary);
    struct server *second = fleet_settle(&f);
    sentinels_wait_ready(f.sentinels, SENTINELS, 1);
    server_kill(second);
    sentinel_wait_primary(f.sentinels[0], second);
    server_restart(f.primary);
    conclude(v, s, &f);
}

void play_sentinels_down(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &(struct fleet_plan){.replicas = 1, .sentinels = true});
    fleet_alert(&f);
    strike(v, s, "all Sentinels and the primary, twice");
    for (int i = 0; i < SENTINELS; i++)
        server_kill(f.sentinels[i]);
    server_kill(f.primary);
    sleep_ms(300);
    server_restart(f.primary);
    stage_wait_served(s, now_ms());
    for (int i = 0; i < SENTINELS; i++)
        sentinel_restart(f.sentinels[i]);
    struct server *primary = fleet_settle(&f);
    sentinels_wait_ready(f.sentinels, SENTINELS, 1);
    server_kill(primary);
    conclude(v, s, &f);
}

// A Sentinel that hasn't heard of the replica for a moment refuses.
static bool takes_the_order(void *ctx) {
    return call_try(ctx, "SENTINEL FAILOVER main");
}

// What the replica hears is held for long, and neither side notices. The old primary goes on
// answering after the promotion until Sentinels have made it a replica.
void play_operator_promotes(struct verdict *v) {
    struct fleet f;
    struct stage *s =
        begin(&f, &(struct fleet_plan){.replicas = 1, .sentinels = true, .apart = true});
    proxy_link(1, 0, LINK_HELD);
    sleep_ms(3000);
    strike(v, s, "nothing: the old primary is demoted");
    wait_until(takes_the_order, f.sentinels[0], "a Sentinel begins a failover");
    struct server *promoted = sentinel_wait_primary(f.sentinels[0], f.primary);
    stage_freeze(s);
    count_losses(v, s, promoted);
    stage_thaw(s);
    proxy_link(1, 0, LINK_OPEN);
    conclude(v, s, &f);
}
