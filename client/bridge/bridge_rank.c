// SPDX-License-Identifier: Apache-2.0
#include "bridge_rank.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/http1/h1_client.h"

// The ring is small to save memory: what it can't hold is published anew.
enum { REBUILD_AFTER_MS = 60000, RING_BYTES = 1 << 20 };

// ---- From the map to the publisher ---------------------------------------------------------------

static enum kvr_code sink_stored(void *ctx, enum kvr_tier tier, const uint64_t *parent,
                                 const uint64_t *hashes, size_t n) {
    return kvr_publisher_stored(ctx, tier, parent, hashes, n);
}

static enum kvr_code sink_removed(void *ctx, enum kvr_tier tier, const uint64_t *hashes, size_t n) {
    return kvr_publisher_removed(ctx, tier, hashes, n);
}

static enum kvr_code sink_cleared(void *ctx, int tier) {
    return kvr_publisher_cleared(ctx, tier);
}

static void sink_soon(void *ctx, uint64_t hash) {
    kvr_publisher_soon(ctx, hash);
}

static bool sink_parent(void *ctx, uint64_t hash, uint64_t *parent, bool *has) {
    return kvr_publisher_parent(ctx, hash, parent, has);
}

// ---- From the order to the map -------------------------------------------------------------------

static void warn_of_size(struct bridge_rank *r) {
    if (r->warned_size || !r->map.stats.wrong_size) return;
    r->warned_size = true;
    kvr_log_line(KVR_LOG_ERROR,
                 "%s:%" PRIu32 ": its blocks have %" PRIu32 " tokens, the pool's have %" PRIu32
                 "; they are left out",
                 r->config->name, r->number, r->map.stats.seen_size, r->context->block_size);
}

// A batch may name a rank. Where engines are spread over machines it is counted over all of them, and
// begins at another number here; so the socket says which rank it is, and this is only a hint that
// ports may have been mixed up.
static void warn_of_rank(struct bridge_rank *r, const struct bridge_batch *b) {
    if (!b->has_rank || b->rank == r->said) return;
    r->other_rank++;
    if (r->warned_rank) return;
    r->warned_rank = true;
    kvr_log_line(KVR_LOG_WARNING,
                 "%s:%" PRIu32 ": its batches call it rank %" PRIu32
                 "; if that isn't as it should be, look at the endpoints",
                 r->config->name, r->number, b->rank);
}

static bool apply(void *ctx, const void *payload, size_t n) {
    struct bridge_rank *r = ctx;
    struct bridge_decoder *d = r->context->decoder;
    struct bridge_batch b;
    struct bridge_event e;
    if (!bridge_decode_batch(payload, n, &b)) return false;
    warn_of_rank(r, &b);
    while (bridge_decode_event(d, &b, &e) != BRIDGE_EVENT_END) {
        if (e.type == BRIDGE_EVENT_STORED || e.type == BRIDGE_EVENT_REMOVED ||
            e.type == BRIDGE_EVENT_CLEARED)
            bridge_map_event(&r->map, &e);
        else if (e.type == BRIDGE_EVENT_UNKNOWN)
            r->unknown_events++;
        else
            r->bad_events++;
    }
    warn_of_size(r);
    // Not from within the order's own call.
    if (bridge_map_overfull(&r->map) && kvr_clock_ms() - r->rebuilt >= REBUILD_AFTER_MS)
        event_active(r->rebuild, EV_TIMEOUT, 0);
    return true;
}

static void forget(void *ctx, bool new_life) {
    struct bridge_rank *r = ctx;
    bridge_map_reset(&r->map);
    if (!new_life) return;
    r->right_before = r->map.stats.stored;
    r->wrong_before = r->map.stats.wrong_size;
    kvr_publisher_republish(r->publisher);
}

static void request(void *ctx, uint64_t from) {
    struct bridge_rank *r = ctx;
    if (r->feed) bridge_feed_request(r->feed, from);
}

static void cancel(void *ctx) {
    struct bridge_rank *r = ctx;
    if (r->feed) bridge_feed_cancel(r->feed);
}

static void wake(void *ctx, int64_t ms) {
    struct bridge_rank *r = ctx;
    struct timeval t = kvr_timeval(ms < 0 ? 0 : ms);
    if (ms < 0)
        event_del(r->timer);
    else
        event_add(r->timer, &t);
}

static int64_t order_now(void *ctx) {
    (void)ctx;
    return kvr_clock_ms();
}

static void note(void *ctx, const char *line) {
    struct bridge_rank *r = ctx;
    kvr_log_line(KVR_LOG_WARNING, "%s:%" PRIu32 ": %s", r->config->name, r->number, line);
}

// ---- From the sockets to the order ---------------------------------------------------------------

static void on_connected(void *ctx) {
    struct bridge_rank *r = ctx;
    kvr_log_line(KVR_LOG_INFO, "%s:%" PRIu32 ": connected", r->config->name, r->number);
    r->connected(r->engine);
    bridge_order_connected(&r->order);
}

