// SPDX-License-Identifier: Apache-2.0
// Partitions: on side 0 the primary, a Sentinel, half of the clients and of the publishers; on side 1
// two replicas, two Sentinels and the others. Side 1 has the majority and promotes a replica.
#include "ha_steps.h"

#include "tests/support/support_home.h"

enum { HA_APART_MS = 1500 }; // after the promotion

static void play(struct ha_result *v, const char *settings) {
    struct ha_fleet f;
    ha_fleet_start(&f, &(struct ha_fleet_plan){.replicas = 2,
                                               .sentinels = true,
                                               .apart = true,
                                               .sentinels_apart = true,
                                               .settings = settings});
    struct ha_load *s =
        ha_load_start(&(struct ha_load_plan){.url = f.url, .aside = HA_MAX_CLIENTS / 2}, f.primary);
    support_sleep_ms(HA_BEFORE_MS);
    ha_fleet_expect_failure(&f);
    ha_note_fault(v, s, "the network between two halves");
    ha_proxy_link(0, 1, HA_LINK_HELD);
    ha_proxy_link(1, 0, HA_LINK_HELD);
    struct ha_server *promoted = ha_sentinel_wait_primary(f.sentinels[1], f.primary);
    support_sleep_ms(HA_APART_MS);
    // What the old primary has acknowledged since goes when it becomes a replica.
    ha_load_stop(s);
    ha_note_losses(v, s, promoted);
    ha_load_continue(s);
    ha_proxy_link(0, 1, HA_LINK_OPEN);
    ha_proxy_link(1, 0, HA_LINK_OPEN);
    ha_finish(v, s, &f);
}

void ha_split(struct ha_result *v) {
    play(v, NULL);
}

void ha_split_min_replicas(struct ha_result *v) {
    play(v, "min-replicas-to-write 1\nmin-replicas-max-lag 1\n");
}
