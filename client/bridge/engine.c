// SPDX-License-Identifier: Apache-2.0
// See engine.h.
#include "engine.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// The ring is small because what it can't hold is published anew, which a block's memory is not spent on.
enum { REBUILD_AFTER = 60000, RING_BYTES = 1 << 20, ASK_FIRST = 3 };

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timeval after(int64_t ms) {
    return (struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
}

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

static bool sink_parent(void *ctx, uint64_t hash, uint64_t *parent, bool *has) {
    return kvr_publisher_parent(ctx, hash, parent, has);
}

// ---- From the stream to the map ------------------------------------------------------------------

static void warn_of_size(struct rank *r) {
    if (r->warned_size || !r->map.stats.wrong_size) return;
    r->warned_size = true;
    r->engine->around->log(KVR_LOG_ERROR,
                           "%s:%" PRIu32 ": its blocks have %" PRIu32
                           " tokens, the pool's have %" PRIu32 "; they are left out",
                           r->engine->config->name, r->number, r->map.stats.seen_size,
                           r->engine->around->block_size);
}

// A batch may name a rank. Where engines are spread over machines it is counted over all of them, and
// begins at another number here; so the socket says which rank it is, and this is only a hint that
// ports may have been mixed up.
static void warn_of_rank(struct rank *r, const struct batch *b) {
    if (!b->has_rank || b->rank == r->number) return;
    r->other_rank++;
    if (r->warned_rank) return;
    r->warned_rank = true;
    r->engine->around->log(KVR_LOG_WARNING,
                           "%s:%" PRIu32 ": its batches call it rank %" PRIu32
                           "; if that isn't as it should be, look at the endpoints",
                           r->engine->config->name, r->number, b->rank);
}

static bool apply(void *ctx, const void *payload, size_t n) {
    struct rank *r = ctx;
    struct decoder *d = r->engine->around->decoder;
    struct batch b;
    struct event e;
    if (!decode_batch(payload, n, &b)) return false;
    warn_of_rank(r, &b);
    while (decode_event(d, &b, &e) != EVENT_END) {
        if (e.type == EVENT_STORED || e.type == EVENT_REMOVED || e.type == EVENT_CLEARED)
            map_event(&r->map, &e);
        else if (e.type == EVENT_UNKNOWN)
            r->unknown_events++;
        else
            r->bad_events++;
    }
    warn_of_size(r);
    // Not from within the stream's own call.
    if (map_overfull(&r->map) && now_ms() - r->rebuilt >= REBUILD_AFTER)
        event_active(r->rebuild, EV_TIMEOUT, 0);
    return true;
}

static void forget(void *ctx, bool new_life) {
    struct rank *r = ctx;
    map_reset(&r->map);
    if (new_life) kvr_publisher_republish(r->publisher);
}

static void request(void *ctx, uint64_t from) {
    struct rank *r = ctx;
    if (r->feed) feed_request(r->feed, from);
}

static void cancel(void *ctx) {
    struct rank *r = ctx;
    if (r->feed) feed_cancel(r->feed);
}

static void wake(void *ctx, int64_t ms) {
    struct rank *r = ctx;
    struct timeval t = after(ms < 0 ? 0 : ms);
    if (ms < 0)
        event_del(r->timer);
    else
        event_add(r->timer, &t);
}

static int64_t stream_now(void *ctx) {
    (void)ctx;
    return now_ms();
}

static void note(void *ctx, const char *line) {
    struct rank *r = ctx;
    r->engine->around->log(KVR_LOG_WARNING, "%s:%" PRIu32 ": %s", r->engine->config->name,
                           r->number, line);
}

// ---- From the sockets to the stream --------------------------------------------------------------

static void on_connected(void *ctx) {
    struct rank *r = ctx;
    r->engine->around->log(KVR_LOG_INFO, "%s:%" PRIu32 ": connected", r->engine->config->name,
                           r->number);
    r->engine->informed = false; // it may be another engine
    stream_connected(&r->stream);
}

static void on_live(void *ctx, uint64_t seq, const void *payload, size_t n) {
    struct rank *r = ctx;
    stream_live(&r->stream, seq, payload, n);
}

static void on_reply(void *ctx, uint64_t seq, const void *payload, size_t n) {
    struct rank *r = ctx;
    stream_reply(&r->stream, seq, payload, n);
}

static void on_end(void *ctx) {
    struct rank *r = ctx;
    stream_end(&r->stream);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct rank *r = arg;
    (void)fd;
    (void)what;
    stream_woken(&r->stream);
}

// More blocks than the engine has: some were counted that have gone.
static void on_rebuild(evutil_socket_t fd, short what, void *arg) {
    struct rank *r = arg;
    (void)fd;
    (void)what;
    r->rebuilt = now_ms();
    note(r, "holds more than its capacity; built up anew");
    stream_restart(&r->stream);
}

// ---- Ranks ---------------------------------------------------------------------------------------

static void rank_free(struct rank *r) {
    if (!r) return;
    feed_free(r->feed);
    if (r->timer) event_free(r->timer);
    if (r->rebuild) event_free(r->rebuild);
    stream_free(&r->stream);
    map_free(&r->map);
    kvr_publisher_free(r->publisher);
    free(r);
}

static bool open_feed(struct rank *r, char *error, size_t size) {
    const struct engine_config *c = r->engine->config;
    char events[300], replay[300] = "";
    if (!feed_endpoint(c->events, r->number, events, sizeof events) ||
        (*c->replay && !feed_endpoint(c->replay, r->number, replay, sizeof replay))) {
        snprintf(error, size, "%.100s has no rank %" PRIu32, c->events, r->number);
        return false;
    }
    struct feed_options o = {
        .events = events, .replay = replay, .topic = c->topic, .bind = c->bind};
    struct feed_port port = {r, on_connected, on_live, on_reply, on_end};
    r->feed = feed_new(r->engine->around->zmq, r->engine->around->base, &o, &port, error, size);
    return r->feed != NULL;
}

static struct rank *rank_new(struct engine *g, uint32_t number) {
    char error[300] = "no memory";
    const struct surroundings *a = g->around;
    const struct engine_config *c = g->config;
    struct rank *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->engine = g;
    r->number = number;
    r->rebuilt = now_ms() - REBUILD_AFTER;
    struct map_options mo = {.block_size = a->block_size,
                             .as_set = c->set || c->kind == ENGINE_SGLANG,
                             .capacity = (size_t)c->capacity,
                             .secret = a->secret};
    struct stream_options so = {.replay = *c->replay != 0, .keep = c->keep, .audit = c->audit};
    struct stream_port sp = {r, apply, forget, request, cancel, wake, stream_now, note};
    r->publisher = kvr_publisher_new(a->client, kvr_text(c->name), number,
                                     &(struct kvr_publisher_options){.ring_bytes = RING_BYTES});
    struct map_sink sink = {r->publisher, sink_stored, sink_removed, sink_cleared, sink_parent};
    map_init(&r->map, &mo, &sink);
    stream_init(&r->stream, &so, &sp);
    r->timer = event_new(a->base, -1, 0, on_timer, r);
    r->rebuild = event_new(a->base, -1, 0, on_rebuild, r);
    if (r->publisher && r->timer && r->rebuild && open_feed(r, error, sizeof error)) return r;
    a->log(KVR_LOG_ERROR, "%s:%" PRIu32 ": %s", c->name, number, error);
    rank_free(r);
    return NULL;
}

static void stop_ranks(struct engine *g) {
    while (g->n_ranks)
        rank_free(g->ranks[--g->n_ranks]);
    free(g->ranks);
    g->ranks = NULL;
}

static void start_ranks(struct engine *g) {
    if (!g->ranks) g->ranks = calloc(g->wanted, sizeof *g->ranks);
    while (g->ranks && g->n_ranks < g->wanted) {
        struct rank *r = rank_new(g, g->n_ranks);
        if (!r) return; // tried again at the next tick
        g->ranks[g->n_ranks++] = r;
    }
}

static void renew(struct engine *g);

void engine_consider(struct engine *g) {
    struct surroundings *a = g->around;
    if (!a->block_size) return;
    bool contradicts = g->block_size && g->block_size != a->block_size;
    if (contradicts && !g->refused) {
        a->log(KVR_LOG_ERROR,
               "%s is refused: its blocks have %" PRIu32 " tokens, those of pool %s have %" PRIu32
               ". Start the engine with that block size, or use a pool created with BLOCKSIZE "
               "%" PRIu32,
               g->config->name, g->block_size, a->config->pool, a->block_size, g->block_size);
        stop_ranks(g);
    }
    g->refused = contradicts;
    if (!g->refused && g->wanted && g->n_ranks < g->wanted) start_ranks(g);
    if (g->up && !g->registered) renew(g); // it was up before the pool was known
}

// ---- The worker ----------------------------------------------------------------------------------

static void on_registered(void *ctx, const struct kvr_result *r) {
    struct engine *g = ctx;
    if (r->code == KVR_CODE_OK) {
        if (!g->registered) g->around->log(KVR_LOG_INFO, "%s is registered", g->config->name);
        g->registered = true;
    } else if (r->code != KVR_CODE_CLOSED) {
        g->around->log(KVR_LOG_WARNING, "%s can't be registered: %s %s", g->config->name,
                       kvr_code_name(r->code), r->message);
    }
}

// Whether there is something to be learned from it.
static bool tells(const struct engine *g) {
    return g->health && (!g->config->ranks || !g->config->block_size || !g->config->capacity);
}

int64_t engine_capacity(const struct engine *g) {
    if (g->config->capacity) return g->config->capacity;
    return g->around->block_size ? g->cache_tokens / g->around->block_size : 0;
}

// A state that somebody has set by hand stays: READY is only said the first time.
static void renew(struct engine *g) {
    const struct engine_config *c = g->config;
    int64_t capacity = engine_capacity(g);
    struct kvr_worker_call call = {
        .worker = kvr_text(c->name),
        .addr = kvr_text(*c->address ? c->address : c->http),
        .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_TTL |
               (capacity ? KVR_WORKER_CAPACITY : 0) | (g->registered ? 0 : KVR_WORKER_STATE),
        .ranks = g->wanted,
        .capacity = capacity,
        .state = KVR_READY,
        .ttl = g->around->config->ttl,
    };
    // An engine that would be refused isn't registered even for a moment; but one that is slow to tell
    // of itself isn't waited for for ever.
    bool unheard = !g->registered && !g->informed && tells(g) && g->asked <= ASK_FIRST;
    if (g->refused || !g->wanted || !g->around->block_size || unheard) return;
    kvr_client_worker_set_async(g->around->client, &call, on_registered, g);
}

static void on_put_down(void *ctx, const struct kvr_result *r) {
    struct engine *g = ctx;
    if (r->code == KVR_CODE_OK || r->code == KVR_CODE_CLOSED) return;
    g->around->log(KVR_LOG_WARNING, "%s can't be taken out: %s %s", g->config->name,
                   kvr_code_name(r->code), r->message);
    g->put_down = false; // again at the next check
}

// The engine doesn't answer. When it does again, READY is said as if for the first time.
static void put_down(struct engine *g) {
    const struct engine_config *c = g->config;
    struct kvr_worker_call drain = {
        .worker = kvr_text(c->name), .set = KVR_WORKER_STATE, .state = KVR_DRAINING};
    bool over = now_ms() - g->answered >= g->around->config->ttl;
    if (g->put_down || !g->registered || c->down == DOWN_EXPIRE) return;
    if (c->down == DOWN_REMOVE && !over) return;
    enum kvr_code code =
        c->down == DOWN_DRAIN
            ? kvr_client_worker_set_async(g->around->client, &drain, on_put_down, g)
            : kvr_client_worker_del_async(g->around->client, drain.worker, on_put_down, g);
    g->put_down = code == KVR_CODE_OK;
}

static void on_health(void *ctx, bool up) {
    struct engine *g = ctx;
    g->checks++;
    g->failures += !up;
    if (up != g->up)
        g->around->log(up ? KVR_LOG_INFO : KVR_LOG_WARNING, "%s %s", g->config->name,
                       up ? "is up" : "doesn't answer");
    if (!up) g->informed = false; // it may come back as another
    g->up = up;
    if (!up) {
        put_down(g);
        return;
    }
    g->answered = now_ms();
    if (g->put_down) g->put_down = g->registered = false;
    if ((!g->informed || g->refused) && tells(g)) {
        g->asked++;
        health_learn(g->health, !g->config->capacity);
    }
    renew(g);
}

static void on_learned(void *ctx, const struct health_facts *facts) {
    struct engine *g = ctx;
    bool first = !g->wanted;
    uint32_t ranks = facts->ranks;
    g->informed = true;
    g->asked = 0;
    if (!g->config->block_size && facts->block_size) g->block_size = facts->block_size;
    if (facts->cache_tokens) g->cache_tokens = facts->cache_tokens;
    if (ranks > KVR_MAX_RANKS) ranks = KVR_MAX_RANKS;
    if (!g->config->ranks && ranks && g->wanted && ranks != g->wanted) {
        g->around->log(KVR_LOG_WARNING, "%s had %" PRIu32 " ranks, now %" PRIu32, g->config->name,
                       g->wanted, ranks);
        stop_ranks(g);
        g->wanted = ranks;
    }
    if (!g->wanted) g->wanted = ranks ? ranks : 1;
    engine_consider(g);
    if (first) renew(g);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct engine *g = arg;
    (void)fd;
    (void)what;
    struct timeval t = after(g->around->config->ttl / 3);
    event_add(g->tick, &t);
    engine_consider(g);
    if (g->health)
        health_check(g->health);
    else
        renew(g);
}

struct engine *engine_new(struct surroundings *around, const struct engine_config *config) {
    char error[200] = "no memory";
    struct engine *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->around = around;
    g->config = config;
    g->wanted = config->ranks;
    g->block_size = config->block_size;
    g->up = !*config->http;
    g->tick = event_new(around->base, -1, 0, on_tick, g);
    struct health_port port = {g, on_health, on_learned};
    if (*config->http)
        g->health =
            health_new(around->base, config->http, config->health, &port, error, sizeof error);
    if (!g->tick || (*config->http && !g->health)) {
        around->log(KVR_LOG_ERROR, "%s: %s", config->name, error);
        engine_free(g);
        return NULL;
    }
    event_active(g->tick, EV_TIMEOUT, 0);
    return g;
}

void engine_free(struct engine *g) {
    if (!g) return;
    stop_ranks(g);
    if (g->tick) event_free(g->tick);
    health_free(g->health);
    free(g);
}

// ---- Leaving -------------------------------------------------------------------------------------

struct leaving {
    void (*done)(void *ctx);
    void *ctx;
};

static void on_left(void *ctx, const struct kvr_result *r) {
    struct leaving *l = ctx;
    (void)r;
    l->done(l->ctx);
    free(l);
}

void engine_leave(struct engine *g, void (*done)(void *ctx), void *ctx) {
    struct kvr_worker_call call = {
        .worker = kvr_text(g->config->name), .set = KVR_WORKER_STATE, .state = KVR_DRAINING};
    struct leaving *l = malloc(sizeof *l);
    enum kvr_code code = KVR_CODE_NOMEM;
    event_del(g->tick);
    health_free(g->health);
    g->health = NULL;
    if (l && g->registered && g->around->config->exit != EXIT_LEAVE) {
        *l = (struct leaving){done, ctx};
        if (g->around->config->exit == EXIT_DRAIN)
            code = kvr_client_worker_set_async(g->around->client, &call, on_left, l);
        else
            code = kvr_client_worker_del_async(g->around->client, call.worker, on_left, l);
    }
    if (code == KVR_CODE_OK) return;
    free(l);
    done(ctx);
}

bool engine_connected(const struct engine *g) {
    for (uint32_t i = 0; i < g->n_ranks; i++) {
        struct feed_stats st;
        feed_stats(g->ranks[i]->feed, &st);
        if (!st.connected) return false;
    }
    return g->wanted && g->n_ranks == g->wanted;
}

bool engine_settled(const struct engine *g) {
    if (g->refused) return true;
    if (!g->wanted || g->n_ranks < g->wanted) return false;
    for (uint32_t i = 0; i < g->n_ranks; i++)
        if (!stream_in_order(&g->ranks[i]->stream) ||
            !kvr_publisher_settled(g->ranks[i]->publisher))
            return false;
    return true;
}