static void on_live(void *ctx, uint64_t seq, const void *payload, size_t n) {
    struct bridge_rank *r = ctx;
    bridge_order_live(&r->order, seq, payload, n);
}

static void on_reply(void *ctx, uint64_t seq, const void *payload, size_t n) {
    struct bridge_rank *r = ctx;
    bridge_order_reply(&r->order, seq, payload, n);
}

static void on_end(void *ctx) {
    struct bridge_rank *r = ctx;
    bridge_order_end(&r->order);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct bridge_rank *r = arg;
    (void)fd;
    (void)what;
    bridge_order_woken(&r->order);
}

// More blocks than the engine has: some were counted that have gone.
static void on_rebuild(evutil_socket_t fd, short what, void *arg) {
    struct bridge_rank *r = arg;
    (void)fd;
    (void)what;
    r->rebuilt = kvr_clock_ms();
    note(r, "holds more than its capacity; built up anew");
    bridge_order_restart(&r->order);
}

// ---- All of it -----------------------------------------------------------------------------------

void bridge_rank_free(struct bridge_rank *r) {
    if (!r) return;
    bridge_feed_free(r->feed);
    if (r->timer) event_free(r->timer);
    if (r->rebuild) event_free(r->rebuild);
    bridge_order_free(&r->order);
    bridge_map_free(&r->map);
    kvr_publisher_free(r->publisher);
    free(r);
}

// Where rank `number` of the settings is.
static bool configured(const struct bridge_engine_config *c, uint32_t number,
                       struct engine_source *out) {
    *out = (struct engine_source){.rank = number};
    return engine_endpoint_of_rank(c->events, number, out->events, sizeof out->events) &&
           (!*c->replay ||
            engine_endpoint_of_rank(c->replay, number, out->replay, sizeof out->replay));
}

static bool open_feed(struct bridge_rank *r, const struct engine_source *source, char *error,
                      size_t size) {
    const char *topic = *r->config->topic ? r->config->topic : source->topic;
    struct bridge_feed_options o = {.events = source->events,
                                    .replay = source->replay,
                                    .topic = topic,
                                    .bind = r->config->bind,
                                    .dns = h1_client_resolver(r->context->http)};
    struct bridge_feed_port port = {r, on_connected, on_live, on_reply, on_end};
    r->feed = bridge_feed_new(r->context->zmq, r->context->base, &o, &port, error, size);
    return r->feed != NULL;
}

struct bridge_rank *bridge_rank_new(const struct bridge_context *context,
                                    const struct bridge_engine_config *config, uint32_t number,
                                    const struct engine_source *source,
                                    void (*connected)(void *engine), void *engine) {
    char error[300] = "no memory";
    struct engine_source own;
    if (!source && !configured(config, number, &own)) {
        kvr_log_line(KVR_LOG_ERROR, "%s:%" PRIu32 ": %.100s has no such rank", config->name, number,
                     config->events);
        return NULL;
    }
    if (!source) source = &own;
    struct bridge_rank *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->context = context;
    r->config = config;
    r->connected = connected;
    r->engine = engine;
    r->number = number;
    r->said = source->rank;
    r->rebuilt = kvr_clock_ms() - REBUILD_AFTER_MS;
    struct bridge_map_options mo = {.block_size = context->block_size,
                                    .as_set = config->set || config->kind == ENGINE_KIND_SGLANG,
                                    .capacity = (size_t)config->capacity,
                                    .secret = context->secret};
    struct bridge_order_options so = {
        .replay = *source->replay != 0, .keep = config->keep, .audit = config->audit};
    struct bridge_order_port sp = {r, apply, forget, request, cancel, wake, order_now, note};
    r->publisher = kvr_publisher_new(context->client, kvr_text(config->name), number,
                                     &(struct kvr_publisher_options){.ring_bytes = RING_BYTES});
    struct bridge_map_sink sink = {r->publisher, sink_stored, sink_removed,
                                   sink_cleared, sink_soon,   sink_parent};
    bridge_map_init(&r->map, &mo, &sink);
    bridge_order_init(&r->order, &so, &sp);
    r->timer = event_new(context->base, -1, 0, on_timer, r);
    r->rebuild = event_new(context->base, -1, 0, on_rebuild, r);
    if (r->publisher && r->timer && r->rebuild && open_feed(r, source, error, sizeof error))
        return r;
    kvr_log_line(KVR_LOG_ERROR, "%s:%" PRIu32 ": %s", config->name, number, error);
    bridge_rank_free(r);
    return NULL;
}

bool bridge_rank_connected(const struct bridge_rank *r) {
    struct bridge_feed_stats st;
    bridge_feed_get_stats(r->feed, &st);
    return st.connected;
}

bool bridge_rank_settled(const struct bridge_rank *r) {
    return bridge_order_complete(&r->order) && kvr_publisher_settled(r->publisher);
}

uint32_t bridge_rank_other_size(const struct bridge_rank *r) {
    const struct bridge_map_stats *st = &r->map.stats;
    bool other =
        st->stored == r->right_before && st->wrong_size - r->wrong_before >= BRIDGE_MIN_WRONG_SIZE;
    return other ? st->seen_size : 0;
}
