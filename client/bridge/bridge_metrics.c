// SPDX-License-Identifier: Apache-2.0
// See bridge_metrics.h. What is told of each rank is a table: a name, its kind, and where the number is.
#include "bridge_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/prometheus.h"

// All numbers of one rank at one moment.
struct rank_numbers {
    struct bridge_order_stats order;
    struct bridge_map_stats map;
    struct bridge_feed_stats feed;
    struct kvr_publisher_stats publisher;
    uint64_t connected, in_order, settled, blocks, bridge_map_bytes, waiting, bad_events,
        unknown_events, other_rank;
};

#define RANK_NUMBER(field) offsetof(struct rank_numbers, field)

static const struct {
    const char *name, *help;
    enum kvr_prom_type type;
    size_t at;
} rank_metrics[] = {
    {"connected", "whether the subscription is connected", KVR_PROM_GAUGE, RANK_NUMBER(connected)},
    {"in_order", "whether no batch is missing", KVR_PROM_GAUGE, RANK_NUMBER(in_order)},
    {"settled", "whether the pool has acknowledged all", KVR_PROM_GAUGE, RANK_NUMBER(settled)},
    {"blocks", "engine blocks known", KVR_PROM_GAUGE, RANK_NUMBER(blocks)},
    {"map_bytes", "memory of the mapping", KVR_PROM_GAUGE, RANK_NUMBER(bridge_map_bytes)},
    {"publisher_bytes", "memory of what is published", KVR_PROM_GAUGE,
     RANK_NUMBER(publisher.memory_bytes)},
    {"waiting_batches", "batches that wait for an earlier one", KVR_PROM_GAUGE,
     RANK_NUMBER(waiting)},
    {"live_batches", "batches received live", KVR_PROM_COUNTER, RANK_NUMBER(order.live)},
    {"replayed_batches", "batches received in replays", KVR_PROM_COUNTER,
     RANK_NUMBER(order.replayed)},
    {"applied_batches", "batches applied", KVR_PROM_COUNTER, RANK_NUMBER(order.applied)},
    {"repeated_batches", "batches that came again", KVR_PROM_COUNTER, RANK_NUMBER(order.repeats)},
    {"bad_batches", "payloads that couldn't be read", KVR_PROM_COUNTER, RANK_NUMBER(order.bad)},
    {"dropped_batches", "batches without room to wait", KVR_PROM_COUNTER,
     RANK_NUMBER(order.dropped)},
    {"gaps", "times when a batch was missing", KVR_PROM_COUNTER, RANK_NUMBER(order.gaps)},
    {"lost_batches", "batches that nothing brought back", KVR_PROM_COUNTER,
     RANK_NUMBER(order.lost)},
    {"lives", "new lives of the engine noticed", KVR_PROM_COUNTER, RANK_NUMBER(order.lives)},
    {"replays", "replays asked for", KVR_PROM_COUNTER, RANK_NUMBER(order.requests)},
    {"unanswered_replays", "of these without an answer", KVR_PROM_COUNTER,
     RANK_NUMBER(order.quiet)},
    {"bad_messages", "messages of a wrong form", KVR_PROM_COUNTER, RANK_NUMBER(feed.bad_frames)},
    {"foreign_messages", "messages of another topic", KVR_PROM_COUNTER, RANK_NUMBER(feed.foreign)},
    {"connects", "connections to the engine", KVR_PROM_COUNTER, RANK_NUMBER(feed.connects)},
    {"received_bytes", "payload received", KVR_PROM_COUNTER, RANK_NUMBER(feed.bytes)},
    {"bad_events", "events of a wrong shape", KVR_PROM_COUNTER, RANK_NUMBER(bad_events)},
    {"unknown_events", "events of an unknown type", KVR_PROM_COUNTER, RANK_NUMBER(unknown_events)},
    {"other_rank_batches", "batches that name another rank", KVR_PROM_COUNTER,
     RANK_NUMBER(other_rank)},
    {"stored_blocks", "blocks stored", KVR_PROM_COUNTER, RANK_NUMBER(map.stored)},
    {"removed_blocks", "blocks removed", KVR_PROM_COUNTER, RANK_NUMBER(map.removed)},
    {"cleared", "times the engine cleared its cache", KVR_PROM_COUNTER, RANK_NUMBER(map.cleared)},
    {"orphan_blocks", "blocks under an unknown parent", KVR_PROM_COUNTER, RANK_NUMBER(map.orphans)},
    {"wrong_size_blocks", "blocks of another size", KVR_PROM_COUNTER, RANK_NUMBER(map.wrong_size)},
    {"other_group_events", "events of groups not indexed", KVR_PROM_COUNTER,
     RANK_NUMBER(map.other_groups)},
    {"other_medium_events", "events of media not indexed", KVR_PROM_COUNTER,
     RANK_NUMBER(map.other_media)},
    {"placeholder_blocks", "blocks in one more medium", KVR_PROM_COUNTER,
     RANK_NUMBER(map.placeholders)},
    {"unknown_blocks", "removals of unknown blocks", KVR_PROM_COUNTER, RANK_NUMBER(map.unknown)},
    {"refused_blocks", "blocks there was no room for", KVR_PROM_COUNTER, RANK_NUMBER(map.refused)},
    {"collapses", "times copies were counted anew", KVR_PROM_COUNTER, RANK_NUMBER(map.collapsed)},
    {"published_events", "events acknowledged by the pool", KVR_PROM_COUNTER,
     RANK_NUMBER(publisher.events)},
    {"published_blocks", "blocks in these", KVR_PROM_COUNTER, RANK_NUMBER(publisher.event_blocks)},
    {"pool_gaps", "answers GAP of the pool", KVR_PROM_COUNTER, RANK_NUMBER(publisher.gaps)},
    {"resent_events", "events sent to the pool again", KVR_PROM_COUNTER,
     RANK_NUMBER(publisher.resent)},
    {"republished", "new epochs", KVR_PROM_COUNTER, RANK_NUMBER(publisher.republished)},
    {"badchains", "blocks refused by the pool", KVR_PROM_COUNTER, RANK_NUMBER(publisher.badchains)},
};

