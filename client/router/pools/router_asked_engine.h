// SPDX-License-Identifier: Apache-2.0
// What an engine is, asked of it now and every minute, and sooner after an answer that didn't come (engine_probe.h).
// What it has said stays known while it doesn't answer.
#ifndef ROUTER_ASKED_ENGINE_H
#define ROUTER_ASKED_ENGINE_H

#include "client/engine/engine_probe.h"

struct router;
struct router_pool;

struct router_asked_engine {
    struct engine_probe *probe; // NULL: its URL can't be asked, or it wasn't opened
    unsigned wishes;            // of enum engine_probe_wish
    int64_t ask_at;             // ms
    uint32_t ranks;             // 0: not known
    int64_t cache_tokens;       // of a rank; 0: not known
    bool has_role;              // it has answered what it does of a pair: `role`
    enum kvr_role role;
    uint32_t block_size,
        other_size;             // 0: not known; other: of its blocks, if it was said in the log
    bool unsized;               // it has answered, and doesn't say its blocks' size
    void (*learned)(void *ctx); // it has answered, or not
    void *ctx;
};

// wishes: what isn't known of it; its block size is always asked for. Doesn't ask yet.
void router_asked_engine_open(struct router_asked_engine *a, struct h1_client *upstream,
                              const char *url, unsigned wishes, void (*learned)(void *ctx),
                              void *ctx);
void router_asked_engine_close(struct router_asked_engine *a);
void router_asked_engine_tick(struct router_asked_engine *a); // asks, if it is time
// Creates the pool if that waits for a size, and says in the log where the engine's blocks don't fit.
void router_asked_engine_compare(struct router_asked_engine *a, struct router_pool *p,
                                 const char *url);

// A probe of an engine of which only its URL is known: its health is asked for at the path of the settings, or, where
// that is the usual one, at its kind's. NULL with a reason, see engine_probe_new.
struct engine_probe *router_asked_engine_probe(const struct router *r, const char *url,
                                               const struct engine_probe_port *port, char *error,
                                               size_t error_size);

#endif
