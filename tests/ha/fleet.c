// SPDX-License-Identifier: Apache-2.0
// See fleet.h.
#include "fleet.h"

#include <stdio.h>
#include <string.h>

enum { PATIENT_MS = 5000 };

// A proxy's port for it, if there are proxies; else 0, for its own.
static int address(const struct fleet_plan *plan) {
    return plan->apart ? proxy_address() : 0;
}

static struct server *start_one(struct fleet *f, const struct fleet_plan *plan, const char *name,
                                int side, bool on_small_disk) {
    struct server *s = server_start(&(struct plan){.name = name,
                                                   .side = side,
                                                   .address = address(plan),
                                                   .settings = plan->settings,
                                                   .on_small_disk = on_small_disk});
    if (plan->apart) proxy_lead(s->address, s);
    f->servers[f->n++] = s;
    return s;
}

static void be_patient(struct fleet *f, int ms) {
    for (size_t i = 0; i < f->n_sentinels; i++)
        call_ok(f->sentinels[i], "SENTINEL SET main down-after-milliseconds %d", ms);
}

void fleet_alert(struct fleet *f) {
    be_patient(f, DOWN_AFTER_MS);
}

static void start_sentinels(struct fleet *f, const struct fleet_plan *plan) {
    for (int i = 0; i < SENTINELS; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "sentinel-%d", i + 1);
        f->sentinels[i] =
            sentinel_start(name, plan->sentinels_apart && i > 0, address(plan), f->primary);
        if (plan->apart) proxy_lead(f->sentinels[i]->address, f->sentinels[i]);
        f->n_sentinels++;
    }
    be_patient(f, PATIENT_MS);
    sentinels_wait_ready(f->sentinels, SENTINELS, f->n - 1);
    snprintf(f->url, sizeof f->url, "sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/main",
             f->sentinels[0]->address, f->sentinels[1]->address, f->sentinels[2]->address);
}

void fleet_start(struct fleet *f, const struct fleet_plan *plan) {
    static const char *const names[FLEET] = {"a", "b", "c"};
    memset(f, 0, sizeof *f);
    if (plan->apart) proxies_start();
    f->primary = start_one(f, plan, names[0], 0, plan->on_small_disk);
    for (size_t i = 1; i <= plan->replicas; i++)
        server_replicate(start_one(f, plan, names[i], plan->apart, false), f->primary);
    for (size_t i = 1; i < f->n; i++)
        server_wait_synced(f->servers[i], f->primary);
    snprintf(f->url, sizeof f->url, "redis://127.0.0.1:%d", f->primary->address);
    if (plan->sentinels) start_sentinels(f, plan);
}

// ---- Who is what ---------------------------------------------------------------------------------

static struct server *named_by_sentinels(const struct fleet *f) {
    struct server *all = NULL;
    for (size_t i = 0; i < f->n_sentinels; i++) {
        struct server *s = sentinel_primary(f->sentinels[i]);
        if (!s || (all && s != all)) return NULL;
        all = s;
    }
    return all;
}

static struct server *named_by_nodes(const struct fleet *f) {
    for (size_t i = 0; i < f->n; i++)
        if (server_runs(f->servers[i])) return cluster_owner(f->servers[i], f->slot);
    return NULL;
}

struct server *fleet_primary(const struct fleet *f) {
    struct server *s = f->cluster       ? named_by_nodes(f)
                       : f->n_sentinels ? named_by_sentinels(f)
                                        : f->primary;
    return s && server_runs(s) && server_is_primary(s) ? s : NULL;
}

size_t fleet_others(const struct fleet *f, const struct server *primary,
                    struct server *out[FLEET]) {
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        if (f->servers[i] != primary && server_runs(f->servers[i])) out[n++] = f->servers[i];
    return n;
}

static bool is_settled(void *ctx) {
    struct fleet *f = ctx;
    struct server *primary = fleet_primary(f), *others[FLEET];
    size_t n = primary ? fleet_others(f, primary, others) : 0;
    for (size_t i = 0; i < n; i++)
        if (!server_linked(others[i], primary)) return false;
    return primary;
}

struct server *fleet_settle(struct fleet *f) {
    struct server *primary = NULL;
    while (!primary) { // it may have changed since the last look
        wait_until(is_settled, f, "there is a primary, and all others follow it");
        primary = fleet_primary(f);
    }
    return primary;
}
