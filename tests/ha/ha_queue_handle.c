// SPDX-License-Identifier: Apache-2.0
// A handle of the library with hundreds of calls that wait; see ha_queue_handle.h.
#include <event2/event.h>
#include <inttypes.h>
#include <kvroute/adapters/libevent.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "ha_client.h"
#include "ha_queue_handle.h"
#include "tests/support/support_home.h"

enum { HA_TURN_MS = 4, HA_AT_ONCE = 50, HA_KEPT_SHARE = 6, HA_HOLD_MIN_MS = 50, HA_HOLD_MS = 100 };

struct ha_handle {
    struct ha_queue *queue;
    struct ha_queue_client *log;
    struct kvr_client *client;
    struct event_base *base; // NULL: the handle's own loop
    uint64_t random;
    size_t open;    // calls under way
    uint32_t asked; // requests
    FILE *file;
};

struct ha_handle_slot {
    struct ha_handle *handle;
    uint32_t index;
};
static struct ha_handle_slot slots[HA_QUEUE_MAX];

static void selected(void *ctx, const struct kvr_result *r) {
    struct ha_handle_slot *s = ctx;
    struct ha_handle *h = s->handle;
    struct ha_waiter *w = &h->log->waiters[s->index];
    char worker[8] = "";
    h->open--;
    if (r->code != KVR_CODE_OK) {
        ha_waiter_refused(h->queue, h->log, w, kvr_code_name(r->code), r->message);
        return;
    }
    if (r->choice.worker.n < sizeof worker) memcpy(worker, r->choice.worker.p, r->choice.worker.n);
    ha_waiter_booked(h->queue, h->log, w, worker, r->choice.rank, r->choice.waited);
    w->due = kvr_clock_ms() + HA_HOLD_MIN_MS + (int64_t)ha_random_below(&h->random, HA_HOLD_MS);
}

static void released(void *ctx, const struct kvr_result *r) {
    struct ha_handle_slot *s = ctx;
    struct ha_handle *h = s->handle;
    struct ha_waiter *w = &h->log->waiters[s->index];
    h->open--;
    if (r->code != KVR_CODE_OK && !(h->queue->pool_goes && r->code == KVR_CODE_NOPOOL)) {
        h->log->errors++;
        snprintf(h->log->first_error, sizeof h->log->first_error, "RELEASE: %s %s",
                 kvr_code_name(r->code), r->message);
    }
    // Who was slow to release may have lost it by its lease.
    bool slow = kvr_clock_ms() - w->ended > HA_QUEUE_LEASE_MS / 2;
    if (r->code == KVR_CODE_OK && r->number == 0 && r->sendings == 1 && !slow) {
        h->log->unbooked++;
        if (h->file)
            fprintf(h->file, "%" PRId64 " c%d-%" PRIu32 " wasn't booked\n", kvr_clock_ms(),
                    h->log->number, s->index);
    }
    w->state = HA_WAITER_RELEASED;
}

static void ask(struct ha_handle *h, uint32_t i) {
    static const char *const classes[] = {"gold", "silver", "batch"};
    struct ha_queue_client *c = h->log;
    struct ha_waiter *w = &c->waiters[i];
    uint64_t hashes[HA_CHAIN_BLOCKS];
    char flow[8];
    snprintf(flow, sizeof flow, "f%d", w->flow);
    ha_chain(w->chain, hashes);
    slots[i] = (struct ha_handle_slot){h, i};
    struct ha_request_id id = ha_request_name(c->number, i);
    struct kvr_select_call call = {.request = kvr_text(id.text),
                                   .blocks = {.hashes = hashes, .n = w->blocks},
                                   .osl = w->blocks,
                                   .wait = w->wait,
                                   .service_class = kvr_text(classes[w->flow % 3]),
                                   .flow = kvr_text(flow)};
    w->began = kvr_clock_ms();
    w->state = HA_WAITER_ASKING;
    h->open++;
    enum kvr_code code = kvr_client_select_async(h->client, &call, selected, &slots[i]);
    if (code == KVR_CODE_OK) return;
    struct kvr_result r = {.code = code, .message = "not taken"};
    selected(&slots[i], &r);
}

static void release_due(struct ha_handle *h) {
    struct ha_queue_client *c = h->log;
    int64_t now = kvr_clock_ms();
    for (uint32_t i = 0; i < c->n; i++) {
        struct ha_waiter *w = &c->waiters[i];
        if (w->state != HA_WAITER_BOOKED || w->due > now || !ha_queue_may_release(h->queue))
            continue;
        struct ha_request_id id = ha_request_name(c->number, i);
        struct kvr_bytes name = kvr_text(id.text);
        w->state = HA_WAITER_RELEASING;
        h->open++;
        enum kvr_code code = kvr_client_release_async(h->client, &name, 1, released, &slots[i]);
        struct kvr_result r = {.code = code, .message = "not taken"};
        if (code != KVR_CODE_OK) released(&slots[i], &r);
    }
}

static bool all_over(const struct ha_queue_client *c) {
    for (uint32_t i = 0; i < c->n; i++)
        if (c->waiters[i].state < HA_WAITER_RELEASED) return false;
    return true;
}

static void turn(struct ha_handle *h) {
    if (h->base)
        event_base_loop(h->base, EVLOOP_ONCE); // the tick ends it
    else
        kvr_client_run(h->client, HA_TURN_MS);
    kvr_client_stats(h->client, &h->log->stats);
}

static void write_line(void *ctx, enum kvr_level level, const char *line) {
    FILE *f = ctx;
    if (f) fprintf(f, "%" PRId64 " [%d] %s\n", kvr_clock_ms(), (int)level, line);
}

static void tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;
}

// Up to the n-th.
static void ask_some(struct ha_handle *h, uint32_t n) {
    for (size_t k = 0; k < HA_AT_ONCE && h->asked < n; k++)
        ask(h, h->asked++);
    h->log->begun_all = h->asked == h->log->n;
    turn(h);
}

void ha_queue_run_handle(struct ha_queue *q, struct ha_queue_client *c) {
    static struct ha_handle handle;
    struct ha_handle *h = &handle;
    char path[300], error[160];
    struct kvr_loop loop;
    struct event *ticking = NULL;
    support_path(path, sizeof path, "waiting-%d.log", c->number);
    *h = (struct ha_handle){.queue = q, .log = c, .file = fopen(path, "w")};
    h->random = ha_seed() + (uint64_t)c->number * 1000003;
    if (h->file) setvbuf(h->file, NULL, _IOLBF, 0);
    struct kvr_client_options options = {.log = write_line, .log_ctx = h->file};
    if (c->number % 2) {
        h->base = event_base_new();
        loop = kvr_libevent(h->base);
        options.loop = &loop;
        ticking = event_new(h->base, -1, EV_PERSIST, tick, NULL);
        event_add(ticking, &(struct timeval){0, HA_TURN_MS * 1000});
    }
    h->client = kvr_client_open(c->url, "pool", &options, error, sizeof error);
    if (!h->client) ha_give_up("a client can't open %s: %s", c->url, error);
    while (h->asked < c->n - c->n / HA_KEPT_SHARE)
        ask_some(h, c->n - c->n / HA_KEPT_SHARE);
    c->begun = true;
    while (!all_over(c) || h->open) {
        if (q->more && !c->begun_all) ask_some(h, c->n);
        release_due(h);
        turn(h);
    }
    c->done = true;
    while (!q->end) // what was lost may still have to be put right
        turn(h);
    kvr_client_close(h->client);
    if (ticking) event_free(ticking);
    if (h->base) event_base_free(h->base);
    if (h->file) fclose(h->file);
}
