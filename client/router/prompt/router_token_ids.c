// SPDX-License-Identifier: Apache-2.0
#include "router_token_ids.h"

#include <stdlib.h>
#include <string.h>

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char *skip_blanks(char *at, const char *end) {
    while (at < end && is_blank(*at))
        at++;
    return at;
}

// Behind the closing quote of the text that begins at `at`; `end` if there is none.
static char *skip_text(char *at, const char *end) {
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at < end ? at + 1 : (char *)end;
}

// Behind the bracket that opens the list; NULL: there is no such field.
static char *find_list(char *at, const char *end, const char *name) {
    size_t n = strlen(name), depth = 0;
    while (at < end) {
        if (*at != '"') {
            depth += *at == '{' || *at == '[';
            depth -= *at == '}' || *at == ']';
            at++;
            continue;
        }
        char *text = at + 1;
        at = skip_text(at, end);
        if (depth != 1 || (size_t)(at - text) != n + 1 || memcmp(text, name, n) != 0) continue;
        char *value = skip_blanks(at, end);
        if (value == end || *value != ':') continue;
        value = skip_blanks(value + 1, end);
        if (value < end && *value == '[') return value + 1;
    }
    return NULL;
}

// A number as JSON writes it; NULL: none, or too large.
static char *read_id(char *at, const char *end, uint32_t *id) {
    uint64_t x = 0;
    char *from = at;
    while (at < end && *at >= '0' && *at <= '9' && x <= UINT32_MAX)
        x = 10 * x + (uint64_t)(*at++ - '0');
    if (at == from || x > UINT32_MAX || (*from == '0' && at - from > 1)) return NULL;
    *id = (uint32_t)x;
    return at;
}

// Reads up to the closing bracket, which is returned. NULL: something else is in the list.
static char *read_ids(char *at, const char *end, uint32_t *ids, size_t *n) {
    for (*n = 0;; at++) {
        if (!(at = read_id(skip_blanks(at, end), end, &ids[*n]))) return NULL;
        ++*n;
        at = skip_blanks(at, end);
        if (at == end) return NULL;
        if (*at == ']') return at;
        if (*at != ',') return NULL;
    }
}

// How many there can be: commas up to the next bracket.
static size_t most_ids(const char *at, const char *end) {
    size_t n = 1;
    for (; at < end && *at != ']' && *at != '"'; at++)
        n += *at == ',';
    return n;
}

bool router_token_ids_extract(char *text, size_t *n, const char *name, uint32_t **ids,
                              size_t *n_ids) {
    const char *end = text + *n;
    char *list = find_list(text, end, name), *close;
    *ids = NULL;
    *n_ids = 0;
    if (!list) return true;
    if (!(*ids = malloc(most_ids(list, end) * sizeof **ids))) return false;
    if ((close = read_ids(list, end, *ids, n_ids))) {
        memmove(list, close, (size_t)(end - close));
        *n -= (size_t)(close - list);
        return true;
    }
    free(*ids);
    *ids = NULL;
    *n_ids = 0;
    return true;
}