static void collect(const struct bridge_rank *r, struct rank_numbers *n) {
    memset(n, 0, sizeof *n);
    n->order = r->order.stats;
    n->map = r->map.stats;
    bridge_feed_get_stats(r->feed, &n->feed);
    kvr_publisher_stats(r->publisher, &n->publisher);
    n->connected = n->feed.connected;
    n->in_order = bridge_order_complete(&r->order);
    n->settled = kvr_publisher_settled(r->publisher);
    n->blocks = bridge_map_blocks(&r->map);
    n->bridge_map_bytes = bridge_map_bytes(&r->map);
    n->waiting = r->order.n_held;
    n->bad_events = r->bad_events;
    n->unknown_events = r->unknown_events;
    n->other_rank = r->other_rank;
}

static void put_engines(const struct bridge *b, struct kvr_prom *p) {
    static const char *const names[] = {"up", "registered", "refused", "capacity_blocks"};
    for (unsigned k = 0; k < 4; k++) {
        kvr_prom_family(p, names[k], KVR_PROM_GAUGE,
                        k < 3 ? "of an engine" : "a rank has; 0: unknown");
        for (size_t i = 0; i < b->config.n_engines; i++) {
            const struct bridge_engine *g = b->engines[i];
            if (!g) continue;
            const int64_t values[] = {g->up, g->registered, g->refused, bridge_engine_capacity(g)};
            const struct kvr_prom_label worker = {"worker", g->config->name};
            kvr_prom_sample(p, KVR_PROM_GAUGE, &worker, 1, values[k]);
        }
    }
}

static void put_rank(const struct bridge_rank *r, struct kvr_prom *p, size_t metric) {
    struct rank_numbers n;
    uint64_t value;
    char number[16];
    collect(r, &n);
    memcpy(&value, (const char *)&n + rank_metrics[metric].at, sizeof value);
    snprintf(number, sizeof number, "%" PRIu32, r->number);
    const struct kvr_prom_label labels[] = {{"worker", r->config->name}, {"rank", number}};
    kvr_prom_sample(p, rank_metrics[metric].type, labels, 2, (int64_t)value);
}

