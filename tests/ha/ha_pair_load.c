// SPDX-License-Identifier: Apache-2.0
// See ha_pair_load.h.
#include "ha_pair_load.h"

#include <stdio.h>

#include "client/common/clock.h"
#include "ha_pair_client.h"
#include "ha_pair_engine.h"

enum {
    HA_PAIR_LEASE_MS = 10000,
    HA_PAIR_TTL_MS = 60000, // longer than any outage here
    HA_PAIR_GRACE_MS = 600000,
    HA_PAIR_ACCEPT_MS = 2000,
    HA_PAIR_LOCAL = 32, // tokens that the decoding instance computes by itself
};

static int number_of(const struct ha_server *s) {
    for (size_t i = 0; i < ha_server_count(); i++)
        if (ha_server_at(i) == s) return (int)i;
    return -1;
}

static void create_pool(const struct ha_pair *p, struct ha_server *primary) {
    ha_call_ok(primary,
               "KVROUTE.CREATE pool BLOCKSIZE %d LEASE %d WORKERTTL %d WORKERGRACE %d ACCEPT %d "
               "MAXREQUESTS %d MAXPREFILL %d MAXBLOCKS %d LOCALPREFILL %d",
               HA_BLOCK_SIZE, (int)p->lease, (int)p->ttl, (int)p->grace, HA_PAIR_ACCEPT_MS,
               HA_PAIR_MAX_REQUESTS, HA_PAIR_MAX_PREFILL, HA_PAIR_MAX_BLOCKS, HA_PAIR_LOCAL);
}

uint64_t ha_pair_booked(const struct ha_pair *p) {
    uint64_t n = 0;
    for (size_t i = 0; i < HA_PAIR_CLIENTS; i++)
        n += p->clients[i].booked;
    return n;
}

static void expect_all(struct ha_pair *p) {
    int status;
    for (size_t i = 0; i < HA_PAIR_CLIENTS; i++)
        if (ha_process_ended(p->clients[i].process, &status))
            ha_give_up("client %zu ended by itself (status %d)", i, status);
}

struct ha_pair_goal {
    struct ha_pair *pair;
    uint64_t booked;
    int order;
};

static bool has_booked(void *ctx) {
    const struct ha_pair_goal *g = ctx;
    expect_all(g->pair);
    return ha_pair_booked(g->pair) >= g->booked;
}

void ha_pair_wait_booked(struct ha_pair *p, uint64_t more) {
    struct ha_pair_goal g = {.pair = p, .booked = ha_pair_booked(p) + more};
    ha_wait(has_booked, &g, "clients go on booking");
}

static bool has_reached(void *ctx) {
    const struct ha_pair_goal *g = ctx;
    expect_all(g->pair);
    for (size_t i = 0; i < HA_PAIR_CLIENTS; i++)
        if (g->pair->clients[i].reached != g->order) return false;
    return true;
}

void ha_pair_order(struct ha_pair *p, int order) {
    struct ha_pair_goal g = {.pair = p, .order = order};
    for (size_t i = 0; i < HA_PAIR_CLIENTS; i++)
        p->clients[i].order = order;
    ha_wait(has_reached, &g, "clients of pairs have carried out an order");
}

struct ha_pair *ha_pair_start(const struct ha_pair_plan *plan, struct ha_fleet *f) {
    struct ha_pair *p = ha_share(sizeof *p);
    snprintf(p->url, sizeof p->url, "%s?deadline=%d&timeout=1000&connect_timeout=500", f->url,
             HA_PAIR_DEADLINE_MS);
    p->lease = plan->lease ? plan->lease : HA_PAIR_LEASE_MS;
    p->ttl = plan->ttl ? plan->ttl : HA_PAIR_TTL_MS;
    p->grace = plan->grace ? plan->grace : HA_PAIR_GRACE_MS;
    p->lossy = plan->lossy;
    p->primary = number_of(f->primary);
    create_pool(p, f->primary);
    for (size_t i = 0; i < HA_PAIR_ENGINES; i++)
        ha_pair_engine_start(p, i);
    for (size_t i = 0; i < HA_PAIR_ENGINES; i++)
        ha_pair_engine_wait(p, i);
    for (size_t i = 0; i < HA_PAIR_CLIENTS; i++)
        ha_pair_client_start(p, i);
    ha_pair_wait_booked(p, 100);
    return p;
}

void ha_pair_unsettle(struct ha_pair *p) {
    p->primary = -1;
    p->history_from = INT64_MAX;
    p->faults++;
}

static bool all_answered(void *ctx) {
    const struct ha_pair_goal *g = ctx;
    expect_all(g->pair);
    for (size_t i = 0; i < HA_PAIR_CLIENTS; i++)
        if (g->pair->clients[i].process->pid && g->pair->clients[i].last_good < (int64_t)g->booked)
            return false;
    return true;
}

struct ha_server *ha_pair_settle(struct ha_pair *p, struct ha_fleet *f) {
    struct ha_server *primary = ha_fleet_settle(f);
    struct ha_pair_goal g = {.pair = p, .booked = (uint64_t)kvr_clock_ms()};
    ha_wait(all_answered, &g, "every client has been answered by the primary");
    p->history_from = kvr_clock_ms();
    p->primary = number_of(primary);
    return primary;
}

static bool has_ended(void *ctx) {
    int status;
    struct ha_process *process = ctx;
    if (!process->pid) return true;
    if (ha_process_ended(process, &status) && status)
        ha_give_up("a client ended badly (status %d)", status);
    return !process->pid;
}

void ha_pair_end(struct ha_pair *p) {
    for (size_t i = 0; i < HA_PAIR_CLIENTS; i++)
        p->clients[i].order = HA_ORDER_END;
    for (size_t i = 0; i < HA_PAIR_CLIENTS; i++)
        ha_wait(has_ended, p->clients[i].process, "a client has closed its handle");
    for (size_t i = 0; i < HA_PAIR_ENGINES; i++)
        ha_process_kill(p->engines[i].process);
}
