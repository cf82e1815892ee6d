// SPDX-License-Identifier: Apache-2.0
// The arguments of every command, as COMMAND DOCS and redis-cli's hints want them.
#include "command_args.h"

#define TYPE(type) REDISMODULE_ARG_TYPE_##type
// Rows of the tables: a value that stands alone; a word; a word that may be left out; a word with a value
// that may be left out; the same, for replication only.
#define VALUE(text, t)                                                                             \
    { .name = text, .type = TYPE(t), .key_spec_index = -1 }
#define WORD(text, word)                                                                           \
    { .name = text, .type = TYPE(PURE_TOKEN), .key_spec_index = -1, .token = word }
#define FLAG(text, word)                                                                           \
    {                                                                                              \
        .name = text, .type = TYPE(PURE_TOKEN), .key_spec_index = -1, .token = word,               \
        .flags = REDISMODULE_CMD_ARG_OPTIONAL                                                      \
    }
#define OPTION(text, t, word)                                                                      \
    {                                                                                              \
        .name = text, .type = TYPE(t), .key_spec_index = -1, .token = word,                        \
        .flags = REDISMODULE_CMD_ARG_OPTIONAL                                                      \
    }
#define EFFECT(text, t, word)                                                                      \
    {                                                                                              \
        .name = text, .type = TYPE(t), .key_spec_index = -1, .token = word,                        \
        .summary = "for replication only", .flags = REDISMODULE_CMD_ARG_OPTIONAL                   \
    }

static RedisModuleCommandArg tokens[] = {
    {.name = "blob",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .token = "TOKENS",
     .summary = "little-endian u32 token ids"},
    OPTION("lora", STRING, "LORA"),
    OPTION("namespace", STRING, "NAMESPACE"),
    {0},
};

static RedisModuleCommandArg ids[] = {
    {.name = "count", .type = REDISMODULE_ARG_TYPE_INTEGER, .key_spec_index = -1, .token = "IDS"},
    {.name = "id",
     .type = REDISMODULE_ARG_TYPE_INTEGER,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL | REDISMODULE_CMD_ARG_MULTIPLE},
    OPTION("lora", STRING, "LORA"),
    OPTION("namespace", STRING, "NAMESPACE"),
    {0},
};

static RedisModuleCommandArg hash_forms[] = {
    {.name = "hashes",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .token = "HASHES",
     .summary = "little-endian u64 prefix hashes"},
    {.name = "digits",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .token = "HEX",
     .summary = "16 hex digits for each prefix hash"},
    {0},
};

static RedisModuleCommandArg block_forms[] = {
    {.name = "hashes",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .token = "HASHES",
     .summary = "little-endian u64 prefix hashes"},
    {.name = "digits",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .token = "HEX",
     .summary = "16 hex digits for each prefix hash"},
    {.name = "tokens", .type = REDISMODULE_ARG_TYPE_BLOCK, .key_spec_index = -1, .subargs = tokens},
    {.name = "ids", .type = REDISMODULE_ARG_TYPE_BLOCK, .key_spec_index = -1, .subargs = ids},
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
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    {0},
};

RedisModuleCommandArg cmd_doc_digest[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    FLAG("learnt", "LEARNT"),
    {0},
};

RedisModuleCommandArg cmd_doc_create[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    OPTION("block-size", INTEGER, "BLOCKSIZE"),
    OPTION("policy", STRING, "POLICY"),
    OPTION("overlap-weight", DOUBLE, "OVERLAP"),
    OPTION("prefill-weight", DOUBLE, "PREFILL"),
    OPTION("requests-weight", DOUBLE, "REQUESTS"),
    OPTION("host-credit", DOUBLE, "HOST"),
    OPTION("disk-credit", DOUBLE, "DISK"),
    OPTION("temperature", DOUBLE, "TEMPERATURE"),
    OPTION("lease-ms", INTEGER, "LEASE"),
    OPTION("worker-ttl-ms", INTEGER, "WORKERTTL"),
    OPTION("worker-grace-ms", INTEGER, "WORKERGRACE"),
    OPTION("predict-ms", INTEGER, "PREDICT"),
    OPTION("failures", INTEGER, "FAILURES"),
    OPTION("open-ms", INTEGER, "OPENTIME"),
    OPTION("session-ttl-ms", INTEGER, "SESSIONTTL"),
    OPTION("ttft-ms", INTEGER, "SLOTTFT"),
    OPTION("tbt-ms", INTEGER, "SLOTBT"),
    OPTION("tokens", DOUBLE, "STICK"),
    {0},
};

