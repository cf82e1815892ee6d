// SPDX-License-Identifier: Apache-2.0
// See config.h. All words are in two tables, which the file and the flags share.
#include "bridge_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/words.h"

const char bridge_config_usage[] =
    "usage: kvroute-bridge [--config FILE] [--WORD VALUE …] [--engine \"NAME WORD=VALUE …\"] …\n"
    "\n"
    "Stands beside inference engines and tells a kvroute pool what they cache.\n"
    "\n"
    "  redis URL        redis://, unix://, sentinel:// or cluster://; redis://127.0.0.1:6379\n"
    "  pool NAME        the pool's key; kvroute\n"
    "  create OPTIONS   of KVROUTE.CREATE, for a pool that isn't there; without them: wait for it\n"
    "  listen ADDR:PORT for /metrics and /healthz; without it: none\n"
    "  ttl MS           a worker lives so long without a renewal; 15000\n"
    "  exit HOW         on SIGTERM: drain (default), remove or leave the workers\n"
    "  debug yes|no     say more\n"
    "\n"
    "Of each engine (section [engine NAME] of the file):\n"
    "  http URL         for health checks, and the worker's address unless `address` is given\n"
    "  address TEXT     what SELECT answers\n"
    "  health PATH      /health\n"
    "  events ENDPOINT  of rank 0, such as tcp://10.0.0.1:5557; the others' ports follow\n"
    "  replay ENDPOINT  the same for replays; without it, lost events cost what is known\n"
    "  topic PREFIX     only messages of this\n"
    "  mode HOW         connect (default) or bind\n"
    "  kind NAME        vllm (default), sglang or other\n"
    "  ranks N          data-parallel ranks; 0: ask the engine; 1\n"
    "  block_size N     tokens; 0 (default): ask the engine\n"
    "  capacity N       blocks a rank has; 0 (default): ask the engine\n"
    "  audit MS         how often a replay of the last events is asked for; 10000\n"
    "  down HOW         when it doesn't answer: let the worker expire after ttl (default), drain "
    "it\n"
    "                   at once, or remove it after ttl\n"
    "  gaps HOW         clear (default) or keep what is known when events are lost for good\n"
    "  copies HOW       count (default) or set, see docs/bridge.md\n";

static const struct word bridge_words[] = {
    {"redis", WORD_TEXT, WORD_AT(config, redis), NULL, 0, 0},
    {"pool", WORD_TEXT, WORD_AT(config, pool), NULL, 0, 0},
    {"create", WORD_TEXT, WORD_AT(config, create), NULL, 0, 0},
    {"listen", WORD_TEXT, WORD_AT(config, listen), NULL, 0, 0},
    {"ttl", WORD_I64, WORD_AT(config, ttl), NULL, (int64_t)1 << 40, 0},
    {"exit", WORD_CHOICE, WORD_AT(config, exit), "drain remove leave", 0, 0},
    {"debug", WORD_YES, WORD_AT(config, debug), "no yes", 0, 0},
};

static const struct word engine_words[] = {
    {"http", WORD_TEXT, WORD_AT(engine_config, http), NULL, 0, 0},
    {"address", WORD_TEXT, WORD_AT(engine_config, address), NULL, 0, 0},
    {"health", WORD_TEXT, WORD_AT(engine_config, health), NULL, 0, 0},
    {"events", WORD_TEXT, WORD_AT(engine_config, events), NULL, 0, 0},
    {"replay", WORD_TEXT, WORD_AT(engine_config, replay), NULL, 0, 0},
    {"topic", WORD_TEXT, WORD_AT(engine_config, topic), NULL, 0, 0},
    {"mode", WORD_YES, WORD_AT(engine_config, bind), "connect bind", 0, 0},
    {"kind", WORD_CHOICE, WORD_AT(engine_config, kind), "vllm sglang other", 0, 0},
    {"ranks", WORD_U32, WORD_AT(engine_config, ranks), NULL, 1024, 0},
    {"block_size", WORD_U32, WORD_AT(engine_config, block_size), NULL, 4096, 0},
    {"capacity", WORD_I64, WORD_AT(engine_config, capacity), NULL, (int64_t)1 << 40, 0},
    {"audit", WORD_I64, WORD_AT(engine_config, audit), NULL, (int64_t)1 << 40, 0},
    {"down", WORD_CHOICE, WORD_AT(engine_config, down), "expire drain remove", 0, 0},
    {"gaps", WORD_YES, WORD_AT(engine_config, keep), "clear keep", 0, 0},
    {"copies", WORD_YES, WORD_AT(engine_config, set), "count set", 0, 0},
};

