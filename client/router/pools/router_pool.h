// SPDX-License-Identifier: Apache-2.0
// One pool: its libkvroute handle, what is known of its workers, and what is told to it.
#ifndef ROUTER_POOL_H
#define ROUTER_POOL_H

#include <jansson.h>
#include <kvroute/client.h>
#include <stdbool.h>

#include "client/router/prompt/router_prompt.h"
#include "client/router/router_config.h"
#include "router_absent.h"
#include "router_queue.h"
#include "router_worker.h"

struct router;
struct router_neighbours;
struct router_refused_release;

// Why a stream left its engine.
enum router_migration_why {
    ROUTER_MIGRATION_BROKEN,
    ROUTER_MIGRATION_SILENT,
    ROUTER_MIGRATION_DEAD,
    ROUTER_MIGRATION_ABORTED,
    ROUTER_MIGRATION_ERROR,
    ROUTER_MIGRATION_DRAIN,
    ROUTER_MIGRATION_WHYS
};

enum router_pool_act { ROUTER_POOL_BOOKINGS, ROUTER_POOL_REGISTRATIONS };

struct router_pool {
    struct router_pool *next;
    struct router_pool_config options; // its own copy
    char where[200];                   // its Redis, without what is secret
    struct kvr_client *client;
    uint32_t block_size;           // 0: not known yet
    char policy[24];               // "": not known yet
    int64_t predict, lease;        // ms, of the pool; 0: none
    bool has_sessions;             // its module knows sessions
    bool has_queue;                // its module knows waiting, classes and flows
    bool has_pairs;                // its module chooses two engines for a request
    struct router_worker *workers; // by name, as of seen_us; may be old when Redis is away
    uint32_t *supposed; // the places of those that were never seen, by name; they are as they came
    size_t n_workers;
    struct router_absent absent; // that were listed until a moment ago
    size_t failing;              // of these, the ones with failures
    int64_t seen_us;             // when that list came; 0: never
    int64_t sent_us;             // when it was asked for: what it says was so at some time between
    int64_t asked_us;            // when the one that is under way was
    bool was_empty;              // a list has come: the first, if it is empty, doesn't count
    bool denied;                 // this router may not renew engines that joined by HTTP
    // One that isn't there is only created when an engine has said how large its blocks are.
    bool lacks_size;
    // From KVROUTE.INFO, for the page and the metrics.
    int64_t selects, select_blocks, overlap_blocks, expected_blocks, requests, blocks, version;
    // By enum router_pool_act: what it last said to such a command, OK if it takes them, and when.
    enum kvr_code refuses[2];
    int64_t refused_us[2];
    int64_t instances;                             // that may be chosen
    int64_t max_requests, max_prefill, max_blocks; // what one of them has room for; 0: no limit
    int64_t scale_target;                          // the setting
    uint64_t continued[ROUTER_MIGRATION_WHYS];     // streams that went on elsewhere
    struct router_queue queue;
    void (*queue_asked)(struct router_pool *p); // what its answers end in
    enum kvr_code last;                         // what the last refresh said
    char said[120];                             // and in words; "" if all is well
    // Since when there is trouble, as router_pool_look_for_trouble saw it; 0: none.
    int64_t trouble_us;
    struct router_neighbours *neighbours; // NULL: nobody asked yet
    // Bookkeeping.
    struct router_refused_release *refused; // releases that the handle didn't take
    uint64_t unsent;                        // calls that it didn't take
    unsigned uses, asking, quiet; // by exchanges; questions under way; refreshes without use
    unsigned asking_neighbours;   // questions under way
};

// NULL with a reason.
struct router_pool *router_pool_open(struct router *r, const struct router_pool_config *o,
                                     char *error, size_t error_size);
void router_pool_close(struct router_pool *p);
// Takes its INFO, or the list of its workers, which somebody has asked for, at sent_us.
void router_pool_take_info(struct router_pool *p, const struct kvr_result *r);
void router_pool_take_workers(struct router_pool *p, const struct kvr_result *r, int64_t sent_us);
// Asks for its workers and its INFO, unless it is being asked.
void router_pool_refresh(struct router_pool *p);

// That size, of a pool that lacks it; 0: engines don't say it. It is created, if it isn't there.
void router_pool_create(struct router_pool *p, uint32_t block_size);

// An engine that is to be a worker there: until the pool has been seen, these are what is known of it. False: no
// memory.
bool router_pool_suppose(struct router_pool *p, const char *name, const char *addr,
                         enum kvr_role role, uint32_t ranks, int64_t capacity);
// NULL: not known (any more).
struct router_worker *router_pool_worker(const struct router_pool *p, struct kvr_bytes name);
// How prompts become blocks there.
struct router_prompt_config router_pool_prompt_config(const struct router_pool *p);
bool router_pool_degraded(const struct router_pool *p); // there is no primary now
// Why choices are made without the pool, in a word; NULL: they aren't.
const char *router_pool_trouble(const struct router_pool *p);
void router_pool_look_for_trouble(struct router_pool *p); // notes since when there is some

// The pool's answer to such a command; what is new is logged. What the handle answers in its place says nothing.
void router_pool_answered(struct router_pool *p, enum router_pool_act act,
                          const struct kvr_result *r);
// The same of a worker's registration, as a kvr_done whose ctx is the pool.
void router_pool_registered(void *pool, const struct kvr_result *r);
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
