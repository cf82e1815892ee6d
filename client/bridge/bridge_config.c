// SPDX-License-Identifier: Apache-2.0
// See bridge_config.h. All settings are in two tables, which the file and the flags share.
#include "bridge_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/config.h"
#include "client/engine/engine_url.h"
#include "client/http1/h1_address.h"

const char bridge_config_usage[] =
    "usage: kvroute-bridge [--config FILE] [--WORD VALUE …] [--engine \"NAME WORD=VALUE …\"] …\n"
    "                      [--discover \"SOURCE WORD=VALUE …\"] …\n"
    "       kvroute-bridge --help | --version\n"
    "\n"
    "Stands beside inference engines and tells a kvroute pool what they cache.\n"
    "\n"
    "  redis URL        redis://, unix://, sentinel:// or cluster://; redis://127.0.0.1:6379\n"
    "                   over TLS rediss:// and so on, if --version says TLS\n"
    "  pool NAME        the pool's key; kvroute\n"
    "  create OPTIONS   of KVROUTE.CREATE, for a pool that isn't there; without them: wait for it\n"
    "  listen ADDR:PORT for /metrics and /healthz; without it: none\n"
    "  ttl MS           a worker lives so long without a renewal; 15000\n"
    "  engine_ca FILE   authorities that https engines are believed by; the system's\n"
    "  engine_cert FILE the bridge's own, for those that ask for one (PEM); none\n"
    "  engine_key FILE  its key\n"
    "  engine_insecure NAME … hosts whose certificates aren't verified; yes: none is; no\n"
    "  exit HOW         on SIGTERM: drain (default), remove or leave the workers\n"
    "  from_pool yes|no tell also what workers of the pool cache that others have registered; no\n"
    "  debug yes|no     say more\n"
    "\n"
    "Of each engine (section [engine NAME] of the file):\n"
    "  http URL         for health checks, and the worker's address unless `address` is given\n"
    "  address TEXT     what SELECT answers\n"
    "  health PATH      /health; of sglang, and until it is known which it is, /ready, then "
    "/health\n"
    "  events ENDPOINT  of rank 0, such as tcp://10.0.0.1:5557; the others' ports follow; without "
    "it: "
    "ask\n"
    "                   the engine\n"
    "  replay ENDPOINT  the same for replays; without it, lost events cost what is known\n"
    "  topic PREFIX     only messages of this\n"
    "  mode HOW         connect (default) or bind\n"
    "  kind NAME        auto (default): ask the engine; vllm, sglang or other\n"
    "  ranks N          data-parallel ranks; 0: ask the engine; 1, without events 0\n"
    "  block_size N     tokens; 0 (default): ask the engine\n"
    "  capacity N       blocks a rank has; 0 (default): ask the engine\n"
    "  role ROLE        auto (default): ask the engine; both, prefill or decode, see "
    "docs/disaggregation.md\n"
    "  audit MS         how often a replay of the last events is asked for; 10000\n"
    "  down HOW         when it doesn't answer: expire (default) lets the worker go after ttl, "
    "drain\n"
    "                   drains it at once, remove removes it after ttl\n"
    "  gaps HOW         clear (default) or keep what is known when events are lost for good\n"
    "  copies HOW       count (default) or set, see docs/bridge.md\n" DISCOVERY_USAGE;

enum { MAX_RANKS_SETTING = 1024, RANKS_UNSET = MAX_RANKS_SETTING + 1 };

#define BRIDGE_AT(field) KVR_SETTING_AT(bridge_config, field)
#define ENGINE_AT(field) KVR_SETTING_AT(bridge_engine_config, field)