static void put_ranks(const struct bridge *b, struct kvr_prom *p) {
    for (size_t k = 0; k < sizeof rank_metrics / sizeof *rank_metrics; k++) {
        kvr_prom_family(p, rank_metrics[k].name, rank_metrics[k].type, rank_metrics[k].help);
        for (size_t i = 0; i < b->config.n_engines; i++)
            for (uint32_t j = 0; b->engines[i] && j < b->engines[i]->n_ranks; j++)
                put_rank(b->engines[i]->ranks[j], p, k);
    }
}

static void put_pool(const struct bridge *b, struct kvr_prom *p) {
    struct kvr_client_stats st;
    kvr_client_stats(b->context.client, &st);
    kvr_prom_one(p, "redis_connected", KVR_PROM_GAUGE, "whether a primary is known", st.connected);
    kvr_prom_one(p, "redis_connects", KVR_PROM_COUNTER, "primaries reached", (int64_t)st.connects);
    kvr_prom_one(p, "redis_losses", KVR_PROM_COUNTER, "times when Redis had lost writes",
                 (int64_t)st.losses);
}

static void serve_metrics(struct h1_exchange *x) {
    const struct bridge *b = x->ctx;
    bool open = kvr_prom_wants_open(h1_find_header(&x->head, "Accept"));
    struct kvr_prom p = {evbuffer_new(), "kvroute_bridge_", open, NULL};
    if (!p.out) {
        h1_exchange_error(x, 500, "NOMEM", "no memory");
        return;
    }
    put_pool(b, &p);
    put_engines(b, &p);
    put_ranks(b, &p);
    const char *type = kvr_prom_end(&p);
    h1_exchange_start(x, 200, type, (int64_t)evbuffer_get_length(p.out));
    h1_exchange_data(x, p.out);
    h1_exchange_end(x);
    evbuffer_free(p.out);
}

static const char *trouble_of(const struct bridge_engine *g) { // NULL: it is well
    return !g                            ? "can't be opened"
           : g->refused                  ? "refused"
           : !g->up                      ? "doesn't answer"
           : !g->registered              ? "isn't registered"
           : !bridge_engine_connected(g) ? "isn't connected"
           : !bridge_engine_settled(g)   ? "is catching up"
                                         : NULL;
}

static void serve_health(struct h1_exchange *x) {
    const struct bridge *b = x->ctx;
    struct evbuffer *out = evbuffer_new();
    struct kvr_client_stats st;
    kvr_client_stats(b->context.client, &st);
    bool good = out && st.connected && b->context.block_size && !b->leaving;
    if (out && !good) evbuffer_add_printf(out, "%s\n", b->leaving ? "leaving" : "no pool");
    for (size_t i = 0; out && i < b->config.n_engines; i++) {
        const struct bridge_engine *g = b->engines[i];
        const char *trouble = trouble_of(g);
        good = good && g && !g->refused;
        evbuffer_add_printf(out, "%s %s\n", b->config.engines[i].name, trouble ? trouble : "ok");
    }
    h1_exchange_start(x, good ? 200 : 503, "text/plain",
                      out ? (int64_t)evbuffer_get_length(out) : 0);
    if (out) h1_exchange_data(x, out);
    h1_exchange_end(x);
    if (out) evbuffer_free(out);
}

static h1_handler *route(struct h1_exchange *x) {
    h1_handler *handle = !strcmp(x->head.path, "/metrics")   ? serve_metrics
                         : !strcmp(x->head.path, "/healthz") ? serve_health
                                                             : NULL;
    if (handle && x->head.method & (H1_GET | H1_HEAD)) return handle;
    if (handle)
        h1_exchange_refuse(x, 405, "METHOD", "GET or HEAD");
    else
        h1_exchange_refuse(x, 404, "NOTFOUND", "/metrics or /healthz");
    return NULL;
}

struct h1_server *bridge_metrics_serve(struct bridge *b, char *error, size_t error_size) {
    struct h1_server_options o = h1_server_defaults;
    char listen[sizeof b->config.listen + 8];
    bool anywhere = *b->config.listen == ':';
    snprintf(listen, sizeof listen, "%s%s", anywhere ? "0.0.0.0" : "", b->config.listen);
    o.base = b->context.base;
    o.listen = listen;
    o.idle_ms = 10000;
    o.ctx = b;
    o.route = route;
    return h1_server_new(&o, error, error_size);
}
