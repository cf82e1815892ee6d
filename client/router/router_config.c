// SPDX-License-Identifier: Apache-2.0
#include "router_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/config.h"

const char router_config_usage[] =
    "usage: kvroute-router [--config FILE] [--WORD VALUE …] [--pool \"NAME WORD=VALUE …\"] …\n"
    "                      [--engine \"URL WORD=VALUE …\"] …\n"
    "\n"
    "Routes requests to inference engines: each goes where its prompt is cached, if that isn't "
    "busy.\n"
    "\n"
    "  redis URL              redis://, unix://, sentinel:// or cluster://; "
    "redis://127.0.0.1:6379\n"
    "  listen ADDR:PORT …     also unix:PATH; 127.0.0.1:8080\n"
    "  tls_listen ADDR:PORT … the same over TLS, with tls_cert FILE and tls_key FILE (PEM)\n"
    "  reuse_port yes|no      several routers at one address, one for each processor, say; no\n"
    "  token_file FILE        bearer tokens, one a line; without it, everybody is served\n"
    "  access_log FILE        a line of JSON for each request; -: standard output\n"
    "  debug yes|no           say more\n"
    "\n"
    "  max_connections N      20000\n"
    "  max_requests N         at a time; 10000\n"
    "  max_header BYTES       16384\n"
    "  max_body BYTES         16777216\n"
    "  max_queued BYTES       of all bodies at a time; 268435456\n"
    "  header_timeout MS      for all of a request's head; 10000\n"
    "  body_timeout MS        for all of its body; 60000\n"
    "  idle_timeout MS        between two requests; 75000\n"
    "  stall_timeout MS       a client that takes nothing for so long is left; 60000\n"
    "  retry_after SECONDS    what 503 says; 1\n"
    "  drain MS               on SIGTERM open requests have so long; 30000\n"
    "\n"
    "  deadline MS            of a command to the pool; then the choice is the router's own; 200\n"
    "  refresh MS             between two looks at the workers; 1000\n"
    "  ttl MS                 engines registered here live so long without a renewal; 5000\n"
    "\n"
    "  tries N                engines that a request is tried on, 1 to 8; 3\n"
    "  retry_percent N        retries, in percent of the requests; 20\n"
    "  retry_burst N          and so many more at once; 10\n"
    "  connect_timeout MS     to an engine; 1000\n"
    "  answer_timeout MS      until its answer begins; 300000\n"
    "  silence_timeout MS     between two pieces of it; 120000\n"
    "  probe MS               between two probes of an engine that couldn't be reached; 1000\n"
    "  health PATH            that a probe asks for; /health\n"
    "  session_headers NAME … that say which session a request is of, the first that is there;\n"
    "                         X-Session-ID X-SMG-Routing-Key X-Conversation-ID session_id\n"
    "                         conversation_id; none: \"\"\n"
    "  session_fields NAME …  of the body, after these; session_id prompt_cache_key user\n"
    "\n"
    "Of each pool (section [pool NAME] of the file; without any: one called kvroute):\n"
    "  key NAME               the pool's key; its name\n"
    "  models NAME …          that are served by it; without them: all that no other pool names\n"
    "  create OPTIONS         of KVROUTE.CREATE, for a pool that isn't there\n"
    "  blocks HOW             auto (default), tokens, tokenize or text, see docs/router.md\n"
    "  chunk BYTES            of text that make a block; 0: 4 for each token of one\n"
    "  salt TEXT              another salt, other hashes\n"
    "\n"
    "Of each engine that the router itself registers (section [engine URL]):\n"
    "  name NAME              the worker's; host:port of the URL\n"
    "  pool NAME              the first\n"
    "  ranks N                1\n"
    "  capacity N             blocks a rank has; 0: unknown\n";

enum { ROUTER_MAX_COUNT = 1 << 24 };

