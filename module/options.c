// SPDX-License-Identifier: Apache-2.0
// A pool's options as words: parsed by CREATE and ALTER, shown by INFO.
#include <stddef.h>
#include <string.h>

#include "module/core/policy.h"
#include "options.h"
#include "reply.h"

enum kind { BLOCK_SIZE, POLICY, NUMBER, COUNT, MILLISECONDS };

static const struct option {
    const char *word;
    const char *field; // of INFO; `requests` is the count of live ones there
    enum kind kind;
    size_t at;   // in struct kvr_options
    double most; // NUMBER, COUNT
} options[OPTIONS] = {
    {"BLOCKSIZE", "block_size", BLOCK_SIZE, offsetof(struct kvr_options, block_size), 0},
    {"POLICY", "policy", POLICY, offsetof(struct kvr_options, rule.policy), 0},
    {"OVERLAP", "overlap", NUMBER, offsetof(struct kvr_options, rule.overlap), KVR_MAX_WEIGHT},
    {"PREFILL", "prefill", NUMBER, offsetof(struct kvr_options, rule.prefill), KVR_MAX_WEIGHT},
    {"REQUESTS", "requests_weight", NUMBER, offsetof(struct kvr_options, rule.requests),
     KVR_MAX_WEIGHT},
    {"HOST", "host", NUMBER, offsetof(struct kvr_options, host), 1},
    {"DISK", "disk", NUMBER, offsetof(struct kvr_options, disk), 1},
    {"TEMPERATURE", "temperature", NUMBER, offsetof(struct kvr_options, rule.temperature),
     KVR_MAX_WEIGHT},
    {"LEASE", "lease", MILLISECONDS, offsetof(struct kvr_options, lease), 0},
    {"WORKERTTL", "workerttl", MILLISECONDS, offsetof(struct kvr_options, worker_ttl), 0},
    {"WORKERGRACE", "workergrace", MILLISECONDS, offsetof(struct kvr_options, worker_grace), 0},
    {"PREDICT", "predict", MILLISECONDS, offsetof(struct kvr_options, predict), 0},
    {"FAILURES", "failures", COUNT, offsetof(struct kvr_options, failures), KVR_MAX_FAILURES},
    {"OPENTIME", "opentime", MILLISECONDS, offsetof(struct kvr_options, open_time), 0},
    {"SESSIONTTL", "sessionttl", MILLISECONDS, offsetof(struct kvr_options, session_ttl), 0},
    {"SLOTTFT", "slottft", MILLISECONDS, offsetof(struct kvr_options, slo_ttft), 0},
    {"SLOTBT", "slotbt", MILLISECONDS, offsetof(struct kvr_options, slo_tbt), 0},
    {"STICK", "stick", NUMBER, offsetof(struct kvr_options, stick), KVR_MAX_WEIGHT},
};

bool options_policy(struct args *a, int *out) {
    struct kvr_bytes name;
    if (!args_bytes(a, &name)) return false;
    *out = kvr_policy_find(name.p, name.n);
    return *out >= 0 || args_fail(a, "no such policy");
}

static bool parse_value(struct args *a, const struct option *opt, void *at) {
    uint64_t block_size;
    switch (opt->kind) {
    case BLOCK_SIZE:
        if (!args_u64(a, 1, KVR_MAX_BLOCK_SIZE, &block_size)) return false;
        *(uint32_t *)at = (uint32_t)block_size;
        return true;
    case POLICY:
        return options_policy(a, at);
    case NUMBER:
        return args_double(a, 0, opt->most, at);
    case COUNT:
        return args_u64(a, 0, (uint64_t)opt->most, at);
    case MILLISECONDS:
        return args_i64(a, 0, KVR_MAX_MS, at);
    }
    return false;
}

bool options_parse(struct args *a, struct kvr_options *o) {
    const char *words[OPTIONS];
    unsigned seen = 0;
    for (size_t i = 0; i < OPTIONS; i++)
        words[i] = options[i].word;
    for (int i; (i = args_option(a, words, OPTIONS, &seen)) >= 0;)
        if (!parse_value(a, &options[i], (char *)o + options[i].at)) return false;
    return !a->error;
}

void options_reply(RedisModuleCtx *ctx, const struct kvr_options *o) {
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *opt = &options[i];
        const void *at = (const char *)o + opt->at;
        switch (opt->kind) {
        case BLOCK_SIZE:
            field_u64(ctx, opt->field, *(const uint32_t *)at);
            break;
        case POLICY:
            field_text(ctx, opt->field, kvr_policies[*(const int *)at].name);
            break;
        case NUMBER:
            field_double(ctx, opt->field, *(const double *)at);
            break;
        case COUNT:
            field_u64(ctx, opt->field, *(const uint64_t *)at);
            break;
        case MILLISECONDS:
            field_int(ctx, opt->field, *(const int64_t *)at);
            break;
        }
    }
}
