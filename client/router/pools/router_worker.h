// SPDX-License-Identifier: Apache-2.0
// A worker as a pool last listed it, and what this router knows of it besides. Knows nothing of pools.
#ifndef ROUTER_WORKER_H
#define ROUTER_WORKER_H

#include <jansson.h>
#include <kvroute/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What this router itself knows of a worker. It is kept when the list of workers is replaced.
struct router_worker_local {
    // Until then another is chosen if there is one: its queue was full, or it couldn't be asked.
    int64_t avoid_until_us;
    bool aborts;               // its last answer was aborted: one that begins well may end so again
    int64_t tokenize_again_us; // when it may be asked for token ids: it didn't answer, or can't
    int64_t heard_us;          // when it last sent anything; 0: never
    int64_t changed_us; // when its state, or whether its circuit is closed, was seen to change
    unsigned live;      // requests of this router
    // What it says that it serves: by the name of a model, what its /v1/models says of it; NULL: nothing yet.
    json_t *serves;
    bool asked;              // what it serves has been asked: it answered, or it didn't
    int64_t learn_again_us;  // when it is asked that again
    int64_t check_again_us;  // when it is probed, if it is silent until then
    int64_t render_again_us; // when it is asked again whether it renders
    bool renders;            // it can make token ids of whole requests
    json_t *facts;           // what its bootstrap port says; NULL: it is to be asked
    int64_t facts_us;        // when it said so
    // For choices without the pool (router_degraded.h).
    int64_t chosen_us; // when the last one was
    uint32_t turn;     // its next rank
};

struct router_worker {
    char name[KVR_MAX_NAME + 1], addr[KVR_MAX_ADDR + 1];
    enum kvr_state state;
    enum kvr_circuit circuit;
    enum kvr_role role;
    int64_t drain_left; // ms until its requests are to move, as of seen_us; −1: no such time
    int64_t failures;   // since its last good answer
    uint32_t ranks;
    int64_t capacity;     // blocks an instance; 0: unknown
    int64_t max_requests; // an instance; 0: the pool's
    int64_t ttl_left;     // ms; −1: for ever
    int64_t held[KVR_TIERS], requests, prefill_tokens, decode_blocks; // of all ranks
    double ttft, tpot; // ms, means of ranks; −1: unknown
    double speed;      // 0: the pool measures it
    json_t *labels;    // texts; NULL: none
    struct router_worker_local here;
};

// What the pool says of it, without what is known here. Its labels are a reference of its own.
void router_worker_copy(struct router_worker *out, const struct kvr_worker *w);
// One of which only this is known; with references to nothing. Longer names are cut.
void router_worker_suppose(struct router_worker *out, const char *name, const char *addr);
// Takes over what is known here of `old`, with references of its own to it.
void router_worker_inherit(struct router_worker *w, const struct router_worker *old);
void router_worker_drop(struct router_worker *w); // the references that it has

// Of the same name and address.
bool router_worker_is_same(const struct router_worker *a, const struct router_worker *b);
// Whether it is one of these n.
bool router_worker_is_among(const struct router_worker *w, const struct kvr_bytes *names, size_t n);
// Where the one of that name is among n by their names, or would be. order: where each of them is, by name, by bytes;
// NULL: they stand in that order themselves.
size_t router_worker_place(const struct router_worker *all, const uint32_t *order, size_t n,
                           struct kvr_bytes name, bool *known);
// The one of that name; NULL: there is none.
struct router_worker *router_worker_find(struct router_worker *all, const uint32_t *order, size_t n,
                                         struct kvr_bytes name);

#endif
