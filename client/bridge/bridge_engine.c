// SPDX-License-Identifier: Apache-2.0
#include "bridge_engine.h"

#include <inttypes.h>
#include <stdlib.h>

#include "client/common/clock.h"
#include "client/common/log.h"

enum {
    MAX_UNHEARD = 3
}; // times that an engine is asked what it is before it is registered without an answer

// ---- Ranks ---------------------------------------------------------------------------------------

static void on_connected(void *ctx) {
    struct bridge_engine *g = ctx;
    g->informed = false; // it may be another engine
}

static void stop_ranks(struct bridge_engine *g) {
    while (g->n_ranks)
        bridge_rank_free(g->ranks[--g->n_ranks]);
    free(g->ranks);
    g->ranks = NULL;
}

static void start_ranks(struct bridge_engine *g) {
    if (!g->ranks) g->ranks = calloc(g->wanted, sizeof *g->ranks);
    while (g->ranks && g->n_ranks < g->wanted) {
        struct bridge_rank *r = bridge_rank_new(g->context, g->config, g->n_ranks, on_connected, g);
        if (!r) return; // tried again at the next tick
        g->ranks[g->n_ranks++] = r;
    }
}

// ---- The worker ----------------------------------------------------------------------------------

static void on_registered(void *ctx, const struct kvr_result *r) {
    struct bridge_engine *g = ctx;
    if (r->code == KVR_CODE_OK) {
        if (!g->registered) kvr_log_line(KVR_LOG_INFO, "%s is registered", g->config->name);
        g->registered = true;
    } else if (r->code != KVR_CODE_CLOSED) {
        kvr_log_line(KVR_LOG_WARNING, "%s can't be registered: %s %s", g->config->name,
                     kvr_code_name(r->code), r->message);
    }
}

// Whether there is something to be learned from it.
static bool tells(const struct bridge_engine *g) {
    return g->probe && (!g->config->ranks || !g->config->block_size || !g->config->capacity);
}

int64_t bridge_engine_capacity(const struct bridge_engine *g) {
    if (g->config->capacity) return g->config->capacity;
    return g->context->block_size ? g->cache_tokens / g->context->block_size : 0;
}

// A state that somebody has set by hand stays: READY is only said the first time.
static void renew(struct bridge_engine *g) {
    const struct bridge_engine_config *c = g->config;
    int64_t capacity = bridge_engine_capacity(g);
    struct kvr_worker_call call = {
        .worker = kvr_text(c->name),
        .addr = kvr_text(*c->address ? c->address : c->http),
        .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_TTL |
               (capacity ? KVR_WORKER_CAPACITY : 0) | (g->registered ? 0 : KVR_WORKER_STATE),
        .ranks = g->wanted,
        .capacity = capacity,
        .state = KVR_READY,
        .ttl = g->context->config->ttl,
    };
    // An engine that would be refused isn't registered even for a moment; but one that is slow to tell
    // of itself isn't waited for for ever.
    bool unheard = !g->registered && !g->informed && tells(g) && g->asked <= MAX_UNHEARD;
    if (g->refused || !g->wanted || !g->context->block_size || unheard) return;
    kvr_client_worker_set_async(g->context->client, &call, on_registered, g);
}

