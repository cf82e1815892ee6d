// SPDX-License-Identifier: Apache-2.0
#include "router_json.h"

#include <stdio.h>
#include <stdlib.h>

#include "router_json_quick.h"

// Counts what would become values; exact for what is JSON, and for the rest never too few, since a
// reader stops at the first mistake. A short text has no room for too many of anything.
static bool is_bounded(const char *text, size_t n) {
    if (n <= ROUTER_JSON_MAX_CONTAINERS) return true;
    size_t values = 1, containers = 0, texts = 0;
    bool in_text = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '"')
            texts += in_text = !in_text;
        else if (in_text)
            i += c == '\\';
        else if (c == '[' || c == '{')
            containers++;
        else if (c == ',')
            values++;
    }
    return values + containers <= ROUTER_JSON_MAX_VALUES &&
           containers <= ROUTER_JSON_MAX_CONTAINERS && texts <= ROUTER_JSON_MAX_TEXTS;
}

json_t *router_json_parse(struct evbuffer *body, char *why, size_t size) {
    size_t n = evbuffer_get_length(body);
    const char *text = n ? (const char *)evbuffer_pullup(body, -1) : "";
    if (text) return router_json_parse_text(text, n, why, size);
    snprintf(why, size, "no memory");
    return NULL;
}

json_t *router_json_parse_text(const char *text, size_t n, char *why, size_t size) {
    json_error_t error;
    if (!is_bounded(text, n)) {
        snprintf(why, size, "the body has too many values");
        return NULL;
    }
    json_t *value = router_json_quick(text, n);
    if (!value) value = json_loadb(text, n, JSON_ALLOW_NUL, &error);
    if (json_is_object(value)) return value;
    // What the parser says has the sender's bytes in it: only the place is repeated.
    if (value)
        snprintf(why, size, "the body is JSON, but no object");
    else
        snprintf(why, size, "the body is no JSON: line %d, column %d", error.line, error.column);
    json_decref(value);
    return NULL;
}

json_t *router_json_parse_strict(const char *text, size_t n, char *why, size_t size) {
    json_error_t error;
    if (!is_bounded(text, n)) {
        snprintf(why, size, "too many values");
        return NULL;
    }
    json_t *root = router_json_quick(text, n);
    if (!root) root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(root)) return root;
    json_decref(root);
    snprintf(why, size, "the body is no JSON object");
    return NULL;
}

json_t *router_json_text(struct kvr_bytes b) {
    json_t *text = json_stringn(b.p ? b.p : "", b.n);
    if (text) return text;
    char *copy = malloc(b.n + 1);
    if (!copy) return NULL;
    for (size_t i = 0; i < b.n; i++)
        copy[i] = b.p[i] < 0 ? '?' : b.p[i];
    text = json_stringn(copy, b.n);
    free(copy);
    return text;
}
