// SPDX-License-Identifier: Apache-2.0
// See metrics.h. What is told of each rank is a table: a name, its kind, and where the number is.
#include "metrics.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct metrics {
    const struct bridge *bridge;
    struct evhttp *http;
};

// All numbers of one rank at one moment.
struct numbers {
    struct stream_stats stream;
    struct map_stats map;
    struct feed_stats feed;
    struct kvr_publisher_stats publisher;
    uint64_t connected, in_order, settled, blocks, map_bytes, waiting, bad_events, unknown_events,
        other_rank;
};

#define NUMBER(field) offsetof(struct numbers, field)

static const struct {
    const char *name, *help;
    bool gauge;
    size_t at;
} rank_metrics[] = {
    {"connected", "whether the subscription is connected", true, NUMBER(connected)},
    {"in_order", "whether no batch is missing", true, NUMBER(in_order)},
    {"settled", "whether the pool has acknowledged all", true, NUMBER(settled)},
    {"blocks", "engine blocks known", true, NUMBER(blocks)},
    {"map_bytes", "memory of the mapping", true, NUMBER(map_bytes)},
    {"publisher_bytes", "memory of what is published", true, NUMBER(publisher.memory_bytes)},
    {"waiting_batches", "batches that wait for an earlier one", true, NUMBER(waiting)},
    {"live_batches_total", "batches received live", false, NUMBER(stream.live)},
    {"replayed_batches_total", "batches received in replays", false, NUMBER(stream.replayed)},
    {"applied_batches_total", "batches applied", false, NUMBER(stream.applied)},
    {"repeated_batches_total", "batches that came again", false, NUMBER(stream.repeats)},
    {"bad_batches_total", "payloads that couldn't be read", false, NUMBER(stream.bad)},
    {"dropped_batches_total", "batches without room to wait", false, NUMBER(stream.dropped)},
    {"gaps_total", "times when a batch was missing", false, NUMBER(stream.gaps)},
    {"lost_batches_total", "batches that nothing brought back", false, NUMBER(stream.lost)},
    {"lives_total", "new lives of the engine noticed", false, NUMBER(stream.lives)},
    {"replays_total", "replays asked for", false, NUMBER(stream.requests)},
    {"unanswered_replays_total", "of these without an answer", false, NUMBER(stream.quiet)},
    {"bad_messages_total", "messages of a wrong form", false, NUMBER(feed.bad_frames)},
    {"foreign_messages_total", "messages of another topic", false, NUMBER(feed.foreign)},
    {"connects_total", "connections to the engine", false, NUMBER(feed.connects)},
    {"received_bytes_total", "payload received", false, NUMBER(feed.bytes)},
    {"bad_events_total", "events of a wrong shape", false, NUMBER(bad_events)},
    {"unknown_events_total", "events of an unknown type", false, NUMBER(unknown_events)},
    {"other_rank_batches_total", "batches that name another rank", false, NUMBER(other_rank)},
    {"stored_blocks_total", "blocks stored", false, NUMBER(map.stored)},
    {"removed_blocks_total", "blocks removed", false, NUMBER(map.removed)},
    {"cleared_total", "times the engine cleared its cache", false, NUMBER(map.cleared)},
    {"orphan_blocks_total", "blocks under an unknown parent", false, NUMBER(map.orphans)},
    {"wrong_size_blocks_total", "blocks of another size", false, NUMBER(map.wrong_size)},
    {"other_group_events_total", "events of groups not indexed", false, NUMBER(map.other_groups)},
    {"other_medium_events_total", "events of media not indexed", false, NUMBER(map.other_media)},
    {"placeholder_blocks_total", "blocks in one more medium", false, NUMBER(map.placeholders)},
    {"unknown_blocks_total", "removals of unknown blocks", false, NUMBER(map.unknown)},
    {"refused_blocks_total", "blocks there was no room for", false, NUMBER(map.refused)},
    {"collapses_total", "times copies were counted anew", false, NUMBER(map.collapsed)},
    {"published_events_total", "events acknowledged by the pool", false, NUMBER(publisher.events)},
    {"published_blocks_total", "blocks in these", false, NUMBER(publisher.event_blocks)},
    {"pool_gaps_total", "answers GAP of the pool", false, NUMBER(publisher.gaps)},
    {"resent_events_total", "events sent to the pool again", false, NUMBER(publisher.resent)},
    {"republished_total", "new epochs", false, NUMBER(publisher.republished)},
    {"badchains_total", "blocks refused by the pool", false, NUMBER(publisher.badchains)},
};

