// SPDX-License-Identifier: Apache-2.0
// See ha_fleet.h.
#include "ha_fleet.h"

#include <stdio.h>
#include <string.h>

enum { HA_PATIENT_MS = 5000 };

// A proxy's port for it, if there are proxies; else 0, for its own.
static int address(const struct ha_fleet_plan *plan) {
    return plan->apart ? ha_proxy_address() : 0;
}

static struct ha_server *start_one(struct ha_fleet *f, const struct ha_fleet_plan *plan,
                                   const char *name, int side, bool on_small_disk) {
    struct ha_server *s =
        ha_server_start(&(struct ha_server_plan){.name = name,
                                                 .side = side,
                                                 .address = address(plan),
                                                 .settings = plan->settings,
                                                 .on_small_disk = on_small_disk,
                                                 .clock = f->n ? NULL : plan->clock});
    if (plan->apart) ha_proxy_target(s->address, s);
    f->servers[f->n++] = s;
    return s;
}

static void be_patient(struct ha_fleet *f, int ms) {
    for (size_t i = 0; i < f->n_sentinels; i++)
        ha_call_ok(f->sentinels[i], "SENTINEL SET main down-after-milliseconds %d", ms);
}

void ha_fleet_expect_failure(struct ha_fleet *f) {
    be_patient(f, HA_DOWN_AFTER_MS);
}

static void start_sentinels(struct ha_fleet *f, const struct ha_fleet_plan *plan) {
    for (int i = 0; i < HA_SENTINELS; i++) {
        char name[HA_NAME_SIZE];
        snprintf(name, sizeof name, "sentinel-%d", i + 1);
        f->sentinels[i] =
            ha_sentinel_start(name, plan->sentinels_apart && i > 0, address(plan), f->primary);
        if (plan->apart) ha_proxy_target(f->sentinels[i]->address, f->sentinels[i]);
        f->n_sentinels++;
    }
    be_patient(f, HA_PATIENT_MS);
    ha_sentinels_wait_ready(f->sentinels, HA_SENTINELS, f->n - 1);
    snprintf(f->url, sizeof f->url, "sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/main",
             f->sentinels[0]->address, f->sentinels[1]->address, f->sentinels[2]->address);
}

void ha_fleet_start(struct ha_fleet *f, const struct ha_fleet_plan *plan) {
    static const char *const names[HA_FLEET] = {"a", "b", "c"};
    memset(f, 0, sizeof *f);
    if (plan->apart) ha_proxy_start();
    f->primary = start_one(f, plan, names[0], 0, plan->on_small_disk);
    for (size_t i = 1; i <= plan->replicas; i++)
        ha_server_replicate(start_one(f, plan, names[i], plan->apart, false), f->primary);
    for (size_t i = 1; i < f->n; i++)
        ha_server_wait_synced(f->servers[i], f->primary);
    snprintf(f->url, sizeof f->url, "redis://127.0.0.1:%d", f->primary->address);
    if (plan->sentinels) start_sentinels(f, plan);
}

// ---- Who is what ---------------------------------------------------------------------------------

static struct ha_server *named_by_sentinels(const struct ha_fleet *f) {
    struct ha_server *all = NULL;
    for (size_t i = 0; i < f->n_sentinels; i++) {
        struct ha_server *s = ha_sentinel_primary(f->sentinels[i]);
        if (!s || (all && s != all)) return NULL;
        all = s;
    }
    return all;
}

static struct ha_server *named_by_nodes(const struct ha_fleet *f) {
    for (size_t i = 0; i < f->n; i++)
        if (ha_server_runs(f->servers[i])) return ha_cluster_owner(f->servers[i], f->slot);
    return NULL;
}

// The one that is the primary now, and knows it; NULL: there is none, or they don't agree.
static struct ha_server *primary_of(const struct ha_fleet *f) {
    struct ha_server *s = f->cluster       ? named_by_nodes(f)
                          : f->n_sentinels ? named_by_sentinels(f)
                                           : f->primary;
    return s && ha_server_runs(s) && ha_server_is_primary(s) ? s : NULL;
}

size_t ha_fleet_others(const struct ha_fleet *f, const struct ha_server *primary,
                       struct ha_server *out[HA_FLEET]) {
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        if (f->servers[i] != primary && ha_server_runs(f->servers[i])) out[n++] = f->servers[i];
    return n;
}

static bool is_settled(void *ctx) {
    struct ha_fleet *f = ctx;
    struct ha_server *primary = primary_of(f), *others[HA_FLEET];
    size_t n = primary ? ha_fleet_others(f, primary, others) : 0;
    for (size_t i = 0; i < n; i++)
        if (!ha_server_linked(others[i], primary)) return false;
    return primary;
}

struct ha_server *ha_fleet_settle(struct ha_fleet *f) {
    struct ha_server *primary = NULL;
    while (!primary) { // it may have changed since the last look
        ha_wait(is_settled, f, "there is a primary, and all others follow it");
        primary = primary_of(f);
    }
    return primary;
}
