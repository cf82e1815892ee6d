// SPDX-License-Identifier: Apache-2.0
// See config.h. All words are in two tables, which the file and the flags share.
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)

const char config_usage[] =
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
    "  capacity N       blocks a rank has; 0: unknown\n"
    "  audit MS         how often a replay of the last events is asked for; 10000\n"
    "  gaps HOW         clear (default) or keep what is known when events are lost for good\n"
    "  copies HOW       count (default) or set, see docs/bridge.md\n";

enum form { TEXT, NUMBER32, NUMBER64, CHOICE, YES };

struct word {
    const char *name;
    enum form form;
    size_t at, size;
    const char *choices; // of CHOICE and YES: the values from 0 on, separated by spaces
    int64_t most;
};

static const struct word bridge_words[] = {
    {"redis", TEXT, AT(config, redis), NULL, 0},
    {"pool", TEXT, AT(config, pool), NULL, 0},
    {"create", TEXT, AT(config, create), NULL, 0},
    {"listen", TEXT, AT(config, listen), NULL, 0},
    {"ttl", NUMBER64, AT(config, ttl), NULL, (int64_t)1 << 40},
    {"exit", CHOICE, AT(config, exit), "drain remove leave", 0},
    {"debug", YES, AT(config, debug), "no yes", 0},
};

static const struct word engine_words[] = {
    {"http", TEXT, AT(engine_config, http), NULL, 0},
    {"address", TEXT, AT(engine_config, address), NULL, 0},
    {"health", TEXT, AT(engine_config, health), NULL, 0},
    {"events", TEXT, AT(engine_config, events), NULL, 0},
    {"replay", TEXT, AT(engine_config, replay), NULL, 0},
    {"topic", TEXT, AT(engine_config, topic), NULL, 0},
    {"mode", YES, AT(engine_config, bind), "connect bind", 0},
    {"kind", CHOICE, AT(engine_config, kind), "vllm sglang other", 0},
    {"ranks", NUMBER32, AT(engine_config, ranks), NULL, 1024},
    {"block_size", NUMBER32, AT(engine_config, block_size), NULL, 4096},
    {"capacity", NUMBER64, AT(engine_config, capacity), NULL, (int64_t)1 << 40},
    {"audit", NUMBER64, AT(engine_config, audit), NULL, (int64_t)1 << 40},
    {"gaps", YES, AT(engine_config, keep), "clear keep", 0},
    {"copies", YES, AT(engine_config, set), "count set", 0},
};

struct error {
    char *text;
    size_t size;
};

static bool fail(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct error *e, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, e->size, format, args);
    va_end(args);
    return false;
}

// ---- Words ---------------------------------------------------------------------------------------

static int choice_of(const char *choices, const char *value) {
    size_t n = strlen(value);
    int i = 0;
    for (const char *c = choices; n; i++) {
        size_t len = strcspn(c, " ");
        if (len == n && memcmp(c, value, n) == 0) return i;
        if (!c[len]) break;
        c += len + 1;
    }
    return -1;
}

static bool set_word(void *what, const struct word *words, size_t n, const char *name,
                     const char *value, struct error *e) {
    const struct word *w = words;
    while (w < words + n && strcmp(w->name, name) != 0)
        w++;
    if (w == words + n) return fail(e, "no word %.60s", name);
    char *at = (char *)what + w->at, *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    bool is_number = *value && !*end && !errno && number >= 0 && number <= w->most;
    int choice = w->choices ? choice_of(w->choices, value) : 0;
    uint32_t narrow = (uint32_t)number;
    int64_t wide = number;
    bool yes = choice > 0;
    switch (w->form) {
    case TEXT:
        if (strlen(value) >= w->size) return fail(e, "%s is too long", name);
        memcpy(at, value, strlen(value) + 1);
        return true;
    case NUMBER32:
    case NUMBER64:
        if (!is_number)
            return fail(e, "%s takes a number from 0 to %lld", name, (long long)w->most);
        if (w->form == NUMBER32)
            memcpy(at, &narrow, sizeof narrow);
        else
            memcpy(at, &wide, sizeof wide);
        return true;
    default:
        if (choice < 0) return fail(e, "%s takes one of: %s", name, w->choices);
        if (w->form == YES)
            memcpy(at, &yes, sizeof yes);
        else
            memcpy(at, &choice, sizeof choice);
        return true;
    }
}

static bool set_bridge(struct config *c, const char *name, const char *value, struct error *e) {
    return set_word(c, bridge_words, sizeof bridge_words / sizeof *bridge_words, name, value, e);
}

static bool set_engine(struct engine_config *g, const char *name, const char *value,
                       struct error *e) {
    return set_word(g, engine_words, sizeof engine_words / sizeof *engine_words, name, value, e);
}

// The engine of that name, made if it isn't there.
static struct engine_config *engine_named(struct config *c, const char *name, struct error *e) {
    for (size_t i = 0; i < c->n_engines; i++)
        if (strcmp(c->engines[i].name, name) == 0) return &c->engines[i];
    struct engine_config *all = realloc(c->engines, (c->n_engines + 1) * sizeof *all);
    if (!all) {
        fail(e, "no memory");
        return NULL;
    }
    c->engines = all;
    struct engine_config *g = &all[c->n_engines];
    *g = (struct engine_config){.ranks = 1, .health = "/health"};
    if (!*name || strlen(name) >= sizeof g->name) {
        fail(e, "an engine's name has 1 to %zu bytes", sizeof g->name - 1);
        return NULL;
    }
    memcpy(g->name, name, strlen(name) + 1);
    c->n_engines++;
    return g;
}

