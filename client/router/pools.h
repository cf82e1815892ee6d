// SPDX-License-Identifier: Apache-2.0
// The pools: a libkvroute handle for each, what is known of its workers, and the engines that this router
// registers itself.
//
// A pool that SIGHUP takes away stays until nothing uses it: an exchange has its pool from pools_take
// until its end, whatever happens to the options meanwhile.
#ifndef ROUTER_POOLS_H
#define ROUTER_POOLS_H

#include <jansson.h>
#include <kvroute/client.h>
#include <stdbool.h>

#include "router_config.h"

struct router;
struct router_exchange;

// What this router has seen of a worker by itself; it lasts from look to look.
struct seen_here {
    int64_t full_us;   // until then it isn't chosen if another can be: it had too much to do
    int64_t heard_us;  // when it last said something; 0: never
    int64_t chosen_us; // last, without the pool
    uint32_t turn;     // of its ranks, then
    unsigned live;     // requests of this router's
    int64_t mute_us;   // until then it isn't asked for tokens: it didn't answer, or can't
};

struct pool_worker {
    char name[KVR_MAX_NAME + 1], addr[KVR_MAX_ADDR + 1];
    enum kvr_state state;
    enum kvr_circuit circuit;
    int64_t failures; // since it last was good
    uint32_t ranks;
    int64_t capacity; // blocks an instance; 0: unknown
    int64_t ttl_left; // ms; −1: for ever
    int64_t held[KVR_TIERS], requests, prefill_tokens, decode_blocks; // of all ranks
    double ttft, tpot; // ms, means of ranks; −1: unknown
    double speed;      // 0: learnt
    json_t *labels;    // texts; NULL: none
    struct seen_here here;
};

enum pool_act { POOL_BOOKS, POOL_REGISTERS };

struct pool {
    struct pool *next;
    struct router *router;
    struct router_pool_config options; // of its own
    struct kvr_client *client;
    uint32_t block_size;         // 0: not known yet
    int64_t predict, lease;      // ms, of the pool; 0: none
    bool has_sessions;           // its module knows what they are
    struct pool_worker *workers; // by name, as of seen_us; may be old when Redis is away
    size_t n_workers;
    size_t failing;  // of these, the ones with failures
    int64_t seen_us; // 0: never
    // From KVROUTE.INFO, for the page and the metrics.
    int64_t selects, select_blocks, overlap_blocks, expected_blocks, requests, blocks, version;
    // By enum pool_act: what it last said to such a command, OK if it takes them, and when.
    enum kvr_code refuses[2];
    int64_t refused_us[2];
    enum kvr_code last; // of the last look
    // Bookkeeping.
    struct owed *owed; // see owed.h
    uint64_t unsent;   // calls that the handle didn't take
    unsigned uses, asking, quiet;
    bool retired;
};

struct pools;

// Opens what the options name. NULL with a reason.
struct pools *pools_new(struct router *r, char *error, size_t error_size);
// After the router's options were replaced: opens, keeps, retires. False with a reason: all is as it was.
bool pools_reload(struct pools *s, char *error, size_t error_size);
void pools_free(struct pools *s);
// Whether all that was promised to the pools has been done.
bool pools_settled(const struct pools *s);

struct pool *pools_first(const struct pools *s); // then ->next; retired ones are not among them
// The pool of that name; of that model; `model` NULL: the only or the first that takes any model.
// NULL: none.
struct pool *pools_named(const struct pools *s, const char *name);
struct pool *pools_for(const struct pools *s, const char *model);

void pools_take(struct router_exchange *x, struct pool *p); // once for each exchange
void pools_give_back(struct router_exchange *x);

// NULL: not known (any more).
struct pool_worker *pool_worker(const struct pool *p, struct kvr_bytes name);
bool pool_degraded(const struct pool *p); // there is no primary now
// The pool's answer to such a command; what is new is logged.
void pool_answered(struct pool *p, enum pool_act act, const struct kvr_result *r);
// Why choices are made without the pool, in a word; NULL: they aren't.
const char *pool_trouble(const struct pool *p);

#endif
