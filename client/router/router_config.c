// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memrchr
#include "router_config.h"

#include <kvroute/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/config.h"
#include "client/common/utf8.h"
#include "client/engine/engine_url.h"
#include "client/http1/h1_address.h"
#include "router_processors.h"

const char router_config_usage[] =
    "usage: kvroute-router [--config FILE] [--WORD VALUE …] [--pool \"NAME WORD=VALUE …\"] …\n"
    "                      [--engine \"URL WORD=VALUE …\"] … [--discover \"SOURCE WORD=VALUE …\"] "
    "…\n"
    "       kvroute-router --help | --version\n"
    "\n"
    "Routes requests to inference engines: each goes where its prompt is cached, if that isn't "
    "busy.\n"
    "\n"
    "  redis URL              redis://, unix://, sentinel:// or cluster://; "
    "redis://127.0.0.1:6379\n"
    "                         over TLS rediss:// and so on, if --version says TLS\n"
    "  listen ADDR:PORT …     also unix:PATH; 127.0.0.1:8080\n"
    "  tls_listen ADDR:PORT … the same over TLS, with tls_cert FILE and tls_key FILE (PEM)\n"
    "  processes N            that are one router together; auto: one for each processor; 1\n"
    "  reuse_port yes|no      several routers at one address; no\n"
    "  admin_listen ADDR:PORT metrics, status, report and the page are there and nowhere else; "
    "none\n"
    "  token_file FILE        a line each: user, frontend or operator, and a bearer token;\n"
    "                         without it, everybody may do all\n"
    "  hosts NAME …           names that browsers may know the router by, without tokens; *: all\n"
    "  access_log FILE        a line of JSON for each request; -: standard output\n"
    "  cors ORIGIN …          whose pages may use the router from browsers; *: all; none\n"
    "  pass PATH …            that go to an engine as they come, with all below; *: all; none\n"
    "  debug yes|no           say more\n"
    "\n"
    "  otlp URL               a collector of OpenTelemetry, http(s)://HOST:PORT, which gets "
    "spans;\n"
    "                         none: there are none; else what OTEL_… in the environment says\n"
    "  otlp_headers FILE      a line each: NAME: VALUE, for the collector\n"
    "  otlp_ca FILE           authorities that an https:// collector is believed by; the system's\n"
    "  trace_ratio N          of the requests without a traceparent, 0 to 1; 1\n"
    "  service_name NAME      of all spans; kvroute-router\n"
    "  resource_attributes NAME=VALUE,…\n"
    "                         more that is said of this router\n"
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
    "  upgrade_timeout MS     on SIGUSR2 the new process has so long to be ready; 30000\n"
    "\n"
    "  deadline MS            of a command to the pool; then the choice is the router's own; 200\n"
    "  refresh MS             between two looks at the workers; 1000\n"
    "  ttl MS                 engines registered here live so long without a renewal; 5000\n"
    "  lease MS               bookings of a router that died end after; 0: the pool's; 30000\n"
    "\n"
    "  tries N                engines that a request is tried on, 1 to 8; 3\n"
    "  retry_percent N        retries, in percent of the requests; 20\n"
    "  retry_burst N          and so many more at once; 10\n"
    "  connect_timeout MS     to an engine, with the TLS handshake; 1000\n"
    "  engine_ca FILE         authorities that https engines are believed by; the system's\n"
    "  engine_cert FILE       the router's own, for those that ask for one (PEM); none\n"
    "  engine_key FILE        its key\n"
    "  engine_insecure NAME … hosts whose certificates aren't verified; yes: none is; no\n"
    "  answer_timeout MS      until its answer begins; 300000\n"
    "  silence_timeout MS     between two pieces of it; 120000\n"
    "  probe MS               between two probes of an engine that couldn't be reached; 1000\n"
    "  health PATH            that a probe asks for; /health\n"
    "  check MS               engines registered here are probed when silent for so long; 0: "
    "never;\n"
    "                         5000\n"
    "  failures N             in a row, after which an engine isn't chosen; 3\n"
    "  learn MS               between two questions to an engine, which models it serves; 0: "
    "never;\n"
    "                         5000\n"
    "  session_headers NAME … that say which session a request is of, the first that is there;\n"
    "                         X-Session-ID X-SMG-Routing-Key X-Conversation-ID session_id\n"
    "                         conversation_id; none: \"\"\n"
    "  session_fields NAME …  of the body, after these; session_id prompt_cache_key user\n"
    "\n"
    "  migrate N              times that a stream goes on at another engine when its engine dies; "
    "1\n"
    "  max_kept BYTES         that are kept for that, of all streams; others end with their "
    "engine;\n"
    "                         268435456\n"
    "\n"
    "  wait MS                that a request may wait for room, in the pool's queue; 0\n"
    "  class_wait NAME:MS …   instead of that, for these classes\n"
    "  priorities NAME:N …    classes for the body's priority, each from N on (0 is the usual "
    "one,\n"
    "                         lower ones are more urgent); none\n"
    "  class_header NAME      that says which class a request is of; X-Kvroute-Class; none: \"\"\n"
    "  flow_header NAME       which flow, that is whose it is; none\n"
    "  trust_headers yes|no   these go before what the token says; no\n"
    "  scale_target MS        in which the instances that are wanted would empty the queue; "
    "30000\n"
    "\n"
    "Of each pool (section [pool NAME] of the file; without any: one called kvroute):\n"
    "  key NAME               the pool's key; its name\n"
    "  models NAME …          that are served by it; without them: all that no other pool names\n"
    "  create OPTIONS         of KVROUTE.CREATE, for a pool that isn't there\n"
    "  blocks HOW             auto (default), tokens, tokenize or text, see docs/router.md\n"
    "  chunk BYTES            of text that make a block; 0: 4 for each token of one\n"
    "  salt TEXT              another salt, other hashes\n"
    "  adapters NAME …        models that are adapters, where engines don't say so\n"
    "  connector HOW          none (default), nixl, mooncake, shared, sglang or trtllm: prompts "
    "are\n"
    "                         computed on engines of role prefill, see docs/disaggregation.md\n"
    "  bootstrap_port N       of prefilling engines, for mooncake and sglang; 8998\n"
    "  engine KIND            auto (default), vllm, sglang, trtllm or other\n"
    "  by_text yes|no         streams of engines that tell no token ids may go on by their text; "
    "no\n"
    "\n"
    "Of each engine that the router itself registers (section [engine URL]):\n"
    "  name NAME              the worker's; host:port of the URL\n"
    "  pool NAME              the first\n"
    "  ranks N                0 (default): ask the engine\n"
    "  capacity N             blocks a rank has; 0 (default): ask the engine\n"
    "  role ROLE              auto (default): ask the engine; both, prefill or "
    "decode\n" DISCOVERY_USAGE;