static void collect(const struct rank *r, struct numbers *n) {
    memset(n, 0, sizeof *n);
    n->stream = r->stream.stats;
    n->map = r->map.stats;
    feed_stats(r->feed, &n->feed);
    kvr_publisher_stats(r->publisher, &n->publisher);
    n->connected = n->feed.connected;
    n->in_order = stream_in_order(&r->stream);
    n->settled = kvr_publisher_settled(r->publisher);
    n->blocks = map_blocks(&r->map);
    n->map_bytes = map_bytes(&r->map);
    n->waiting = r->stream.n_held;
    n->bad_events = r->bad_events;
    n->unknown_events = r->unknown_events;
    n->other_rank = r->other_rank;
}

struct page {
    struct evbuffer *out;
    bool open; // in OpenMetrics' form
};

// A label's value may not have these in it as they are.
static void add_label(struct evbuffer *b, const char *name, const char *value) {
    evbuffer_add_printf(b, "%s=\"", name);
    for (const char *c = value; *c; c++)
        if (*c == '"' || *c == '\\')
            evbuffer_add_printf(b, "\\%c", *c);
        else if (*c == '\n')
            evbuffer_add_printf(b, "\\n");
        else
            evbuffer_add(b, c, 1);
    evbuffer_add_printf(b, "\"");
}

// OpenMetrics names a counter's family without the _total of its samples.
static void head(struct page *p, const char *name, const char *help, bool gauge) {
    int n = (int)strlen(name) - (p->open && !gauge ? (int)strlen("_total") : 0);
    evbuffer_add_printf(p->out, "# HELP kvroute_bridge_%.*s %s\n# TYPE kvroute_bridge_%.*s %s\n", n,
                        name, help, n, name, gauge ? "gauge" : "counter");
}

static void add_engines(const struct bridge *b, struct page *p) {
    static const char *const names[] = {"up", "registered", "refused", "capacity_blocks"};
    for (unsigned k = 0; k < 4; k++) {
        head(p, names[k], k < 3 ? "of an engine" : "a rank has; 0: unknown", true);
        for (size_t i = 0; i < b->config.n_engines; i++) {
            const struct engine *g = b->engines[i];
            if (!g) continue;
            const int64_t values[] = {g->up, g->registered, g->refused, engine_capacity(g)};
            evbuffer_add_printf(p->out, "kvroute_bridge_%s{", names[k]);
            add_label(p->out, "worker", g->config->name);
            evbuffer_add_printf(p->out, "} %" PRId64 "\n", values[k]);
        }
    }
}

static void add_ranks(const struct bridge *b, struct page *p) {
    for (size_t k = 0; k < sizeof rank_metrics / sizeof *rank_metrics; k++) {
        head(p, rank_metrics[k].name, rank_metrics[k].help, rank_metrics[k].gauge);
        for (size_t i = 0; i < b->config.n_engines; i++) {
            const struct engine *g = b->engines[i];
            for (uint32_t j = 0; g && j < g->n_ranks; j++) {
                struct numbers n;
                uint64_t value;
                collect(g->ranks[j], &n);
                memcpy(&value, (const char *)&n + rank_metrics[k].at, sizeof value);
                evbuffer_add_printf(p->out, "kvroute_bridge_%s{", rank_metrics[k].name);
                add_label(p->out, "worker", g->config->name);
                evbuffer_add_printf(p->out, ",rank=\"%" PRIu32 "\"} %" PRIu64 "\n", j, value);
            }
        }
    }
}