RedisModuleCommandArg cmd_doc_alter[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    OPTION("policy", STRING, "POLICY"),
    OPTION("overlap-weight", DOUBLE, "OVERLAP"),
    OPTION("prefill-weight", DOUBLE, "PREFILL"),
    OPTION("requests-weight", DOUBLE, "REQUESTS"),
    OPTION("host-credit", DOUBLE, "HOST"),
    OPTION("disk-credit", DOUBLE, "DISK"),
    OPTION("temperature", DOUBLE, "TEMPERATURE"),
    OPTION("lease-ms", INTEGER, "LEASE"),
    OPTION("worker-ttl-ms", INTEGER, "WORKERTTL"),
    OPTION("worker-grace-ms", INTEGER, "WORKERGRACE"),
    OPTION("predict-ms", INTEGER, "PREDICT"),
    OPTION("failures", INTEGER, "FAILURES"),
    OPTION("open-ms", INTEGER, "OPENTIME"),
    OPTION("session-ttl-ms", INTEGER, "SESSIONTTL"),
    OPTION("ttft-ms", INTEGER, "SLOTTFT"),
    OPTION("tbt-ms", INTEGER, "SLOTBT"),
    OPTION("tokens", DOUBLE, "STICK"),
    {0},
};

static RedisModuleCommandArg outcomes[] = {
    WORD("ok", "OK"),
    WORD("failed", "FAILED"),
    {0},
};

RedisModuleCommandArg cmd_doc_report[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("worker", STRING),
    {.name = "outcome",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .subargs = outcomes},
    EFFECT("at-ms", UNIX_TIME, "AT"),
    {0},
};

RedisModuleCommandArg cmd_doc_worker[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("worker", STRING),
    {0},
};

static RedisModuleCommandArg labels[] = {
    {.name = "count",
     .type = REDISMODULE_ARG_TYPE_INTEGER,
     .key_spec_index = -1,
     .token = "LABELS"},
    {.name = "label",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_MULTIPLE},
    {0},
};

RedisModuleCommandArg cmd_doc_worker_set[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("worker", STRING),
    OPTION("addr", STRING, "ADDR"),
    OPTION("ranks", INTEGER, "RANKS"),
    OPTION("blocks", INTEGER, "CAPACITY"),
    {.name = "state",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .token = "STATE",
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = states},
    OPTION("ttl-ms", INTEGER, "TTL"),
    OPTION("speed", DOUBLE, "SPEED"),
    {.name = "labels",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = labels},
    EFFECT("seen-ms", UNIX_TIME, "SEEN"),
    {0},
};

static RedisModuleCommandArg op_stored[] = {
    {.name = "tier",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .token = "TIER",
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = tiers},
    {.name = "parent",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .token = "STORED",
     .summary = "16 hex digits, 8 bytes, or - for none"},
    {.name = "blocks",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .subargs = block_forms},
    {0},
};

static RedisModuleCommandArg op_removed[] = {
    {.name = "tier",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .token = "TIER",
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = tiers},
    WORD("removed", "REMOVED"),
    {.name = "blocks",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .subargs = hash_forms},
    {0},
};

static RedisModuleCommandArg op_cleared[] = {
    {.name = "tier",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .token = "TIER",
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = tiers},
    WORD("cleared", "CLEARED"),
    {0},
};

static RedisModuleCommandArg ops[] = {
    {.name = "stored",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .subargs = op_stored},
    {.name = "removed",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .subargs = op_removed},
    {.name = "cleared",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .subargs = op_cleared},
    {0},
};

RedisModuleCommandArg cmd_doc_event[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("worker", STRING),
    VALUE("rank", INTEGER),
    VALUE("epoch", INTEGER),
    VALUE("seq", INTEGER),
    {.name = "op",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_MULTIPLE,
     .subargs = ops},
    {0},
};

static RedisModuleCommandArg among[] = {
    {.name = "count", .type = REDISMODULE_ARG_TYPE_INTEGER, .key_spec_index = -1, .token = "AMONG"},
    {.name = "worker",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_MULTIPLE},
    {0},
};

static RedisModuleCommandArg exclude[] = {
    {.name = "count",
     .type = REDISMODULE_ARG_TYPE_INTEGER,
     .key_spec_index = -1,
     .token = "EXCLUDE"},
    {.name = "worker",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_MULTIPLE},
    {0},
};

static RedisModuleCommandArg with[] = {
    {.name = "count", .type = REDISMODULE_ARG_TYPE_INTEGER, .key_spec_index = -1, .token = "WITH"},
    {.name = "label",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_MULTIPLE},
    {0},
};

static RedisModuleCommandArg without[] = {
    {.name = "count",
     .type = REDISMODULE_ARG_TYPE_INTEGER,
     .key_spec_index = -1,
     .token = "WITHOUT"},
    {.name = "label",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_MULTIPLE},
    {0},
};

