// SPDX-License-Identifier: Apache-2.0
// The command line of the mock engine; see mock_options.h.
#include "mock_options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum option_kind {
    MOCK_OPTION_FLAG,
    MOCK_OPTION_TEXT,
    MOCK_OPTION_PORT,
    MOCK_OPTION_COUNT,
    MOCK_OPTION_SIZE,
    MOCK_OPTION_SPEED,
    MOCK_OPTION_NUMBER,
    MOCK_OPTION_LORA,
    MOCK_OPTION_SCHEMA,
    MOCK_OPTION_CHOICE,
    MOCK_OPTION_HELP,
    MOCK_OPTION_VERSION
};

struct option_row {
    const char *name, *value, *help;
    enum option_kind kind;
    size_t offset; // in struct mock_options
    const char *const *choices;
};

// What an option may be one of; its value is the place in the list.
static const char *const kv_names[] = {"none",   "nixl",   "mooncake", "shared",
                                       "sglang", "trtllm", NULL};
static const char *const role_names[] = {"both", "prefill", "decode", NULL};
static const char *const answer_names[] = {"prompt", "ids", NULL};
static const char *const failure_names[] = {"fail", "recompute", NULL};

const char *mock_role_name(enum mock_role role) {
    return role_names[role];
}

double mock_transfer_seconds(const struct mock_options *o, size_t tokens) {
    double scale = o->engine.time_scale;
    return scale > 0 ? (double)tokens * o->transfer_ms_per_token / 1000 / scale : 0;
}

