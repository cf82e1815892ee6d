// SPDX-License-Identifier: Apache-2.0
// What is counted. What an exchange's record says is counted when it ends, the rest where it happens.
// front/router_metrics_page.c shows it.
#ifndef ROUTER_METRICS_H
#define ROUTER_METRICS_H

#include <kvroute/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/common/prometheus.h"
#include "router_minutes.h"
#include "router_shares.h"

struct router_exchange;
struct router_record;

// How a try of a request on a worker has ended.
enum router_engine_outcome {
    ROUTER_ENGINE_OK,
    ROUTER_ENGINE_REFUSED,
    ROUTER_ENGINE_FAILED,
    ROUTER_ENGINE_CUT,
    ROUTER_ENGINE_CANCELLED,
    ROUTER_ENGINE_OUTCOMES
};
// What an engine said that was asked for the tokens of a prompt; none: it can't.
enum router_tokens_outcome {
    ROUTER_TOKENS_OK,
    ROUTER_TOKENS_REFUSED,
    ROUTER_TOKENS_FAILED,
    ROUTER_TOKENS_NONE,
    ROUTER_TOKENS_OUTCOMES
};

enum {
    ROUTER_METRICS_ROUTES = 64,
    ROUTER_METRICS_STATUSES = 24,
    ROUTER_METRICS_WORKERS = 4096,
    ROUTER_METRICS_BECAUSES = 32,
    ROUTER_METRICS_KEEP_S =
        300, // a worker that has gone is shown for so long after its last request
};

struct router_route_metrics {
    const char *name; // of the route, "none": there was none
    struct {
        int status; // 0: all that found no place
        uint64_t n;
    } statuses[ROUTER_METRICS_STATUSES];
    struct kvr_prom_histogram duration;
};

struct router_worker_metrics {
    char pool[129], worker[KVR_MAX_NAME + 1];
    uint64_t tries[ROUTER_ENGINE_OUTCOMES];
    int64_t last_us; // when a try ended last
};

struct router_metrics {
    struct router_route_metrics routes[ROUTER_METRICS_ROUTES]; // by their first request
    size_t n_routes;
    struct kvr_prom_histogram first, select;
    struct kvr_prom_histogram gap; // between two pieces of a stream
    // Streams whose first token the pool had predicted: both times, and how far they are apart. The
    // last is a share of what it was, in millionths, as the others are in µs.
    struct kvr_prom_histogram ttft, ttft_predicted, ttft_error;
    uint64_t select_codes[KVR_CODE_CLOSED + 1];
    uint64_t degraded, tokens[ROUTER_TOKENS_OUTCOMES];
    uint64_t retries, retries_refused; // refused: the budget was spent
    // Streams that broke visibly, by why they didn't go on (enum router_because).
    uint64_t streams_lost[ROUTER_METRICS_BECAUSES];
    uint64_t local_failures; // tries for which something of this machine's was missing
    uint64_t prefills[ROUTER_ENGINE_OUTCOMES]; // legs that compute a prompt for another engine
    uint64_t prefills_unused;                  // answers without anything for that one
    struct kvr_prom_histogram prefill;
    uint64_t bodies_apart; // read in the thread
    uint64_t lost_lines;   // of the access log
    uint64_t cut, gone;
    uint64_t blocks, overlap, expected, input, output, in_bytes, out_bytes, requests;
    struct router_worker_metrics *workers; // by pool and name
    size_t n_workers;
    uint64_t workers_unnamed; // tries on workers beyond ROUTER_METRICS_WORKERS
    int64_t looked_us;        // for old ones, since there was no room
    struct router_minutes own_minutes;
    struct router_minutes *minutes; // own_minutes, or those that other processes read, too
    struct router_shares shares;
};

struct router_metrics *router_metrics_new(void);
void router_metrics_free(struct router_metrics *m);

// route: its name, NULL: there is none for it.
void router_metrics_exchange(struct router_metrics *m, struct router_exchange *x,
                             const char *route);
// A stream goes on: its first token is there, or so many tokens are.
void router_metrics_first(struct router_metrics *m, int64_t now_us, int64_t first_us);
void router_metrics_tokens(struct router_metrics *m, struct router_record *c, int64_t now_us,
                           int64_t tokens);
// An answer to SELECT, so many µs after the call; waiting for room isn't counted.
void router_metrics_select(struct router_metrics *m, int64_t us, const struct kvr_result *r);
void router_metrics_engine(struct router_metrics *m, const char *pool, const char *worker,
                           enum router_engine_outcome outcome);
// Forgets the workers that haven't been tried for ROUTER_METRICS_KEEP_S and that nobody `knows`: names come
// and go with the pods they are of, and a series that can't change any more is only in the way.
void router_metrics_forget(struct router_metrics *m, int64_t now_us,
                           bool (*knows)(void *ctx, const char *pool, const char *worker),
                           void *ctx);

#endif