static const struct kvr_setting bridge_settings[] = {
    {"redis", KVR_SETTING_TEXT, BRIDGE_AT(redis), NULL, 0, 0},
    {"pool", KVR_SETTING_TEXT, BRIDGE_AT(pool), NULL, 0, 0},
    {"create", KVR_SETTING_TEXT, BRIDGE_AT(create), NULL, 0, 0},
    {"listen", KVR_SETTING_TEXT, BRIDGE_AT(listen), NULL, 0, 0},
    {"engine_ca", KVR_SETTING_TEXT, BRIDGE_AT(engine_ca), NULL, 0, 0},
    {"engine_cert", KVR_SETTING_TEXT, BRIDGE_AT(engine_cert), NULL, 0, 0},
    {"engine_key", KVR_SETTING_TEXT, BRIDGE_AT(engine_key), NULL, 0, 0},
    {"engine_insecure", KVR_SETTING_TEXT, BRIDGE_AT(engine_insecure), NULL, 0, 0},
    {"ttl", KVR_SETTING_I64, BRIDGE_AT(ttl), NULL, (int64_t)1 << 40, 0},
    {"exit", KVR_SETTING_CHOICE, BRIDGE_AT(exit), "drain remove leave", 0, 0},
    {"debug", KVR_SETTING_YES, BRIDGE_AT(debug), "no yes", 0, 0},
    {"from_pool", KVR_SETTING_YES, BRIDGE_AT(from_pool), "no yes", 0, 0},
    {.name = NULL},
};

static const struct kvr_setting engine_settings[] = {
    {"http", KVR_SETTING_TEXT, ENGINE_AT(http), NULL, 0, 0},
    {"address", KVR_SETTING_TEXT, ENGINE_AT(address), NULL, 0, 0},
    {"health", KVR_SETTING_TEXT, ENGINE_AT(health), NULL, 0, 0},
    {"events", KVR_SETTING_TEXT, ENGINE_AT(events), NULL, 0, 0},
    {"replay", KVR_SETTING_TEXT, ENGINE_AT(replay), NULL, 0, 0},
    {"topic", KVR_SETTING_TEXT, ENGINE_AT(topic), NULL, 0, 0},
    {"mode", KVR_SETTING_YES, ENGINE_AT(bind), "connect bind", 0, 0},
    {"kind", KVR_SETTING_CHOICE, ENGINE_AT(kind), "vllm sglang other auto", 0, 0},
    {"ranks", KVR_SETTING_U32, ENGINE_AT(ranks), NULL, MAX_RANKS_SETTING, 0},
    {"block_size", KVR_SETTING_U32, ENGINE_AT(block_size), NULL, 4096, 0},
    {"capacity", KVR_SETTING_I64, ENGINE_AT(capacity), NULL, (int64_t)1 << 40, 0},
    {"role", KVR_SETTING_CHOICE, ENGINE_AT(role), "both prefill decode auto", 0, 0},
    {"audit", KVR_SETTING_I64, ENGINE_AT(audit), NULL, (int64_t)1 << 40, 0},
    {"down", KVR_SETTING_CHOICE, ENGINE_AT(down), "expire drain remove", 0, 0},
    {"gaps", KVR_SETTING_YES, ENGINE_AT(keep), "clear keep", 0, 0},
    {"copies", KVR_SETTING_YES, ENGINE_AT(set), "count set", 0, 0},
    {.name = NULL},
};

// The engine of that name, made if it isn't there.
static struct bridge_engine_config *engine_named(struct bridge_config *c, const char *name,
                                                 struct kvr_config_error *e) {
    for (size_t i = 0; i < c->n_engines; i++)
        if (strcmp(c->engines[i].name, name) == 0) return &c->engines[i];
    struct bridge_engine_config *all = realloc(c->engines, (c->n_engines + 1) * sizeof *all);
    if (!all) {
        kvr_config_fail(e, "no memory");
        return NULL;
    }
    c->engines = all;
    struct bridge_engine_config *g = &all[c->n_engines];
    *g = (struct bridge_engine_config){
        .ranks = RANKS_UNSET, .kind = ENGINE_KIND_ANY, .role = ENGINE_ROLE_ASK};
    if (!*name || strlen(name) >= sizeof g->name) {
        kvr_config_fail(e, "an engine's name has 1 to %zu bytes", sizeof g->name - 1);
        return NULL;
    }
    memcpy(g->name, name, strlen(name) + 1);
    c->n_engines++;
    return g;
}

