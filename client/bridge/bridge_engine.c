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

// Whether its endpoints have to be asked for, and aren't all known.
static bool lacks_sources(const struct bridge_engine *g) {
    return !*g->config->events &&
           (!g->sources.n || g->sources.n < (g->wanted ? g->wanted : g->config->ranks));
}

static void start_ranks(struct bridge_engine *g) {
    if (lacks_sources(g)) return;
    if (!g->ranks) g->ranks = calloc(g->wanted, sizeof *g->ranks);
    while (g->ranks && g->n_ranks < g->wanted) {
        const struct engine_source *source = g->sources.n ? &g->sources.all[g->n_ranks] : NULL;
        struct bridge_rank *r =
            bridge_rank_new(g->context, g->config, g->n_ranks, source, on_connected, g);
        if (!r) return; // tried again at the next tick
        g->ranks[g->n_ranks++] = r;
    }
}

// ---- The worker ----------------------------------------------------------------------------------

// False: nobody waits for the answer any more.
static bool take_answer(struct bridge_engine *g) {
    g->calls--;
    if (!g->freed) return true;
    if (!g->calls) free(g);
    return false;
}

static void on_registered(void *ctx, const struct kvr_result *r) {
    struct bridge_engine *g = ctx;
    if (!take_answer(g)) return;
    if (r->code == KVR_CODE_OK) {
        if (g->other_size) return; // refused since
        if (!g->registered) kvr_log_line(KVR_LOG_INFO, "%s is registered", g->config->name);
        g->registered = true;
    } else if (r->code != KVR_CODE_CLOSED) {
        kvr_log_line(KVR_LOG_WARNING, "%s can't be registered: %s %s", g->config->name,
                     kvr_code_name(r->code), r->message);
    }
}

// What is to be learned from it, as bits of engine_probe_wish.
static unsigned wishes(const struct bridge_engine *g) {
    const struct bridge_engine_config *c = g->config;
    return (c->block_size ? 0u : ENGINE_PROBE_SIZE) | (c->ranks ? 0u : ENGINE_PROBE_RANKS) |
           (c->capacity ? 0u : ENGINE_PROBE_CACHE) | (*c->events ? 0u : ENGINE_PROBE_SOURCES) |
           (g->asks_kind ? ENGINE_PROBE_KIND : 0u) |
           (c->role == ENGINE_ROLE_ASK ? ENGINE_PROBE_ROLE : 0u);
}

int64_t bridge_engine_capacity(const struct bridge_engine *g) {
    if (g->config->capacity) return g->config->capacity;
    return engine_probe_blocks(g->cache_tokens, g->context->block_size);
}

// A state that somebody has set by hand stays: READY is only said the first time.
static void renew(struct bridge_engine *g) {
    const struct bridge_engine_config *c = g->config;
    int64_t capacity = bridge_engine_capacity(g);
    bool has_part = g->has_part || g->role != KVR_ROLE_BOTH; // else of a module that knows no roles
    struct kvr_worker_call call = {
        .worker = kvr_text(c->name),
        .addr = kvr_text(*c->address ? c->address : c->http),
        .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_TTL |
               (capacity ? KVR_WORKER_CAPACITY : 0) | (g->registered ? 0 : KVR_WORKER_STATE) |
               (has_part ? KVR_WORKER_ROLE : 0),
        .ranks = g->wanted,
        .capacity = capacity,
        .state = g->ending ? KVR_DRAINING : KVR_READY,
        .role = g->role,
        .ttl = g->context->config->ttl,
    };
    // An engine that would be refused isn't registered even for a moment; but one that is slow to tell
    // of itself isn't waited for for ever.
    bool unheard =
        !g->registered && !g->informed && g->probe && wishes(g) && g->asked <= MAX_UNHEARD;
    if (g->lent || g->other_size || !g->wanted || !g->context->block_size || unheard ||
        lacks_sources(g))
        return;
    g->has_part = has_part;
    bool sent =
        kvr_client_worker_set_async(g->context->client, &call, on_registered, g) == KVR_CODE_OK;
    g->calls += sent;
    g->told |= sent;
}

static void on_taken_out(void *ctx, const struct kvr_result *r) {
    struct bridge_engine *g = ctx;
    if (!take_answer(g) || r->code == KVR_CODE_OK || r->code == KVR_CODE_CLOSED) return;
    kvr_log_line(KVR_LOG_WARNING, "%s can't be taken out: %s %s", g->config->name,
                 kvr_code_name(r->code), r->message);
    g->out = BRIDGE_OUT_NO; // again at the next check
}

