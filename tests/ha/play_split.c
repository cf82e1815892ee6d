// SPDX-License-Identifier: Apache-2.0
// Partitions: on side 0 the primary, a Sentinel, half of the clients and of the publishers; on side 1
// two replicas, two Sentinels and the others. Side 1 has the majority and promotes a replica.
#include "play.h"

enum { APART_MS = 1500 }; // after the promotion

static void play(struct verdict *v, const char *settings) {
    struct fleet f;
    fleet_start(&f, &(struct fleet_plan){.replicas = 2,
                                         .sentinels = true,
                                         .apart = true,
                                         .sentinels_apart = true,
                                         .settings = settings});
    struct stage *s =
        stage_begin(&(struct stage_plan){.url = f.url, .aside = MAX_CLIENTS / 2}, f.primary);
    sleep_ms(BEFORE_MS);
    fleet_alert(&f);
    strike(v, s, "the network between two halves");
    proxy_link(0, 1, LINK_HELD);
    proxy_link(1, 0, LINK_HELD);
    struct server *promoted = sentinel_wait_primary(f.sentinels[1], f.primary);
    sleep_ms(APART_MS);
    // What the old primary has acknowledged since goes when it becomes a replica.
    stage_freeze(s);
    count_losses(v, s, promoted);
    stage_thaw(s);
    proxy_link(0, 1, LINK_OPEN);
    proxy_link(1, 0, LINK_OPEN);
    conclude(v, s, &f);
}

void play_split(struct verdict *v) {
    play(v, NULL);
}

void play_split_min_replicas(struct verdict *v) {
    play(v, "min-replicas-to-write 1\nmin-replicas-max-lag 1\n");
}
