// SPDX-License-Identifier: Apache-2.0
// Rows of the tables. What may be left out is called an option.
#include "command_args.h"

#define KEY                                                                                        \
    { .name = "key", .type = REDISMODULE_ARG_TYPE_KEY }
#define ARG(text, t, ...)                                                                          \
    { .name = text, .type = REDISMODULE_ARG_TYPE_##t, .key_spec_index = -1, __VA_ARGS__ }
#define OPTIONAL .flags = REDISMODULE_CMD_ARG_OPTIONAL
#define MULTIPLE .flags = REDISMODULE_CMD_ARG_MULTIPLE
#define VALUE(text, t) ARG(text, t, .flags = 0)
#define OPTIONAL_VALUE(text, t) ARG(text, t, OPTIONAL)
#define VALUES(text, t) ARG(text, t, MULTIPLE)
#define OPTIONAL_VALUES(text, t) ARG(text, t, OPTIONAL | REDISMODULE_CMD_ARG_MULTIPLE)
// A word alone; a word with a value; a number of values that follow.
#define WORD(text, word) ARG(text, PURE_TOKEN, .token = word)
#define FLAG(text, word) ARG(text, PURE_TOKEN, .token = word, OPTIONAL)
#define VALUE_OF(text, t, word, says) ARG(text, t, .token = word, .summary = says)
#define OPTION(text, t, word) ARG(text, t, .token = word, OPTIONAL)
#define EFFECT(text, t, word)                                                                      \
    ARG(text, t, .token = word, .summary = "for replication only", OPTIONAL)
#define COUNT(word) ARG("count", INTEGER, .token = word)
// Tables within tables.
#define ONE_OF(text, rows) ARG(text, ONEOF, .subargs = rows)
#define ONE_OF_OPTION(text, rows, word) ARG(text, ONEOF, .token = word, OPTIONAL, .subargs = rows)
#define SOME_OF(text, rows) ARG(text, ONEOF, MULTIPLE, .subargs = rows)
#define BLOCK(text, rows) ARG(text, BLOCK, .subargs = rows)
#define BLOCK_OPTION(text, rows) ARG(text, BLOCK, OPTIONAL, .subargs = rows)
// What CREATE and ALTER, and SELECT, SCORE and EXPLAIN, have in common.
#define POOL_OPTIONS                                                                               \
    OPTION("policy", STRING, "POLICY"), OPTION("overlap-weight", DOUBLE, "OVERLAP"),               \
        OPTION("prefill-weight", DOUBLE, "PREFILL"),                                               \
        OPTION("requests-weight", DOUBLE, "REQUESTS"), OPTION("host-credit", DOUBLE, "HOST"),      \
        OPTION("disk-credit", DOUBLE, "DISK"), OPTION("temperature", DOUBLE, "TEMPERATURE"),       \
        OPTION("lease-ms", INTEGER, "LEASE"), OPTION("worker-ttl-ms", INTEGER, "WORKERTTL"),       \
        OPTION("worker-grace-ms", INTEGER, "WORKERGRACE"),                                         \
        OPTION("predict-ms", INTEGER, "PREDICT"), OPTION("failures", INTEGER, "FAILURES"),         \
        OPTION("open-ms", INTEGER, "OPENTIME"), OPTION("max-requests", INTEGER, "MAXREQUESTS"),    \
        OPTION("max-prefill-tokens", INTEGER, "MAXPREFILL"),                                       \
        OPTION("max-blocks-percent", INTEGER, "MAXBLOCKS"),                                        \
        OPTION("max-waiting", INTEGER, "MAXWAITING"), OPTION("accept-ms", INTEGER, "ACCEPT"),      \
        OPTION("transfer-cost", DOUBLE, "TRANSFER"),                                               \
        OPTION("local-tokens", INTEGER, "LOCALPREFILL"),                                           \
        OPTION("session-ttl-ms", INTEGER, "SESSIONTTL"), OPTION("ttft-ms", INTEGER, "SLOTTFT"),    \
        OPTION("tbt-ms", INTEGER, "SLOTBT"), OPTION("tokens", DOUBLE, "STICK")
#define ROUTE_OPTIONS                                                                              \
    BLOCK_OPTION("among", among), BLOCK_OPTION("exclude", exclude),                                \
        OPTION("policy", STRING, "POLICY"), OPTION("overlap-weight", DOUBLE, "OVERLAP"),           \
        OPTION("prefill-weight", DOUBLE, "PREFILL"),                                               \
        OPTION("requests-weight", DOUBLE, "REQUESTS"),                                             \
        OPTION("temperature", DOUBLE, "TEMPERATURE"), BLOCK_OPTION("with", with),                  \
        BLOCK_OPTION("without", without), OPTION("session", STRING, "SESSION")

#define SELECT_OPTIONS                                                                             \
    OPTION("tokens", INTEGER, "ISL"), OPTION("tokens", INTEGER, "OSL"),                            \
        OPTION("ms", INTEGER, "LEASE"), ROUTE_OPTIONS, OPTION("wait-ms", INTEGER, "WAIT"),         \
        OPTION("class", STRING, "CLASS"), OPTION("flow", STRING, "FLOW"),                          \
        OPTION("channel", STRING, "NOTIFY"), FLAG("block", "BLOCK"), FLAG("pair", "PAIR")

static RedisModuleCommandArg tokens[] = {
    VALUE_OF("blob", STRING, "TOKENS", "little-endian u32 token ids"),
    OPTION("lora", STRING, "LORA"),
    OPTION("namespace", STRING, "NAMESPACE"),
    {0},
};

static RedisModuleCommandArg ids[] = {
    COUNT("IDS"),
    OPTIONAL_VALUES("id", INTEGER),
    OPTION("lora", STRING, "LORA"),
    OPTION("namespace", STRING, "NAMESPACE"),
    {0},
};

static RedisModuleCommandArg hash_forms[] = {
    VALUE_OF("hashes", STRING, "HASHES", "little-endian u64 prefix hashes"),
    VALUE_OF("digits", STRING, "HEX", "16 hex digits for each prefix hash"),
    {0},
};

static RedisModuleCommandArg block_forms[] = {
    VALUE_OF("hashes", STRING, "HASHES", "little-endian u64 prefix hashes"),
    VALUE_OF("digits", STRING, "HEX", "16 hex digits for each prefix hash"),
    BLOCK("tokens", tokens),
    BLOCK("ids", ids),
    {0},
};

static RedisModuleCommandArg tiers[] = {
    WORD("device", "DEVICE"),
    WORD("host", "HOST"),
    WORD("disk", "DISK"),
    {0},
};

static RedisModuleCommandArg states[] = {
    WORD("ready", "READY"),
    WORD("draining", "DRAINING"),
    {0},
};

RedisModuleCommandArg cmd_doc_key[] = {
    KEY,
    {0},
};

RedisModuleCommandArg cmd_doc_digest[] = {
    KEY,
    FLAG("learnt", "LEARNT"),
    {0},
};

RedisModuleCommandArg cmd_doc_create[] = {
    KEY,
    OPTION("block-size", INTEGER, "BLOCKSIZE"),
    POOL_OPTIONS,
    {0},
};

RedisModuleCommandArg cmd_doc_alter[] = {
    KEY,
    POOL_OPTIONS,
    {0},
};

static RedisModuleCommandArg outcomes[] = {
    WORD("ok", "OK"),
    WORD("failed", "FAILED"),
    {0},
};

RedisModuleCommandArg cmd_doc_report[] = {
    KEY, VALUE("worker", STRING), ONE_OF("outcome", outcomes), EFFECT("at-ms", UNIX_TIME, "AT"),
    {0},
};

RedisModuleCommandArg cmd_doc_worker[] = {
    KEY,
    VALUE("worker", STRING),
    {0},
};

static RedisModuleCommandArg roles[] = {
    WORD("both", "BOTH"),
    WORD("prefill", "PREFILL"),
    WORD("decode", "DECODE"),
    {0},
};

static RedisModuleCommandArg labels[] = {
    COUNT("LABELS"),
    VALUES("label", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_worker_set[] = {
    KEY,
    VALUE("worker", STRING),
    OPTION("addr", STRING, "ADDR"),
    OPTION("ranks", INTEGER, "RANKS"),
    OPTION("blocks", INTEGER, "CAPACITY"),
    ONE_OF_OPTION("state", states, "STATE"),
    OPTION("drain-ms", INTEGER, "DRAIN"),
    OPTION("ttl-ms", INTEGER, "TTL"),
    ONE_OF_OPTION("role", roles, "ROLE"),
    OPTION("speed", DOUBLE, "SPEED"),
    OPTION("max-requests", INTEGER, "MAXREQUESTS"),
    BLOCK_OPTION("labels", labels),
    EFFECT("seen-ms", UNIX_TIME, "SEEN"),
    {0},
};

static RedisModuleCommandArg op_stored[] = {
    ONE_OF_OPTION("tier", tiers, "TIER"),
    VALUE_OF("parent", STRING, "STORED", "16 hex digits, 8 bytes, or - for none"),
    ONE_OF("blocks", block_forms),
    {0},
};

static RedisModuleCommandArg op_removed[] = {
    ONE_OF_OPTION("tier", tiers, "TIER"),
    WORD("removed", "REMOVED"),
    ONE_OF("blocks", hash_forms),
    {0},
};

static RedisModuleCommandArg op_cleared[] = {
    ONE_OF_OPTION("tier", tiers, "TIER"),
    WORD("cleared", "CLEARED"),
    {0},
};

static RedisModuleCommandArg ops[] = {
    BLOCK("stored", op_stored),
    BLOCK("removed", op_removed),
    BLOCK("cleared", op_cleared),
    {0},
};

RedisModuleCommandArg cmd_doc_event[] = {
    KEY,
    VALUE("worker", STRING),
    VALUE("rank", INTEGER),
    VALUE("epoch", INTEGER),
    VALUE("seq", INTEGER),
    SOME_OF("op", ops),
    {0},
};

static RedisModuleCommandArg among[] = {
    COUNT("AMONG"),
    VALUES("worker", STRING),
    {0},
};

static RedisModuleCommandArg exclude[] = {
    COUNT("EXCLUDE"),
    VALUES("worker", STRING),
    {0},
};

static RedisModuleCommandArg with[] = {
    COUNT("WITH"),
    VALUES("label", STRING),
    {0},
};

static RedisModuleCommandArg without[] = {
    COUNT("WITHOUT"),
    VALUES("label", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_select[] = {
    KEY, VALUE("request", STRING), ONE_OF("blocks", block_forms), SELECT_OPTIONS, {0},
};

RedisModuleCommandArg cmd_doc_score[] = {
    KEY,
    ONE_OF("blocks", block_forms),
    OPTION("tokens", INTEGER, "ISL"),
    OPTION("tokens", INTEGER, "OSL"),
    ROUTE_OPTIONS,
    {0},
};

RedisModuleCommandArg cmd_doc_explain[] = {
    KEY,
    ONE_OF("blocks", block_forms),
    OPTION("tokens", INTEGER, "ISL"),
    OPTION("tokens", INTEGER, "OSL"),
    ROUTE_OPTIONS,
    OPTION("class", STRING, "CLASS"),
    OPTION("flow", STRING, "FLOW"),
    FLAG("pair", "PAIR"),
    OPTION("candidates", INTEGER, "TOP"),
    {0},
};

RedisModuleCommandArg cmd_doc_decisions_on[] = {
    KEY, VALUE("records", INTEGER), OPTION("bytes", INTEGER, "BYTES"), FLAG("blocks", "BLOCKS"),
    {0},
};

RedisModuleCommandArg cmd_doc_update[] = {
    KEY,
    VALUE("request", STRING),
    FLAG("prefilled", "PREFILLED"),
    OPTION("tokens", INTEGER, "OUTPUT"),
    OPTION("ms", INTEGER, "LEASE"),
    EFFECT("at-ms", UNIX_TIME, "AT"),
    {0},
};

RedisModuleCommandArg cmd_doc_release[] = {
    KEY,
    VALUES("request", STRING),
    EFFECT("at-ms", UNIX_TIME, "AT"),
    EFFECT("lapsed-ms", UNIX_TIME, "LAPSED"),
    {0},
};

static RedisModuleCommandArg prefiller[] = {
    VALUE_OF("worker", STRING, "PREFILLER", "where the prompt is computed"),
    VALUE("rank", INTEGER),
    {0},
};

RedisModuleCommandArg cmd_doc_claim[] = {
    KEY,
    VALUE("request", STRING),
    VALUE("worker", STRING),
    VALUE("rank", INTEGER),
    ONE_OF("blocks", block_forms),
    OPTION("tokens", INTEGER, "ISL"),
    OPTION("tokens", INTEGER, "CACHED"),
    OPTION("tokens", INTEGER, "OUTPUT"),
    FLAG("prefilled", "PREFILLED"),
    OPTION("ms", INTEGER, "LEASE"),
    OPTION("tokens", INTEGER, "OSL"),
    OPTION("session", STRING, "SESSION"),
    OPTION("class", STRING, "CLASS"),
    OPTION("flow", STRING, "FLOW"),
    BLOCK_OPTION("prefiller", prefiller),
    EFFECT("created-ms", UNIX_TIME, "CREATED"),
    EFFECT("renewed-ms", UNIX_TIME, "RENEWED"),
    EFFECT("predicted-ms", UNIX_TIME, "PREDICTED"),
    EFFECT("overlap-blocks", INTEGER, "OVERLAP"),
    EFFECT("cost", DOUBLE, "COST"),
    EFFECT("expected-blocks", INTEGER, "EXPECTED"),
    EFFECT("cached-tokens", INTEGER, "PREFILLCACHED"),
    EFFECT("overlap-blocks", INTEGER, "PREFILLOVERLAP"),
    EFFECT("left", INTEGER, "LEFT"),
    {0},
};

RedisModuleCommandArg cmd_doc_request[] = {
    KEY,
    VALUE("request", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_session[] = {
    KEY,
    VALUE("session", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_session_del[] = {
    KEY,
    VALUES("session", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_scan[] = {
    KEY,
    OPTIONAL_VALUE("cursor", INTEGER),
    OPTION("count", INTEGER, "COUNT"),
    {0},
};

RedisModuleCommandArg cmd_doc_tree[] = {
    KEY,
    OPTION("hash", STRING, "FROM"),
    OPTION("levels", INTEGER, "DEPTH"),
    OPTION("runs", INTEGER, "COUNT"),
    {0},
};

RedisModuleCommandArg cmd_doc_hash[] = {
    VALUE("block-size", INTEGER),
    ONE_OF("blocks", block_forms),
    OPTION("hash", STRING, "FROM"),
    {0},
};

RedisModuleCommandArg cmd_doc_forget[] = {
    KEY,
    VALUE("at-ms", UNIX_TIME),
    VALUE("count", INTEGER),
    {0},
};

RedisModuleCommandArg cmd_doc_load[] = {
    KEY,
    VALUE("chunk", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_class[] = {
    KEY,
    VALUE("class", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_class_set[] = {
    KEY,
    VALUE("class", STRING),
    OPTION("priority", INTEGER, "PRIORITY"),
    OPTION("weight", DOUBLE, "WEIGHT"),
    OPTION("max-waiting", INTEGER, "WAITING"),
    OPTION("percent", INTEGER, "ROOM"),
    {0},
};

RedisModuleCommandArg cmd_doc_flow[] = {
    KEY,
    VALUE("flow", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_flow_set[] = {
    KEY,
    VALUE("flow", STRING),
    OPTION("weight", DOUBLE, "WEIGHT"),
    OPTION("max-requests", INTEGER, "REQUESTS"),
    OPTION("tokens", INTEGER, "RATE"),
    OPTION("tokens", INTEGER, "BURST"),
    EFFECT("at-ms", UNIX_TIME, "AT"),
    EFFECT("left", INTEGER, "LEFT"),
    {0},
};

RedisModuleCommandArg cmd_doc_queue[] = {
    KEY,
    OPTION("count", INTEGER, "COUNT"),
    {0},
};

RedisModuleCommandArg cmd_doc_enqueue[] = {
    KEY,
    VALUE("request", STRING),
    ONE_OF("blocks", block_forms),
    SELECT_OPTIONS,
    EFFECT("at-ms", UNIX_TIME, "AT"),
    {0},
};

RedisModuleCommandArg cmd_doc_admit[] = {
    KEY,
    VALUE("request", STRING),
    VALUE("worker", STRING),
    VALUE("rank", INTEGER),
    OPTION("tokens", INTEGER, "CACHED"),
    EFFECT("created-ms", UNIX_TIME, "CREATED"),
    EFFECT("overlap-blocks", INTEGER, "OVERLAP"),
    EFFECT("expected-blocks", INTEGER, "EXPECTED"),
    EFFECT("cost", DOUBLE, "COST"),
    EFFECT("predicted-ms", UNIX_TIME, "PREDICTED"),
    FLAG("uncalled", "UNCALLED"),
    BLOCK_OPTION("prefiller", prefiller),
    EFFECT("cached-tokens", INTEGER, "PREFILLCACHED"),
    EFFECT("overlap-blocks", INTEGER, "PREFILLOVERLAP"),
    EFFECT("left", INTEGER, "LEFT"),
    {0},
};

#undef KEY
#undef ARG
#undef OPTIONAL
#undef MULTIPLE
#undef VALUE
#undef OPTIONAL_VALUE
#undef VALUES
#undef OPTIONAL_VALUES
#undef WORD
#undef FLAG
#undef VALUE_OF
#undef OPTION
#undef EFFECT
#undef COUNT
#undef ONE_OF
#undef ONE_OF_OPTION
#undef SOME_OF
#undef BLOCK
#undef BLOCK_OPTION
#undef POOL_OPTIONS
#undef ROUTE_OPTIONS
#undef SELECT_OPTIONS
