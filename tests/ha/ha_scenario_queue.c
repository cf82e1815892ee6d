// SPDX-License-Identifier: Apache-2.0
// What breaks while requests wait in the pool's queue; see ha_queue.h for who waits.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "ha_queue_check.h"
#include "ha_queue_load.h"
#include "ha_steps.h"
#include "tests/support/support_home.h"

// Everybody is at work when it returns.
static struct ha_queue *begin(struct ha_result *v, struct ha_fleet *f,
                              const struct ha_fleet_plan *plan) {
    ha_fleet_start(f, plan);
    struct ha_queue *q =
        ha_queue_start(&(struct ha_queue_plan){.url = f->url, .waiting = v->waiting}, f);
    q->lossy = plan->sentinels; // who is promoted may lack the last of what was acknowledged
    ha_queue_stir(q);
    return q;
}

// ---- Failovers -----------------------------------------------------------------------------------

static const struct ha_fleet_plan watched = {.replicas = 2, .sentinels = true};

void ha_queue_primary_killed(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_queue *q = begin(v, &f, &watched);
    ha_fleet_expect_failure(&f);
    ha_queue_note_fault(v, q, "the primary");
    ha_server_kill(f.primary);
    ha_queue_finish(v, q, &f);
}

// It goes on believing that it is the primary, until Sentinels tell it.
void ha_queue_primary_frozen(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_queue *q = begin(v, &f, &watched);
    ha_fleet_expect_failure(&f);
    ha_queue_note_fault(v, q, "nothing: the primary is frozen");
    ha_process_stop(f.primary->process);
    ha_sentinel_wait_primary(f.sentinels[0], f.primary);
    ha_process_continue(f.primary->process);
    ha_queue_finish(v, q, &f);
}

// A sixth of all is served, and another begins to wait, at a primary whose replica hears nothing of it.
void ha_queue_replica_lags(struct ha_result *v) {
    struct ha_fleet f;
    ha_fleet_start(&f, &(struct ha_fleet_plan){.replicas = 1, .sentinels = true, .apart = true});
    struct ha_queue *q = ha_queue_start(
        &(struct ha_queue_plan){.url = f.url, .waiting = v->waiting, .lossy = true}, &f);
    struct ha_server *replica = f.servers[1];
    ha_process_stop(replica->process);
    ha_proxy_link(1, 0, HA_LINK_HELD);
    ha_queue_more(q);
    ha_queue_release(q, 50);
    ha_queue_wait_queued(q, f.primary);
    ha_fleet_expect_failure(&f);
    ha_queue_note_fault(v, q, "the primary, a frozen replica left");
    ha_queue_stop(q);
    ha_server_kill(f.primary);
    ha_proxy_link(1, 0, HA_LINK_CUT);
    ha_process_continue(replica->process);
    ha_sentinel_wait_primary(f.sentinels[1], f.primary);
    ha_queue_note_losses(v, q, replica);
    ha_proxy_link(1, 0, HA_LINK_OPEN);
    ha_queue_continue(q);
    ha_queue_finish(v, q, &f);
}

// Bookings and releases that callers on side 0 have been told of.
static size_t told_on_side_0(const struct ha_queue *q) {
    size_t n = 0;
    for (size_t c = 0; c < HA_QUEUE_CLIENTS; c++)
        for (uint32_t i = 0; i < q->clients[c].n && !q->clients[c].aside; i++) {
            int state = q->clients[c].waiters[i].state;
            n += state == HA_WAITER_BOOKED || state == HA_WAITER_RELEASING;
            n += 2 * (state == HA_WAITER_RELEASED);
        }
    return n;
}

struct ha_side {
    const struct ha_queue *queue;
    size_t told; // on side 0, at least
};

static bool has_told(void *ctx) {
    const struct ha_side *s = ctx;
    return told_on_side_0(s->queue) >= s->told;
}

// Half of the handles and all plain connections stay with the old primary, and are served by it. Each primary also
// admits those of the other side, who can't come, and keeps what these had been booked: so both have little room, until ACCEPT or a lease is over.
void ha_queue_split(struct ha_result *v) {
    struct ha_fleet f;
    ha_fleet_start(&f,
                   &(struct ha_fleet_plan){
                       .replicas = 2, .sentinels = true, .apart = true, .sentinels_apart = true});
    struct ha_queue *q = ha_queue_start(
        &(struct ha_queue_plan){
            .url = f.url, .waiting = v->waiting, .aside = HA_QUEUE_HANDLES / 2, .lossy = true},
        &f);
    ha_fleet_expect_failure(&f);
    ha_queue_note_fault(v, q, "the network between two halves");
    ha_proxy_link(0, 1, HA_LINK_HELD);
    ha_proxy_link(1, 0, HA_LINK_HELD);
    size_t before = told_on_side_0(q);
    ha_queue_more(q);
    q->limit = (int64_t)q->waiting / 2;
    ha_wait(has_told, &(struct ha_side){q, before + 1}, "the old primary goes on");
    ha_sentinel_wait_primary(f.sentinels[1], f.primary);
    v->lost = told_on_side_0(q) - before; // all that the old one has done for them since
    v->counted = true;
    ha_proxy_link(0, 1, HA_LINK_OPEN);
    ha_proxy_link(1, 0, HA_LINK_OPEN);
    ha_queue_finish(v, q, &f);
}

