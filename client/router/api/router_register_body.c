// SPDX-License-Identifier: Apache-2.0
#include "router_register_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/hex.h"
#include "client/engine/engine_url.h"
#include "client/http1/h1_address.h"
#include "client/router/pools/router_labels.h"
#include "client/router/prompt/router_json.h"

enum { REGISTER_MAX_CAPACITY_BITS = 40 };

struct register_reason {
    char *text;
    size_t size;
};

static bool wrong(const struct register_reason *why, const char *what) {
    snprintf(why->text, why->size, "%s", what);
    return false;
}

// ---- Fields --------------------------------------------------------------------------------------

static bool read_url(struct router_register_body *b, json_t *value,
                     const struct register_reason *why) {
    size_t n = json_string_length(value);
    b->url = json_string_value(value);
    if (!b->url || n > KVR_MAX_ADDR || strlen(b->url) != n)
        return wrong(why, "url is an engine's, such as http://10.0.0.1:8000");
    const char *fault = engine_url_fault(b->url);
    return !fault || wrong(why, fault);
}

static bool read_name(struct router_register_body *b, json_t *value,
                      const struct register_reason *why) {
    const char *name = json_string_value(value);
    size_t n = json_string_length(value);
    if (!name || !n || n > KVR_MAX_NAME || strlen(name) != n)
        return wrong(why, "name is a text of 1 to 128 bytes");
    memcpy(b->name, name, n + 1);
    return true;
}

static bool read_pool(struct router_register_body *b, json_t *value,
                      const struct register_reason *why) {
    b->pool = json_string_value(value);
    return b->pool || wrong(why, "pool is the name of one of the router's pools");
}

static bool read_ranks(struct router_register_body *b, json_t *value,
                       const struct register_reason *why) {
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : 0;
    if (n < 1 || n > KVR_MAX_RANKS) return wrong(why, "ranks is a whole number from 1 to 1024");
    b->ranks = (uint32_t)n;
    return true;
}

static bool read_capacity(struct router_register_body *b, json_t *value,
                          const struct register_reason *why) {
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : 0;
    if (n < 1 || n > (json_int_t)1 << REGISTER_MAX_CAPACITY_BITS)
        return wrong(why, "capacity is the blocks that a rank has, at least 1");
    b->capacity = n;
    return true;
}

static bool read_role(struct router_register_body *b, json_t *value,
                      const struct register_reason *why) {
    static const char *const roles[] = {[ENGINE_ROLE_BOTH] = "both",
                                        [ENGINE_ROLE_PREFILL] = "prefill",
                                        [ENGINE_ROLE_DECODE] = "decode"};
    const char *role = json_is_string(value) ? json_string_value(value) : "";
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(roles[i], role) == 0) {
            b->role = (enum engine_role)i;
            return true;
        }
    return wrong(why, "role is both, prefill or decode");
}

// Two are left for what the router says itself.
static bool read_labels(struct router_register_body *b, json_t *value,
                        const struct register_reason *why) {
    size_t i;
    json_t *label;
    if (!json_is_array(value) || json_array_size(value) > KVR_MAX_LABELS - 2)
        return wrong(why, "labels is a list of at most 62 texts");
    json_array_foreach(value, i, label) {
        const char *text = json_string_value(label);
        size_t n = json_string_length(label);
        if (!text || !n || n > KVR_MAX_LABEL)
            return wrong(why, "a label is a text of 1 to 128 bytes");
        if (router_label_is_own(text))
            return wrong(why, "labels that begin with by= or discovery= are the router's own");
    }
    b->labels = value;
    return true;
}

static const struct {
    const char *name;
    bool (*read)(struct router_register_body *b, json_t *value, const struct register_reason *why);
} register_fields[] = {{"url", read_url},      {"name", read_name},   {"pool", read_pool},
                       {"role", read_role},    {"ranks", read_ranks}, {"capacity", read_capacity},
                       {"labels", read_labels}};
enum { N_REGISTER_FIELDS = sizeof register_fields / sizeof *register_fields };

// Host and port of the URL, as of `--engine`.
static bool name_by_url(struct router_register_body *b, const struct register_reason *why) {
    size_t n;
    const char *host = h1_url_place(b->url, &n);
    if (n > KVR_MAX_NAME) return wrong(why, "name is missing: the URL's host is too long for one");
    memcpy(b->name, host, n);
    return true;
}

static bool read_fields(struct router_register_body *b, const struct register_reason *why) {
    const char *name;
    json_t *value;
    json_object_foreach(b->root, name, value) {
        size_t i = 0;
        while (i < N_REGISTER_FIELDS && strcmp(register_fields[i].name, name) != 0)
            i++;
        if (i == N_REGISTER_FIELDS) return wrong(why, "there is a field that isn't known here");
        if (!json_is_null(value) && !register_fields[i].read(b, value, why)) return false;
    }
    if (!b->url) return wrong(why, "url is missing");
    return *b->name || name_by_url(b, why);
}

bool router_register_body_read(struct router_register_body *b, struct evbuffer *body, char *why,
                               size_t size) {
    struct register_reason reason = {why, size};
    size_t n = evbuffer_get_length(body);
    const char *text = n ? (const char *)evbuffer_pullup(body, -1) : "";
    *b = (struct router_register_body){.pool = "", .role = ENGINE_ROLE_ASK};
    if (!text) return wrong(&reason, "no memory");
    b->root = router_json_parse_strict(text, n, why, size);
    if (b->root && read_fields(b, &reason)) return true;
    router_register_body_free(b);
    return false;
}

void router_register_body_free(struct router_register_body *b) {
    json_decref(b->root);
    *b = (struct router_register_body){0};
}

// ---- Path and query ------------------------------------------------------------------------------

// n bytes with their %XX resolved; false: too long, none at all, or not of that form.
static bool decode(char *out, size_t size, const char *text, size_t n) {
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        int byte = kvr_percent_value(text + i, n - i);
        if (used + 1 >= size || (text[i] == '%' && byte < 0)) return false;
        out[used++] = byte < 0 ? text[i] : (char)byte;
        if (byte >= 0) i += 2;
    }
    out[used] = 0;
    return used > 0;
}

static bool read_drain(int64_t *out, const char *text, size_t n) {
    char digits[20], *end;
    if (!decode(digits, sizeof digits, text, n) || digits[strspn(digits, "0123456789")])
        return false;
    *out = strtoll(digits, &end, 10);
    return *out <= KVR_MAX_MS;
}

bool router_remove_words_read(struct router_remove_words *w, const char *path, const char *query,
                              char *why, size_t size) {
    static const char drain[] = "drain=", pool[] = "pool=";
    struct register_reason reason = {why, size};
    *w = (struct router_remove_words){.drain = -1};
    if (!decode(w->name, sizeof w->name, path, strlen(path)))
        return wrong(&reason, "a worker's name has 1 to 128 bytes");
    for (const char *at = query ? query : ""; *at;) {
        size_t n = strcspn(at, "&");
        bool good = false;
        if (strncmp(at, drain, sizeof drain - 1) == 0)
            good = read_drain(&w->drain, at + sizeof drain - 1, n - (sizeof drain - 1));
        else if (strncmp(at, pool, sizeof pool - 1) == 0)
            good = decode(w->pool, sizeof w->pool, at + sizeof pool - 1, n - (sizeof pool - 1));
        if (!good) return wrong(&reason, "the query is drain=MS, a whole number, and pool=NAME");
        at += n + (at[n] == '&');
    }
    return true;
}
