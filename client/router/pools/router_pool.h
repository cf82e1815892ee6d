// SPDX-License-Identifier: Apache-2.0
// One pool: its libkvroute handle, what is known of its workers, and what is told to it.
#ifndef ROUTER_POOL_H
#define ROUTER_POOL_H

#include <jansson.h>
#include <kvroute/client.h>
#include <stdbool.h>

#include "client/router/prompt/router_prompt.h"
#include "client/router/router_config.h"

struct router;
struct router_refused_release;

// What this router itself knows of a worker. It is kept when the list of workers is replaced.
struct router_worker_local {
    int64_t avoid_until_us; // until then another is chosen if there is one: its queue was full
    int64_t
        tokenize_again_us; // until then it isn't asked for token ids: it didn't answer, or can't
    int64_t heard_us;      // when it last sent anything; 0: never
    unsigned live;         // requests of this router
    // For choices without the pool (router_degraded.h).
    int64_t chosen_us; // when the last one was
    uint32_t turn;     // its next rank
};

struct router_worker {
    char name[KVR_MAX_NAME + 1], addr[KVR_MAX_ADDR + 1];
    enum kvr_state state;
    enum kvr_circuit circuit;
    int64_t failures; // since its last good answer
    uint32_t ranks;
    int64_t capacity; // blocks an instance; 0: unknown
    int64_t ttl_left; // ms; −1: for ever
    int64_t held[KVR_TIERS], requests, prefill_tokens, decode_blocks; // of all ranks
    double ttft, tpot; // ms, means of ranks; −1: unknown
    double speed;      // 0: the pool measures it
    json_t *labels;    // texts; NULL: none
    struct router_worker_local here;
};

enum router_pool_act { ROUTER_POOL_BOOKINGS, ROUTER_POOL_REGISTRATIONS };

struct router_pool {
    struct router_pool *next;
    struct router_pool_config options; // its own copy
    struct kvr_client *client;
    uint32_t block_size;           // 0: not known yet
    int64_t predict, lease;        // ms, of the pool; 0: none
    bool has_sessions;             // its module knows sessions
    struct router_worker *workers; // by name, as of seen_us; may be old when Redis is away
    size_t n_workers;
    size_t failing;  // of these, the ones with failures
    int64_t seen_us; // 0: never
    // From KVROUTE.INFO, for the page and the metrics.
    int64_t selects, select_blocks, overlap_blocks, expected_blocks, requests, blocks, version;
    // By enum router_pool_act: what it last said to such a command, OK if it takes them, and when.
    enum kvr_code refuses[2];
    int64_t refused_us[2];
    enum kvr_code last; // what the last refresh said
    // Bookkeeping.
    struct router_refused_release *refused; // releases that the handle didn't take
    uint64_t unsent;                        // calls that it didn't take
    unsigned uses, asking, quiet; // by exchanges; questions under way; refreshes without use
};

// NULL with a reason.
struct router_pool *router_pool_open(struct router *r, const struct router_pool_config *o,
                                     char *error, size_t error_size);
void router_pool_close(struct router_pool *p);
// Asks for its workers and its INFO, unless it is being asked.
void router_pool_refresh(struct router_pool *p);

// NULL: not known (any more).
struct router_worker *router_pool_worker(const struct router_pool *p, struct kvr_bytes name);
// How prompts become blocks there.
struct router_prompt_config router_pool_prompt_config(const struct router_pool *p);
bool router_pool_degraded(const struct router_pool *p); // there is no primary now
// Why choices are made without the pool, in a word; NULL: they aren't.
const char *router_pool_trouble(const struct router_pool *p);

// The pool's answer to such a command; what is new is logged.
void router_pool_answered(struct router_pool *p, enum router_pool_act act,
                          const struct kvr_result *r);
// Counts a call that nobody waits for, if the handle didn't take it.
void router_pool_count(struct router_pool *p, enum kvr_code code);
// Releases a booking. A handle may refuse the call: too many are under way, or there is no memory. A booking
// that is never released weighs on its worker until its lease ends, so a refused release is kept.
void router_pool_release(struct router_pool *p, struct kvr_bytes id);
void router_pool_retry_releases(struct router_pool *p); // the refused ones; at every refresh
void router_pool_drop_releases(struct router_pool *p);  // the pool closes
// Whether all that was promised to it has been done.
bool router_pool_settled(const struct router_pool *p);

#endif