static bool takes_the_order(void *ctx) {
    return ha_call_try(ctx, "SENTINEL FAILOVER main");
}

void ha_queue_demoted(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_queue *q = begin(v, &f, &watched);
    ha_queue_note_fault(v, q, "nothing: the primary is demoted");
    ha_wait(takes_the_order, f.sentinels[0], "a Sentinel begins a failover");
    ha_sentinel_wait_primary(f.sentinels[0], f.primary);
    ha_queue_finish(v, q, &f);
}

static bool is_primary(void *ctx) {
    return ha_server_is_primary(ctx);
}

// Callers know one address, which an operator points at the new primary when there is one.
void ha_queue_failover(struct ha_result *v) {
    struct ha_fleet f;
    char url[64];
    ha_fleet_start(&f, &(struct ha_fleet_plan){.replicas = 1, .apart = true});
    int moving[] = {ha_proxy_address(), 0};
    ha_proxy_target(moving[0], f.primary);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", moving[0]);
    struct ha_queue *q = ha_queue_start(
        &(struct ha_queue_plan){.url = url, .waiting = v->waiting, .blocked = moving}, &f);
    ha_queue_stir(q);
    ha_queue_note_fault(v, q, "nothing: FAILOVER");
    struct ha_server *next = f.servers[1];
    ha_call_ok(f.primary, "FAILOVER TO 127.0.0.1 %d", next->address);
    ha_wait(is_primary, next, "the replica has taken over");
    ha_proxy_target(moving[0], next);
    f.primary = next;
    ha_queue_finish(v, q, &f);
}

// ---- Restarts ------------------------------------------------------------------------------------

static void restart(struct ha_result *v, const char *settings) {
    struct ha_fleet f;
    struct ha_queue *q = begin(v, &f, &(struct ha_fleet_plan){.replicas = 1, .settings = settings});
    ha_queue_note_fault(v, q, "the server");
    ha_server_kill(f.primary);
    ha_server_restart(f.primary);
    ha_queue_finish(v, q, &f);
}

void ha_queue_restart_aof(struct ha_result *v) {
    restart(v, NULL);
}

void ha_queue_restart_always(struct ha_result *v) {
    restart(v, "appendfsync always\n");
}

// The past comes back: whoever was served since waits in it still.
void ha_queue_restart_rdb(struct ha_result *v) {
    struct ha_fleet f;
    ha_fleet_start(&f, &(struct ha_fleet_plan){.replicas = 1});
    struct ha_queue *q = ha_queue_start(
        &(struct ha_queue_plan){.url = f.url, .waiting = v->waiting, .lossy = true}, &f);
    q->unwritten = true;
    ha_call_ok(f.primary, "SAVE");
    ha_queue_more(q);
    ha_queue_release(q, 50);
    ha_queue_wait_queued(q, f.primary);
    ha_queue_note_fault(v, q, "the server, and its AOF");
    ha_queue_stop(q);
    ha_server_kill(f.primary);
    support_redis_forget(&f.primary->redis, true);
    support_redis_configure(&f.primary->redis, "appendonly no");
    ha_server_restart(f.primary);
    ha_queue_note_losses(v, q, f.primary);
    ha_queue_continue(q);
    ha_queue_finish(v, q, &f);
}

// ---- Cluster -------------------------------------------------------------------------------------

void ha_queue_slot_moves(struct ha_result *v) {
    static struct ha_cluster nodes;
    struct ha_fleet f = {.cluster = &nodes};
    int ports[7] = {0};
    size_t owner = 0;
    ha_cluster_start(&nodes, 8000);
    f.slot = ha_cluster_slot(&nodes, "pool");
    f.primary = ha_cluster_owner(nodes.servers[0], f.slot);
    while (nodes.servers[owner] != f.primary)
        owner++;
    size_t next = (owner + 1) % 3;
    for (size_t i = 0; i < 3; i++)
        ports[i] = nodes.servers[i]->redis.port;
    snprintf(f.url, sizeof f.url, "cluster://127.0.0.1:%d,127.0.0.1:%d", ports[next],
             ports[(owner + 2) % 3]);
    struct ha_queue *q = ha_queue_start(
        &(struct ha_queue_plan){.url = f.url, .waiting = v->waiting, .blocked = ports}, &f);
    ha_queue_note_fault(v, q, "nothing: the slot moves");
    q->moved_from = f.primary;
    q->limit = INT64_MAX;
    ha_move_slot(&nodes, f.slot, f.primary, nodes.servers[next]);
    f.servers[0] = nodes.servers[next];
    f.servers[1] = nodes.servers[next + 3];
    f.n = 2;
    ha_queue_finish(v, q, &f);
}