enum { ROUTER_MAX_COUNT = 1 << 24 };
#define ROUTER_MAX_WAIT ((int64_t)1 << 40)

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
    TEXT(admin_listen),
    TEXT(token_file),
    TEXT(hosts),
    TEXT(engine_ca),
    TEXT(engine_cert),
    TEXT(engine_key),
    TEXT(engine_insecure),
    TEXT(access_log),
    TEXT(cors),
    TEXT(pass),
    TEXT(otlp),
    TEXT(otlp_headers),
    TEXT(otlp_ca),
    TEXT(trace_ratio),
    TEXT(service_name),
    TEXT(resource_attributes),
    {"processes", KVR_SETTING_U32, KVR_SETTING_AT(router_config, processes), NULL,
     ROUTER_MAX_PROCESSES, 1},
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
    LONG(upgrade_timeout, 100),
    LONG(deadline, 1),
    LONG(refresh, 10),
    LONG(ttl, 300),
    LONG(lease, 0),
    LONG(retry_after, 0),
    {"tries", KVR_SETTING_U32, KVR_SETTING_AT(router_config, tries), NULL, 8, 1},
    COUNT(retry_percent, 0),
    COUNT(retry_burst, 0),
    LONG(connect_timeout, 1),
    LONG(answer_timeout, 1),
    LONG(silence_timeout, 1),
    LONG(probe, 10),
    TEXT(health),
    LONG(check, 0),
    {"failures", KVR_SETTING_U32, KVR_SETTING_AT(router_config, failures), NULL, 100, 1},
    LONG(learn, 0),
    TEXT(session_headers),
    TEXT(session_fields),
    {"wait", KVR_SETTING_I64, KVR_SETTING_AT(router_config, wait), NULL, ROUTER_MAX_WAIT, 0},
    TEXT(class_wait),
    TEXT(priorities),
    TEXT(class_header),
    TEXT(flow_header),
    {"trust_headers", KVR_SETTING_YES, KVR_SETTING_AT(router_config, trust_headers), "no yes", 0,
     0},
    LONG(scale_target, 1),
    {"migrate", KVR_SETTING_U32, KVR_SETTING_AT(router_config, migrate), NULL, 8, 0},
    LONG(max_kept, 0),
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
    {"adapters", KVR_SETTING_TEXT, KVR_SETTING_AT(router_pool_config, adapters), NULL, 0, 0},
    {"connector", KVR_SETTING_CHOICE, KVR_SETTING_AT(router_pool_config, connector),
     "none nixl mooncake shared sglang trtllm", 0, 0},
    {"bootstrap_port", KVR_SETTING_U32, KVR_SETTING_AT(router_pool_config, bootstrap_port), NULL,
     65535, 0},
    {"engine", KVR_SETTING_CHOICE, KVR_SETTING_AT(router_pool_config, engine),
     "auto vllm sglang trtllm other", 0, 0},
    {"by_text", KVR_SETTING_YES, KVR_SETTING_AT(router_pool_config, by_text), "no yes", 0, 0},
    {.name = NULL},
};