static bool on_setting(void *ctx, const char *section, const char *name, const char *value,
                       struct kvr_config_error *e) {
    struct bridge_config *c = ctx;
    const char *what;
    if (strcmp(section, "bridge") == 0)
        return !name || kvr_config_set(c, bridge_settings, name, value, e);
    if (kvr_config_is(section, "discover", &what))
        return discovery_configs_entry(&c->sources, what, name, value, e);
    if (!kvr_config_is(section, "engine", &what))
        return kvr_config_fail(e, "no section [%.60s]", section);
    struct bridge_engine_config *g = engine_named(c, what, e);
    return g && (!name || kvr_config_set(g, engine_settings, name, value, e));
}

static bool is_endpoint(const char *text) {
    return strncmp(text, "tcp://", 6) == 0 || strncmp(text, "ipc://", 6) == 0;
}

static bool complete_engine(struct bridge_engine_config *g, struct kvr_config_error *e) {
    if (g->ranks == RANKS_UNSET) g->ranks = *g->events ? 1 : 0;
    if (!*g->events && (!*g->http || g->bind || *g->replay))
        return kvr_config_fail(e, "engine %s has no events endpoint, and %s", g->name,
                               !*g->http ? "no http to ask for it" : "mode and replay go with one");
    const char *fault = *g->http ? engine_url_fault(g->http) : NULL;
    if (fault)
        return kvr_config_fail(e, "engine %s: http %.200s: %s", g->name, h1_url_shown(g->http),
                               fault);
    if ((*g->events && !is_endpoint(g->events)) || (*g->replay && !is_endpoint(g->replay)))
        return kvr_config_fail(e, "engine %s: events and replay are tcp://HOST:PORT or ipc://PATH",
                               g->name);
    if (!g->ranks && !*g->http)
        return kvr_config_fail(e, "engine %s: without http, ranks must be given", g->name);
    return true;
}

static bool complete_sources(struct bridge_config *c, struct kvr_config_error *e) {
    for (size_t i = 0; i < c->sources.n; i++) {
        const struct discovery_config *s = &c->sources.items[i];
        if (*s->pool && strcmp(s->pool, c->pool) != 0)
            return kvr_config_fail(e, "discover %.200s: the bridge's pool is %s", s->source,
                                   c->pool);
    }
    return discovery_configs_complete(&c->sources, e);
}

static bool check(struct bridge_config *c, struct kvr_config_error *e) {
    if (!c->n_engines && !c->sources.n && !c->from_pool)
        return kvr_config_fail(e,
                               "no engines: name some by [engine NAME] or --engine, find them by "
                               "[discover SOURCE], or take the pool's with from_pool");
    if (!*c->engine_cert != !*c->engine_key)
        return kvr_config_fail(e, "engine_cert and engine_key go together");
    if (c->ttl < 100) return kvr_config_fail(e, "ttl is at least 100 ms");
    for (size_t i = 0; i < c->n_engines; i++)
        if (!complete_engine(&c->engines[i], e)) return false;
    return complete_sources(c, e);
}

bool bridge_config_read(struct bridge_config *c, int argc, char **argv, bool *help, char *error,
                        size_t error_size) {
    static const char *const kinds[] = {"engine", "discover", NULL};
    struct kvr_config_error e = {error, error_size};
    *c = (struct bridge_config){.redis = "redis://127.0.0.1:6379", .pool = "kvroute", .ttl = 15000};
    *help = kvr_config_help(argc, argv);
    if (*help) return true;
    return kvr_config_command_line(argc, argv, "bridge", kinds, on_setting, c, &e) && check(c, &e);
}

void bridge_config_free(struct bridge_config *c) {
    discovery_configs_free(&c->sources);
    free(c->engines);
    c->engines = NULL;
}