void bridge_engine_update(struct bridge_engine *g) {
    const struct bridge_context *a = g->context;
    if (!a->block_size) return;
    bool contradicts = g->block_size && g->block_size != a->block_size;
    if (contradicts && !g->refused) {
        kvr_log_line(
            KVR_LOG_ERROR,
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

static void on_taken_out(void *ctx, const struct kvr_result *r) {
    struct bridge_engine *g = ctx;
    if (r->code == KVR_CODE_OK || r->code == KVR_CODE_CLOSED) return;
    kvr_log_line(KVR_LOG_WARNING, "%s can't be taken out: %s %s", g->config->name,
                 kvr_code_name(r->code), r->message);
    g->taken_out = false; // again at the next check
}

// The engine doesn't answer. When it does again, READY is said as if for the first time.
static void take_out(struct bridge_engine *g) {
    const struct bridge_engine_config *c = g->config;
    struct kvr_worker_call drain = {
        .worker = kvr_text(c->name), .set = KVR_WORKER_STATE, .state = KVR_DRAINING};
    bool over = kvr_clock_ms() - g->answered >= g->context->config->ttl;
    if (g->taken_out || !g->registered || c->down == BRIDGE_DOWN_EXPIRE) return;
    if (c->down == BRIDGE_DOWN_REMOVE && !over) return;
    enum kvr_code code =
        c->down == BRIDGE_DOWN_DRAIN
            ? kvr_client_worker_set_async(g->context->client, &drain, on_taken_out, g)
            : kvr_client_worker_del_async(g->context->client, drain.worker, on_taken_out, g);
    g->taken_out = code == KVR_CODE_OK;
}

static void on_health(void *ctx, bool up) {
    struct bridge_engine *g = ctx;
    if (up != g->up)
        kvr_log_line(up ? KVR_LOG_INFO : KVR_LOG_WARNING, "%s %s", g->config->name,
                     up ? "is up" : "doesn't answer");
    if (!up) g->informed = false; // it may come back as another
    g->up = up;
    if (!up) {
        take_out(g);
        return;
    }
    g->answered = kvr_clock_ms();
    if (g->taken_out) g->taken_out = g->registered = false;
    if ((!g->informed || g->refused) && tells(g)) {
        g->asked++;
        bridge_probe_learn(g->probe, !g->config->capacity);
    }
    renew(g);
}

static void on_learned(void *ctx, const struct bridge_probe_facts *facts) {
    struct bridge_engine *g = ctx;
    bool first = !g->wanted;
    uint32_t ranks = facts->ranks;
    g->informed = true;
    g->asked = 0;
    if (!g->config->block_size && facts->block_size) g->block_size = facts->block_size;
    if (facts->cache_tokens) g->cache_tokens = facts->cache_tokens;
    if (ranks > KVR_MAX_RANKS) ranks = KVR_MAX_RANKS;
    if (!g->config->ranks && ranks && g->wanted && ranks != g->wanted) {
        kvr_log_line(KVR_LOG_WARNING, "%s had %" PRIu32 " ranks, now %" PRIu32, g->config->name,
                     g->wanted, ranks);
        stop_ranks(g);
        g->wanted = ranks;
    }
    if (!g->wanted) g->wanted = ranks ? ranks : 1;
    bridge_engine_update(g);
    if (first) renew(g);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct bridge_engine *g = arg;
    (void)fd;
    (void)what;
    struct timeval t = kvr_timeval(g->context->config->ttl / 3);
    event_add(g->tick, &t);
    bridge_engine_update(g);
    if (g->probe)
        bridge_probe_check(g->probe);
    else
        renew(g);
}

struct bridge_engine *bridge_engine_new(const struct bridge_context *context,
                                        const struct bridge_engine_config *config) {
    char error[200] = "no memory";
    struct bridge_engine *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->context = context;
    g->config = config;
    g->wanted = config->ranks;
    g->block_size = config->block_size;
    g->up = !*config->http;
    g->tick = event_new(context->base, -1, 0, on_tick, g);
    struct bridge_probe_port port = {g, on_health, on_learned};
    if (*config->http)
        g->probe = bridge_probe_new(context->http, config->http, config->health, &port, error,
                                    sizeof error);
    if (!g->tick || (*config->http && !g->probe)) {
        kvr_log_line(KVR_LOG_ERROR, "%s: %s", config->name, error);
        bridge_engine_free(g);
        return NULL;
    }
    event_active(g->tick, EV_TIMEOUT, 0);
    return g;
}

void bridge_engine_free(struct bridge_engine *g) {
    if (!g) return;
    stop_ranks(g);
    if (g->tick) event_free(g->tick);
    bridge_probe_free(g->probe);
    free(g);
}

// ---- Leaving -------------------------------------------------------------------------------------

struct engine_leaving {
    void (*done)(void *ctx);
    void *ctx;
};

static void on_left(void *ctx, const struct kvr_result *r) {
    struct engine_leaving *l = ctx;
    (void)r;
    l->done(l->ctx);
    free(l);
}

void bridge_engine_leave(struct bridge_engine *g, void (*done)(void *ctx), void *ctx) {
    struct kvr_worker_call call = {
        .worker = kvr_text(g->config->name), .set = KVR_WORKER_STATE, .state = KVR_DRAINING};
    struct engine_leaving *l = malloc(sizeof *l);
    enum kvr_code code = KVR_CODE_NOMEM;
    event_del(g->tick);
    bridge_probe_free(g->probe);
    g->probe = NULL;
    if (l && g->registered && g->context->config->exit != BRIDGE_EXIT_LEAVE) {
        *l = (struct engine_leaving){done, ctx};
        if (g->context->config->exit == BRIDGE_EXIT_DRAIN)
            code = kvr_client_worker_set_async(g->context->client, &call, on_left, l);
        else
            code = kvr_client_worker_del_async(g->context->client, call.worker, on_left, l);
    }
    if (code == KVR_CODE_OK) return;
    free(l);
    done(ctx);
}

bool bridge_engine_connected(const struct bridge_engine *g) {
    for (uint32_t i = 0; i < g->n_ranks; i++)
        if (!bridge_rank_connected(g->ranks[i])) return false;
    return g->wanted && g->n_ranks == g->wanted;
}

bool bridge_engine_settled(const struct bridge_engine *g) {
    if (g->refused) return true;
    if (!g->wanted || g->n_ranks < g->wanted) return false;
    for (uint32_t i = 0; i < g->n_ranks; i++)
        if (!bridge_rank_settled(g->ranks[i])) return false;
    return true;
}
