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
    uint64_t connected, in_order, settled, blocks, map_bytes, waiting, bad_events, unknown_events,
        other_rank;
};

// In the order of the page.
#define GAUGE(name, field, help)                                                                   \
    { name, help, KVR_PROM_GAUGE, offsetof(struct rank_numbers, field) }
#define COUNTER(name, field, help)                                                                 \
    { name, help, KVR_PROM_COUNTER, offsetof(struct rank_numbers, field) }
static const struct {
    const char *name, *help;
    enum kvr_prom_type type;
    size_t at;
} rank_metrics[] = {
    GAUGE("connected", connected, "whether the subscription is connected"),
    GAUGE("in_order", in_order, "whether no batch is missing"),
    GAUGE("settled", settled, "whether the pool has acknowledged all"),
    GAUGE("blocks", blocks, "engine blocks known"),
    GAUGE("map_bytes", map_bytes, "memory of the mapping"),
    GAUGE("publisher_bytes", publisher.memory_bytes, "memory of what is published"),
    GAUGE("waiting_batches", waiting, "batches that wait for an earlier one"),
    COUNTER("live_batches", order.live, "batches received live"),
    COUNTER("replayed_batches", order.replayed, "batches received in replays"),
    COUNTER("applied_batches", order.applied, "batches applied"),
    COUNTER("repeated_batches", order.repeats, "batches that came again"),
    COUNTER("bad_batches", order.bad, "payloads that couldn't be read"),
    COUNTER("dropped_batches", order.dropped, "batches without room to wait"),
    COUNTER("gaps", order.gaps, "times when a batch was missing"),
    COUNTER("lost_batches", order.lost, "batches that nothing brought back"),
    COUNTER("wild_numbers", order.wild, "batch numbers too high to be true"),
    COUNTER("lives", order.lives, "new lives of the engine noticed"),
    COUNTER("replays", order.requests, "replays asked for"),
    COUNTER("unanswered_replays", order.quiet, "of these without an answer"),
    COUNTER("bad_messages", feed.bad_frames, "messages of a wrong form"),
    COUNTER("foreign_messages", feed.foreign, "messages of another topic"),
    COUNTER("connects", feed.connects, "connections to the engine"),
    COUNTER("received_bytes", feed.bytes, "payload received"),
    COUNTER("bad_events", bad_events, "events of a wrong shape"),
    COUNTER("unknown_events", unknown_events, "events of an unknown type"),
    COUNTER("other_rank_batches", other_rank, "batches that name another rank"),
    COUNTER("stored_blocks", map.stored, "blocks stored"),
    COUNTER("removed_blocks", map.removed, "blocks removed"),
    COUNTER("cleared", map.cleared, "times the engine cleared its cache"),
    COUNTER("orphan_blocks", map.orphans, "blocks under an unknown parent"),
    COUNTER("wrong_size_blocks", map.wrong_size, "blocks of another size"),
    COUNTER("other_group_events", map.other_groups, "events of groups not indexed"),
    COUNTER("other_medium_events", map.other_media, "events of media not indexed"),
    COUNTER("placeholder_blocks", map.placeholders, "blocks in one more medium"),
    COUNTER("unknown_blocks", map.unknown, "removals of unknown blocks"),
    COUNTER("refused_blocks", map.refused, "blocks there was no room for"),
    COUNTER("collapses", map.collapsed, "times copies were counted anew"),
    COUNTER("published_events", publisher.events, "events acknowledged by the pool"),
    COUNTER("published_blocks", publisher.event_blocks, "blocks in these"),
    COUNTER("pool_gaps", publisher.gaps, "answers GAP of the pool"),
    COUNTER("resent_events", publisher.resent, "events sent to the pool again"),
    COUNTER("republished", publisher.republished, "new epochs"),
    COUNTER("badchains", publisher.badchains, "blocks refused by the pool"),
};
#undef GAUGE
#undef COUNTER

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
    n->map_bytes = bridge_map_bytes(&r->map);
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
        for (size_t i = 0; i < b->n_engines; i++) {
            const struct bridge_engine *g = b->engines[i];
            const int64_t values[] = {!g->trouble, g->registered, g->other_size != 0,
                                      bridge_engine_capacity(g)};
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
        for (size_t i = 0; i < b->n_engines; i++)
            for (uint32_t j = 0; j < b->engines[i]->n_ranks; j++)
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
    kvr_prom_build_info(&p);
    put_pool(b, &p);
    put_engines(b, &p);
    put_ranks(b, &p);
    const char *type = kvr_prom_end(&p);
    h1_exchange_start(x, 200, type, (int64_t)evbuffer_get_length(p.out));
    h1_exchange_data(x, p.out);
    h1_exchange_end(x);
    evbuffer_free(p.out);
}

// What is wrong with an engine; NULL: it is well.
static const char *trouble_of(const struct bridge_engine *g) {
    return g->trouble                    ? g->trouble
           : g->unasked                  ? "can't be asked"
           : g->untold                   ? "doesn't say where its events are"
           : !g->registered && !g->lent  ? "isn't registered"
           : !bridge_engine_connected(g) ? "isn't connected"
           : !bridge_engine_settled(g)   ? "is catching up"
                                         : NULL;
}

// A line of its own, whatever is in the name.
static void put_health(struct evbuffer *out, const struct bridge *b, size_t i) {
    const struct bridge_engine *g = b->engines[i];
    const char *trouble = trouble_of(g);
    for (const char *c = g->config->name; *c; c++) {
        bool control = (unsigned char)*c < ' ' || *c == 0x7f;
        evbuffer_add(out, control ? "?" : c, 1);
    }
    if (g->other_size)
        evbuffer_add_printf(out, " refused: its blocks have %u tokens, the pool's have %u\n",
                            (unsigned)g->other_size, (unsigned)b->context.block_size);
    else
        evbuffer_add_printf(out, " %s\n", trouble ? trouble : "ok");
}

static void serve_health(struct h1_exchange *x) {
    const struct bridge *b = x->ctx;
    struct evbuffer *out = evbuffer_new();
    struct kvr_client_stats st;
    kvr_client_stats(b->context.client, &st);
    bool good = out && st.connected && b->context.block_size && !b->leaving;
    if (out && !good) evbuffer_add_printf(out, "%s\n", b->leaving ? "leaving" : "no pool");
    for (size_t i = 0; out && i < b->n_engines; i++) {
        const struct bridge_engine *g = b->engines[i];
        good = good && !g->other_size && !g->unasked && (g->trouble || !g->untold);
        put_health(out, b, i);
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
