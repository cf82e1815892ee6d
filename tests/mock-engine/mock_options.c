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
    MOCK_OPTION_HELP
};

struct option_row {
    const char *name, *value, *help;
    enum option_kind kind;
    size_t offset; // in struct mock_options
};

#define AT(field) offsetof(struct mock_options, field)
static const struct option_row rows[] = {
    {"host", "ADDRESS", "where to listen (127.0.0.1)", MOCK_OPTION_TEXT, AT(host)},
    {"http-port", "PORT", "0: choose one (0)", MOCK_OPTION_PORT, AT(http_port)},
    {"events-port", "PORT", "of rank 0, rank n has PORT+n; 0: choose (0)", MOCK_OPTION_PORT,
     AT(events_port)},
    {"replay-port", "PORT", "of rank 0, rank n has PORT+n; 0: choose (0)", MOCK_OPTION_PORT,
     AT(replay_port)},
    {"connect", "ENDPOINT", "event sockets connect to tcp://HOST:PORT+rank instead of binding",
     MOCK_OPTION_TEXT, AT(connect)},
    {"no-events", NULL, "publish nothing", MOCK_OPTION_FLAG, AT(no_events)},
    {"no-replay", NULL, "without the replay sockets", MOCK_OPTION_FLAG, AT(no_replay)},
    {"model", "NAME", "served under this name (mock)", MOCK_OPTION_TEXT, AT(model)},
    {"fingerprint", "TEXT", "system_fingerprint beside the usage of a stream", MOCK_OPTION_TEXT,
     AT(fingerprint)},
    {"lora", "NAME", "an adapter, served as a model; up to 8", MOCK_OPTION_LORA, 0},
    {"ranks", "N", "data-parallel ranks (1)", MOCK_OPTION_COUNT, AT(ranks)},
    {"block-size", "N", "tokens in a block (16)", MOCK_OPTION_SIZE, AT(engine.block_size)},
    {"blocks", "N", "blocks of each rank (4096)", MOCK_OPTION_SIZE, AT(engine.blocks)},
    {"cpu-blocks", "N", "blocks of a second tier in the CPU's memory, of each rank (0)",
     MOCK_OPTION_SIZE, AT(engine.cpu_blocks)},
    {"max-model-len", "N", "tokens of prompt and answer (32768)", MOCK_OPTION_SIZE,
     AT(max_model_len)},
    {"max-running", "N", "requests of a rank at a time; others wait (64)", MOCK_OPTION_SIZE,
     AT(engine.max_running)},
    {"max-batch-tokens", "N", "tokens of a step (2048)", MOCK_OPTION_SIZE,
     AT(engine.max_batch_tokens)},
    {"prefill-speed", "N", "tokens of prompts a second, of a rank (8000)", MOCK_OPTION_SPEED,
     AT(engine.prefill_speed)},
    {"decode-speed", "N", "tokens a second of each answer (50)", MOCK_OPTION_SPEED,
     AT(engine.decode_speed)},
    {"time-scale", "F", "so many times faster; 0: no waiting at all (1)", MOCK_OPTION_NUMBER,
     AT(engine.time_scale)},
    {"schema", "NAME", "form of the events, see below (the last)", MOCK_OPTION_SCHEMA, 0},
    {"binary-hashes", NULL, "hashes as 32 bytes", MOCK_OPTION_FLAG, AT(engine.binary)},
    {"noise", NULL, "every batch also has events to be passed over", MOCK_OPTION_FLAG,
     AT(engine.noise)},
    {"topic", "TEXT", "first frame of every batch (empty)", MOCK_OPTION_TEXT, AT(publish.topic)},
    {"buffer", "N", "batches that can be replayed (10000)", MOCK_OPTION_SIZE, AT(publish.buffer)},
    {"replay-hwm", "N", "replies queued for a client before some are lost (1000)",
     MOCK_OPTION_COUNT, AT(publish.replay_hwm)},
    {"publish-at-start", "N", "N batches at once, before anybody can have subscribed (0)",
     MOCK_OPTION_SIZE, AT(publish_at_start)},
    {"seed", "N", "of the engine's block names; else random, as without PYTHONHASHSEED",
     MOCK_OPTION_SIZE, AT(seed)},
    {"help", NULL, "this text", MOCK_OPTION_HELP, 0},
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
                    to == &o->engine.cpu_blocks || to == &o->publish.replay_hwm;
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

int mock_options_read(struct mock_options *o, int argc, char **argv) {
    struct option options[N_OPTION_ROWS + 1] = {{0}};
    for (size_t i = 0; i < N_OPTION_ROWS; i++)
        options[i] = (struct option){.name = rows[i].name,
                                     .has_arg = rows[i].value ? required_argument : no_argument};
    set_defaults(o);
    for (int i, c; (c = getopt_long(argc, argv, "", options, &i)) != -1;) {
        if (c == '?') return 2; // getopt_long has said why
        if (rows[i].kind == MOCK_OPTION_HELP) {
            help();
            return 0;
        }
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
    if (o->engine.cpu_blocks && (!o->engine.schema->medium || o->engine.schema->sglang)) {
        fprintf(stderr, "kvroute-mock-engine: --cpu-blocks: not with this schema\n");
        return 2;
    }
    o->publish.replay_topic = o->engine.schema->replay_topic;
    return -1;
}