// In the order of the struct.
#define TEXT(word)                                                                                 \
    { #word, KVR_SETTING_TEXT, KVR_SETTING_AT(router_config, word), NULL, 0, 0 }
#define COUNT(word, least)                                                                         \
    { #word, KVR_SETTING_U32, KVR_SETTING_AT(router_config, word), NULL, ROUTER_MAX_COUNT, least }
#define LONG(word, least)                                                                          \
    { #word, KVR_SETTING_I64, KVR_SETTING_AT(router_config, word), NULL, (int64_t)1 << 40, least }
static const struct kvr_setting router_words[] = {
    TEXT(redis),
    TEXT(listen),
    TEXT(tls_listen),
    TEXT(tls_cert),
    TEXT(tls_key),
    TEXT(token_file),
    TEXT(access_log),
    {"reuse_port", KVR_SETTING_YES, KVR_SETTING_AT(router_config, reuse_port), "no yes", 0, 0},
    {"debug", KVR_SETTING_YES, KVR_SETTING_AT(router_config, debug), "no yes", 0, 0},
    COUNT(max_connections, 1),
    COUNT(max_requests, 1),
    {"max_header", KVR_SETTING_I64, KVR_SETTING_AT(router_config, max_header), NULL, 1 << 20, 256},
    LONG(max_body, 0),
    LONG(max_queued, 0),
    LONG(header_timeout, 10),
    LONG(body_timeout, 10),
    LONG(idle_timeout, 10),
    LONG(stall_timeout, 10),
    LONG(drain, 0),
    LONG(deadline, 1),
    LONG(refresh, 10),
    LONG(ttl, 300),
    LONG(retry_after, 0),
    {"tries", KVR_SETTING_U32, KVR_SETTING_AT(router_config, tries), NULL, 8, 1},
    COUNT(retry_percent, 0),
    COUNT(retry_burst, 0),
    LONG(connect_timeout, 1),
    LONG(answer_timeout, 1),
    LONG(silence_timeout, 1),
    LONG(probe, 10),
    TEXT(health),
    TEXT(session_headers),
    TEXT(session_fields),
    {.name = NULL},
};
#undef TEXT
#undef COUNT
#undef LONG

static const struct kvr_setting pool_words[] = {
    {"key", KVR_SETTING_TEXT, KVR_SETTING_AT(router_pool_config, key), NULL, 0, 0},
    {"models", KVR_SETTING_TEXT, KVR_SETTING_AT(router_pool_config, models), NULL, 0, 0},
    {"create", KVR_SETTING_TEXT, KVR_SETTING_AT(router_pool_config, create), NULL, 0, 0},
    {"blocks", KVR_SETTING_CHOICE, KVR_SETTING_AT(router_pool_config, blocks),
     "auto tokens tokenize text", 0, 0},
    {"chunk", KVR_SETTING_U32, KVR_SETTING_AT(router_pool_config, chunk), NULL, 1 << 16, 0},
    {"salt", KVR_SETTING_TEXT, KVR_SETTING_AT(router_pool_config, salt), NULL, 0, 0},
    {.name = NULL},
};

static const struct kvr_setting engine_words[] = {
    {"name", KVR_SETTING_TEXT, KVR_SETTING_AT(router_engine_config, name), NULL, 0, 0},
    {"pool", KVR_SETTING_TEXT, KVR_SETTING_AT(router_engine_config, pool), NULL, 0, 0},
    {"ranks", KVR_SETTING_U32, KVR_SETTING_AT(router_engine_config, ranks), NULL, 1024, 1},
    {"capacity", KVR_SETTING_I64, KVR_SETTING_AT(router_engine_config, capacity), NULL,
     (int64_t)1 << 40, 0},
    {.name = NULL},
};

// The one of that name, made if it isn't there.
static struct router_pool_config *pool_named(struct router_config *o, const char *name,
                                             struct kvr_config_error *e) {
    for (size_t i = 0; i < o->n_pools; i++)
        if (strcmp(o->pools[i].name, name) == 0) return &o->pools[i];
    if (!*name || strlen(name) >= sizeof o->pools->name) {
        kvr_config_fail(e, "a pool's name has 1 to %zu bytes", sizeof o->pools->name - 1);
        return NULL;
    }
    struct router_pool_config *all = realloc(o->pools, (o->n_pools + 1) * sizeof *all);
    if (!all) {
        kvr_config_fail(e, "no memory");
        return NULL;
    }
    o->pools = all;
    struct router_pool_config *p = &all[o->n_pools++];
    *p = (struct router_pool_config){.chunk = 0};
    memcpy(p->name, name, strlen(name) + 1);
    return p;
}

static struct router_engine_config *engine_named(struct router_config *o, const char *url,
                                                 struct kvr_config_error *e) {
    for (size_t i = 0; i < o->n_engines; i++)
        if (strcmp(o->engines[i].url, url) == 0) return &o->engines[i];
    if (strncmp(url, "http://", 7) != 0 || strlen(url) >= sizeof o->engines->url) {
        kvr_config_fail(e, "an engine is named by its URL, http://…");
        return NULL;
    }
    struct router_engine_config *all = realloc(o->engines, (o->n_engines + 1) * sizeof *all);
    if (!all) {
        kvr_config_fail(e, "no memory");
        return NULL;
    }
    o->engines = all;
    struct router_engine_config *g = &all[o->n_engines++];
    *g = (struct router_engine_config){.ranks = 1};
    memcpy(g->url, url, strlen(url) + 1);
    return g;
}

static bool on_word(void *ctx, const char *section, const char *name, const char *value,
                    struct kvr_config_error *e) {
    struct router_config *o = ctx;
    const char *what = section + strcspn(section, " \t");
    size_t kind = (size_t)(what - section);
    what += strspn(what, " \t");
    if (strcmp(section, "router") == 0)
        return !name || kvr_config_set(o, router_words, name, value, e);
    if (kind == 4 && memcmp(section, "pool", kind) == 0) {
        struct router_pool_config *p = pool_named(o, what, e);
        return p && (!name || kvr_config_set(p, pool_words, name, value, e));
    }
    if (kind == 6 && memcmp(section, "engine", kind) == 0) {
        struct router_engine_config *g = engine_named(o, what, e);
        return g && (!name || kvr_config_set(g, engine_words, name, value, e));
    }
    return kvr_config_fail(e, "no section [%.60s]", section);
}

// What follows from the rest.
static bool complete(struct router_config *o, struct kvr_config_error *e) {
    if (!o->n_pools && !pool_named(o, "kvroute", e)) return false;
    if (!*o->listen && !*o->tls_listen) return kvr_config_fail(e, "neither listen nor tls_listen");
    if (*o->tls_listen && (!*o->tls_cert || !*o->tls_key))
        return kvr_config_fail(e, "tls_listen needs tls_cert and tls_key");
    if (*o->health != '/' || strpbrk(o->health, " \t"))
        return kvr_config_fail(e, "health %.60s: a path begins with /", o->health);
    for (size_t i = 0; i < o->n_pools; i++) {
        struct router_pool_config *p = &o->pools[i];
        if (!*p->key) memcpy(p->key, p->name, strlen(p->name) + 1);
    }
    for (size_t i = 0; i < o->n_engines; i++) {
        struct router_engine_config *g = &o->engines[i];
        const char *host = g->url + 7;
        size_t n = strcspn(host, "/");
        if (!n || (!*g->name && n >= sizeof g->name))
            return kvr_config_fail(e, "engine %.60s: no host, or too long a one", g->url);
        if (!*g->name) memcpy(g->name, host, n);
        if (!*g->pool) memcpy(g->pool, o->pools[0].name, sizeof g->pool);
        bool known = false;
        for (size_t j = 0; j < o->n_pools; j++)
            known |= strcmp(o->pools[j].name, g->pool) == 0;
        if (!known) return kvr_config_fail(e, "engine %.60s: no pool %.60s", g->url, g->pool);
    }
    return true;
}

bool router_config_read(struct router_config *o, int argc, char **argv, bool *help, char *error,
                        size_t error_size) {
    static const char *const kinds[] = {"engine", "pool", NULL};
    struct kvr_config_error e = {error, error_size};
    *o = (struct router_config){
        .redis = "redis://127.0.0.1:6379",
        .listen = "127.0.0.1:8080",
        .max_connections = 20000,
        .max_requests = 10000,
        .max_header = 16384,
        .max_body = 16 << 20,
        .max_queued = 256 << 20,
        .header_timeout = 10000,
        .body_timeout = 60000,
        .idle_timeout = 75000,
        .stall_timeout = 60000,
        .drain = 30000,
        .deadline = 200,
        .refresh = 1000,
        .ttl = 5000,
        .retry_after = 1,
        .tries = 3,
        .retry_percent = 20,
        .retry_burst = 10,
        .connect_timeout = 1000,
        .answer_timeout = 300000,
        .silence_timeout = 120000,
        .probe = 1000,
        .health = "/health",
        .session_headers =
            "X-Session-ID X-SMG-Routing-Key X-Conversation-ID session_id conversation_id",
        .session_fields = "session_id prompt_cache_key user",
    };
    *help = kvr_config_help(argc, argv);
    if (*help) return true;
    if (kvr_config_command_line(argc, argv, "router", kinds, on_word, o, &e) && complete(o, &e))
        return true;
    router_config_free(o);
    return false;
}

void router_config_free(struct router_config *o) {
    free(o->pools);
    free(o->engines);
    o->pools = NULL;
    o->engines = NULL;
    o->n_pools = o->n_engines = 0;
}
