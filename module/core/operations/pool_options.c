// SPDX-License-Identifier: Apache-2.0
// The options of a pool: defaults and limits.
#include "module/core/pool.h"
#include "module/core/rule/policy.h"

const char *const kvr_tier_names[KVR_TIERS] = {"device", "host", "disk"};

void kvr_options_default(struct kvr_options *o) {
    *o = (struct kvr_options){
        .block_size = 16,
        .rule = {.policy = KVR_DELAY, .overlap = 1, .prefill = 1, .requests = 0, .temperature = 0},
        .host = 0.75,
        .disk = 0.25,
        .lease = 300000,
        .worker_ttl = 0,
        .worker_grace = 600000,
        .predict = 0,
        .failures = 3,
        .open_time = 5000,
        .session_ttl = 600000,
        .slo_ttft = 2000,
        .slo_tbt = 100,
        .max_waiting = 10000,
        .accept = 5000,
        .transfer = 0.1,
    };
}

#define CORE_MAX_LIMIT ((uint64_t)1 << 53) // as exact as a double

static bool within(double x, double max) {
    return x >= 0 && x <= max; // not for NaN
}

static bool is_duration(int64_t ms) {
    return ms >= 0 && ms <= KVR_MAX_MS;
}

enum kvr_err kvr_options_check(const struct kvr_options *o) {
    const struct kvr_rule *r = &o->rule;
    bool good = o->block_size >= 1 && o->block_size <= KVR_MAX_BLOCK_SIZE && r->policy >= 0 &&
                (size_t)r->policy < kvr_policy_count && within(r->overlap, KVR_MAX_WEIGHT) &&
                within(r->prefill, KVR_MAX_WEIGHT) && within(r->requests, KVR_MAX_WEIGHT) &&
                within(r->temperature, KVR_MAX_WEIGHT) && within(o->host, 1) &&
                within(o->disk, 1) && is_duration(o->lease) && is_duration(o->worker_ttl) &&
                is_duration(o->worker_grace) && is_duration(o->predict) &&
                o->failures <= KVR_MAX_FAILURES && o->open_time >= 1 && is_duration(o->open_time) &&
                is_duration(o->session_ttl) && o->slo_ttft >= 1 && is_duration(o->slo_ttft) &&
                o->slo_tbt >= 1 && is_duration(o->slo_tbt) && within(o->stick, KVR_MAX_WEIGHT) &&
                o->max_requests <= CORE_MAX_LIMIT && o->max_prefill <= CORE_MAX_LIMIT &&
                o->max_blocks <= KVR_MAX_PERCENT && o->max_waiting <= KVR_MAX_WAITING &&
                o->accept >= 1 && is_duration(o->accept) && within(o->transfer, KVR_MAX_WEIGHT) &&
                o->local_prefill <= CORE_MAX_LIMIT;
    return good ? KVR_OK : KVR_RANGE;
}
