// SPDX-License-Identifier: Apache-2.0
#include "top_config.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/config.h"

const char top_config_usage[] =
    "usage: kvroute-top [--once | --json] [--redis URL] [--pool NAME] … [--WORD VALUE …]\n"
    "       kvroute-top --help | --version\n"
    "\n"
    "Shows pools of kvroute in a terminal: their workers, their queue, how well they route.\n"
    "\n"
    "  redis URL        redis://, unix://, sentinel:// or cluster://; redis://127.0.0.1:6379\n"
    "                   over TLS rediss:// and so on, if --version says TLS\n"
    "  pool NAME        a pool's key; may be said several times; without it: all that are found\n"
    "  refresh MS       how often it looks; 1000\n"
    "  sort NAME        worker (default), state, circuit, role, requests, prefill, decode, "
    "blocks,\n"
    "                   host, disk, ttft, tpot, failures, ttl or labels\n"
    "  reverse [yes|no] sort the other way round; no\n"
    "  filter TEXT      only workers with this in their name, address, state, role or labels\n"
    "  once [yes|no]    look twice, `refresh` apart, print what is there as text, and leave; no\n"
    "  json [yes|no]    the same as JSON; no\n"
    "  color [yes|no]   yes, unless the environment has NO_COLOR\n"
    "  ascii [yes|no]   nothing but ASCII; no, unless the locale isn't UTF-8\n"
    "\n"
    "Switches\n"
    "   --once, --json, --reverse, --color and --ascii stand for the same with yes, --no-color "
    "for\n"
    "   --color no.\n";

#define TOP_AT(field) KVR_SETTING_AT(top_config, field)

static const char orders[] = "worker state circuit role requests prefill decode blocks host disk "
                             "ttft tpot failures ttl labels";

static const struct kvr_setting settings[] = {
    {"redis", KVR_SETTING_TEXT, TOP_AT(redis), NULL, 0, 0},
    {"refresh", KVR_SETTING_I64, TOP_AT(refresh), NULL, 3600000, 100},
    {"sort", KVR_SETTING_CHOICE, TOP_AT(sort), orders, 0, 0},
    {"reverse", KVR_SETTING_YES, TOP_AT(reverse), "no yes", 0, 0},
    {"filter", KVR_SETTING_TEXT, TOP_AT(filter), NULL, 0, 0},
    {"once", KVR_SETTING_YES, TOP_AT(once), "no yes", 0, 0},
    {"json", KVR_SETTING_YES, TOP_AT(json), "no yes", 0, 0},
    {"color", KVR_SETTING_YES, TOP_AT(color), "no yes", 0, 0},
    {"ascii", KVR_SETTING_YES, TOP_AT(ascii), "no yes", 0, 0},
    {.name = NULL},
};

static bool add_pool(struct top_config *c, const char *key, struct kvr_config_error *e) {
    if (!*key || strlen(key) >= TOP_MAX_KEY)
        return kvr_config_fail(e, "a pool's key has 1 to %d bytes here", TOP_MAX_KEY - 1);
    for (size_t i = 0; i < c->n_pools; i++)
        if (strcmp(c->pools[i], key) == 0) return true;
    if (c->n_pools == TOP_MAX_POOLS) return kvr_config_fail(e, "at most %d pools", TOP_MAX_POOLS);
    memcpy(c->pools[c->n_pools++], key, strlen(key) + 1);
    return true;
}

static bool on_setting(void *ctx, const char *section, const char *name, const char *value,
                       struct kvr_config_error *e) {
    struct top_config *c = ctx;
    if (strcmp(section, "top") != 0) return kvr_config_fail(e, "no section [%.60s]", section);
    if (name && strcmp(name, "pool") == 0) return add_pool(c, value, e);
    return !name || kvr_config_set(c, settings, name, value, e);
}

// People write switches without a value; the words that follow the flags of others aren't looked at.
static char *spelled_out(char *word) {
    static char spellings[][16] = {"--once=yes",  "--json=yes",  "--reverse=yes",
                                   "--color=yes", "--ascii=yes", "--no-color"};
    static char no_color[] = "--color=no";
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        size_t n = strcspn(spellings[i], "=");
        if (strlen(word) == n && memcmp(word, spellings[i], n) == 0)
            return spellings[i][n] ? spellings[i] : no_color;
    }
    return word;
}

static bool is_switch_value(const char *word) {
    return word && (strcmp(word, "yes") == 0 || strcmp(word, "no") == 0);
}

// A copy of argv with switches spelled out; NULL: no memory.
static char **whole_flags(int argc, char **argv) {
    char **all = calloc((size_t)argc + 1, sizeof *all);
    for (int i = 0; all && i < argc; i++)
        all[i] = i && !is_switch_value(argv[i + 1]) ? spelled_out(argv[i]) : argv[i];
    return all;
}

bool top_config_read(struct top_config *c, int argc, char **argv, bool *help, char *error,
                     size_t error_size) {
    static const char *const no_kinds[] = {NULL};
    struct kvr_config_error e = {error, error_size};
    const char *no_color = getenv("NO_COLOR");
    memset(c, 0, sizeof *c);
    strcpy(c->redis, "redis://127.0.0.1:6379");
    c->refresh = 1000;
    c->color = !no_color || !*no_color;
    *help = kvr_config_help(argc, argv);
    if (*help) return true;
    char **all = whole_flags(argc, argv);
    if (!all) return kvr_config_fail(&e, "no memory");
    bool good = kvr_config_command_line(argc, all, "top", no_kinds, on_setting, c, &e);
    free(all);
    if (c->json) c->once = true;
    return good;
}
