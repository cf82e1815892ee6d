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
// the first check that fails, or removed when it would have expired. One that says itself that it answers
// nobody, because it is paused or asleep, is drained at once in any case.
//
// Where its events are, the engine is asked, too, unless the settings say it; and again while it isn't
// connected, because another life may publish elsewhere.
//
// An engine whose blocks have another size than the pool's is refused: it isn't registered, because
// nothing it says would fit, and drained if it was. If it says so itself, it isn't listened to either; if its
// events do, they may one day be of the right size, and then it is taken.
#ifndef BRIDGE_ENGINE_H
#define BRIDGE_ENGINE_H

#include "bridge_rank.h"
#include "client/engine/engine_probe.h"

enum bridge_out { BRIDGE_OUT_NO, BRIDGE_OUT_DRAINED, BRIDGE_OUT_REMOVED };

struct bridge_engine {
    const struct bridge_context *context;
    struct bridge_engine_config own;           // the settings, and its kind as it says itself
    const struct bridge_engine_config *config; // own
    bool asks_kind;                            // the settings don't say which it is
    bool lent;          // others have registered it, and renew it: only its events are of interest
    const void *source; // where it was found; NULL: nowhere. Whoever made it sets that
    bool seen;          // of whoever made it
    bool ending;        // it is to get nothing new
    unsigned calls;     // to the pool, that will be answered here
    bool freed;         // with the last of these answers it is no more
    enum kvr_role role; // what it does of a pair
    bool has_part;      // the pool was told of a role other than both
    struct engine_probe *probe; // NULL: it has no HTTP
    struct event *tick;
    struct bridge_rank **ranks;    // one by one, because a batch order is large and doesn't move
    uint32_t n_ranks, wanted;      // wanted: 0, not known yet
    uint32_t block_size;           // 0: not known
    int64_t cache_tokens;          // that a rank has room for, as the engine says; 0: not known
    struct engine_sources sources; // unless the settings have its endpoints
    const char *trouble;           // what is wrong with it, in a few words; NULL: it is up
    bool deliberate;               // and that by its own word
    bool registered, informed;
    bool told;    // the pool has been sent the worker: perhaps it has it, whatever was answered
    bool unasked; // it can't be asked whether it is well
    bool untold;  // it was asked where its events are, and didn't say
    uint32_t other_size; // it is refused, for blocks of this size; 0: it isn't
    int64_t answered;    // ms, when the engine last did
    enum bridge_out out; // what the pool has been told of its trouble
    unsigned asked;      // how often it was asked what it is, since it last answered that
};

// Copies the settings. NULL, having said why.
struct bridge_engine *bridge_engine_new(const struct bridge_context *context,
                                        const struct bridge_engine_config *config);
// What the pool has still to answer is waited for, which ends when the handle is closed.
void bridge_engine_free(struct bridge_engine *g);
// Whether it ends what it has and is to get nothing new: then the worker is drained.
void bridge_engine_set_ending(struct bridge_engine *g, bool ending);
// Looks again at what is known: the pool's block size may be.
void bridge_engine_update(struct bridge_engine *g);
// Drains or removes the worker, as configured. done(ctx) when the pool has it.
void bridge_engine_leave(struct bridge_engine *g, void (*done)(void *ctx), void *ctx);
// Blocks of the pool's size that a rank has; 0: not known.
int64_t bridge_engine_capacity(const struct bridge_engine *g);
bool bridge_engine_connected(const struct bridge_engine *g); // to all its ranks' events
bool bridge_engine_settled(const struct bridge_engine *g);   // all that was heard is in the pool

#endif
