// SPDX-License-Identifier: Apache-2.0
#include "pool_config.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "module/core/rule/policy.h"

#define FIELD(name) .at = offsetof(struct kvr_options, name)
#define NUMBER(name, max) MOD_OPTION_DOUBLE, FIELD(name), 0, max
#define MILLISECONDS(name) MOD_OPTION_I64, FIELD(name), 0, KVR_MAX_MS
// `requests` is the count of live ones in INFO.
static const struct config_row {
    const char *field; // of INFO
    struct mod_option option;
} rows[MOD_CONFIG_FIELDS] = {
    {"block_size", {"BLOCKSIZE", MOD_OPTION_U32, FIELD(block_size), 1, KVR_MAX_BLOCK_SIZE}},
    {"policy", {"POLICY", MOD_OPTION_POLICY, FIELD(rule.policy)}},
    {"overlap", {"OVERLAP", NUMBER(rule.overlap, KVR_MAX_WEIGHT)}},
    {"prefill", {"PREFILL", NUMBER(rule.prefill, KVR_MAX_WEIGHT)}},
    {"requests_weight", {"REQUESTS", NUMBER(rule.requests, KVR_MAX_WEIGHT)}},
    {"host", {"HOST", NUMBER(host, 1)}},
    {"disk", {"DISK", NUMBER(disk, 1)}},
    {"temperature", {"TEMPERATURE", NUMBER(rule.temperature, KVR_MAX_WEIGHT)}},
    {"lease", {"LEASE", MILLISECONDS(lease)}},
    {"workerttl", {"WORKERTTL", MILLISECONDS(worker_ttl)}},
    {"workergrace", {"WORKERGRACE", MILLISECONDS(worker_grace)}},
    {"predict", {"PREDICT", MILLISECONDS(predict)}},
    {"failures", {"FAILURES", MOD_OPTION_U64, FIELD(failures), 0, KVR_MAX_FAILURES}},
    {"opentime", {"OPENTIME", MILLISECONDS(open_time)}},
    {"maxrequests", {"MAXREQUESTS", MOD_OPTION_U64, FIELD(max_requests), 0, 0x1p53}},
    {"maxprefill", {"MAXPREFILL", MOD_OPTION_U64, FIELD(max_prefill), 0, 0x1p53}},
    {"maxblocks", {"MAXBLOCKS", MOD_OPTION_U64, FIELD(max_blocks), 0, KVR_MAX_PERCENT}},
    {"maxwaiting", {"MAXWAITING", MOD_OPTION_U64, FIELD(max_waiting), 0, KVR_MAX_WAITING}},
    {"accept", {"ACCEPT", MOD_OPTION_I64, FIELD(accept), 1, KVR_MAX_MS}},
    {"transfer", {"TRANSFER", NUMBER(transfer, KVR_MAX_WEIGHT)}},
    {"localprefill", {"LOCALPREFILL", MOD_OPTION_U64, FIELD(local_prefill), 0, 0x1p53}},
    {"sessionttl", {"SESSIONTTL", MILLISECONDS(session_ttl)}},
    {"slottft", {"SLOTTFT", MILLISECONDS(slo_ttft)}},
    {"slotbt", {"SLOTBT", MILLISECONDS(slo_tbt)}},
    {"stick", {"STICK", NUMBER(stick, KVR_MAX_WEIGHT)}},
};
#undef FIELD
#undef NUMBER
#undef MILLISECONDS

bool mod_config_parse(struct mod_args *a, struct kvr_options *o) {
    struct mod_option options[MOD_CONFIG_FIELDS];
    unsigned seen;
    for (size_t i = 0; i < MOD_CONFIG_FIELDS; i++)
        options[i] = rows[i].option;
    return mod_args_options(a, options, MOD_CONFIG_FIELDS, o, &seen);
}

void mod_config_reply(RedisModuleCtx *ctx, const struct kvr_options *o) {
    for (size_t i = 0; i < MOD_CONFIG_FIELDS; i++) {
        const char *field = rows[i].field;
        const void *at = (const char *)o + rows[i].option.at;
        enum mod_option_kind kind = rows[i].option.kind;
        if (kind == MOD_OPTION_U32) mod_field_u64(ctx, field, *(const uint32_t *)at);
        if (kind == MOD_OPTION_U64) mod_field_u64(ctx, field, *(const uint64_t *)at);
        if (kind == MOD_OPTION_I64) mod_field_int(ctx, field, *(const int64_t *)at);
        if (kind == MOD_OPTION_DOUBLE) mod_field_double(ctx, field, *(const double *)at);
        if (kind == MOD_OPTION_POLICY)
            mod_field_text(ctx, field, kvr_policies[*(const int *)at].name);
    }
}

// As a person would have written it, where that is enough.
static size_t short_double(double v, char out[MOD_MAX_DOUBLE]) {
    int n = snprintf(out, MOD_MAX_DOUBLE, "%.15g", v);
    return strtod(out, NULL) == v ? (size_t)n : mod_format_double(v, out);
}

const char *mod_config_word(size_t i) {
    return rows[i].option.word;
}

size_t mod_config_text(size_t i, const struct kvr_options *o, char out[MOD_MAX_DOUBLE]) {
    const void *at = (const char *)o + rows[i].option.at;
    switch (rows[i].option.kind) {
    case MOD_OPTION_U32:
        return (size_t)snprintf(out, MOD_MAX_DOUBLE, "%" PRIu32, *(const uint32_t *)at);
    case MOD_OPTION_U64:
        return (size_t)snprintf(out, MOD_MAX_DOUBLE, "%" PRIu64, *(const uint64_t *)at);
    case MOD_OPTION_DOUBLE:
        return short_double(*(const double *)at, out);
    case MOD_OPTION_POLICY:
        return (size_t)snprintf(out, MOD_MAX_DOUBLE, "%s", kvr_policies[*(const int *)at].name);
    default:
        return (size_t)snprintf(out, MOD_MAX_DOUBLE, "%" PRId64, *(const int64_t *)at);
    }
}