// ---- The file ------------------------------------------------------------------------------------

static char *trim(char *s) {
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n && isspace((unsigned char)s[n - 1]))
        s[--n] = 0;
    return s;
}

// The text of "[…]" without the brackets, or NULL.
static char *section_of(char *line) {
    size_t n = strlen(line);
    if (n < 2 || line[0] != '[' || line[n - 1] != ']') return NULL;
    line[n - 1] = 0;
    return trim(line + 1);
}

struct place {
    struct config *config;
    char engine[129]; // the section's; "": [bridge]
    bool in_section;
};

static bool read_line(struct place *p, char *line, struct error *e) {
    char *section, *equals;
    if (!*line || *line == '#' || *line == ';') return true;
    if ((section = section_of(line))) {
        p->in_section = true;
        p->engine[0] = 0;
        if (strcmp(section, "bridge") == 0) return true;
        if (strncmp(section, "engine ", 7) != 0) return fail(e, "no section [%.60s]", section);
        char *name = trim(section + 7);
        if (!engine_named(p->config, name, e)) return false;
        memcpy(p->engine, name, strlen(name) + 1);
        return true;
    }
    if (!(equals = strchr(line, '='))) return fail(e, "neither [section] nor word = value");
    if (!p->in_section) return fail(e, "a word before any [section]");
    *equals = 0;
    char *name = trim(line), *value = trim(equals + 1);
    if (!*p->engine) return set_bridge(p->config, name, value, e);
    struct engine_config *g = engine_named(p->config, p->engine, e);
    return g && set_engine(g, name, value, e);
}

static bool read_file(struct config *c, const char *path, struct error *e) {
    char line[2048], reason[200];
    struct place p = {.config = c};
    FILE *f = fopen(path, "r");
    if (!f) return fail(e, "%.200s: %s", path, strerror(errno));
    bool good = true;
    for (int number = 1; good && fgets(line, sizeof line, f); number++) {
        struct error inner = {reason, sizeof reason};
        good = strlen(line) < sizeof line - 1 ? read_line(&p, trim(line), &inner)
                                              : fail(&inner, "the line is too long");
        if (!good) fail(e, "%.200s:%d: %s", path, number, reason);
    }
    fclose(f);
    return good;
}

// ---- Flags ---------------------------------------------------------------------------------------

// "NAME WORD=VALUE …"
static bool read_engine(struct config *c, const char *text, struct error *e) {
    char copy[2048], *rest = NULL;
    if (strlen(text) >= sizeof copy) return fail(e, "--engine: too long");
    memcpy(copy, text, strlen(text) + 1);
    char *name = strtok_r(copy, " \t", &rest);
    struct engine_config *g = engine_named(c, name ? name : "", e);
    if (!g) return false;
    for (char *w; (w = strtok_r(NULL, " \t", &rest));) {
        char *equals = strchr(w, '=');
        if (!equals) return fail(e, "--engine: %.60s is no WORD=VALUE", w);
        *equals = 0;
        if (!set_engine(g, w, equals + 1, e)) return false;
    }
    return true;
}

static bool read_flags(struct config *c, int argc, char **argv, bool file, struct error *e) {
    for (int i = 1; i < argc; i += 2) {
        const char *flag = argv[i], *value = argv[i + 1];
        if (strncmp(flag, "--", 2) != 0) return fail(e, "%.60s is no flag", flag);
        if (i + 1 == argc) return fail(e, "%.60s needs a value", flag);
        bool is_file = strcmp(flag, "--config") == 0, good = true;
        if (is_file != file) continue;
        if (is_file)
            good = read_file(c, value, e);
        else if (strcmp(flag, "--engine") == 0)
            good = read_engine(c, value, e);
        else
            good = set_bridge(c, flag + 2, value, e);
        if (!good) return false;
    }
    return true;
}

static bool check(const struct config *c, struct error *e) {
    if (!c->n_engines) return fail(e, "no engines");
    if (c->ttl < 100) return fail(e, "ttl is at least 100 ms");
    for (size_t i = 0; i < c->n_engines; i++) {
        const struct engine_config *g = &c->engines[i];
        if (!*g->events) return fail(e, "engine %s has no events endpoint", g->name);
        if (*g->http && strncmp(g->http, "http://", 7) != 0)
            return fail(e, "engine %s: http begins with http://", g->name);
        if (!g->ranks && !*g->http)
            return fail(e, "engine %s: without http, ranks must be given", g->name);
    }
    return true;
}

bool config_read(struct config *c, int argc, char **argv, bool *help, char *error,
                 size_t error_size) {
    struct error e = {error, error_size};
    *c = (struct config){.redis = "redis://127.0.0.1:6379", .pool = "kvroute", .ttl = 15000};
    *help = false;
    for (int i = 1; i < argc; i++)
        *help |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
    if (*help) return true;
    return read_flags(c, argc, argv, true, &e) && read_flags(c, argc, argv, false, &e) &&
           check(c, &e);
}

void config_free(struct config *c) {
    free(c->engines);
    c->engines = NULL;
}
