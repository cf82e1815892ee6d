// SPDX-License-Identifier: Apache-2.0
#include "router_labels.h"

#include <string.h>

const char router_label_http[] = "by=http", router_label_leaving[] = "by=leaving";

bool router_label_is_own(const char *label) {
    static const char by[] = "by=";
    return !strncmp(label, by, sizeof by - 1) || router_label_is_mark(label);
}

bool router_label_is_mark(const char *label) {
    static const char mark[] = "discovery=";
    return !strncmp(label, mark, sizeof mark - 1);
}

bool router_label_is(const struct router_worker *w, const char *label) {
    size_t i;
    json_t *text;
    json_array_foreach(w->labels, i, text) {
        const char *value = json_string_value(text);
        if (value && !strcmp(value, label)) return true;
    }
    return false;
}

bool router_label_is_shared(const struct router_worker *w) {
    return router_label_is(w, router_label_http) || router_label_is(w, router_label_leaving);
}