#define AT(field) offsetof(struct mock_options, field)
static const struct option_row rows[] = {
    {"host", "ADDRESS", "where to listen (127.0.0.1)", MOCK_OPTION_TEXT, AT(host), NULL},
    {"http-port", "PORT", "0: choose one (0)", MOCK_OPTION_PORT, AT(http_port), NULL},
    {"tls-port", "PORT", "the same over TLS, too, with --tls-cert and --tls-key; 0: not (0)",
     MOCK_OPTION_PORT, AT(tls_port), NULL},
    {"tls-cert", "FILE", "PEM", MOCK_OPTION_TEXT, AT(tls_cert), NULL},
    {"tls-key", "FILE", "PEM", MOCK_OPTION_TEXT, AT(tls_key), NULL},
    {"events-port", "PORT", "of rank 0, rank n has PORT+n; 0: choose (0)", MOCK_OPTION_PORT,
     AT(events_port), NULL},
    {"replay-port", "PORT", "of rank 0, rank n has PORT+n; 0: choose (0)", MOCK_OPTION_PORT,
     AT(replay_port), NULL},
    {"connect", "ENDPOINT", "event sockets connect to tcp://HOST:PORT+rank instead of binding",
     MOCK_OPTION_TEXT, AT(connect), NULL},
    {"no-events", NULL, "publish nothing", MOCK_OPTION_FLAG, AT(no_events), NULL},
    {"no-replay", NULL, "without the replay sockets", MOCK_OPTION_FLAG, AT(no_replay), NULL},
    {"no-dev-mode", NULL, "without what vLLM shows in development mode only", MOCK_OPTION_FLAG,
     AT(no_dev_mode), NULL},
    {"model", "NAME", "served under this name (mock)", MOCK_OPTION_TEXT, AT(model), NULL},
    {"owner", "NAME",
     "owned_by of its models, by which engines are told apart "
     "(vllm, or as schema and disaggregation go)",
     MOCK_OPTION_TEXT, AT(owner), NULL},
    {"fingerprint", "TEXT", "system_fingerprint beside the usage of a stream", MOCK_OPTION_TEXT,
     AT(fingerprint), NULL},
    {"deadly", "TEXT", "a request with this in it ends the engine", MOCK_OPTION_TEXT, AT(deadly),
     NULL},
    {"lora", "NAME", "an adapter, served as a model; up to 8", MOCK_OPTION_LORA, 0, NULL},
    {"ranks", "N", "data-parallel ranks (1)", MOCK_OPTION_COUNT, AT(ranks), NULL},
    {"block-size", "N", "tokens in a block (16)", MOCK_OPTION_SIZE, AT(engine.block_size), NULL},
    {"blocks", "N", "blocks of each rank (4096)", MOCK_OPTION_SIZE, AT(engine.blocks), NULL},
    {"cpu-blocks", "N", "blocks of a second tier in the CPU's memory, of each rank (0)",
     MOCK_OPTION_SIZE, AT(engine.cpu_blocks), NULL},
    {"max-model-len", "N", "tokens of prompt and answer (32768)", MOCK_OPTION_SIZE,
     AT(max_model_len), NULL},
    {"max-running", "N", "requests of a rank at a time; others wait (64)", MOCK_OPTION_SIZE,
     AT(engine.max_running), NULL},
    {"max-batch-tokens", "N", "tokens of a step (2048)", MOCK_OPTION_SIZE,
     AT(engine.max_batch_tokens), NULL},
    {"prefill-speed", "N", "tokens of prompts a second, of a rank (8000)", MOCK_OPTION_SPEED,
     AT(engine.prefill_speed), NULL},
    {"decode-speed", "N", "tokens a second of each answer (50)", MOCK_OPTION_SPEED,
     AT(engine.decode_speed), NULL},
    {"time-scale", "F", "so many times faster; 0: no waiting at all (1)", MOCK_OPTION_NUMBER,
     AT(engine.time_scale), NULL},
    {"schema", "NAME", "form of the events, see below (the last)", MOCK_OPTION_SCHEMA, 0, NULL},
    {"binary-hashes", NULL, "hashes as 32 bytes", MOCK_OPTION_FLAG, AT(engine.binary), NULL},
    {"noise", NULL, "every batch also has events to be passed over", MOCK_OPTION_FLAG,
     AT(engine.noise), NULL},
    {"topic", "TEXT", "first frame of every batch (empty)", MOCK_OPTION_TEXT, AT(publish.topic),
     NULL},
    {"buffer", "N", "batches that can be replayed (10000)", MOCK_OPTION_SIZE, AT(publish.buffer),
     NULL},
    {"replay-hwm", "N", "replies queued for a client before some are lost (1000)",
     MOCK_OPTION_COUNT, AT(publish.replay_hwm), NULL},
    {"publish-at-start", "N", "N batches at once, before anybody can have subscribed (0)",
     MOCK_OPTION_SIZE, AT(publish_at_start), NULL},
    {"answers", "KIND",
     "prompt: words that the prompt tells; ids: tokens that follow from all before (prompt)",
     MOCK_OPTION_CHOICE, AT(answers), answer_names},
    {"reasoning", NULL, "with --answers ids: chats begin with a thought", MOCK_OPTION_FLAG,
     AT(reasoning), NULL},
    {"render", NULL, "the paths …/render, as with vLLM's --enable-scale-out; else they are 403",
     MOCK_OPTION_FLAG, AT(renders), NULL},
    {"responses-store", NULL, "keeps responses, as with VLLM_ENABLE_RESPONSES_API_STORE",
     MOCK_OPTION_FLAG, AT(keeps_responses), NULL},
    {"end-every", "N", "with --answers ids: one token in N ends the answer; 0: none (64)",
     MOCK_OPTION_SIZE, AT(end_every), NULL},
    {"stream-interval", "N", "tokens in a chunk after the first (1)", MOCK_OPTION_SIZE,
     AT(stream_interval), NULL},
    {"max-queued", "N", "requests of a rank that may wait, 503 beyond; 0: any number (0)",
     MOCK_OPTION_SIZE, AT(max_queued), NULL},
    {"disaggregation", "KIND", "none, nixl, mooncake, shared, sglang or trtllm (none)",
     MOCK_OPTION_CHOICE, AT(kv), kv_names},
    {"role", "ROLE", "prefill, decode or both (both)", MOCK_OPTION_CHOICE, AT(role), role_names},
    {"side-port", "PORT", "where other engines, and routers for /query, come; 0: choose one (0)",
     MOCK_OPTION_PORT, AT(side_port), NULL},
    {"kv-host", "ADDRESS", "what others are told to reach this host by (that of --host)",
     MOCK_OPTION_TEXT, AT(kv_host), NULL},
    {"kv-lease-ms", "N", "how long NIXL keeps a prompt for others (30000)", MOCK_OPTION_SIZE,
     AT(kv_lease_ms), NULL},
    {"kv-timeout-ms", "N",
     "how long one side waits for the other (mooncake 480000, sglang 300000, trtllm 180000)",
     MOCK_OPTION_SIZE, AT(kv_timeout_ms), NULL},
    {"kv-heartbeat-ms", "N", "half of how long SGLang needs to notice the other's death (5000)",
     MOCK_OPTION_SIZE, AT(kv_heartbeat_ms), NULL},
    {"kv-load-failure", "POLICY", "vLLM's, if a prompt doesn't come: fail or recompute (fail)",
     MOCK_OPTION_CHOICE, AT(load_failure), failure_names},
    {"transfer-ms-per-token", "F", "between engines (0.01)", MOCK_OPTION_NUMBER,
     AT(transfer_ms_per_token), NULL},
    {"shared-store", "FILE", "with --disaggregation shared: what all have in common",
     MOCK_OPTION_TEXT, AT(store), NULL},
    {"seed", "N", "of the engine's block names; else random, as without PYTHONHASHSEED",
     MOCK_OPTION_SIZE, AT(seed), NULL},
    {"help", NULL, "this text", MOCK_OPTION_HELP, 0, NULL},
    {"version", NULL, "its version", MOCK_OPTION_VERSION, 0, NULL},
};
#undef AT
enum { N_OPTION_ROWS = sizeof rows / sizeof *rows };

