// SPDX-License-Identifier: Apache-2.0
#include "router_asked_engine.h"

#include <inttypes.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/router/router.h"
#include "router_pool.h"

enum {
    ASKED_AGAIN_MS = 60000, // between two questions
    ASKED_RETRY_MS = 1000,  // after an answer that didn't come
};

static void on_learned(void *ctx, struct engine_probe_facts *f) {
    struct router_asked_engine *a = ctx;
    a->ask_at = kvr_clock_ms() + (f->unheard ? ASKED_RETRY_MS : ASKED_AGAIN_MS);
    if (f->ranks) a->ranks = f->ranks < KVR_MAX_RANKS ? f->ranks : KVR_MAX_RANKS;
    if (f->cache_tokens) a->cache_tokens = f->cache_tokens;
    if (f->block_size) a->block_size = f->block_size;
    a->unsized |= !f->block_size && !(f->unheard & ENGINE_PROBE_SIZE);
    if (a->wishes & ENGINE_PROBE_ROLE && !(f->unheard & ENGINE_PROBE_ROLE)) {
        a->has_role = true;
        a->role = f->role;
    }
    a->learned(a->ctx);
}

void router_asked_engine_open(struct router_asked_engine *a, struct h1_client *upstream,
                              const char *url, unsigned wishes, void (*learned)(void *ctx),
                              void *ctx) {
    char error[160];
    struct engine_probe_port port = {.ctx = a, .learned = on_learned};
    *a = (struct router_asked_engine){
        .wishes = wishes | ENGINE_PROBE_SIZE, .learned = learned, .ctx = ctx};
    a->probe = engine_probe_new(upstream, url, "", ENGINE_KIND_ANY, &port, error, sizeof error);
    if (!a->probe) kvr_log_line(KVR_LOG_WARNING, "engine %s", error);
}

void router_asked_engine_close(struct router_asked_engine *a) {
    engine_probe_free(a->probe);
    a->probe = NULL;
}

void router_asked_engine_tick(struct router_asked_engine *a) {
    int64_t now = kvr_clock_ms();
    if (!a->probe || now < a->ask_at) return;
    a->ask_at = now + ASKED_AGAIN_MS;
    engine_probe_learn(a->probe, a->wishes);
}

struct engine_probe *router_asked_engine_probe(const struct router *r, const char *url,
                                               const struct engine_probe_port *port, char *error,
                                               size_t error_size) {
    bool usual = strcmp(r->config.health, "/health") == 0;
    return engine_probe_new(r->upstream, url, usual ? "" : r->config.health, ENGINE_KIND_ANY, port,
                            error, error_size);
}

// Where what was sent counts as cached, blocks of any size will do.
void router_asked_engine_compare(struct router_asked_engine *a, struct router_pool *p,
                                 const char *url) {
    uint32_t size = a->block_size;
    bool other = size && p->block_size && !p->predict && size != p->block_size;
    if (size || a->unsized) router_pool_create(p, size);
    if (other && size != a->other_size)
        kvr_log_line(KVR_LOG_WARNING,
                     "pool %s: the engine at %s has blocks of %" PRIu32
                     " tokens, the pool's have %" PRIu32,
                     p->options.name, url, size, p->block_size);
    a->other_size = other ? size : 0;
}
