// SPDX-License-Identifier: Apache-2.0
// Failovers by Sentinels.
#include "ha_steps.h"

#include "client/common/clock.h"
#include "tests/support/support_home.h"

static struct ha_load *begin(struct ha_fleet *f, const struct ha_fleet_plan *plan) {
    ha_fleet_start(f, plan);
    struct ha_load *s = ha_load_start(&(struct ha_load_plan){.url = f->url}, f->primary);
    support_sleep_ms(HA_BEFORE_MS);
    return s;
}

void ha_primary_killed(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &(struct ha_fleet_plan){.replicas = 2, .sentinels = true});
    ha_fleet_expect_failure(&f);
    ha_note_fault(v, s, "the primary");
    ha_server_kill(f.primary);
    ha_finish(v, s, &f);
}

// The replica is frozen, and what goes to it is held on its way: the kernel's buffers would keep
// more than is written here, and a frozen process reads them when it goes on. Everybody is stopped in
// the moment of the kill, so what the promoted server lacks can be counted before it is put right.
void ha_replica_lags(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s =
        begin(&f, &(struct ha_fleet_plan){.replicas = 1, .sentinels = true, .apart = true});
    struct ha_server *replica = f.servers[1];
    ha_process_stop(replica->process);
    ha_proxy_link(1, 0, HA_LINK_HELD);
    support_sleep_ms(1500);
    ha_fleet_expect_failure(&f);
    ha_note_fault(v, s, "the primary, a frozen replica left");
    ha_load_stop(s);
    ha_server_kill(f.primary);
    ha_proxy_link(1, 0, HA_LINK_CUT);
    ha_process_continue(replica->process);
    ha_sentinel_wait_primary(f.sentinels[1], f.primary);
    ha_note_losses(v, s, replica);
    ha_proxy_link(1, 0, HA_LINK_OPEN);
    ha_load_continue(s);
    ha_finish(v, s, &f);
}

// The first one comes back last, as what it was told to be last: a primary, until Sentinels hear of
// it. Nobody may take it for one.
void ha_failover_twice(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &(struct ha_fleet_plan){.replicas = 2, .sentinels = true});
    ha_fleet_expect_failure(&f);
    ha_note_fault(v, s, "the primary, then its successor");
    ha_server_kill(f.primary);
    struct ha_server *second = ha_fleet_settle(&f);
    ha_sentinels_wait_ready(f.sentinels, HA_SENTINELS, 1);
    ha_server_kill(second);
    ha_sentinel_wait_primary(f.sentinels[0], second);
    ha_server_restart(f.primary);
    ha_finish(v, s, &f);
}

void ha_sentinels_down(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &(struct ha_fleet_plan){.replicas = 1, .sentinels = true});
    ha_fleet_expect_failure(&f);
    ha_note_fault(v, s, "all Sentinels and the primary, twice");
    for (int i = 0; i < HA_SENTINELS; i++)
        ha_server_kill(f.sentinels[i]);
    ha_server_kill(f.primary);
    support_sleep_ms(300);
    ha_server_restart(f.primary);
    ha_load_wait_served(s, kvr_clock_ms());
    for (int i = 0; i < HA_SENTINELS; i++)
        ha_sentinel_restart(f.sentinels[i]);
    struct ha_server *primary = ha_fleet_settle(&f);
    ha_sentinels_wait_ready(f.sentinels, HA_SENTINELS, 1);
    ha_server_kill(primary);
    ha_finish(v, s, &f);
}

// A Sentinel that hasn't heard of the replica for a moment refuses.
static bool takes_the_order(void *ctx) {
    return ha_call_try(ctx, "SENTINEL FAILOVER main");
}

// What the replica hears is held for long, and neither side notices. The old primary goes on
// answering after the promotion until Sentinels have made it a replica.
void ha_operator_promotes(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s =
        begin(&f, &(struct ha_fleet_plan){.replicas = 1, .sentinels = true, .apart = true});
    ha_proxy_link(1, 0, HA_LINK_HELD);
    support_sleep_ms(3000);
    ha_note_fault(v, s, "nothing: the old primary is demoted");
    ha_wait(takes_the_order, f.sentinels[0], "a Sentinel begins a failover");
    struct ha_server *promoted = ha_sentinel_wait_primary(f.sentinels[0], f.primary);
    ha_load_stop(s);
    ha_note_losses(v, s, promoted);
    ha_load_continue(s);
    ha_proxy_link(1, 0, HA_LINK_OPEN);
    ha_finish(v, s, &f);
}
