// SPDX-License-Identifier: Apache-2.0
// What callers were told, beside the pool; see ha_queue_check.h.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "ha_check.h"
#include "ha_client.h"
#include "ha_history.h"
#include "ha_queue_check.h"
#include "ha_queue_load.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

enum {
    HA_BATCH = 500,
    HA_TELL_MS = 60000, // leases of what nobody has, and then some
    HA_END_MS = 240000,
};

// ---- A look at the pool --------------------------------------------------------------------------

struct ha_seen_waiter {
    bool waits, live;
    uint16_t worker, rank;
};

struct ha_queue_view {
    struct ha_seen_waiter seen[HA_QUEUE_CLIENTS][HA_QUEUE_MAX];
    uint64_t unknown;
};
static struct ha_queue_view view;

static struct ha_seen_waiter *seen(const struct ha_queue *q, const redisReply *id) {
    int client;
    uint32_t index;
    if (id && id->str && ha_request_parse(id->str, id->len, &client, &index) && client >= 0 &&
        client < HA_QUEUE_CLIENTS && index < q->clients[client].n)
        return &view.seen[client][index];
    view.unknown++;
    return NULL;
}

static void look_at_waiting(const struct ha_queue *q, struct ha_server *s) {
    redisReply *r = ha_call(s, "KVROUTE.QUEUE pool COUNT %d", HA_QUEUE_CLIENTS * HA_QUEUE_MAX);
    const redisReply *list = r->type == REDIS_REPLY_ARRAY ? r->element[r->elements - 1] : NULL;
    for (size_t i = 0; list && i < list->elements; i++) {
        struct ha_seen_waiter *w = seen(q, ha_field(list->element[i], "id"));
        if (w) w->waits = true;
    }
    freeReplyObject(r);
}

static void look_at_live(const struct ha_queue *q, struct ha_server *s) {
    redisReply *list = ha_call(s, "KVROUTE.REQUEST LIST pool 0 COUNT %d", 100000);
    if (list->type != REDIS_REPLY_ARRAY || list->elements != 2) {
        freeReplyObject(list);
        return;
    }
    const redisReply *ids = list->element[1];
    for (size_t i = 0; i < ids->elements; i++) {
        struct ha_seen_waiter *w = seen(q, ids->element[i]);
        redisReply *r = ha_call(s, "KVROUTE.REQUEST GET pool %s", ids->element[i]->str);
        const redisReply *worker = ha_field(r, "worker");
        if (w && worker) {
            w->live = true;
            w->worker = (uint16_t)(worker->str[1] - '0');
            w->rank = (uint16_t)ha_field_int(r, "rank");
        }
        freeReplyObject(r);
    }
    freeReplyObject(list);
}

static void look(const struct ha_queue *q, struct ha_server *s) {
    memset(&view, 0, sizeof view);
    if (s->bus) ha_call_ok(s, "READONLY");
    look_at_waiting(q, s);
    look_at_live(q, s);
}

// Those of a process that was killed have no say.
static bool speaks(const struct ha_queue_client *c) {
    return c->process->pid != 0;
}

// ---- Before and while it is broken ---------------------------------------------------------------

void ha_queue_note_fault(struct ha_result *v, const struct ha_queue *q, const char *what) {
    snprintf(v->killed, sizeof v->killed, "%s", what);
    v->in_flight = ha_queue_count(q, HA_WAITER_ASKING);
}

void ha_queue_note_losses(struct ha_result *v, const struct ha_queue *q, struct ha_server *server) {
    look(q, server);
    v->counted = true;
    for (size_t c = 0; c < HA_QUEUE_CLIENTS; c++)
        for (uint32_t i = 0; i < q->clients[c].n; i++) {
            const struct ha_seen_waiter *s = &view.seen[c][i];
            int state = q->clients[c].waiters[i].state;
            v->lost += (state == HA_WAITER_BOOKED && !s->live) ||
                       (state == HA_WAITER_RELEASED && (s->live || s->waits));
        }
}

// ---- While everybody holds what he has -----------------------------------------------------------

struct ha_holding {
    struct ha_queue *queue;
    struct ha_fleet *fleet;
    uint64_t missing, misplaced, left;
    char first[80]; // of what disagreed
};

static bool holds(void *ctx) {
    struct ha_holding *h = ctx;
    ha_queue_expect_all(h->queue);
    look(h->queue, ha_fleet_settle(h->fleet));
    h->missing = h->misplaced = h->left = 0;
    h->first[0] = 0;
    for (size_t c = 0; c < HA_QUEUE_CLIENTS; c++) {
        const struct ha_queue_client *client = &h->queue->clients[c];
        for (uint32_t i = 0; i < client->n && speaks(client) && c != HA_QUEUE_BLOCKERS; i++) {
            const struct ha_seen_waiter *s = &view.seen[c][i];
            const struct ha_waiter *w = &client->waiters[i];
            int state = w->state;
            bool mine = state == HA_WAITER_BOOKED;
            h->missing += mine && !s->live;
            h->misplaced += mine && s->live && (s->worker != w->worker || s->rank != w->rank);
            h->left += !mine && s->live;
            h->left += state != HA_WAITER_ASKING && s->waits;
            if (!h->first[0] && h->missing + h->misplaced + h->left)
                snprintf(h->first, sizeof h->first, "%s: %d at %d.%d; in the pool %d at %d.%d",
                         ha_request_name((int)c, i).text, state, w->worker, w->rank,
                         2 * s->live + s->waits, s->worker, s->rank);
        }
    }
    return !h->missing && !h->misplaced && !h->left && !view.unknown;
}