// ---- Hindered ------------------------------------------------------------------------------------

static const struct ha_fleet_plan usual = {.replicas = 1};

void ha_queue_client_pause(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_queue *q = begin(v, &f, &usual);
    ha_queue_note_fault(v, q, "nothing: paused for 1.5 s, twice");
    ha_call_ok(f.primary, "CLIENT PAUSE 1500 WRITE");
    support_sleep_ms(2000);
    ha_call_ok(f.primary, "CLIENT PAUSE 1500 ALL");
    support_sleep_ms(2000);
    ha_queue_finish(v, q, &f);
}

// Also a SELECT whose request has been served since arrives at last, and begins to wait: for nobody.
void ha_queue_late_commands(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_queue *q = begin(v, &f, &(struct ha_fleet_plan){.replicas = 1, .apart = true});
    ha_queue_note_fault(v, q, "nothing: connections stuck for 2.5 s");
    ha_proxy_link(0, 0, HA_LINK_STUCK);
    support_sleep_ms(2500);
    ha_proxy_link(0, 0, HA_LINK_OPEN);
    ha_queue_finish(v, q, &f);
}

static void kill_connections(struct ha_result *v, const char *what, const char *said) {
    struct ha_fleet f;
    struct ha_queue *q = begin(v, &f, &usual);
    ha_queue_note_fault(v, q, said);
    for (int i = 1; i <= 20; i++) {
        q->limit = (int64_t)q->waiting * (39 + i) / 100;
        ha_call_int(f.primary, what);
        support_sleep_ms(100);
    }
    ha_queue_finish(v, q, &f);
}

void ha_queue_client_kill(struct ha_result *v) {
    kill_connections(v, "CLIENT KILL TYPE normal", "connections, 20 times");
}

void ha_queue_unheard(struct ha_result *v) {
    kill_connections(v, "CLIENT KILL TYPE pubsub", "subscriptions, 20 times");
}

// No lease, no wait and no ACCEPT ends by a date.
void ha_queue_clock_steps(struct ha_result *v) {
    static const int64_t offsets_s[] = {310, 3600, -3600, 0};
    static struct support_clock clock;
    struct ha_fleet f;
    support_clock_open(&clock);
    struct ha_queue *q = begin(v, &f, &(struct ha_fleet_plan){.replicas = 1, .clock = &clock});
    ha_queue_note_fault(v, q, "nothing: the clock is set, four times");
    for (size_t i = 0; i < sizeof offsets_s / sizeof *offsets_s; i++) {
        q->limit = (int64_t)q->waiting * (42 + 3 * (int64_t)i) / 100;
        support_clock_set(&clock, offsets_s[i] * 1000);
        support_sleep_ms(1000);
    }
    ha_queue_finish(v, q, &f);
}

// ---- Who and what goes ---------------------------------------------------------------------------

enum { HA_SHORT_ACCEPT_MS = 1000 };

// What a handle leaves behind is admitted for nobody, and ends with ACCEPT; whom the server sees go, ends at once.
// What had been booked for them ends with its lease, and so that nobody has to wait for that, it is released.
void ha_queue_callers_die(struct ha_result *v) {
    struct ha_fleet f;
    ha_fleet_start(&f, &usual);
    struct ha_queue *q = ha_queue_start(
        &(struct ha_queue_plan){.url = f.url, .waiting = v->waiting, .accept = HA_SHORT_ACCEPT_MS},
        &f);
    struct ha_queue_client *dead[] = {&q->clients[0], &q->clients[HA_QUEUE_BLOCKERS]};
    ha_queue_note_fault(v, q, "a handle, and all plain connections");
    for (size_t i = 0; i < 2; i++) {
        ha_process_kill(dead[i]->process);
        for (uint32_t k = 0; k < dead[i]->n; k++) {
            int state = dead[i]->waiters[k].state;
            if (state == HA_WAITER_BOOKED || state == HA_WAITER_RELEASING)
                ha_call_int(f.primary, "KVROUTE.RELEASE pool %s",
                            ha_request_name(dead[i]->number, k).text);
        }
    }
    ha_queue_end(v, q, &f);
}

void ha_queue_pool_deleted(struct ha_result *v) {
    struct ha_fleet f;
    ha_fleet_start(&f, &usual);
    struct ha_queue *q = ha_queue_start(
        &(struct ha_queue_plan){.url = f.url, .waiting = v->waiting, .pool_goes = true}, &f);
    ha_queue_note_fault(v, q, "the pool");
    ha_call_int(f.primary, "DEL pool");
    ha_queue_end(v, q, &f);
}
