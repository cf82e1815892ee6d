// SPDX-License-Identifier: Apache-2.0
#include "policy.h"

#include <string.h>
#include <strings.h>

//   prefill = max((prefill_tokens + isl) / block_size - overlap_weight * credit, 0)
//   decode  = decode_blocks + blocks - live_prefix
//   cost    = prefill_weight * prefill + decode + requests_weight * requests
static void linear(const struct kvr_policy_in *in, double *restrict cost) {
    const double *restrict credit = in->credit, *restrict queued = in->prefill_tokens;
    const double *restrict decode = in->decode_blocks, *restrict live = in->live_prefix;
    const double *restrict requests = in->requests;
    double isl = in->isl, block_size = in->block_size, blocks = in->blocks;
    double overlap_weight = in->overlap_weight, prefill_weight = in->prefill_weight;
    double requests_weight = in->requests_weight;
    for (size_t i = 0; i < in->n; i++) {
        double prefill = (queued[i] + isl) / block_size - overlap_weight * credit[i];
        prefill = prefill > 0 ? prefill : 0;
        cost[i] = prefill_weight * prefill + (decode[i] + blocks - live[i]) +
                  requests_weight * requests[i];
    }
}

// Four significant bits are left: estimates are no better, and of instances that cost about the same
// the one that was booked longest ago is the best. (Dekker's splitting; half goes to even.)
static double coarse(double x) {
    double t = x * (0x1p49 + 1);
    return t - (t - x);
}

// What the request adds to the waiting of everybody, in tokens of prefill; derived in docs/choosing.md.
//   own   = max(isl - max(overlap_weight * credit, live_prefix) * block_size, 0)     it has to compute
//   later = arrivals * (queue + own / 2)                   who comes while the queue and this prompt last
//   waits = first_weight * queue + own * (first_weight + requests + first_weight * later)
//   cost  = (prefill_weight * waits + output * requests) / block_size * pace + requests_weight * requests
// What is computed pushes as much out of a full cache, and `reuse` of that is computed again: so own
// counts 1 + reuse * full times.
static void delay(const struct kvr_policy_in *in, double *restrict cost) {
    const double *restrict credit = in->credit, *restrict queue = in->queue;
    const double *restrict live = in->live_prefix, *restrict requests = in->requests;
    const double *restrict pace = in->pace, *restrict full = in->full;
    double isl = in->isl, block_size = in->block_size, overlap_weight = in->overlap_weight;
    double prefill_weight = in->prefill_weight, requests_weight = in->requests_weight;
    double output = in->output, first = in->first_weight, arrivals = in->arrivals;
    double reuse = in->reuse;
    for (size_t i = 0; i < in->n; i++) {
        // Worded so that there is nothing to branch for.
        double known = overlap_weight * credit[i], prefix = live[i];
        known = (known > prefix ? known : prefix) * block_size;
        double own = isl - (known < isl ? known : isl);
        double later = first * arrivals * (queue[i] + own / 2);
        double waits =
            first * queue[i] + own * (1 + reuse * full[i]) * (first + requests[i] + later);
        cost[i] = (prefill_weight * waits + output * requests[i]) / block_size * pace[i] +
                  requests_weight * requests[i];
    }
    for (size_t i = 0; !in->exact && i < in->n; i++)
        cost[i] = coarse(cost[i]);
}

const struct kvr_policy kvr_policies[] = {
    [KVR_LINEAR] = {"linear", "queued and own prefill less what is cached, plus live blocks",
                    linear, false},
    [KVR_DELAY] = {"delay", "what the request adds to the waiting of everybody", delay, true},
};
const size_t kvr_policy_count = sizeof kvr_policies / sizeof *kvr_policies;

int kvr_policy_find(const char *name, size_t len) {
    for (size_t i = 0; i < kvr_policy_count; i++) {
        const char *own = kvr_policies[i].name;
        if (strlen(own) == len && strncasecmp(own, name, len) == 0) return (int)i;
    }
    return -1;
}
