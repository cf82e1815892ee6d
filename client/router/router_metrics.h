// SPDX-License-Identifier: Apache-2.0
// What is counted. What an exchange's record says is counted when it ends, the rest where it happens.
// front/router_metrics_page.c shows it.
#ifndef ROUTER_METRICS_H
#define ROUTER_METRICS_H

#include <kvroute/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/common/prometheus.h"

struct router_exchange;

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

enum { ROUTER_METRICS_ROUTES = 32, ROUTER_METRICS_STATUSES = 24, ROUTER_METRICS_WORKERS = 4096 };

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
    uint64_t lost_lines;               // of the access log
    uint64_t cut, gone;
    uint64_t blocks, overlap, expected, input, output, in_bytes, out_bytes, requests;
    struct router_worker_metrics *workers; // by pool and name
    size_t n_workers;
    uint64_t workers_unnamed; // tries on workers beyond ROUTER_METRICS_WORKERS
};

struct router_metrics *router_metrics_new(void);
void router_metrics_free(struct router_metrics *m);

// route: its name, NULL: there is none for it.
void router_metrics_exchange(struct router_metrics *m, const struct router_exchange *x,
                             const char *route);
// An answer to SELECT, so many µs after the call.
void router_metrics_select(struct router_metrics *m, int64_t us, const struct kvr_result *r);
void router_metrics_engine(struct router_metrics *m, const char *pool, const char *worker,
                           enum router_engine_outcome outcome);

#endif