// ---- When all is over ----------------------------------------------------------------------------

static bool all_done(void *ctx) {
    struct ha_queue *q = ctx;
    ha_queue_expect_all(q);
    for (size_t i = 0; i < HA_QUEUE_CLIENTS; i++)
        if (speaks(&q->clients[i]) && !q->clients[i].done) return false;
    return true;
}

struct ha_remains {
    struct ha_queue *queue;
    struct ha_fleet *fleet;
    int64_t left;
};

static bool nothing_left(void *ctx) {
    struct ha_remains *e = ctx;
    struct ha_server *s = ha_fleet_settle(e->fleet);
    redisReply *r = ha_call(s, "KVROUTE.INFO pool");
    if (r->type != REDIS_REPLY_ARRAY) { // there is no pool
        freeReplyObject(r);
        e->left = !e->queue->pool_goes;
        return !e->left;
    }
    e->left = ha_field_int(r, "requests") + ha_field_int(r, "waiting") +
              ha_field_int(r, "waiting_tokens");
    freeReplyObject(r);
    r = ha_call(s, "KVROUTE.WORKER LIST pool");
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *ranks = ha_field(r->element[i], "ranks");
        for (size_t k = 0; ranks && k < ranks->elements; k++)
            e->left += ha_field_int(ranks->element[k], "requests") +
                       ha_field_int(ranks->element[k], "prefill_tokens") +
                       ha_field_int(ranks->element[k], "decode_blocks");
    }
    freeReplyObject(r);
    return e->left == 0;
}

static void add_up(struct ha_result *v, struct ha_queue *q) {
    for (size_t i = 0; i < HA_QUEUE_CLIENTS; i++) {
        const struct ha_queue_client *c = &q->clients[i];
        v->requests += c->n;
        if (!speaks(c)) continue;
        for (uint32_t k = 0; k < c->n; k++) {
            const struct ha_waiter *w = &c->waiters[k];
            int state = w->state;
            v->queue.twice += w->answers > 1;
            v->queue.never += w->answers == 0;
            v->queue.refused += state == HA_WAITER_REFUSED;
        }
        v->queue.waited += c->waited;
        v->repaired += c->stats.repaired;
        if (!v->counted) v->lost += c->stats.lost;
        if (c->longest_gap > v->ms_without && i != HA_QUEUE_BLOCKERS)
            v->ms_without =
                c->longest_gap; // how fast a plain connection finds a primary says nothing
        if (c->errors && !v->first_error[0])
            snprintf(v->first_error, sizeof v->first_error, "%s", c->first_error);
        v->errors += c->errors;
        if (!q->lossy && i != HA_QUEUE_BLOCKERS)
            ha_tell(v, c->unbooked, "weren't booked as they were told");
    }
    ha_tell(v, v->queue.twice, "answered twice");
    ha_tell(v, v->queue.never, "never answered");
}

static void add_history(struct ha_result *v, const struct ha_queue *q, struct ha_server *before,
                        struct ha_server *s) {
    struct ha_server *servers[] = {before ? before : s, s};
    struct ha_history h;
    if (q->unwritten) return;
    ha_history_read(q, servers, before ? 2 : 1, &h);
    v->queue.admitted += h.admitted;
    v->queue.twice += h.twice;
    v->queue.disorder += h.disorder + h.behind;
    v->queue.missed += h.missed;
    v->queue.for_nobody += h.for_nobody;
    if (h.first[0]) ha_tell(v, h.twice + h.disorder + h.behind, "out of order (%s)", h.first);
}

static bool has_ended(void *ctx) {
    int status;
    struct ha_process *p = ctx;
    return !p->pid || ha_process_ended(p, &status);
}

void ha_queue_end(struct ha_result *v, struct ha_queue *q, struct ha_fleet *f) {
    struct ha_remains e = {q, f, 0};
    ha_queue_more(q);
    ha_queue_release(q, 100);
    support_wait(all_done, q, HA_END_MS); // who isn't, was never answered
    if (!support_wait(nothing_left, &e, HA_TELL_MS))
        ha_tell(v, (uint64_t)e.left, "left after all was released");
    v->digests_equal = q->pool_goes || ha_digests_agree(f);
    if (!v->digests_equal) ha_tell(v, 1, "digest of a replica differs");
    add_up(v, q);
    add_history(v, q, q->moved_from, ha_fleet_settle(f));
    q->end = true;
    for (size_t i = 0; i < HA_QUEUE_CLIENTS; i++)
        if (q->clients[i].process->pid && q->clients[i].done)
            ha_wait(has_ended, q->clients[i].process, "a client has closed its handle");
    const char *broken = ha_servers_broken();
    if (broken) ha_tell(v, 1, "server broken: %s", broken);
}

void ha_queue_finish(struct ha_result *v, struct ha_queue *q, struct ha_fleet *f) {
    struct ha_holding h = {.queue = q, .fleet = f};
    ha_queue_more(q); // while there may be no primary yet
    ha_fleet_settle(f);
    ha_queue_release(q, 66);
    if (!support_wait(holds, &h, HA_TELL_MS)) {
        ha_tell(v, h.missing, "booked for their callers alone (%s)", h.first);
        ha_tell(v, h.misplaced, "booked elsewhere than told (%s)", h.first);
        ha_tell(v, h.left, "in the pool for nobody (%s)", h.first);
        ha_tell(v, view.unknown, "booked by nobody");
    }
    q->resumed_at = kvr_clock_ms();
    ha_queue_end(v, q, f);
}
