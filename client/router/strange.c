// SPDX-License-Identifier: Apache-2.0
// See strange.h.
#include "strange.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// Counts what would become values; exact for what is JSON, and for the rest never too few, since a
// reader stops at the first mistake.
static bool is_bounded(const char *s, size_t n) {
    size_t values = 1, containers = 0;
    for (const char *end = s + n; s < end; s++) {
        switch (*s) {
        case '"':
            for (s++; s < end && *s != '"'; s++)
                if (*s == '\\') s++;
            break;
        case '[':
        case '{':
            containers++;
            values++;
            break;
        case ',':
            values++;
            break;
        default:
            break;
        }
    }
    return values <= STRANGE_VALUES && containers <= STRANGE_CONTAINERS;
}

json_t *strange_object(struct evbuffer *body, char *why, size_t size) {
    size_t n = evbuffer_get_length(body);
    const char *text = n ? (const char *)evbuffer_pullup(body, -1) : NULL;
    json_error_t error;
    if (text && !is_bounded(text, n)) {
        snprintf(why, size, "too many values");
        return NULL;
    }
    json_t *root = text ? json_loadb(text, n, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (json_is_object(root)) return root;
    json_decref(root);
    snprintf(why, size, "the body is no JSON object");
    return NULL;
}