RedisModuleCommandArg cmd_doc_select[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("request", STRING),
    {.name = "blocks",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .subargs = block_forms},
    OPTION("tokens", INTEGER, "ISL"),
    OPTION("tokens", INTEGER, "OSL"),
    OPTION("ms", INTEGER, "LEASE"),
    {.name = "among",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = among},
    {.name = "exclude",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = exclude},
    OPTION("policy", STRING, "POLICY"),
    OPTION("overlap-weight", DOUBLE, "OVERLAP"),
    OPTION("prefill-weight", DOUBLE, "PREFILL"),
    OPTION("requests-weight", DOUBLE, "REQUESTS"),
    OPTION("temperature", DOUBLE, "TEMPERATURE"),
    {.name = "with",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = with},
    {.name = "without",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = without},
    OPTION("session", STRING, "SESSION"),
    {0},
};

RedisModuleCommandArg cmd_doc_score[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    {.name = "blocks",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .subargs = block_forms},
    OPTION("tokens", INTEGER, "ISL"),
    OPTION("tokens", INTEGER, "OSL"),
    {.name = "among",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = among},
    {.name = "exclude",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = exclude},
    OPTION("policy", STRING, "POLICY"),
    OPTION("overlap-weight", DOUBLE, "OVERLAP"),
    OPTION("prefill-weight", DOUBLE, "PREFILL"),
    OPTION("requests-weight", DOUBLE, "REQUESTS"),
    OPTION("temperature", DOUBLE, "TEMPERATURE"),
    {.name = "with",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = with},
    {.name = "without",
     .type = REDISMODULE_ARG_TYPE_BLOCK,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL,
     .subargs = without},
    OPTION("session", STRING, "SESSION"),
    {0},
};

RedisModuleCommandArg cmd_doc_update[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("request", STRING),
    FLAG("prefilled", "PREFILLED"),
    OPTION("tokens", INTEGER, "OUTPUT"),
    OPTION("ms", INTEGER, "LEASE"),
    EFFECT("at-ms", UNIX_TIME, "AT"),
    {0},
};

RedisModuleCommandArg cmd_doc_release[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    {.name = "request",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_MULTIPLE},
    EFFECT("at-ms", UNIX_TIME, "AT"),
    EFFECT("lapsed-ms", UNIX_TIME, "LAPSED"),
    {0},
};

RedisModuleCommandArg cmd_doc_claim[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("request", STRING),
    VALUE("worker", STRING),
    VALUE("rank", INTEGER),
    {.name = "blocks",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .subargs = block_forms},
    OPTION("tokens", INTEGER, "ISL"),
    OPTION("tokens", INTEGER, "CACHED"),
    OPTION("tokens", INTEGER, "OUTPUT"),
    FLAG("prefilled", "PREFILLED"),
    OPTION("ms", INTEGER, "LEASE"),
    OPTION("tokens", INTEGER, "OSL"),
    OPTION("session", STRING, "SESSION"),
    EFFECT("created-ms", UNIX_TIME, "CREATED"),
    EFFECT("renewed-ms", UNIX_TIME, "RENEWED"),
    EFFECT("predicted-ms", UNIX_TIME, "PREDICTED"),
    EFFECT("overlap-blocks", INTEGER, "OVERLAP"),
    EFFECT("cost", DOUBLE, "COST"),
    EFFECT("expected-blocks", INTEGER, "EXPECTED"),
    {0},
};

RedisModuleCommandArg cmd_doc_request[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("request", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_session[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("session", STRING),
    {0},
};

RedisModuleCommandArg cmd_doc_session_del[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    {.name = "session",
     .type = REDISMODULE_ARG_TYPE_STRING,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_MULTIPLE},
    {0},
};

RedisModuleCommandArg cmd_doc_scan[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    {.name = "cursor",
     .type = REDISMODULE_ARG_TYPE_INTEGER,
     .key_spec_index = -1,
     .flags = REDISMODULE_CMD_ARG_OPTIONAL},
    OPTION("count", INTEGER, "COUNT"),
    {0},
};

RedisModuleCommandArg cmd_doc_tree[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    OPTION("hash", STRING, "FROM"),
    OPTION("levels", INTEGER, "DEPTH"),
    OPTION("runs", INTEGER, "COUNT"),
    {0},
};

RedisModuleCommandArg cmd_doc_hash[] = {
    VALUE("block-size", INTEGER),
    {.name = "blocks",
     .type = REDISMODULE_ARG_TYPE_ONEOF,
     .key_spec_index = -1,
     .subargs = block_forms},
    OPTION("hash", STRING, "FROM"),
    {0},
};

RedisModuleCommandArg cmd_doc_forget[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("at-ms", UNIX_TIME),
    VALUE("count", INTEGER),
    {0},
};

RedisModuleCommandArg cmd_doc_load[] = {
    {.name = "key", .type = REDISMODULE_ARG_TYPE_KEY},
    VALUE("chunk", STRING),
    {0},
};

#undef TYPE
#undef VALUE
#undef WORD
#undef FLAG
#undef OPTION
#undef EFFECT
