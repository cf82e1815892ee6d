// SPDX-License-Identifier: Apache-2.0
// See ha_queue_load.h.
#include "ha_queue_load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "ha_client.h"
#include "ha_queue_blockers.h"
#include "ha_queue_handle.h"

enum {
    HA_ACCEPT_MS = 5000,
    HA_BLOCKED_SHARE = 20,   // of so many requests, one is asked for with BLOCK
    HA_IMPATIENT_SHARE = 10, // and one of a handle may wait only
    HA_IMPATIENT_MS = 3000,  // up to so long
    HA_PLACES_SHARE = 256,   // requests for each place of an instance
    HA_LIMITED_FLOW = 1,
    HA_RATED_FLOW = 2,
    HA_STIRRED = 38, // percent released when something breaks in the middle of it
};

// ---- Starting ------------------------------------------------------------------------------------

static void draw(struct ha_queue_client *c, bool blocked) {
    uint64_t random = ha_seed() + (uint64_t)c->number * 7919;
    for (uint32_t i = 0; i < c->n; i++) {
        struct ha_waiter *w = &c->waiters[i];
        bool patient = blocked || ha_random_below(&random, HA_IMPATIENT_SHARE) > 0;
        w->flow = (uint16_t)(blocked ? HA_QUEUE_FLOWS : i % HA_QUEUE_FLOWS);
        w->chain = (uint16_t)ha_random_below(&random, HA_CHAINS);
        w->blocks = (uint16_t)(1 + ha_random_below(&random, HA_CHAIN_BLOCKS));
        w->wait =
            patient ? HA_QUEUE_PATIENT_MS : 1 + (int64_t)ha_random_below(&random, HA_IMPATIENT_MS);
    }
}

static void create_pool(const struct ha_queue *q, struct ha_server *primary) {
    ha_call_ok(
        primary,
        "KVROUTE.CREATE pool BLOCKSIZE %d LEASE %d ACCEPT %d MAXREQUESTS %d MAXWAITING 100000",
        HA_BLOCK_SIZE, HA_QUEUE_LEASE_MS, (int)q->accept, q->max_requests);
    for (int i = 0; i < HA_QUEUE_WORKERS; i++)
        ha_call_int(primary, "KVROUTE.WORKER SET pool w%d ADDR http://w%d RANKS %d", i, i,
                    HA_QUEUE_RANKS);
    ha_call_int(primary, "KVROUTE.CLASS SET pool gold WEIGHT 4");
    ha_call_int(primary, "KVROUTE.CLASS SET pool silver WEIGHT 1");
    ha_call_int(primary, "KVROUTE.CLASS SET pool batch PRIORITY -1 ROOM 75");
    ha_call_int(primary, "KVROUTE.FLOW SET pool f%d REQUESTS %d", HA_LIMITED_FLOW,
                2 * q->max_requests);
    ha_call_int(primary, "KVROUTE.FLOW SET pool f%d WEIGHT 2 RATE 100000", HA_RATED_FLOW);
}

static void set_addresses(struct ha_queue_client *c, const struct ha_queue_plan *plan,
                          const struct ha_fleet *f) {
    for (size_t i = 0; plan->blocked && plan->blocked[i]; i++)
        c->addresses[i] = plan->blocked[i];
    for (size_t i = 0; !plan->blocked && i < f->n && i < HA_FLEET; i++)
        c->addresses[i] = f->servers[i]->address;
}

static void start_client(struct ha_queue *q, struct ha_queue_client *c, int side) {
    struct ha_process *process = ha_process_add(side);
    if (!ha_process_fork(process)) {
        if (c->number == HA_QUEUE_BLOCKERS)
            ha_queue_run_blockers(q, c);
        else
            ha_queue_run_handle(q, c);
        _exit(0);
    }
    c->process = process;
}

void ha_queue_expect_all(struct ha_queue *q) {
    int status;
    for (size_t i = 0; i < HA_QUEUE_CLIENTS; i++)
        if (ha_process_ended(q->clients[i].process, &status))
            ha_give_up("caller %zu ended by itself (status %d)", i, status);
}

static bool all_begun(void *ctx) {
    struct ha_queue *q = ctx;
    ha_queue_expect_all(q);
    for (size_t i = 0; i < HA_QUEUE_CLIENTS; i++)
        if (!q->clients[i].begun) return false;
    return true;
}

