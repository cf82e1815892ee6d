// SPDX-License-Identifier: Apache-2.0
#include "discovery_config.h"

#include <stdlib.h>
#include <string.h>

#define AT(field) KVR_SETTING_AT(discovery_config, field)
#define MAX_MS ((int64_t)1 << 31)

static const struct kvr_setting words[] = {
    {"pool", KVR_SETTING_TEXT, AT(pool), NULL, 0, 0},
    {"scheme", KVR_SETTING_CHOICE, AT(scheme), "http https", 0, 0},
    {"prefix", KVR_SETTING_TEXT, AT(prefix), NULL, 0, 0},
    {"ranks", KVR_SETTING_U32, AT(ranks), NULL, KVR_MAX_RANKS, 1},
    {"capacity", KVR_SETTING_I64, AT(capacity), NULL, (int64_t)1 << 40, 0},
    {"role", KVR_SETTING_CHOICE, AT(role), "both prefill decode", 0, 0},
    {"every", KVR_SETTING_I64, AT(every), NULL, MAX_MS, 100},
    {"misses", KVR_SETTING_U32, AT(misses), NULL, 1000, 1},
    {"max", KVR_SETTING_U32, AT(max), NULL, 65535, 1},
    {"drain", KVR_SETTING_I64, AT(drain), NULL, MAX_MS, 0},
    {"family", KVR_SETTING_CHOICE, AT(family), "any ipv4 ipv6", 0, 0},
    {"servers", KVR_SETTING_TEXT, AT(servers), NULL, 0, 0},
    {"port", KVR_SETTING_TEXT, AT(port), NULL, 0, 0},
    {"selector", KVR_SETTING_TEXT, AT(selector), NULL, 0, 0},
    {"api", KVR_SETTING_TEXT, AT(api), NULL, 0, 0},
    {"token_file", KVR_SETTING_TEXT, AT(token_file), NULL, 0, 0},
    {"ca_file", KVR_SETTING_TEXT, AT(ca_file), NULL, 0, 0},
    {.name = NULL},
};
#undef AT

// ---- What a source says --------------------------------------------------------------------------

static bool take(char *out, size_t size, const char *text, size_t n) {
    if (!n || n >= size) return false;
    memcpy(out, text, n);
    out[n] = 0;
    return true;
}

static bool is_port(const char *text) {
    char *end;
    long port = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && port > 0 && port < 65536;
}

static bool is_name(const char *text) {
    return !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")];
}

static bool take_dns(struct discovery_config *c, const char *rest) {
    const char *colon = strrchr(rest, ':');
    return colon && take(c->place, 256, rest, (size_t)(colon - rest)) && is_name(c->place) &&
           take(c->port, sizeof c->port, colon + 1, strlen(colon + 1)) && is_port(c->port);
}

static bool take_srv(struct discovery_config *c, const char *rest) {
    return *rest == '_' && take(c->place, 256, rest, strlen(rest)) && is_name(c->place);
}

static bool take_file(struct discovery_config *c, const char *rest) {
    return *rest == '/' && take(c->place, sizeof c->place, rest, strlen(rest));
}

static bool take_kubernetes(struct discovery_config *c, const char *rest) {
    const char *slash = strchr(rest, '/'), *service = slash ? slash + 1 : rest;
    size_t space = slash ? (size_t)(slash - rest) : 0;
    if (space && !take(c->space, sizeof c->space, rest, space)) return false;
    if (*service && !take(c->place, 256, service, strlen(service))) return false;
    return is_name(c->space) && is_name(c->place);
}

static const struct source_form {
    const char *scheme, *form;
    enum discovery_kind kind;
    bool (*take)(struct discovery_config *c, const char *rest);
} forms[] = {
    {"dns://", "dns://NAME:PORT", DISCOVERY_DNS, take_dns},
    {"srv://", "srv://_SERVICE._tcp.NAME", DISCOVERY_SRV, take_srv},
    {"file://", "file:///PATH", DISCOVERY_FILE, take_file},
    {"kubernetes://", "kubernetes://NAMESPACE/SERVICE", DISCOVERY_KUBERNETES, take_kubernetes},
};

static bool take_source(struct discovery_config *c, struct kvr_config_error *e) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t n = strlen(forms[i].scheme);
        if (strncmp(c->source, forms[i].scheme, n) != 0) continue;
        c->kind = forms[i].kind;
        return forms[i].take(c, c->source + n) ||
               kvr_config_fail(e, "discover %.200s: the form is %s", c->source, forms[i].form);
    }
    return kvr_config_fail(
        e, "discover %.200s: it begins with dns://, srv://, file:// or kubernetes://", c->source);
}

// ---- All of them ---------------------------------------------------------------------------------

static struct discovery_config *config_of(struct discovery_configs *all, const char *source,
                                          struct kvr_config_error *e) {
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->items[i].source, source) == 0) return &all->items[i];
    struct discovery_config c = {
        .ranks = 1, .every = 2000, .misses = 3, .max = 4096, .drain = 30000};
    if (!take(c.source, sizeof c.source, source, strlen(source))) {
        kvr_config_fail(e, "discover: a source has 1 to %zu bytes", sizeof c.source - 1);
        return NULL;
    }
    if (!take_source(&c, e)) return NULL;
    struct discovery_config *items = realloc(all->items, (all->n + 1) * sizeof *items);
    if (!items) {
        kvr_config_fail(e, "no memory");
        return NULL;
    }
    all->items = items;
    items[all->n] = c;
    return &items[all->n++];
}

bool discovery_configs_entry(struct discovery_configs *all, const char *source, const char *name,
                             const char *value, struct kvr_config_error *e) {
    struct discovery_config *c = config_of(all, source, e);
    return c && (!name || kvr_config_set(c, words, name, value, e));
}

static bool complete(const struct discovery_config *c, struct kvr_config_error *e) {
    if (*c->prefix && (*c->prefix != '/' || strpbrk(c->prefix, " \t?#")))
        return kvr_config_fail(e, "discover %.200s: prefix begins with /", c->source);
    if (c->kind == DISCOVERY_DNS && !is_port(c->port))
        return kvr_config_fail(e, "discover %.200s: port is a number up to 65535", c->source);
    if (c->kind == DISCOVERY_KUBERNETES && !*c->place && !*c->selector)
        return kvr_config_fail(e, "discover %.200s: neither a service nor a selector", c->source);
    if (*c->api && strncmp(c->api, "https://", 8) != 0)
        return kvr_config_fail(e, "discover %.200s: api begins with https://", c->source);
    return true;
}

bool discovery_configs_complete(struct discovery_configs *all, struct kvr_config_error *e) {
    for (size_t i = 0; i < all->n; i++)
        if (!complete(&all->items[i], e)) return false;
    return true;
}

void discovery_configs_free(struct discovery_configs *all) {
    free(all->items);
    *all = (struct discovery_configs){NULL, 0};
}