static bool put_out(struct bridge_engine *g, bool remove) {
    struct kvr_worker_call drain = {
        .worker = kvr_text(g->config->name), .set = KVR_WORKER_STATE, .state = KVR_DRAINING};
    enum kvr_code code =
        remove ? kvr_client_worker_del_async(g->context->client, drain.worker, on_taken_out, g)
               : kvr_client_worker_set_async(g->context->client, &drain, on_taken_out, g);
    g->calls += code == KVR_CODE_OK;
    return code == KVR_CODE_OK;
}

// Renewals name no state, so it stays drained until it is said to be ready again.
void bridge_engine_set_ending(struct bridge_engine *g, bool ending) {
    if (ending && !g->ending && g->registered) put_out(g, false);
    if (!ending && g->ending) g->registered = false;
    g->ending = ending;
}

// The engine doesn't answer. When it does again, READY is said as if for the first time.
static void take_out(struct bridge_engine *g) {
    enum bridge_on_down down = g->config->down;
    bool over = kvr_clock_ms() - g->answered >= g->context->config->ttl;
    enum bridge_out out = down == BRIDGE_DOWN_REMOVE && over           ? BRIDGE_OUT_REMOVED
                          : down == BRIDGE_DOWN_DRAIN || g->deliberate ? BRIDGE_OUT_DRAINED
                                                                       : BRIDGE_OUT_NO;
    if (g->registered && out > g->out && put_out(g, out == BRIDGE_OUT_REMOVED)) g->out = out;
}

static uint32_t other_size(const struct bridge_engine *g) {
    uint32_t size = g->block_size && g->block_size != g->context->block_size ? g->block_size : 0;
    for (uint32_t i = 0; i < g->n_ranks && !size; i++)
        size = bridge_rank_other_size(g->ranks[i]);
    return size;
}

static void refuse(struct bridge_engine *g, uint32_t size) {
    const struct bridge_context *a = g->context;
    kvr_log_line(KVR_LOG_ERROR,
                 "%s is refused: its blocks have %" PRIu32 " tokens, those of pool %s have %" PRIu32
                 ". Start the engine with that block size, or use a pool created with BLOCKSIZE "
                 "%" PRIu32,
                 g->config->name, size, a->config->pool, a->block_size, size);
    if (g->registered) put_out(g, false);
    g->registered = false;
}

void bridge_engine_update(struct bridge_engine *g) {
    const struct bridge_context *a = g->context;
    if (!a->block_size) return;
    uint32_t size = other_size(g);
    if (size && size != g->other_size) refuse(g, size);
    if (!size && g->other_size)
        kvr_log_line(KVR_LOG_INFO, "%s: its blocks have the pool's size now", g->config->name);
    g->other_size = size;
    if (g->block_size && g->block_size != a->block_size)
        stop_ranks(g);
    else if (g->wanted && g->n_ranks < g->wanted)
        start_ranks(g);
    if (!g->trouble && !g->registered) renew(g); // it was up before the pool was known
}

// ---- What it says --------------------------------------------------------------------------------

// Its answers are of use only while it is as it was.
static bool is_to_be_asked(const struct bridge_engine *g) {
    bool moved = !*g->config->events && !bridge_engine_connected(g);
    return wishes(g) && (!g->informed || g->other_size || moved);
}

static void on_health(void *ctx, const char *trouble, bool deliberate) {
    struct bridge_engine *g = ctx;
    if (trouble != g->trouble)
        kvr_log_line(trouble ? KVR_LOG_WARNING : KVR_LOG_INFO, "%s %s (%s)", g->config->name,
                     trouble ? trouble : "is up", g->config->http);
    g->trouble = trouble;
    g->unasked = false;
    g->deliberate = deliberate;
    if (trouble) {
        g->informed = false; // it may come back as another
        take_out(g);
        return;
    }
    g->answered = kvr_clock_ms();
    if (g->out) g->registered = false;
    g->out = BRIDGE_OUT_NO;
    if (is_to_be_asked(g)) {
        g->asked++;
        engine_probe_learn(g->probe, wishes(g));
    }
    renew(g);
}

