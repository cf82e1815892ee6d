// SPDX-License-Identifier: Apache-2.0
// What callers that wait note; see ha_queue.h.
#include "ha_queue.h"

#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"

static void note_end(struct ha_queue_client *c, struct ha_waiter *w) {
    int64_t now = kvr_clock_ms(), late = now - w->began - w->wait - HA_QUEUE_DEADLINE_MS;
    w->ended = now;
    w->answers++;
    if (late > c->longest_late) c->longest_late = late;
}

void ha_waiter_booked(const struct ha_queue *q, struct ha_queue_client *c, struct ha_waiter *w,
                      const char *worker, int64_t rank, int64_t waited) {
    note_end(c, w);
    int64_t gap = c->last_good > q->resumed_at ? w->ended - c->last_good : 0;
    if (gap > c->longest_gap) c->longest_gap = gap;
    c->last_good = w->ended;
    c->waited += waited > 0;
    if (worker[0] != 'w' || rank < 0 || rank >= HA_QUEUE_RANKS) c->errors++;
    w->worker = (uint16_t)(worker[0] ? worker[1] - '0' : 0);
    w->rank = (uint16_t)rank;
    w->state = HA_WAITER_BOOKED;
}

void ha_waiter_refused(struct ha_queue *q, struct ha_queue_client *c, struct ha_waiter *w,
                       const char *code, const char *message) {
    bool room = strcmp(code, "NOROOM") == 0 || strcmp(code, "LIMITED") == 0;
    bool expected =
        (room && w->wait < HA_QUEUE_PATIENT_MS) || (q->pool_goes && strcmp(code, "NOPOOL") == 0);
    note_end(c, w);
    if (!expected && !c->errors)
        snprintf(c->first_error, sizeof c->first_error, "client %d, request %td: %s %s", c->number,
                 w - c->waiters, code, message);
    c->errors += !expected;
    w->state = expected ? HA_WAITER_REFUSED : HA_WAITER_FAILED;
}

bool ha_queue_may_release(struct ha_queue *q) {
    if (atomic_fetch_add(&q->released, 1) < q->limit) return true;
    atomic_fetch_sub(&q->released, 1);
    return false;
}

size_t ha_queue_count(const struct ha_queue *q, enum ha_waiter_state state) {
    size_t n = 0;
    for (size_t c = 0; c < HA_QUEUE_CLIENTS; c++)
        for (uint32_t i = 0; i < q->clients[c].n; i++)
            n += q->clients[c].waiters[i].state == (int)state;
    return n;
}