static bool set_bridge(struct bridge_config *c, const char *name, const char *value,
                       struct words_error *e) {
    return words_set(c, bridge_words, sizeof bridge_words / sizeof *bridge_words, name, value, e);
}

static bool set_engine(struct bridge_engine_config *g, const char *name, const char *value,
                       struct words_error *e) {
    return words_set(g, engine_words, sizeof engine_words / sizeof *engine_words, name, value, e);
}

// The engine of that name, made if it isn't there.
static struct bridge_engine_config *engine_named(struct bridge_config *c, const char *name,
                                          struct words_error *e) {
    for (size_t i = 0; i < c->n_engines; i++)
        if (strcmp(c->engines[i].name, name) == 0) return &c->engines[i];
    struct bridge_engine_config *all = realloc(c->engines, (c->n_engines + 1) * sizeof *all);
    if (!all) {
        words_fail(e, "no memory");
        return NULL;
    }
    c->engines = all;
    struct bridge_engine_config *g = &all[c->n_engines];
    *g = (struct bridge_engine_config){.ranks = 1, .health = "/health"};
    if (!*name || strlen(name) >= sizeof g->name) {
        words_fail(e, "an engine's name has 1 to %zu bytes", sizeof g->name - 1);
        return NULL;
    }
    memcpy(g->name, name, strlen(name) + 1);
    c->n_engines++;
    return g;
}

static bool on_word(void *ctx, const char *section, const char *name, const char *value,
                    struct words_error *e) {
    struct bridge_config *c = ctx;
    if (strcmp(section, "bridge") == 0) return !name || set_bridge(c, name, value, e);
    if (strncmp(section, "engine ", 7) != 0) return words_fail(e, "no section [%.60s]", section);
    struct bridge_engine_config *g = engine_named(c, section + 7 + strspn(section + 7, " \t"), e);
    return g && (!name || set_engine(g, name, value, e));
}

static bool check(const struct bridge_config *c, struct words_error *e) {
    if (!c->n_engines) return words_fail(e, "no engines");
    if (c->ttl < 100) return words_fail(e, "ttl is at least 100 ms");
    for (size_t i = 0; i < c->n_engines; i++) {
        const struct bridge_engine_config *g = &c->engines[i];
        if (!*g->events) return words_fail(e, "engine %s has no events endpoint", g->name);
        if (*g->http && strncmp(g->http, "http://", 7) != 0)
            return words_fail(e, "engine %s: http begins with http://", g->name);
        if (!g->ranks && !*g->http)
            return words_fail(e, "engine %s: without http, ranks must be given", g->name);
    }
    return true;
}

bool bridge_config_read(struct bridge_config *c, int argc, char **argv, bool *help, char *error,
                 size_t error_size) {
    static const char *const kinds[] = {"engine", NULL};
    struct words_error e = {error, error_size};
    *c = (struct bridge_config){.redis = "redis://127.0.0.1:6379", .pool = "kvroute", .ttl = 15000};
    *help = words_help(argc, argv);
    if (*help) return true;
    return words_command_line(argc, argv, "bridge", kinds, on_word, c, &e) && check(c, &e);
}

void bridge_config_free(struct bridge_config *c) {
    free(c->engines);
    c->engines = NULL;
}
