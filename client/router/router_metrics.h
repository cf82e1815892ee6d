// SPDX-License-Identifier: Apache-2.0
// Counters and histograms, and /metrics, which shows them in Prometheus' text form or, to who accepts
// it, in OpenMetrics'. What an exchange's record says is counted here when it ends; what lies within
// one is told by the functions below.
#ifndef ROUTER_METRICS_H
#define ROUTER_METRICS_H

#include <kvroute/client.h>
#include <stdbool.h>
#include <stdint.h>

struct router;
struct router_exchange;
struct router_pool;
struct router_metrics;

struct router_metrics *router_metrics_new(void);
void router_metrics_free(struct router_metrics *m);

void router_metrics_done(struct router *r, const struct router_exchange *x);
void router_metrics_lost_line(struct router_metrics *m); // of the access log

// An answer to a command of the pool, so many µs after the call.
void router_metrics_select(struct router_metrics *m, int64_t us, const struct kvr_result *r);
// A piece of a stream, so many µs after the one before.
void router_metrics_gap(struct router_metrics *m, int64_t us);
// How a try of a request on a worker has ended; a request that is tried again is a retry.
enum router_engine_outcome {
    ROUTER_ENGINE_OK,
    ROUTER_ENGINE_REFUSED,
    ROUTER_ENGINE_FAILED,
    ROUTER_ENGINE_CUT,
    ROUTER_ENGINE_CANCELLED
};
void router_metrics_engine(struct router_metrics *m, const struct router_pool *p,
                           const char *worker, enum router_engine_outcome outcome);
// What an engine said that was asked for the tokens of a prompt.
enum router_tokens_outcome {
    ROUTER_TOKENS_OK,
    ROUTER_TOKENS_REFUSED,
    ROUTER_TOKENS_FAILED,
    ROUTER_TOKENS_NONE
}; // none: it can't
void router_metrics_tokens(struct router_metrics *m, enum router_tokens_outcome outcome);
void router_metrics_retry(struct router_metrics *m,
                          bool allowed); // not allowed: the budget was spent

// For the page: requests that came in and choices since the start.
struct router_metrics_sums {
    uint64_t requests, selects, degraded, retries, blocks, overlap;
};
void router_metrics_sums(const struct router_metrics *m, struct router_metrics_sums *out);

void router_metrics_handle(struct router_exchange *x); // GET /metrics

#endif
