// SPDX-License-Identifier: Apache-2.0
// See fleet.h.
#include "fleet.h"

#include <stdio.h>
#include <string.h>

// A proxy's port for it, if there are proxies; else 0, for its own.
static int address(const struct fleet_plan *plan) {
    return plan->apart ? proxy_address() : 0;
}

static struct server *start_one(const struct fleet_plan *plan, const char *name, int side,
                                bool on_small_disk) {
    struct server *s = server_start(&(struct plan){.name = name,
                                                   .side = side,
                                                   .address = address(plan),
                                                   .settings = plan->settings,
                                                   .on_small_disk = on_small_disk});
    if (plan->apart) proxy_lead(s->address, s);
    return s;
}

static void start_sentinels(struct fleet *f, const struct fleet_plan *plan) {
    for (int i = 0; i < SENTINELS; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "sentinel-%d", i + 1);
        f->sentinels[i] = sentinel_start(name, plan->apart && i > 0, address(plan), f->primary);
        if (plan->apart) proxy_lead(f->sentinels[i]->address, f->sentinels[i]);
    }
    sentinels_wait_ready(f->sentinels, SENTINELS, f->n_replicas);
    snprintf(f->url, sizeof f->url, "sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/main",
             f->sentinels[0]->address, f->sentinels[1]->address, f->sentinels[2]->address);
}

void fleet_start(struct fleet *f, const struct fleet_plan *plan) {
    static const char *const names[MOST_REPLICAS] = {"b", "c"};
    memset(f, 0, sizeof *f);
    if (plan->apart) proxies_start();
    f->primary = start_one(plan, "a", 0, plan->on_small_disk);
    for (size_t i = 0; i < plan->replicas; i++) {
        f->replicas[i] = start_one(plan, names[i], plan->apart, false);
        server_replicate(f->replicas[i], f->primary);
    }
    f->n_replicas = plan->replicas;
    for (size_t i = 0; i < f->n_replicas; i++)
        server_wait_synced(f->replicas[i], f->primary);
    snprintf(f->url, sizeof f->url, "redis://127.0.0.1:%d", f->primary->address);
    if (plan->sentinels) start_sentinels(f, plan);
}

size_t fleet_others(const struct fleet *f, const struct server *primary,
                    struct server *out[MOST_REPLICAS + 1]) {
    size_t n = 0;
    if (f->primary != primary && server_runs(f->primary)) out[n++] = f->primary;
    for (size_t i = 0; i < f->n_replicas; i++)
        if (f->replicas[i] != primary && server_runs(f->replicas[i])) out[n++] = f->replicas[i];
    return n;
}
