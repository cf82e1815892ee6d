// SPDX-License-Identifier: Apache-2.0
#include "router_trace_settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/common/hex.h"
#include "client/common/log.h"
#include "client/http1/h1_address.h"
#include "client/router/router_config.h"

enum { TRACE_HEADERS_MAX = 8192, TRACE_LIST_MAX = 4096, TRACE_KEY_MAX = 255 };

// ---- The environment -----------------------------------------------------------------------------

// "": it isn't set.
static const char *env(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

// What is said of traces goes before what is said of all signals.
static const char *env_of(const char *traces, const char *all) {
    return *env(traces) ? env(traces) : env(all);
}

static bool is_off(void) {
    const char *exporter = env("OTEL_TRACES_EXPORTER");
    return !strcasecmp(env("OTEL_SDK_DISABLED"), "true") ||
           (*exporter && strcmp(exporter, "otlp") != 0);
}

static bool is_grpc(void) {
    return !strcmp(env_of("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
                   "grpc");
}

// ---- Where ---------------------------------------------------------------------------------------

static const char traces_path[] = "/v1/traces";

static bool names_path(const char *url) {
    size_t n = strlen(url), m = sizeof traces_path - 1;
    return n > m && !strcmp(url + n - m, traces_path);
}

// whole: the URL has the path, too.
static bool set_url(struct router_trace_settings *s, const char *url, bool whole) {
    size_t n = strlen(url);
    if (n >= sizeof s->address || !h1_is_url(url)) return false;
    const char *path = whole ? strchr(strstr(url, "://") + 3, '/') : NULL;
    snprintf(s->address, sizeof s->address, "%.*s", whole && path ? (int)(path - url) : (int)n,
             url);
    snprintf(s->path, sizeof s->path, "%s", !whole ? traces_path : path ? path : "/");
    return true;
}

static void read_place_of_env(struct router_trace_settings *s) {
    const char *own = env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    const char *url = *own ? own : env("OTEL_EXPORTER_OTLP_ENDPOINT");
    if (!*url || is_off()) return;
    if (is_grpc())
        kvr_log_line(KVR_LOG_WARNING, "no traces: OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and spans "
                                      "go by HTTP only");
    else if (!set_url(s, url, *own))
        kvr_log_line(KVR_LOG_WARNING,
                     "no traces: the endpoint in the environment isn't http://HOST:PORT, nor "
                     "https://");
}

static bool read_place(struct router_trace_settings *s, const struct router_config *o, char *error,
                       size_t error_size) {
    if (!strcmp(o->otlp, "none")) return true;
    if (!*o->otlp) {
        read_place_of_env(s);
        return true;
    }
    if (set_url(s, o->otlp, names_path(o->otlp))) return true;
    snprintf(error, error_size, "otlp %.200s: http://HOST:PORT is meant, or https://",
             h1_url_shown(o->otlp));
    return false;
}

static bool read_ca(struct router_trace_settings *s, const struct router_config *o, char *error,
                    size_t error_size) {
    const char *file = *o->otlp_ca ? o->otlp_ca
                                   : env_of("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                                            "OTEL_EXPORTER_OTLP_CERTIFICATE");
    int n = snprintf(s->ca, sizeof s->ca, "%s", file);
    if (n >= 0 && (size_t)n < sizeof s->ca) return true;
    snprintf(error, error_size, "otlp_ca: too long a path");
    return false;
}

// ---- Lists: name=value,name=value, with % before two hex digits ----------------------------------

// Returns how many bytes it is decoded.
static size_t decode(const char *at, size_t n, char *out) {
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        int byte = kvr_percent_value(at + i, n - i);
        out[m++] = byte < 0 ? at[i] : (char)byte;
        if (byte >= 0) i += 2;
    }
    return m;
}

struct trace_pair {
    const char *key;
    size_t key_size;
    char value[TRACE_LIST_MAX];
    size_t value_size;
};

static size_t trimmed(const char **at, size_t n) {
    while (n && (**at == ' ' || **at == '\t'))
        ++*at, n--;
    while (n && ((*at)[n - 1] == ' ' || (*at)[n - 1] == '\t'))
        n--;
    return n;
}

// The next one. 1: there it is, 0: there are no more, −1: it is none.
static int next_pair(const char **at, struct trace_pair *p) {
    *at += strspn(*at, " \t,");
    size_t n = strcspn(*at, ",");
    const char *equals = memchr(*at, '=', n);
    if (!n) return 0;
    if (!equals || strlen(*at) >= TRACE_LIST_MAX) return -1;
    const char *value = equals + 1;
    p->key = *at;
    p->key_size = trimmed(&p->key, (size_t)(equals - *at));
    size_t size = trimmed(&value, (size_t)(*at + n - value));
    p->value_size = decode(value, size, p->value);
    *at += n;
    return p->key_size && p->key_size <= TRACE_KEY_MAX ? 1 : -1;
}

static bool is_list(const char *list) {
    struct trace_pair p;
    int more;
    while ((more = next_pair(&list, &p)) > 0)
        for (size_t i = 0; i < p.key_size; i++)
            if (p.key[i] <= ' ' || p.key[i] > '~' || strchr("\"\\%", p.key[i])) return false;
    return !more;
}

static bool lists(const char *list, const char *key, size_t n) {
    struct trace_pair p;
    while (next_pair(&list, &p) > 0)
        if (p.key_size == n && !memcmp(p.key, key, n)) return true;
    return false;
}

// ---- As whom -------------------------------------------------------------------------------------

static void add_list(struct router_trace_text *t, const char *list, const char *before) {
    struct trace_pair p;
    char key[TRACE_KEY_MAX + 1];
    while (next_pair(&list, &p) > 0) {
        snprintf(key, sizeof key, "%.*s", (int)p.key_size, p.key);
        if (!lists(before, p.key, p.key_size) && strcmp(key, "service.name") != 0)
            router_attribute_bytes(t, key, p.value, p.value_size);
    }
}

static bool add_name_of(struct router_trace_text *t, const char *list) {
    struct trace_pair p;
    while (next_pair(&list, &p) > 0)
        if (p.key_size == 12 && !memcmp(p.key, "service.name", 12) && p.value_size) {
            router_attribute_bytes(t, "service.name", p.value, p.value_size);
            return true;
        }
    return false;
}

static void add_instance(struct router_trace_settings *s, const char *list, const char *other) {
    static const char key[] = "service.instance.id";
    if (!lists(list, key, sizeof key - 1) && !lists(other, key, sizeof key - 1))
        router_attribute_text(&s->resource, key, s->instance);
}

static bool read_resource(struct router_trace_settings *s, const struct router_config *o,
                          char *error, size_t error_size) {
    const char *list = o->resource_attributes, *other = env("OTEL_RESOURCE_ATTRIBUTES");
    const char *name = *o->service_name ? o->service_name : env("OTEL_SERVICE_NAME");
    if (!is_list(list)) {
        snprintf(error, error_size, "resource_attributes takes NAME=VALUE,NAME=VALUE");
        return false;
    }
    if (!is_list(other)) {
        kvr_log_line(KVR_LOG_WARNING, "OTEL_RESOURCE_ATTRIBUTES isn't NAME=VALUE,…");
        other = "";
    }
    if (*o->service_name || (!add_name_of(&s->resource, list) && *name))
        router_attribute_text(&s->resource, "service.name", name);
    if (!s->resource.n && !add_name_of(&s->resource, other))
        router_attribute_text(&s->resource, "service.name", "kvroute-router");
    router_attribute_text(&s->resource, "service.version", KVROUTE_VERSION);
    add_instance(s, list, other);
    add_list(&s->resource, list, "");
    add_list(&s->resource, other, list);
    if (s->resource.failed) snprintf(error, error_size, "no memory");
    return !s->resource.failed;
}

// ---- Headers -------------------------------------------------------------------------------------

// What the client of HTTP says itself.
static bool is_taken(const char *name, size_t n) {
    static const char *const names[] = {"host",           "connection",   "transfer-encoding",
                                        "content-length", "content-type", NULL};
    for (const char *const *at = names; *at; at++)
        if (strlen(*at) == n && !strncasecmp(*at, name, n)) return true;
    return false;
}

static bool add_header(struct router_trace_text *t, const char *name, size_t n, const char *value,
                       size_t size) {
    if (!n || is_taken(name, n)) return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~' || strchr("\"(),/:;<=>?@[\\]{}", name[i])) return false;
    for (size_t i = 0; i < size; i++)
        if (value[i] < ' ' || value[i] > '~') return false;
    if (t->n + n + size + 4 > TRACE_HEADERS_MAX) return false;
    router_trace_text_add(t, name, n);
    router_trace_text_add(t, ": ", 2);
    router_trace_text_add(t, value, size);
    router_trace_text_add(t, "\r\n", 2);
    return true;
}

static bool add_line(struct router_trace_text *t, char *line) {
    const char *name = line;
    line[strcspn(line, "\r\n")] = 0;
    size_t n = trimmed(&name, strlen(line));
    const char *colon = memchr(name, ':', n), *value = colon ? colon + 1 : NULL;
    if (!n || *name == '#') return true;
    if (!colon) return false;
    size_t size = trimmed(&value, (size_t)(name + n - value));
    return add_header(t, name, (size_t)(colon - name), value, size);
}

static bool read_headers_file(struct router_trace_settings *s, const char *file, char *error,
                              size_t error_size) {
    char line[TRACE_LIST_MAX];
    FILE *f = fopen(file, "r");
    if (!f) {
        snprintf(error, error_size, "otlp_headers %.200s: %s", file, strerror(errno));
        return false;
    }
    bool good = true;
    unsigned number = 0;
    while (good && fgets(line, sizeof line, f)) {
        number++;
        good = strlen(line) < sizeof line - 1 && add_line(&s->headers, line);
    }
    if (!good)
        snprintf(error, error_size,
                 "otlp_headers %.200s: line %u: NAME: VALUE is meant, of plain ASCII, and not one "
                 "that is sent anyway",
                 file, number);
    bool broken = good && ferror(f);
    if (broken) snprintf(error, error_size, "otlp_headers %.200s: %s", file, strerror(errno));
    fclose(f);
    return good && !broken;
}

static void read_headers_of_env(struct router_trace_settings *s) {
    const char *list = env_of("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS");
    struct trace_pair p;
    int more;
    while ((more = next_pair(&list, &p)) > 0)
        if (!add_header(&s->headers, p.key, p.key_size, p.value, p.value_size)) break;
    if (more)
        kvr_log_line(KVR_LOG_WARNING, "OTEL_EXPORTER_OTLP_HEADERS isn't NAME=VALUE,…: not all of "
                                      "it is sent");
}

static bool read_headers(struct router_trace_settings *s, const struct router_config *o,
                         char *error, size_t error_size) {
    static const char type[] = "Content-Type: application/json\r\n";
    if (!*o->otlp_headers)
        read_headers_of_env(s);
    else if (!read_headers_file(s, o->otlp_headers, error, error_size))
        return false;
    router_trace_text_add(&s->headers, type, sizeof type); // with its NUL
    if (s->headers.failed) snprintf(error, error_size, "no memory");
    return !s->headers.failed;
}

// ---- Which ---------------------------------------------------------------------------------------

static bool read_ratio(const char *text, double *ratio) {
    char *end;
    if (!*text || strspn(text, "0123456789.eE-") != strlen(text)) return false;
    *ratio = strtod(text, &end);
    return !*end && *ratio >= 0 && *ratio <= 1;
}

static const struct trace_sampler {
    const char *name;
    bool by_parent;
    double ratio; // −1: what the argument says
} samplers[] = {
    {"parentbased_always_on", true, 1},
    {"parentbased_always_off", true, 0},
    {"parentbased_traceidratio", true, -1},
    {"always_on", false, 1},
    {"always_off", false, 0},
    {"traceidratio", false, -1},
};

static const struct trace_sampler *sampler_of_env(void) {
    const char *name = env("OTEL_TRACES_SAMPLER");
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++)
        if (!strcmp(samplers[i].name, name)) return &samplers[i];
    if (*name)
        kvr_log_line(KVR_LOG_WARNING, "OTEL_TRACES_SAMPLER isn't one that is known here: "
                                      "parentbased_always_on");
    return &samplers[0];
}

static bool read_sampler(struct router_trace_settings *s, const struct router_config *o,
                         char *error, size_t error_size) {
    const struct trace_sampler *sampler = *o->trace_ratio ? &samplers[2] : sampler_of_env();
    const char *text = *o->trace_ratio ? o->trace_ratio : env("OTEL_TRACES_SAMPLER_ARG");
    double ratio = sampler->ratio;
    if (ratio < 0 && !read_ratio(text, &ratio)) {
        if (*o->trace_ratio) {
            snprintf(error, error_size, "trace_ratio takes a number from 0 to 1");
            return false;
        }
        ratio = 1;
    }
    s->by_parent = sampler->by_parent;
    s->threshold = (uint64_t)((1 - ratio) * 0x1p56);
    return true;
}

bool router_trace_settings_read(struct router_trace_settings *s, const struct router_config *o,
                                char *error, size_t error_size) {
    bool good = read_place(s, o, error, error_size) && read_ca(s, o, error, error_size) &&
                read_resource(s, o, error, error_size) && read_headers(s, o, error, error_size) &&
                read_sampler(s, o, error, error_size);
    if (!good) router_trace_settings_free(s);
    return good;
}

void router_trace_settings_free(struct router_trace_settings *s) {
    router_trace_text_free(&s->headers);
    router_trace_text_free(&s->resource);
}