// Nothing is known against it, so it stays what it was: who is short of descriptors himself must not drain
// a fleet for it.
static void on_unasked(void *ctx) {
    struct bridge_engine *g = ctx;
    if (!g->unasked)
        kvr_log_line(KVR_LOG_ERROR,
                     "%s can't be asked: descriptors or memory are short here, or the resolver is "
                     "silent",
                     g->config->name);
    g->unasked = true;
    if (!g->trouble) renew(g);
}

// The ranks are where they were, or they begin anew.
static void take_sources(struct bridge_engine *g, struct engine_sources *told) {
    if (*g->config->events) return;
    if (!engine_sources_equal(&g->sources, told)) {
        struct engine_sources old = g->sources;
        stop_ranks(g);
        g->sources = *told;
        *told = old;
        g->wanted = g->config->ranks;
    }
    bool untold = lacks_sources(g);
    if (untold && !g->untold)
        kvr_log_line(KVR_LOG_ERROR,
                     "%s doesn't say where its events are: start it with events, or give `events`",
                     g->config->name);
    g->untold = untold;
}

// Copies are counted otherwise of one kind than of the others.
static void take_kind(struct bridge_engine *g, const struct engine_probe_facts *facts) {
    bool was = g->own.kind == ENGINE_KIND_SGLANG;
    if (g->asks_kind && facts->kind != ENGINE_KIND_ANY) g->own.kind = facts->kind;
    if (was != (g->own.kind == ENGINE_KIND_SGLANG)) stop_ranks(g);
    if (g->config->role == ENGINE_ROLE_ASK && !(facts->unheard & ENGINE_PROBE_ROLE))
        g->role = facts->role;
}

static void on_learned(void *ctx, struct engine_probe_facts *facts) {
    struct bridge_engine *g = ctx;
    bool first;
    uint32_t ranks = facts->ranks;
    g->informed = !facts->unheard; // else it is asked again
    if (g->informed) g->asked = 0;
    take_kind(g, facts);
    if (!(facts->unheard & ENGINE_PROBE_SOURCES)) take_sources(g, &facts->sources);
    if (!*g->config->events) ranks = (uint32_t)g->sources.n;
    first = !g->wanted;
    if (!g->config->block_size && facts->block_size) g->block_size = facts->block_size;
    if (facts->cache_tokens) g->cache_tokens = facts->cache_tokens;
    if (ranks > KVR_MAX_RANKS) ranks = KVR_MAX_RANKS;
    if (!g->config->ranks && ranks && g->wanted && ranks != g->wanted) {
        kvr_log_line(KVR_LOG_WARNING, "%s had %" PRIu32 " ranks, now %" PRIu32, g->config->name,
                     g->wanted, ranks);
        stop_ranks(g);
        g->wanted = ranks;
    }
    if (!g->wanted && !(facts->unheard & ENGINE_PROBE_RANKS)) g->wanted = ranks ? ranks : 1;
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
    // While an answer may still come, the engine is as it was.
    bool waits = g->probe && !engine_probe_check(g->probe);
    if (!g->probe || (waits && !g->trouble)) renew(g);
}

struct bridge_engine *bridge_engine_new(const struct bridge_context *context,
                                        const struct bridge_engine_config *config) {
    char error[200] = "no memory";
    struct bridge_engine *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->context = context;
    g->own = *config;
    g->config = &g->own;
    g->lent = config->lent;
    g->asks_kind = config->kind == ENGINE_KIND_ANY;
    if (config->role != ENGINE_ROLE_ASK) g->role = (enum kvr_role)config->role;
    g->wanted = config->ranks;
    g->block_size = config->block_size;
    g->trouble = *config->http ? "hasn't answered yet" : NULL;
    g->tick = event_new(context->base, -1, 0, on_tick, g);
    struct engine_probe_port port = {g, on_health, on_unasked, on_learned};
    if (*config->http)
        g->probe = engine_probe_new(context->http, config->http, config->health, config->kind,
                                    &port, error, sizeof error);
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
    engine_probe_free(g->probe);
    engine_sources_free(&g->sources);
    g->freed = true;
    if (!g->calls) free(g);
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
    engine_probe_free(g->probe);
    g->probe = NULL;
    if (l && g->told && g->context->config->exit != BRIDGE_EXIT_LEAVE) {
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
    if (g->other_size) return true;
    if (!g->wanted || g->n_ranks < g->wanted) return false;
    for (uint32_t i = 0; i < g->n_ranks; i++)
        if (!bridge_rank_settled(g->ranks[i])) return false;
    return true;
}
