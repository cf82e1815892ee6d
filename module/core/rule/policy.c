// SPDX-License-Identifier: Apache-2.0
#include "policy.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "module/core/base/wide.h"

// Four significant bits are left: estimates are no better, and of instances that cost about the same
// the one that was booked longest ago is the best. (Dekker's splitting; half goes to even.)
static double coarse(double x) {
    double t = x * (0x1p49 + 1);
    return t - (t - x);
}

// To multiply by the inverse of a power of two is to divide by it, to the bit, and much faster.
static bool is_power_of_two(double x) {
    uint32_t whole = (uint32_t)x;
    return whole == x && !(whole & (whole - 1));
}

//   prefill = max((prefill_tokens + isl) / block_size - overlap_weight * credit, 0)
//   decode  = decode_blocks + blocks - live_prefix
//   cost    = prefill_weight * prefill + decode + requests_weight * requests
static CORE_WIDE void linear(const struct kvr_policy_in *in, double *restrict cost) {
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

static const double *begun_of(const struct kvr_policy_in *in) {
    return in->begun ? in->begun : in->live_prefix;
}

struct kvr_policy_row kvr_policy_row_of(const struct kvr_policy_in *in, size_t i) {
    return (struct kvr_policy_row){.credit = in->credit[i],
                                   .prefill_tokens = in->prefill_tokens[i],
                                   .queue = in->queue[i],
                                   .decode_blocks = in->decode_blocks[i],
                                   .live_prefix = in->live_prefix[i],
                                   .begun = begun_of(in)[i],
                                   .requests = in->requests[i],
                                   .pace = in->pace[i],
                                   .full = in->full[i]};
}

// What the request adds to the waiting of everybody, in tokens of prefill; derived in docs/choosing.md.
//   own   = max(isl - max(overlap_weight * credit, live_prefix) * block_size, 0)     it has to compute
//   later = arrivals * (queue + own / 2)                   who comes while the queue and this prompt last
//   waits = first_weight * queue + own * (first_weight + requests + first_weight * later)
//   cost  = (prefill_weight * waits + output * requests) / block_size * pace + requests_weight * requests
// What is computed pushes as much out of a full cache, and `reuse` of that is computed again: so own
// counts 1 + reuse * full times.
static inline void delay_loop(const struct kvr_policy_in *in, double *restrict cost, bool power,
                              bool rounded) {
    const double *restrict credit = in->credit, *restrict queue = in->queue;
    const double *restrict live = begun_of(in), *restrict requests = in->requests;
    const double *restrict pace = in->pace, *restrict full = in->full;
    double isl = in->isl, block_size = in->block_size, overlap_weight = in->overlap_weight;
    double prefill_weight = in->prefill_weight, requests_weight = in->requests_weight;
    double output = in->output, first = in->first_weight, arrivals = in->arrivals;
    double reuse = in->reuse, per_token = 1 / block_size;
    for (size_t i = 0; i < in->n; i++) {
        // Worded so that there is nothing to branch for.
        double known = overlap_weight * credit[i], prefix = live[i];
        known = (known > prefix ? known : prefix) * block_size;
        double own = isl - (known < isl ? known : isl);
        double later = first * arrivals * (queue[i] + own / 2);
        double waits =
            first * queue[i] + own * (1 + reuse * full[i]) * (first + requests[i] + later);
        double tokens = prefill_weight * waits + output * requests[i];
        double sum = (power ? tokens * per_token : tokens / block_size) * pace[i] +
                     requests_weight * requests[i];
        cost[i] = rounded ? coarse(sum) : sum;
    }
}

static CORE_WIDE void delay(const struct kvr_policy_in *in, double *restrict cost) {
    if (in->exact)
        delay_loop(in, cost, false, false);
    else if (is_power_of_two(in->block_size))
        delay_loop(in, cost, true, true);
    else
        delay_loop(in, cost, false, true);
}

static void linear_parts(const struct kvr_policy_in *in, double *prefill, double *decode) {
    for (size_t i = 0; i < in->n; i++) {
        double own =
            (in->prefill_tokens[i] + in->isl) / in->block_size - in->overlap_weight * in->credit[i];
        double requests = in->requests_weight * in->requests[i];
        prefill[i] = in->prefill_weight * (own > 0 ? own : 0) + requests;
        decode[i] = in->decode_blocks[i] + in->blocks - in->live_prefix[i] + requests;
    }
}

// The terms of `delay` that come of the prompt, and those of the answer; both rounded as their sum is.
static void delay_parts(const struct kvr_policy_in *in, double *prefill, double *decode) {
    const double *begun = begun_of(in);
    for (size_t i = 0; i < in->n; i++) {
        double known = in->overlap_weight * in->credit[i];
        known = (known > begun[i] ? known : begun[i]) * in->block_size;
        double own = in->isl - (known < in->isl ? known : in->isl);
        double later = in->first_weight * in->arrivals * (in->queue[i] + own / 2);
        double waits =
            in->first_weight * in->queue[i] +
            own * (1 + in->reuse * in->full[i]) * (in->first_weight + in->requests[i] + later);
        double requests = in->requests_weight * in->requests[i];
        prefill[i] = in->prefill_weight * waits / in->block_size * in->pace[i] + requests;
        decode[i] = in->output * in->requests[i] / in->block_size * in->pace[i] + requests;
        if (in->exact) continue;
        prefill[i] = coarse(prefill[i]);
        decode[i] = coarse(decode[i]);
    }
}

static void explain_linear(const struct kvr_policy_in *in, size_t i, double values[KVR_MAX_TERMS],
                           double *known) {
    double prefill =
        (in->prefill_tokens[i] + in->isl) / in->block_size - in->overlap_weight * in->credit[i];
    *known = in->overlap_weight * in->credit[i] * in->block_size;
    values[0] = in->prefill_weight * (prefill > 0 ? prefill : 0);
    values[1] = in->decode_blocks[i] + in->blocks - in->live_prefix[i];
    values[2] = in->requests_weight * in->requests[i];
}

static void explain_delay(const struct kvr_policy_in *in, size_t i, double values[KVR_MAX_TERMS],
                          double *known) {
    double held = in->overlap_weight * in->credit[i], begun = begun_of(in)[i];
    *known = (held > begun ? held : begun) * in->block_size;
    double own = in->isl - (*known < in->isl ? *known : in->isl);
    double later = in->first_weight * in->arrivals * (in->queue[i] + own / 2);
    double per_token = in->pace[i] / in->block_size, waits = in->prefill_weight * per_token;
    values[0] = waits * in->first_weight * in->queue[i];
    values[1] = waits * own * in->first_weight;
    values[2] = waits * own * in->requests[i];
    values[3] = waits * own * later;
    values[4] =
        waits * own * in->reuse * in->full[i] * (in->first_weight + in->requests[i] + later);
    values[5] = in->output * in->requests[i] * per_token;
    values[6] = in->requests_weight * in->requests[i];
}

const struct kvr_policy kvr_policies[] = {
    [KVR_LINEAR] = {.name = "linear",
                    .summary = "queued and own prefill less what is cached, plus live blocks",
                    .cost = linear,
                    .parts = linear_parts,
                    .explain = explain_linear,
                    .terms = {"prefill", "decode", "requests"}},
    [KVR_DELAY] = {.name = "delay",
                   .summary = "what the request adds to the waiting of everybody",
                   .cost = delay,
                   .parts = delay_parts,
                   .explain = explain_delay,
                   .terms = {"queue", "own", "decoding", "later", "evicted", "output", "requests"},
                   .measured = true},
};
const size_t kvr_policy_count = sizeof kvr_policies / sizeof *kvr_policies;

int kvr_policy_find(const char *name, size_t len) {
    for (size_t i = 0; i < kvr_policy_count; i++) {
        const char *own = kvr_policies[i].name;
        if (strlen(own) == len && strncasecmp(own, name, len) == 0) return (int)i;
    }
    return -1;
}
