// SPDX-License-Identifier: Apache-2.0
// One engine: its ranks, its registration as a worker, what it says of itself.
//
//   feed ──> stream ──> decoder ──> map ──> publisher ──> the pool         for each rank
//   health ──> KVROUTE.WORKER SET                                          for the engine
//
// The ranks begin as soon as it is known how many there are and how large the pool's blocks are,
// whether the engine is up or not: events of an engine that isn't registered wait in the publisher.
// The worker is registered at the first answer of the health endpoint, when the engine has also been
// asked what it is (its cache's size among that, for CAPACITY), and renewed at every later one, three times in its time to live; when the engine
// stops answering, the pool stops choosing it by itself, and its holdings stay for the case that it comes
// back as it was. `down` may say otherwise: the worker is drained at the first check that fails, or
// removed when it would have expired.
//
// An engine whose blocks have another size than the pool's is refused: it is neither registered nor
// listened to, because nothing it says would fit.
#ifndef BRIDGE_ENGINE_H
#define BRIDGE_ENGINE_H

#include <kvroute/publisher.h>

#include "config.h"
#include "feed.h"
#include "health.h"
#include "map.h"
#include "stream.h"

struct engine;

struct rank {
    struct engine *engine;
    uint32_t number;
    struct kvr_publisher *publisher;
    struct feed *feed;
    struct event *timer, *rebuild;
    struct map map;
    struct stream stream;
    int64_t rebuilt; // ms, the last time because of too many blocks
    bool warned_size, warned_rank;
    uint64_t bad_events, unknown_events, other_rank; // other_rank: batches that say so
};

// What engines share.
struct surroundings {
    struct event_base *base;
    void *zmq;
    struct kvr_client *client;
    struct decoder *decoder;
    const struct config *config;
    uint32_t block_size; // the pool's; 0: not known yet
    uint64_t secret;
    void (*log)(enum kvr_level level, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
};

struct engine {
    struct surroundings *around;
    const struct engine_config *config;
    struct health *health;
    struct event *tick;
    struct rank **ranks;      // one by one, because a stream is large and doesn't move
    uint32_t n_ranks, wanted; // wanted: 0, not known yet
    uint32_t block_size;      // 0: not known
    int64_t cache_tokens;     // that a rank has room for, as the engine says; 0: not known
    bool up, registered, refused, informed;
    int64_t answered; // ms, when the engine last did
    bool put_down;    // the pool has been told that it doesn't
    unsigned asked;   // how often it was asked what it is, since it last answered that
    uint64_t checks, failures;
};

// NULL, having said why.
struct engine *engine_new(struct surroundings *around, const struct engine_config *config);
void engine_free(struct engine *g);
// Looks again at what is known: the pool's block size may be.
void engine_consider(struct engine *g);
// The last word on the worker. done(ctx) when the pool has it.
void engine_leave(struct engine *g, void (*done)(void *ctx), void *ctx);
int64_t
engine_capacity(const struct engine *g);       // blocks of the pool's size a rank has; 0: not known
bool engine_connected(const struct engine *g); // to all its ranks' events
bool engine_settled(const struct engine *g);   // all that was heard is in the pool

#endif