static const struct kvr_setting engine_words[] = {
    {"name", KVR_SETTING_TEXT, KVR_SETTING_AT(router_engine_config, name), NULL, 0, 0},
    {"pool", KVR_SETTING_TEXT, KVR_SETTING_AT(router_engine_config, pool), NULL, 0, 0},
    {"ranks", KVR_SETTING_U32, KVR_SETTING_AT(router_engine_config, ranks), NULL, KVR_MAX_RANKS, 0},
    {"capacity", KVR_SETTING_I64, KVR_SETTING_AT(router_engine_config, capacity), NULL,
     (int64_t)1 << 40, 0},
    {"role", KVR_SETTING_CHOICE, KVR_SETTING_AT(router_engine_config, role),
     "both prefill decode auto", 0, 0},
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
    const char *fault = engine_url_fault(url);
    if (fault || strlen(url) >= sizeof o->engines->url) {
        kvr_config_fail(e, "engine %.200s: %s", h1_url_shown(url),
                        fault ? fault : "its URL is too long");
        return NULL;
    }
    struct router_engine_config *all = realloc(o->engines, (o->n_engines + 1) * sizeof *all);
    if (!all) {
        kvr_config_fail(e, "no memory");
        return NULL;
    }
    o->engines = all;
    struct router_engine_config *g = &all[o->n_engines++];
    *g = (struct router_engine_config){.role = ENGINE_ROLE_ASK};
    memcpy(g->url, url, strlen(url) + 1);
    return g;
}

static bool set_processes(struct router_config *o, const char *value, struct kvr_config_error *e) {
    if (strcmp(value, "auto") != 0) return kvr_config_set(o, router_words, "processes", value, e);
    size_t n = router_processors(ROUTER_PROCESSORS_LIMIT);
    o->processes = (uint32_t)(n < ROUTER_MAX_PROCESSES ? n : ROUTER_MAX_PROCESSES);
    return true;
}

static bool on_word(void *ctx, const char *section, const char *name, const char *value,
                    struct kvr_config_error *e) {
    struct router_config *o = ctx;
    const char *what;
    if (strcmp(section, "router") == 0 && name && !strcmp(name, "processes"))
        return set_processes(o, value, e);
    if (strcmp(section, "router") == 0)
        return !name || kvr_config_set(o, router_words, name, value, e);
    if (kvr_config_is(section, "pool", &what)) {
        struct router_pool_config *p = pool_named(o, what, e);
        return p && (!name || kvr_config_set(p, pool_words, name, value, e));
    }
    if (kvr_config_is(section, "engine", &what)) {
        struct router_engine_config *g = engine_named(o, what, e);
        return g && (!name || kvr_config_set(g, engine_words, name, value, e));
    }
    if (kvr_config_is(section, "discover", &what))
        return discovery_configs_entry(&o->sources, what, name, value, e);
    return kvr_config_fail(e, "no section [%.60s]", section);
}

static bool is_utf8(const char *text) {
    size_t size, n = strlen(text);
    for (; n; text += size, n -= size)
        if (!(size = kvr_utf8_size(text, n))) return false;
    return true;
}