static void help(void) {
    printf("usage: kvroute-mock-engine [options]\n\n"
           "An inference engine for tests: OpenAI's API, a prefix cache, events over ZeroMQ.\n"
           "Prints one line of JSON that tells its ports, and serves until SIGTERM.\n\n");
    for (size_t i = 0; i < N_OPTION_ROWS; i++) {
        char left[40];
        snprintf(left, sizeof left, "--%s %s", rows[i].name, rows[i].value ? rows[i].value : "");
        printf("  %-24s %s\n", left, rows[i].help);
    }
    printf("\nSchemas (releases of vLLM from which on it is so, and SGLang's):");
    for (size_t i = 0; mock_schema_at(i); i++)
        printf(" %s", mock_schema_at(i)->name);
    printf("\n");
}

static int wrong(const struct option_row *row, const char *value) {
    fprintf(stderr, "kvroute-mock-engine: --%s: no %s: %s\n", row->name, row->value, value);
    return 2;
}

static bool read_whole(const char *value, uint64_t most, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(value, &end, 10);
    return *value >= '0' && *value <= '9' && !*end && !errno && *out <= most;
}

// The size of what each whole number may be, and where it goes.
static bool set_whole(struct mock_options *o, const struct option_row *row, const char *value) {
    static const uint64_t most[] = {[MOCK_OPTION_PORT] = 65535 - MOCK_MAX_RANKS,
                                    [MOCK_OPTION_COUNT] = 1000000,
                                    [MOCK_OPTION_SIZE] = 1u << 28};
    void *to = (char *)o + row->offset;
    uint64_t n;
    bool is_seed = to == &o->seed;
    if (!read_whole(value, is_seed ? UINT64_MAX : most[row->kind], &n)) return false;
    if (row->kind == MOCK_OPTION_PORT || to == &o->publish.replay_hwm)
        *(int *)to = (int)n;
    else
        *(uint64_t *)to = n;
    _Static_assert(sizeof(size_t) == sizeof(uint64_t), "sizes are 64 bits");
    bool may_be_0 = row->kind == MOCK_OPTION_PORT || is_seed || to == &o->publish_at_start ||
                    to == &o->engine.cpu_blocks || to == &o->publish.replay_hwm ||
                    to == &o->end_every || to == &o->max_queued;
    return n || may_be_0;
}

static bool set_real(struct mock_options *o, const struct option_row *row, const char *value) {
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end || !isfinite(x) || x < 0) return false;
    if (row->kind == MOCK_OPTION_SPEED && x < 0.001) return false;
    *(double *)((char *)o + row->offset) = x;
    return true;
}

static bool set(struct mock_options *o, const struct option_row *row, const char *value) {
    switch (row->kind) {
    case MOCK_OPTION_FLAG:
        *(bool *)((char *)o + row->offset) = true;
        return true;
    case MOCK_OPTION_TEXT:
        *(const char **)((char *)o + row->offset) = value;
        return true;
    case MOCK_OPTION_SPEED:
    case MOCK_OPTION_NUMBER:
        return set_real(o, row, value);
    case MOCK_OPTION_LORA:
        if (o->n_loras == MOCK_MAX_LORAS) return false;
        o->loras[o->n_loras++] = value;
        return true;
    case MOCK_OPTION_SCHEMA:
        return (o->engine.schema = mock_schema_find(value)) != NULL;
    case MOCK_OPTION_CHOICE:
        for (int i = 0; row->choices[i]; i++) {
            if (strcmp(row->choices[i], value) != 0) continue;
            *(int *)((char *)o + row->offset) = i;
            return true;
        }
        return false;
    default:
        return set_whole(o, row, value);
    }
}

