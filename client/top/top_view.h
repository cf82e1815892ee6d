// SPDX-License-Identifier: Apache-2.0
// What is known of pools, out of replies. Knows neither terminals nor connections nor clocks: times come in as
// arguments, ms of a clock that never goes back. What a pool said last stays until it says something newer, so there
// is something to look at while Redis is away.
#ifndef TOP_VIEW_H
#define TOP_VIEW_H

#include <kvroute/client.h>

#include "client/common/arena.h"
#include "top_config.h"
#include "top_history.h"

// Fields of KVROUTE.INFO; their names are in top_count_names.
enum top_count {
    TOP_VERSION,
    TOP_BLOCK_SIZE,
    TOP_WORKERS,
    TOP_INSTANCES,
    TOP_ELIGIBLE,
    TOP_OPEN_CIRCUITS,
    TOP_BLOCKS,
    TOP_HOLDINGS,
    TOP_PREDICTED,
    TOP_MEMORY,
    TOP_REQUESTS,
    TOP_SESSIONS,
    TOP_WAITING,
    TOP_WAITING_TOKENS,
    TOP_SELECTS,
    TOP_REPEATS,
    TOP_SELECT_BLOCKS,
    TOP_OVERLAP_BLOCKS,
    TOP_EXPECTED_BLOCKS,
    TOP_ADMITTED,
    TOP_REFUSED,
    TOP_LIMITED,
    TOP_EVENTS,
    TOP_GAPS,
    TOP_STALE,
    TOP_EXPIRED_REQUESTS,
    TOP_EXPIRED_WORKERS,
    TOP_MAXREQUESTS,
    TOP_COUNTS,
};
extern const char *const top_count_names[TOP_COUNTS];

// A worker as the pool said it, and its ranks together. Texts are printable, see top_text.h.
struct top_worker {
    struct kvr_worker said;         // its bytes and arrays are this list's
    const char *name, *addr, *tags; // tags: the labels, with blanks between
    int64_t requests, limit;        // limit: of all ranks; 0: none
    int64_t prefill_tokens, decode_blocks;
    int64_t held[KVR_TIERS], capacity; // blocks, of all ranks; capacity 0: unknown
    double ttft, tpot;                 // ms, the mean of the ranks that know it; -1: none does
};

struct top_class {
    struct kvr_class said;
    const char *name;
    int64_t admitted; // since the list before; -1: unknown
};

struct top_flow {
    struct kvr_flow said;
    const char *name;
};

struct top_queued {
    struct kvr_queued said;
    const char *request, *service_class, *flow;
};

// Whom a prompt that nobody has cached would go to, as EXPLAIN weighs it.
struct top_candidate {
    struct kvr_candidate said;
    const char *name, *reason;
};

// A list and the memory of all that is in it. A newer one takes its place as a whole.
struct top_list {
    struct kvr_arena arena;
    void *items;
    size_t n;
    bool known; // it was answered once
};

enum {
    TOP_MAX_CLASSES = 1000,
    TOP_MAX_FLOWS = 1000,
    TOP_MAX_QUEUED = 50,
    TOP_MAX_CANDIDATES = 200
};
enum { TOP_PROMPT = 1024 }; // tokens of the prompt that is explained

// How the pool is reached.
struct top_link {
    bool connected;
    bool ever;           // it was connected once
    int64_t since;       // when `connected` became what it is
    int64_t since_date;  // the same, s since 1970
    char primary[128];   // its address; of the last one while there is none
    char was[128];       // the primary before this one; "": there was none
    uint64_t connects;   // primaries reached so far
    uint64_t failovers;  // times that the primary was lost and one was found again
    uint64_t losses;     // of these, when writes may have been lost
    int64_t last_gap;    // ms, how long the last one took
    int64_t failed_date; // when that was over
    char trouble[160];   // what the library said last while it wasn't connected
};

struct top_server {
    bool known;
    char version[32]; // "7.0.15", or "valkey 8.1.3"
    int64_t uptime;   // ms
    bool replica;     // it is one itself: then of replicas nothing is known
    int64_t replicas, lag,
        behind; // lag: the most of them, ms since it last said something; behind: bytes
};

struct top_pool {
    char key[TOP_MAX_KEY];
    const char *name; // printable
    enum kvr_code code;
    char message[160]; // what the last answer said that wasn't good; "": all is well
    bool known;        // INFO was answered once
    char policy[32];
    int64_t counts[TOP_COUNTS],
        before[TOP_COUNTS]; // of the last INFO and the one before it; -1: not said
    int64_t at, before_at;  // when these came; before_at -1: there was none
    struct top_history history;
    struct top_link link;
    struct top_server server;
    struct kvr_queue_length queue;
    struct top_list workers, classes, flows, queued; // of the structs above
    struct top_list candidates;                      // as the lists above
    char verdict[80];                                // what EXPLAIN said of them together
    struct top_list more_flows;                      // the list that is coming in parts
    bool flows_cut;                                  // there are more than TOP_MAX_FLOWS
};

struct top_view {
    struct kvr_arena arena; // names of pools
    struct top_pool *pools[TOP_MAX_POOLS];
    size_t n_pools;
    bool more_pools;   // there are others that found no room
    int64_t refresh;   // ms
    char trouble[160]; // why pools can't be looked for; "": nothing is wrong
};

void top_view_init(struct top_view *v, int64_t refresh);
void top_view_free(struct top_view *v);
// The pool of that key, made if it isn't there. NULL: no memory, or there are TOP_MAX_POOLS already.
struct top_pool *top_view_pool(struct top_view *v, struct kvr_bytes key);

// What was answered. A result that isn't good leaves all as it was and is kept as the pool's `code`. Results that go
// with each other are taken in this order: info, workers, and the others as they come.
void top_view_info(struct top_pool *p, const struct kvr_result *r, int64_t now);
void top_view_workers(struct top_pool *p, const struct kvr_result *r);
void top_view_classes(struct top_pool *p, const struct kvr_result *r);
void top_view_queue(struct top_pool *p, const struct kvr_result *r);
// A part of the list of flows; `first`: the list begins anew. Whether another part is wanted.
bool top_view_flows(struct top_pool *p, const struct kvr_result *r, bool first);
void top_view_explanation(struct top_pool *p, const struct kvr_result *r);
void top_view_server(struct top_pool *p, const struct kvr_result *r);
// How the handle is; date: now, s since 1970.
void top_view_link(struct top_pool *p, const struct kvr_client_stats *s, int64_t now, int64_t date);

// A second of it, between the last two INFOs. Negative: unknown; a server that has begun anew counts so.
double top_view_rate(const struct top_pool *p, enum top_count c);
// `part` of the blocks of all selects; ever: of all that the pool has seen, else between the last two INFOs. Negative: there
// were none.
double top_view_share(const struct top_pool *p, enum top_count part, bool ever);

#endif