// As browsers write an origin: in lower case, without a path. Anything else would never match.
static bool is_origin(const char *text, size_t n) {
    const char *sign = strstr(text, "://"); // of this word, or of a later one
    if (n == 1 && *text == '*') return true;
    if (!sign || sign == text || sign + 3 >= text + n) return false;
    for (const char *at = text; at < text + n; at++)
        if ((*at >= 'A' && *at <= 'Z') || (*at == '/' && (at < sign || at > sign + 2)))
            return false;
    return true;
}

// A name or an address, without port, scheme or path.
static bool is_host(const char *text, size_t n) {
    const char *colon = memchr(text, ':', n);
    bool v6 = colon && memchr(colon + 1, ':', n - (size_t)(colon + 1 - text));
    return (!colon || v6) && !memchr(text, '/', n) && !memchr(text, '[', n);
}

static bool is_path(const char *text, size_t n) {
    return *text == '/' ? n > 1 : n == 1 && *text == '*';
}

static bool all_are(bool (*is)(const char *text, size_t n), const char *setting, const char *list,
                    struct kvr_config_error *e) {
    size_t n;
    for (const char *at = list; (n = kvr_config_word(&at)); at += n)
        if (!is(at, n)) return kvr_config_fail(e, "%s: %.*s", setting, n < 60 ? (int)n : 60, at);
    return true;
}

bool router_config_pair(const char **at, const char **name, size_t *n, int64_t *number) {
    size_t size = kvr_config_word(at);
    if (!size) return false;
    const char *word = *at, *colon = memrchr(word, ':', size);
    char digits[24], *end;
    *at += size;
    *name = word;
    *n = 0;
    if (!colon || colon == word || colon - word > KVR_MAX_ID) return true;
    snprintf(digits, sizeof digits, "%.*s", (int)(word + size - colon - 1), colon + 1);
    *number = strtoll(digits, &end, 10);
    bool good = end > digits && !*end && !strchr("+ ", *digits) && *number <= ROUTER_MAX_WAIT &&
                *number >= -ROUTER_MAX_WAIT;
    if (good) *n = (size_t)(colon - word);
    return true;
}

static bool read_pair(const char *text, int64_t *number) {
    const char *name;
    size_t n;
    return router_config_pair(&text, &name, &n, number) && n;
}

static bool is_pair(const char *text, size_t n) {
    int64_t number;
    (void)n;
    return read_pair(text, &number);
}

static bool is_wait(const char *text, size_t n) {
    int64_t number;
    (void)n;
    return read_pair(text, &number) && number >= 0;
}

static bool is_pool(const struct router_config *o, const char *name) {
    for (size_t i = 0; i < o->n_pools; i++)
        if (strcmp(o->pools[i].name, name) == 0) return true;
    return false;
}

static bool complete_pools(struct router_config *o, struct kvr_config_error *e) {
    for (size_t i = 0; i < o->n_pools; i++) {
        struct router_pool_config *p = &o->pools[i];
        if (!is_utf8(p->name) || !is_utf8(p->models))
            return kvr_config_fail(e, "pool number %zu: its name or models are no UTF-8", i + 1);
        if (!*p->key) memcpy(p->key, p->name, strlen(p->name) + 1);
    }
    return true;
}

static bool complete_engines(struct router_config *o, struct kvr_config_error *e) {
    for (size_t i = 0; i < o->n_engines; i++) {
        struct router_engine_config *g = &o->engines[i];
        size_t n;
        const char *host = h1_url_place(g->url, &n);
        if (!*g->name && n >= sizeof g->name)
            return kvr_config_fail(e, "engine %.60s: its host is too long for a name", g->url);
        if (!*g->name) memcpy(g->name, host, n);
        if (!*g->pool) memcpy(g->pool, o->pools[0].name, sizeof g->pool);
        if (!is_pool(o, g->pool))
            return kvr_config_fail(e, "engine %.60s: no pool %.60s", g->url, g->pool);
    }
    return true;
}

static bool complete_sources(struct router_config *o, struct kvr_config_error *e) {
    for (size_t i = 0; i < o->sources.n; i++) {
        struct discovery_config *c = &o->sources.items[i];
        if (!*c->pool) memcpy(c->pool, o->pools[0].name, sizeof c->pool);
        if (!is_pool(o, c->pool))
            return kvr_config_fail(e, "discover %.200s: no pool %.60s", c->source, c->pool);
    }
    return discovery_configs_complete(&o->sources, e);
}

