// SPDX-License-Identifier: Apache-2.0
// See strange.h.
#include "router_json.h"

#include <stdio.h>
#include <string.h>

// Counts what would become values; exact for what is JSON, and for the rest never too few, since a
// reader stops at the first mistake.
bool router_json_bounded(const char *text, size_t n) {
    size_t values = 1, containers = 0;
    bool in_text = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '"')
            in_text = !in_text;
        else if (in_text)
            i += c == '\\';
        else if (c == '[' || c == '{')
            containers++;
        else if (c == ',')
            values++;
    }
    return values + containers <= ROUTER_JSON_MAX_VALUES && containers <= ROUTER_JSON_MAX_CONTAINERS;
}

json_t *router_json_parse_strict(const char *text, size_t n, char *why, size_t size) {
    json_error_t error;
    if (!router_json_bounded(text, n)) {
        snprintf(why, size, "too many values");
        return NULL;
    }
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(root)) return root;
    json_decref(root);
    snprintf(why, size, "the body is no JSON object");
    return NULL;
}