static uint64_t random_seed(void) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) abort();
    return seed;
}

static void set_defaults(struct mock_options *o) {
    const struct mock_schema *newest = NULL;
    for (size_t i = 0; mock_schema_at(i); i++)
        newest = mock_schema_at(i);
    *o = (struct mock_options){
        .host = "127.0.0.1",
        .model = "mock",
        .ranks = 1,
        .max_model_len = 32768,
        .seed = random_seed(),
        .end_every = 64,
        .stream_interval = 1,
        .kv_lease_ms = 30000,
        .kv_heartbeat_ms = 5000,
        .transfer_ms_per_token = 0.01,
        .engine = {.blocks = 4096,
                   .block_size = 16,
                   .max_running = 64,
                   .max_batch_tokens = 2048,
                   .prefill_speed = 8000,
                   .decode_speed = 50,
                   .time_scale = 1,
                   .schema = newest},
        .publish = {.topic = "", .buffer = 10000, .replay_hwm = 1000},
    };
}

// What follows from the kind of transfer. NULL, or what doesn't go together.
static const char *settle_kv(struct mock_options *o, bool schema_given) {
    static const int64_t timeouts[MOCK_N_KV_KINDS] = {
        [MOCK_KV_NONE] = 300000,   [MOCK_KV_NIXL] = 300000,   [MOCK_KV_MOONCAKE] = 480000,
        [MOCK_KV_SHARED] = 300000, [MOCK_KV_SGLANG] = 300000, [MOCK_KV_TRTLLM] = 180000,
    };
    if (!o->kv_timeout_ms) o->kv_timeout_ms = timeouts[o->kv];
    if (!o->kv_host) o->kv_host = o->host;
    if (o->kv == MOCK_KV_SGLANG && !schema_given) o->engine.schema = mock_schema_find("sglang");
    bool sglang = !strncmp(o->engine.schema->name, "sglang", 6);
    if (!o->owner) o->owner = sglang ? "sglang" : o->kv == MOCK_KV_TRTLLM ? "tensorrt_llm" : "vllm";
    if (o->kv && sglang != (o->kv == MOCK_KV_SGLANG))
        return "--disaggregation: not with this schema";
    if ((o->kv == MOCK_KV_SHARED) != (o->store != NULL))
        return "--disaggregation shared needs a --shared-store, and no other does";
    return NULL;
}

int mock_options_read(struct mock_options *o, int argc, char **argv) {
    struct option options[N_OPTION_ROWS + 1] = {{0}};
    for (size_t i = 0; i < N_OPTION_ROWS; i++)
        options[i] = (struct option){.name = rows[i].name,
                                     .has_arg = rows[i].value ? required_argument : no_argument};
    bool schema_given = false;
    set_defaults(o);
    for (int i, c; (c = getopt_long(argc, argv, "", options, &i)) != -1;) {
        if (c == '?') return 2; // getopt_long has said why
        if (rows[i].kind == MOCK_OPTION_HELP) {
            help();
            return 0;
        }
        if (rows[i].kind == MOCK_OPTION_VERSION) {
            printf("kvroute-mock-engine %s\n", KVROUTE_VERSION);
            return 0;
        }
        schema_given |= rows[i].kind == MOCK_OPTION_SCHEMA;
        if (!set(o, &rows[i], optarg)) return wrong(&rows[i], optarg);
    }
    if (optind < argc) {
        fprintf(stderr, "kvroute-mock-engine: takes options only, see --help\n");
        return 2;
    }
    if (o->ranks > MOCK_MAX_RANKS) {
        fprintf(stderr, "kvroute-mock-engine: at most %d ranks\n", MOCK_MAX_RANKS);
        return 2;
    }
    if (o->tls_port && (!o->tls_cert || !o->tls_key)) {
        fprintf(stderr, "kvroute-mock-engine: --tls-port needs --tls-cert and --tls-key\n");
        return 2;
    }
    if (o->engine.cpu_blocks && (!o->engine.schema->medium || o->engine.schema->sglang)) {
        fprintf(stderr, "kvroute-mock-engine: --cpu-blocks: not with this schema\n");
        return 2;
    }
    const char *clash = settle_kv(o, schema_given);
    if (clash) {
        fprintf(stderr, "kvroute-mock-engine: %s\n", clash);
        return 2;
    }
    o->publish.replay_topic = o->engine.schema->replay_topic;
    return -1;
}