// What follows from the rest.
static bool complete(struct router_config *o, struct kvr_config_error *e) {
    if (!o->n_pools && !pool_named(o, "kvroute", e)) return false;
    if (!*o->listen && !*o->tls_listen) return kvr_config_fail(e, "neither listen nor tls_listen");
    if (*o->tls_listen && (!*o->tls_cert || !*o->tls_key))
        return kvr_config_fail(e, "tls_listen needs tls_cert and tls_key");
    if (!*o->engine_cert != !*o->engine_key)
        return kvr_config_fail(e, "engine_cert and engine_key go together");
    if (*o->health != '/' || strpbrk(o->health, " \t"))
        return kvr_config_fail(e, "health %.60s: a path begins with /", o->health);
    if (!all_are(is_path, "pass takes paths such as /v1/realtime, or *", o->pass, e) ||
        !all_are(is_origin, "cors takes origins such as https://chat.example.org", o->cors, e) ||
        !all_are(is_host, "hosts takes names without a port", o->hosts, e) ||
        !all_are(is_wait, "class_wait takes NAME:MS", o->class_wait, e) ||
        !all_are(is_pair, "priorities takes NAME:NUMBER", o->priorities, e))
        return false;
    return complete_pools(o, e) && complete_engines(o, e) && complete_sources(o, e);
}

bool router_config_read(struct router_config *o, int argc, char **argv, bool *help, char *error,
                        size_t error_size) {
    static const char *const kinds[] = {"engine", "pool", "discover", NULL};
    struct kvr_config_error e = {error, error_size};
    *o = (struct router_config){
        .redis = "redis://127.0.0.1:6379",
        .listen = "127.0.0.1:8080",
        .processes = 1,
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
        .upgrade_timeout = 30000,
        .deadline = 200,
        .refresh = 1000,
        .ttl = 5000,
        .lease = 30000,
        .retry_after = 1,
        .tries = 3,
        .retry_percent = 20,
        .retry_burst = 10,
        .connect_timeout = 1000,
        .answer_timeout = 300000,
        .silence_timeout = 120000,
        .probe = 1000,
        .health = "/health",
        .check = 5000,
        .failures = 3,
        .learn = 5000,
        .session_headers =
            "X-Session-ID X-SMG-Routing-Key X-Conversation-ID session_id conversation_id",
        .session_fields = "session_id prompt_cache_key user",
        .class_header = "X-Kvroute-Class",
        .scale_target = 30000,
        .migrate = 1,
        .max_kept = 256 << 20,
    };
    *help = kvr_config_help(argc, argv);
    if (*help) return true;
    if (kvr_config_command_line(argc, argv, "router", kinds, on_word, o, &e) && complete(o, &e))
        return true;
    router_config_free(o);
    return false;
}

const char router_config_fixed[] =
    "listen, tls_listen, admin_listen, processes and reuse_port change with an upgrade";

bool router_config_fix(struct router_config *fresh, const struct router_config *old) {
    bool changed = strcmp(fresh->listen, old->listen) != 0 ||
                   strcmp(fresh->tls_listen, old->tls_listen) != 0 ||
                   strcmp(fresh->admin_listen, old->admin_listen) != 0 ||
                   fresh->processes != old->processes || fresh->reuse_port != old->reuse_port;
    memcpy(fresh->listen, old->listen, sizeof fresh->listen);
    memcpy(fresh->tls_listen, old->tls_listen, sizeof fresh->tls_listen);
    memcpy(fresh->admin_listen, old->admin_listen, sizeof fresh->admin_listen);
    fresh->processes = old->processes;
    return changed;
}

void router_config_divide(struct router_config *o) {
    uint32_t *const counts[] = {&o->max_connections, &o->max_requests, &o->retry_burst};
    int64_t *const bytes[] = {&o->max_queued, &o->max_kept}, queued = o->max_queued;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        *counts[i] = (*counts[i] + o->processes - 1) / o->processes;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
        *bytes[i] = (*bytes[i] + o->processes - 1) / o->processes;
    // No process refuses for ever what the router may take.
    if (o->max_queued < queued && o->max_queued < o->max_body)
        o->max_queued = queued < o->max_body ? queued : o->max_body;
}

void router_config_free(struct router_config *o) {
    free(o->pools);
    free(o->engines);
    discovery_configs_free(&o->sources);
    o->pools = NULL;
    o->engines = NULL;
    o->n_pools = o->n_engines = 0;
}