struct ha_queue *ha_queue_start(const struct ha_queue_plan *plan, struct ha_fleet *f) {
    struct ha_queue *q = ha_share(sizeof *q);
    uint32_t n = (uint32_t)plan->waiting, blocked = n / HA_BLOCKED_SHARE;
    q->waiting = n;
    q->max_requests = 1 + (int)(n / HA_PLACES_SHARE);
    q->accept = plan->accept ? plan->accept : HA_ACCEPT_MS;
    q->pool_goes = plan->pool_goes;
    q->in_cluster = f->cluster;
    q->lossy = plan->lossy;
    q->limit = n / 6; // until all have begun
    q->resumed_at = 1;
    create_pool(q, f->primary);
    for (int i = 0; i < HA_QUEUE_CLIENTS; i++) {
        struct ha_queue_client *c = &q->clients[i];
        c->number = i;
        c->n = i == HA_QUEUE_BLOCKERS ? blocked : (n - blocked) / HA_QUEUE_HANDLES;
        c->aside = i < HA_QUEUE_HANDLES && i + (int)plan->aside >= HA_QUEUE_HANDLES;
        c->longest_late = INT64_MIN;
        if (c->n > HA_QUEUE_MAX) ha_give_up("too many requests for one client");
        snprintf(c->url, sizeof c->url, "%s?deadline=%d&timeout=1000&connect_timeout=500",
                 plan->url, HA_QUEUE_DEADLINE_MS);
        set_addresses(c, plan, f);
        draw(c, i == HA_QUEUE_BLOCKERS);
        start_client(q, c, c->aside);
    }
    ha_wait(all_begun, q, "all callers have asked");
    ha_queue_release(q, 33);
    return q;
}

// ---- Steering ------------------------------------------------------------------------------------

static bool has_come(void *ctx) {
    struct ha_queue *q = ctx;
    ha_queue_expect_all(q);
    return q->released >= q->limit || !ha_queue_count(q, HA_WAITER_ASKING);
}

void ha_queue_release(struct ha_queue *q, int percent) {
    q->limit = percent < 100 ? (int64_t)q->waiting * percent / 100 : INT64_MAX;
    if (percent < 100) ha_wait(has_come, q, "so many requests are released");
}

static bool is_under_way(void *ctx) {
    struct ha_queue *q = ctx;
    ha_queue_expect_all(q);
    return q->released >= (int64_t)q->waiting * HA_STIRRED / 100;
}

void ha_queue_stir(struct ha_queue *q) {
    q->limit = (int64_t)q->waiting / 2;
    ha_wait(is_under_way, q, "callers are being released");
}

static bool all_begun_all(void *ctx) {
    struct ha_queue *q = ctx;
    ha_queue_expect_all(q);
    for (size_t i = 0; i < HA_QUEUE_CLIENTS; i++)
        if (q->clients[i].process->pid && !q->clients[i].begun_all) return false;
    return true;
}

void ha_queue_more(struct ha_queue *q) {
    q->more = true;
    ha_wait(all_begun_all, q, "handles have asked for the rest");
}

struct ha_queue_at {
    struct ha_queue *queue;
    struct ha_server *server;
};

static bool all_queued(void *ctx) {
    const struct ha_queue_at *a = ctx;
    redisReply *r = ha_call(a->server, "KVROUTE.QUEUE pool COUNT 1");
    int64_t waiting = ha_field_int(r, "waiting");
    freeReplyObject(r);
    return waiting == (int64_t)ha_queue_count(a->queue, HA_WAITER_ASKING);
}

void ha_queue_wait_queued(struct ha_queue *q, struct ha_server *s) {
    ha_wait(all_queued, &(struct ha_queue_at){q, s}, "all who wait are in the queue");
}

void ha_queue_stop(struct ha_queue *q) {
    for (size_t i = 0; i < HA_QUEUE_CLIENTS; i++)
        if (q->clients[i].process->pid) ha_process_stop(q->clients[i].process);
}

void ha_queue_continue(struct ha_queue *q) {
    for (size_t i = 0; i < HA_QUEUE_CLIENTS; i++)
        if (q->clients[i].process->pid) ha_process_continue(q->clients[i].process);
}
