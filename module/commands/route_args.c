// SPDX-License-Identifier: Apache-2.0
#include "route_args.h"

#include <stddef.h>
#include <string.h>

#include "module/keyspace/admission.h"

#define FIELD(name) .at = offsetof(struct cmd_route, name)
#define NAME(name) MOD_OPTION_NAME, FIELD(name), 1, KVR_MAX_ID
// A kind knows those from its first row to its last.
static const struct mod_option rows[] = {
    {"TOP", MOD_OPTION_U64, FIELD(top), 1, KVR_MAX_TOP}, // EXPLAIN's alone
    {"ISL", MOD_OPTION_I64, FIELD(query.isl), 0, KVR_MAX_TOKENS},
    {"OSL", MOD_OPTION_I64, FIELD(query.osl), 0, KVR_MAX_TOKENS},
    {"AMONG", MOD_OPTION_NAMES, FIELD(query.among),
     .count_at = offsetof(struct cmd_route, query.n_among)},
    {"EXCLUDE", MOD_OPTION_NAMES, FIELD(query.exclude),
     .count_at = offsetof(struct cmd_route, query.n_exclude)},
    {"POLICY", MOD_OPTION_POLICY, FIELD(query.rule.policy)},
    {"OVERLAP", MOD_OPTION_DOUBLE, FIELD(query.rule.overlap), 0, KVR_MAX_WEIGHT},
    {"PREFILL", MOD_OPTION_DOUBLE, FIELD(query.rule.prefill), 0, KVR_MAX_WEIGHT},
    {"REQUESTS", MOD_OPTION_DOUBLE, FIELD(query.rule.requests), 0, KVR_MAX_WEIGHT},
    {"TEMPERATURE", MOD_OPTION_DOUBLE, FIELD(query.rule.temperature), 0, KVR_MAX_WEIGHT},
    {"WITH", MOD_OPTION_LABELS, FIELD(query.with),
     .count_at = offsetof(struct cmd_route, query.n_with)},
    {"WITHOUT", MOD_OPTION_LABELS, FIELD(query.without),
     .count_at = offsetof(struct cmd_route, query.n_without)},
    {"SESSION", NAME(query.session)},
    {"CLASS", NAME(query.service_class)}, // from here on not SCORE's
    {"FLOW", NAME(query.flow)},
    {"PAIR", MOD_OPTION_FLAG, FIELD(query.pair)},
    {"LEASE", MOD_OPTION_I64, FIELD(lease), 0, KVR_MAX_MS}, // nor EXPLAIN's
    {"WAIT", MOD_OPTION_I64, FIELD(query.wait), 0, KVR_MAX_MS},
    {"NOTIFY", NAME(query.notify)},
    {"BLOCK", MOD_OPTION_FLAG, FIELD(block)},
    {"AT", MOD_OPTION_TIME, FIELD(at)}, // of the effect alone
};
#undef FIELD
#undef NAME
static const struct {
    size_t first, end;
} known_rows[] = {[CMD_ROUTE_SCORE] = {1, 13},
                  [CMD_ROUTE_EXPLAIN] = {0, 16},
                  [CMD_ROUTE_SELECT] = {1, 20},
                  [CMD_ROUTE_ENQUEUE] = {1, 21}};
_Static_assert(sizeof rows / sizeof *rows == 21, "rows by kind");

bool cmd_route_words(struct mod_args *a, enum cmd_route_kind kind, struct cmd_route *r) {
    struct kvr_query *q = &r->query;
    size_t first = known_rows[kind].first;
    unsigned seen;
    r->lease = r->at = -1;
    q->isl = -1;
    if (!mod_blocks_parse(a, false, &r->list) ||
        !mod_args_options(a, rows + first, known_rows[kind].end - first, r, &seen))
        return false;
    if (mod_channel_reserved(q->notify)) return mod_args_fail(a, "the channel is the server's own");
    q->has_among = q->among != NULL;
    return true;
}

bool cmd_route_parse(struct mod_call *c, enum cmd_route_kind kind, struct cmd_route *r) {
    struct kvr_query *q = &r->query;
    uint64_t *hashes = NULL;
    memset(r, 0, sizeof *r);
    q->rule = kvr_pool_options(c->pool)->rule;
    uint32_t block_size = kvr_pool_options(c->pool)->block_size;
    if (!cmd_route_words(&c->args, kind, r) ||
        !mod_blocks_hashes(&c->args, &r->list, block_size, NULL, &hashes, &q->n))
        return false;
    q->hashes = hashes;
    if (q->isl < 0 && mod_blocks_are_tokens(&r->list)) q->isl = (int64_t)r->list.count;
    return true;
}