static void add_pool(const struct bridge *b, struct page *p) {
    struct kvr_client_stats st;
    kvr_client_stats(b->around.client, &st);
    head(p, "redis_connected", "whether a primary is known", true);
    evbuffer_add_printf(p->out, "kvroute_bridge_redis_connected %d\n", st.connected);
    head(p, "redis_connects_total", "primaries reached", false);
    evbuffer_add_printf(p->out, "kvroute_bridge_redis_connects_total %" PRIu64 "\n", st.connects);
    head(p, "redis_losses_total", "times when Redis had lost writes", false);
    evbuffer_add_printf(p->out, "kvroute_bridge_redis_losses_total %" PRIu64 "\n", st.losses);
}

static void reply(struct evhttp_request *r, int code, const char *reason, const char *type,
                  struct evbuffer *body) {
    evhttp_add_header(evhttp_request_get_output_headers(r), "Content-Type", type);
    evhttp_send_reply(r, code, reason, body);
    if (body) evbuffer_free(body);
}

static void on_metrics(struct evhttp_request *r, void *arg) {
    const struct metrics *m = arg;
    const char *accept = evhttp_find_header(evhttp_request_get_input_headers(r), "Accept");
    struct page p = {evbuffer_new(), accept && strstr(accept, "application/openmetrics-text")};
    if (p.out) {
        add_pool(m->bridge, &p);
        add_engines(m->bridge, &p);
        add_ranks(m->bridge, &p);
        if (p.open) evbuffer_add_printf(p.out, "# EOF\n");
    }
    reply(r, p.out ? 200 : 500, p.out ? "OK" : "no memory",
          p.open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                 : "text/plain; version=0.0.4; charset=utf-8",
          p.out);
}

static void on_health(struct evhttp_request *r, void *arg) {
    const struct bridge *b = ((const struct metrics *)arg)->bridge;
    struct evbuffer *out = evbuffer_new();
    struct kvr_client_stats st;
    kvr_client_stats(b->around.client, &st);
    bool good = out && st.connected && b->around.block_size && !b->leaving;
    if (out && !good) evbuffer_add_printf(out, "%s\n", b->leaving ? "leaving" : "no pool");
    for (size_t i = 0; out && i < b->config.n_engines; i++) {
        const struct engine *g = b->engines[i];
        const char *what = !g                     ? "can't be opened"
                           : g->refused           ? "refused"
                           : !g->up               ? "doesn't answer"
                           : !g->registered       ? "isn't registered"
                           : !engine_connected(g) ? "isn't connected"
                           : engine_settled(g)    ? NULL
                                                  : "is catching up";
        good = good && g && !g->refused;
        evbuffer_add_printf(out, "%s %s\n", b->config.engines[i].name, what ? what : "ok");
    }
    reply(r, good ? 200 : 503, good ? "OK" : "Service Unavailable", "text/plain", out);
}

struct metrics *metrics_new(const struct bridge *b, const char *listen, char *error,
                            size_t error_size) {
    char host[128];
    const char *colon = strrchr(listen, ':');
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;
    snprintf(host, sizeof host, "%.*s", colon ? (int)(colon - listen) : 0, listen);
    struct metrics *m = port > 0 && port < 65536 ? calloc(1, sizeof *m) : NULL;
    if (m) m->http = evhttp_new(b->around.base);
    if (!m || !m->http || evhttp_bind_socket(m->http, *host ? host : "0.0.0.0", (uint16_t)port)) {
        snprintf(error, error_size, "can't listen at %.100s", listen);
        metrics_free(m);
        return NULL;
    }
    m->bridge = b;
    evhttp_set_allowed_methods(m->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_timeout(m->http, 10);
    evhttp_set_cb(m->http, "/metrics", on_metrics, m);
    evhttp_set_cb(m->http, "/healthz", on_health, m);
    return m;
}

void metrics_free(struct metrics *m) {
    if (!m) return;
    if (m->http) evhttp_free(m->http);
    free(m);
}
