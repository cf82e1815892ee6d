// SPDX-License-Identifier: Apache-2.0
// One engine: its registration as a worker, its ranks, what it says of itself.
//
//   probe ──> KVROUTE.WORKER SET            for the engine
//   ranks ──> KVROUTE.EVENT                 for each rank, see bridge_rank.h
//
// The ranks begin as soon as it is known how many there are and how large the pool's blocks are,
// whether the engine is up or not: events of an engine that isn't registered wait in the publisher.
// The worker is registered at the first answer of the health endpoint, when the engine has also been
// asked what it is (its cache's size among that, for CAPACITY), and renewed at every later one, three
// times in its time to live. When the engine stops answering, the pool stops choosing it by itself, and
// its holdings stay in case it comes back as it was. `down` may say otherwise: the worker is drained at
// the first check that fails, or removed when it would have expired.
//
// An engine whose blocks have another size than the pool's is refused: it is neither registered nor
// listened to, because nothing it says would fit.
#ifndef BRIDGE_ENGINE_H
#define BRIDGE_ENGINE_H

#include "bridge_rank.h"
#include "engine_probe.h"

struct bridge_engine {
    const struct bridge_context *context;
    const struct bridge_engine_config *config;
    struct bridge_probe *probe; // NULL: it has no HTTP
    struct event *tick;
    struct bridge_rank **ranks; // one by one, because a batch order is large and doesn't move
    uint32_t n_ranks, wanted;   // wanted: 0, not known yet
    uint32_t block_size;        // 0: not known
    int64_t cache_tokens;       // that a rank has room for, as the engine says; 0: not known
    bool up, registered, refused, informed;
    int64_t answered; // ms, when the engine last did
    bool taken_out;   // the pool has been told that it doesn't answer
    unsigned asked;   // how often it was asked what it is, since it last answered that
};

// NULL, having said why.
struct bridge_engine *bridge_engine_new(const struct bridge_context *context,
                                        const struct bridge_engine_config *config);
void bridge_engine_free(struct bridge_engine *g);
// Looks again at what is known: the pool's block size may be.
void bridge_engine_update(struct bridge_engine *g);
// Drains or removes the worker, as configured. done(ctx) when the pool has it.
void bridge_engine_leave(struct bridge_engine *g, void (*done)(void *ctx), void *ctx);
// Blocks of the pool's size that a rank has; 0: not known.
int64_t bridge_engine_capacity(const struct bridge_engine *g);
bool bridge_engine_connected(const struct bridge_engine *g); // to all its ranks' events
bool bridge_engine_settled(const struct bridge_engine *g);   // all that was heard is in the pool

#endif
