// SPDX-License-Identifier: Apache-2.0
#include "discovery_lines.h"

#include <kvroute/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/engine/engine_url.h"
#include "client/http1/h1_address.h"

enum { LINES_MAX_LABELS = 16 };

struct line_engine {
    char url[KVR_MAX_ADDR + 1], name[KVR_MAX_NAME + 1], pool[129];
    uint32_t ranks;
    int64_t capacity;
    enum kvr_role role;
    bool leaving;
    const char *labels[LINES_MAX_LABELS]; // in the text
    size_t n_labels;
    size_t line;
};

struct discovery_lines {
    char *text; // a copy, cut into lines and words
    struct line_engine *engines;
    size_t n, room;
};

#define AT(field) KVR_SETTING_AT(line_engine, field)
static const struct kvr_setting line_words[] = {
    {"name", KVR_SETTING_TEXT, AT(name), NULL, 0, 0},
    {"pool", KVR_SETTING_TEXT, AT(pool), NULL, 0, 0},
    {"ranks", KVR_SETTING_U32, AT(ranks), NULL, KVR_MAX_RANKS, 1},
    {"capacity", KVR_SETTING_I64, AT(capacity), NULL, (int64_t)1 << 40, 0},
    {"role", KVR_SETTING_CHOICE, AT(role), "both prefill decode", 0, 0},
    {"state", KVR_SETTING_YES, AT(leaving), "ready draining", 0, 0},
    {.name = NULL},
};
#undef AT

static bool take_label(struct line_engine *g, const char *label, struct kvr_config_error *e) {
    size_t n = strlen(label);
    if (!n || n > KVR_MAX_LABEL || g->n_labels == LINES_MAX_LABELS)
        return kvr_config_fail(e, "at most %d labels of 1 to %d bytes", LINES_MAX_LABELS,
                               KVR_MAX_LABEL);
    g->labels[g->n_labels++] = label;
    return true;
}

static bool take_url(struct line_engine *g, const char *url, struct kvr_config_error *e) {
    const char *fault = engine_url_fault(url);
    if (fault || strlen(url) >= sizeof g->url)
        return kvr_config_fail(e, "%.100s: %s", h1_url_shown(url),
                               fault ? fault : "the URL is too long");
    memcpy(g->url, url, strlen(url) + 1);
    return true;
}

// host:port of the URL, unless it has a name of its own.
static bool take_name(struct line_engine *g, struct kvr_config_error *e) {
    size_t n;
    const char *host = h1_url_place(g->url, &n);
    if (*g->name) return true;
    if (n >= sizeof g->name) return kvr_config_fail(e, "%.100s needs a shorter name", g->url);
    memcpy(g->name, host, n);
    return true;
}

static bool read_engine(struct line_engine *g, char *line, struct kvr_config_error *e) {
    char *rest = NULL, *word = strtok_r(line, " \t\r", &rest);
    if (!take_url(g, word, e)) return false;
    while ((word = strtok_r(NULL, " \t\r", &rest))) {
        char *equals = strchr(word, '=');
        if (!equals) return kvr_config_fail(e, "%.60s is no WORD=VALUE", word);
        *equals = 0;
        bool good = strcmp(word, "label") == 0 ? take_label(g, equals + 1, e)
                                               : kvr_config_set(g, line_words, word, equals + 1, e);
        if (!good) return false;
    }
    return take_name(g, e);
}

static struct line_engine *add_engine(struct discovery_lines *l, const struct discovery_config *c) {
    if (l->n == l->room) {
        size_t room = l->room ? l->room * 2 : 16;
        struct line_engine *engines = realloc(l->engines, room * sizeof *engines);
        if (!engines) return NULL;
        l->engines = engines;
        l->room = room;
    }
    struct line_engine *g = &l->engines[l->n++];
    *g = (struct line_engine){.ranks = c->ranks, .capacity = c->capacity, .role = c->role};
    memcpy(g->pool, c->pool, sizeof g->pool);
    return g;
}

static bool read_lines(struct discovery_lines *l, const struct discovery_config *c,
                       struct kvr_config_error *e) {
    size_t number = 0;
    char reason[160];
    struct kvr_config_error inner = {reason, sizeof reason};
    for (char *rest = l->text, *line; (line = strsep(&rest, "\n"));) {
        number++;
        line += strspn(line, " \t\r");
        if (!*line || *line == '#') continue;
        if (l->n >= c->max) return kvr_config_fail(e, "line %zu: more than max=%u", number, c->max);
        struct line_engine *g = add_engine(l, c);
        if (!g) return kvr_config_fail(e, "no memory");
        g->line = number;
        if (!read_engine(g, line, &inner))
            return kvr_config_fail(e, "line %zu: %s", number, reason);
    }
    return true;
}

// ---- Each once -----------------------------------------------------------------------------------

static int by_url(const void *a, const void *b) {
    const struct line_engine *const *x = a, *const *y = b;
    return strcmp((*x)->url, (*y)->url);
}

static int by_name(const void *a, const void *b) {
    const struct line_engine *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static bool each_once(const struct discovery_lines *l, struct kvr_config_error *e) {
    static int (*const orders[])(const void *, const void *) = {by_url, by_name};
    if (!l->n) return true;
    const struct line_engine **all = malloc(l->n * sizeof *all);
    if (!all) return kvr_config_fail(e, "no memory");
    bool good = true;
    for (size_t i = 0; i < l->n; i++)
        all[i] = &l->engines[i];
    for (size_t k = 0; good && k < 2; k++) {
        qsort(all, l->n, sizeof *all, orders[k]);
        for (size_t i = 1; good && i < l->n; i++)
            if (orders[k](&all[i - 1], &all[i]) == 0)
                good = kvr_config_fail(e, "lines %zu and %zu: the same %s", all[i - 1]->line,
                                       all[i]->line, k ? "name" : "URL");
    }
    free(all);
    return good;
}

struct discovery_lines *discovery_lines_read(const char *text, size_t n,
                                             const struct discovery_config *config,
                                             struct kvr_config_error *e) {
    if (!n || memchr(text, 0, n)) {
        kvr_config_fail(e, n ? "it has a NUL" : "it is empty: a comment says that nobody is there");
        return NULL;
    }
    struct discovery_lines *l = calloc(1, sizeof *l);
    if (l) l->text = malloc(n + 1);
    if (!l || !l->text) {
        kvr_config_fail(e, "no memory");
        free(l);
        return NULL;
    }
    memcpy(l->text, text, n);
    l->text[n] = 0;
    if (read_lines(l, config, e) && each_once(l, e)) return l;
    discovery_lines_free(l);
    return NULL;
}

void discovery_lines_free(struct discovery_lines *l) {
    if (!l) return;
    free(l->text);
    free(l->engines);
    free(l);
}

void discovery_lines_tell(const struct discovery_lines *l, struct discovery_known *k) {
    struct kvr_bytes labels[LINES_MAX_LABELS];
    discovery_known_begin(k);
    for (size_t i = 0; i < l->n; i++) {
        const struct line_engine *g = &l->engines[i];
        for (size_t j = 0; j < g->n_labels; j++)
            labels[j] = kvr_text(g->labels[j]);
        discovery_known_see(k, &(struct discovery_engine){.url = g->url,
                                                          .name = g->name,
                                                          .pool = g->pool,
                                                          .role = g->role,
                                                          .ranks = g->ranks,
                                                          .capacity = g->capacity,
                                                          .labels = labels,
                                                          .n_labels = g->n_labels,
                                                          .leaving = g->leaving});
    }
    discovery_known_end(k, true);
}
