// SPDX-License-Identifier: Apache-2.0
#include "policy.h"

#include <string.h>
#include <strings.h>

//   prefill = max((prefill_tokens + isl) / block_size - overlap_weight * credit, 0)
//   decode  = decode_blocks + blocks - live_prefix
//   cost    = prefill_weight * prefill + decode + requests_weight * requests
static void linear(const struct policy_in *in, double *restrict cost) {
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

// Two significant bits are left: estimates are no better, and of instances that cost about the same
// the one that was booked longest ago is the best. (Dekker's splitting; half goes to even.)
static double coarse(double x) {
    double t = x * (0x1p51 + 1);
    return t - (t - x);
}

// What the request adds to the waiting of everybody, in tokens of prefill:
//
//   own   = max(isl - overlap_weight * credit * block_size, 0)
//   waits = 4 * prefill_tokens + own * (8 + requests + prefill_tokens / 128)
//   cost  = (prefill_weight * waits + 256 * requests) / block_size + decode_blocks / 10
//         + requests_weight * requests, coarse
//
// It waits for what is queued, and everybody waits for its own prompt: the requests that are there
// (each step of an engine serves all of them) and those that will come while the queue lasts, one
// for each 128 tokens. To itself waiting weighs more: four times for the queue, eight for its own
// prompt. A request that decodes weighs 256 tokens of prefill, and ten blocks that it reads weigh
// one that is computed. Where these numbers come from: docs/simulator.md.
static void delay(const struct policy_in *in, double *restrict cost) {
    const double *restrict credit = in->credit, *restrict queued = in->prefill_tokens;
    const double *restrict decode = in->decode_blocks, *restrict requests = in->requests;
    double isl = in->isl, block_size = in->block_size, known = in->overlap_weight * block_size;
    double prefill_weight = in->prefill_weight, requests_weight = in->requests_weight;
    for (size_t i = 0; i < in->n; i++) {
        double own = isl - known * credit[i];
        own = own > 0 ? own : 0;
        double waits = 4 * queued[i] + own * (8 + requests[i] + queued[i] / 128);
        cost[i] = coarse((prefill_weight * waits + 256 * requests[i]) / block_size +
                         decode[i] / 10 + requests_weight * requests[i]);
    }
}

const struct policy kvr_policies[] = {
    {"linear", "queued and own prefill less what is cached, plus live blocks", linear},
    {"delay", "what the request adds to the waiting of everybody", delay},
};
const size_t kvr_policy_count = sizeof kvr_policies / sizeof *kvr_policies;

int kvr_policy_find(const char *name, size_t len) {
    for (size_t i = 0; i < kvr_policy_count; i++) {
        const char *own = kvr_policies[i].name;
        if (strlen(own) == len && strncasecmp(own, name, len) == 0) return (int)i;
    }
    return -1;
}
