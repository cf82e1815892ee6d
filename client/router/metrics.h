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
struct exchange;
struct router_pool;
struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

void metrics_done(struct router *r, const struct exchange *x);
void metrics_lost_line(struct metrics *m); // of the access log

// An answer to a command of the pool, so many µs after the call.
void metrics_select(struct metrics *m, int64_t us, const struct kvr_result *r);
// A piece of a stream, so many µs after the one before.
void metrics_gap(struct metrics *m, int64_t us);
// How a try of a request on a worker has ended; a request that is tried again is a retry.
enum engine_outcome { ENGINE_OK, ENGINE_REFUSED, ENGINE_FAILED, ENGINE_CUT, ENGINE_CANCELLED };
void metrics_engine(struct metrics *m, const struct router_pool *p, const char *worker,
                    enum engine_outcome outcome);
// What an engine said that was asked for the tokens of a prompt.
enum tokens_outcome { TOKENS_OK, TOKENS_REFUSED, TOKENS_FAILED, TOKENS_NONE }; // none: it can't
void metrics_tokens(struct metrics *m, enum tokens_outcome outcome);
void metrics_retry(struct metrics *m, bool allowed); // not allowed: the budget was spent

// For the page: requests that came in and choices since the start.
struct metrics_sums {
    uint64_t requests, selects, degraded, retries, blocks, overlap;
};
void metrics_sums(const struct metrics *m, struct metrics_sums *out);

void metrics_handle(struct exchange *x); // GET /metrics

#endif
