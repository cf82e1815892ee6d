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

const struct policy kvr_policies[] = {
    {"linear", "queued and own prefill less what is cached, plus live blocks", linear},
};
const size_t kvr_policy_count = sizeof kvr_policies / sizeof *kvr_policies;

int kvr_policy_find(const char *name, size_t len) {
    for (size_t i = 0; i < kvr_policy_count; i++) {
        const char *own = kvr_policies[i].name;
        if (strlen(own) == len && strncasecmp(own, name, len) == 0) return (int)i;
    }
    return -1;
}
